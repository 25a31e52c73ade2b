// The client of the server: the Step Functions API, and /rayorch/v1/ if the server has it.

// ApiError is an error of the API.
export class ApiError extends Error {
  constructor(code, message, status) {
    super(message || code || `The server returned the status ${status}.`);
    this.code = code;
    this.status = status;
  }
}

// server is what is known about the server. features are its endpoints below /rayorch/v1/.
export const server = { version: "", where: "", login: false, keys: false, signedIn: true, role: "admin", features: new Set() };

// mayRun reports whether the user's role permits starting, stopping and redriving executions. The server enforces it.
export const mayRun = () => server.role !== "read";

// onSignedOut is called when the session of this browser has ended.
export const hooks = { onSignedOut() {} };

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", "Cannot reach the server.", 0);
  }
  if (response.ok) return response;
  throw await failure(response);
}

async function failure(response) {
  const body = await response.text();
  let code = "", message = body.trim();
  try {
    const answer = JSON.parse(body);
    code = String(answer.__type ?? "").replace(/^.*#/, "");
    message = answer.message ?? answer.Message ?? "";
  } catch {
    // Not JSON: the body is the message.
  }
  const unknown = response.status === 401 || code === "MissingAuthenticationTokenException";
  if (unknown && server.login) hooks.onSignedOut();
  return new ApiError(code, message, response.status);
}

// call calls an action of the Step Functions API.
export async function call(action, input = {}, signal = undefined) {
  const response = await request("/", {
    method: "POST", signal, body: JSON.stringify(input),
    headers: { "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": `AWSStepFunctions.${action}` },
  });
  return response.json();
}

// url returns a URL below /rayorch/v1/. It omits empty parameters.
export function url(name, params = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(key, value);
  }
  return `/rayorch/v1/${name}?${query}`;
}

// extra requests an endpoint below /rayorch/v1/ and returns its JSON.
export async function extra(name, params, signal = undefined) {
  return (await request(url(name, params), { signal })).json();
}

// open is extra for a response that is not JSON or is a stream.
export function open(name, params, signal) {
  return request(url(name, params), { signal });
}

// layout returns the layout of a definition's graph.
export async function layout(definition, signal) {
  const response = await request("/console/layout", { method: "POST", body: definition, signal });
  return response.json();
}

// begin reads the properties of the server.
export async function begin() {
  Object.assign(server, await (await request("/console/start")).json());
  server.features = new Set();
  if (!server.signedIn) return;
  try {
    const info = await extra("info");
    if (info.name === "rayorch") server.features = new Set(info.features ?? []);
  } catch {
    // AWS or another server, which has only the Step Functions API.
  }
}

export async function signIn(key, secret) {
  await request("/console/login", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key, secret }),
  });
}

// signInByLink exchanges the token of a link for a session. A token can be used once.
export async function signInByLink(token) {
  await request("/console/link", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }),
  });
}

export async function signOut() {
  await request("/console/logout", { method: "POST" });
}

// pages yields the pages of a list action.
export async function* pages(action, input, signal) {
  let nextToken;
  do {
    const page = await call(action, { ...input, nextToken }, signal);
    yield page;
    nextToken = page.nextToken;
  } while (nextToken);
}
