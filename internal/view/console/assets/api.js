// Speaks to the server: the Step Functions API as the SDKs do, and /rayorch/v1/ where it is answered.

// ApiError is the API's own word on what went wrong.
export class ApiError extends Error {
  constructor(code, message, status) {
    super(message || code || `the server answered ${status}`);
    this.code = code;
    this.status = status;
  }
}

// place is what is known of the server: features holds what it answers besides the API.
export const place = { version: "", where: "", login: false, keys: false, signedIn: true, role: "admin", features: new Set() };

// mayRun says that the key that signed in may start, stop and redrive: the server refuses it to a key that may only read.
export const mayRun = () => place.role !== "read";

// onSignedOut is called when the server no longer knows this browser.
export const hooks = { onSignedOut() {} };

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", "The server cannot be reached.", 0);
  }
  if (response.ok) return response;
  throw await failure(response);
}

async function failure(response) {
  const body = await response.text();
  let code = "", message = body.trim();
  try {
    const said = JSON.parse(body);
    code = String(said.__type ?? "").replace(/^.*#/, "");
    message = said.message ?? said.Message ?? "";
  } catch {
    // Whatever is no JSON is a sentence already.
  }
  const unknown = response.status === 401 || code === "MissingAuthenticationTokenException";
  if (unknown && place.login) hooks.onSignedOut();
  return new ApiError(code, message, response.status);
}

// call does an action of the Step Functions API.
export async function call(action, input = {}, signal = undefined) {
  const response = await request("/", {
    method: "POST", signal, body: JSON.stringify(input),
    headers: { "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": `AWSStepFunctions.${action}` },
  });
  return response.json();
}

// url is an address below /rayorch/v1/; parameters that are empty are left out.
export function url(name, params = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(key, value);
  }
  return `/rayorch/v1/${name}?${query}`;
}

export async function extra(name, params, signal = undefined) {
  return (await request(url(name, params), { signal })).json();
}

// open is extra for what is no JSON and comes bit by bit.
export function open(name, params, signal) {
  return request(url(name, params), { signal });
}

// layout asks for the places of a definition's states.
export async function layout(definition, signal) {
  const response = await request("/console/layout", { method: "POST", body: definition, signal });
  return response.json();
}

// begin finds out what the server is.
export async function begin() {
  Object.assign(place, await (await request("/console/start")).json());
  place.features = new Set();
  if (!place.signedIn) return;
  try {
    const info = await extra("info");
    if (info.name === "rayorch") place.features = new Set(info.features ?? []);
  } catch {
    // AWS, or another's server: the API alone has to do.
  }
}

export async function signIn(key, secret) {
  await request("/console/login", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key, secret }),
  });
}

// signInByLink uses up the token of a link, which the server takes once.
export async function signInByLink(token) {
  await request("/console/link", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }),
  });
}

export async function signOut() {
  await request("/console/logout", { method: "POST" });
}

// pages gives the pages of a list action one after the other.
export async function* pages(action, input, signal) {
  let nextToken;
  do {
    const page = await call(action, { ...input, nextToken }, signal);
    yield page;
    nextToken = page.nextToken;
  } while (nextToken);
}
