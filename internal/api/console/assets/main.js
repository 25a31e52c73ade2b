// The entry point: reads the properties of the server, and shows the page for the fragment of the URL. Fragments, which contain the names of
// executions and filters, are not sent to the server. The fragment of a sign-in link contains a token, which works once and is removed.

import { h, put, icon, problem } from "./dom.js";
import { begin, hooks, server, signInByLink, signOut } from "./api.js";
import { executionsPage } from "./page-executions.js";
import { machinesPage, machinePage } from "./page-machines.js";
import { executionPage } from "./page-execution.js";
import { loginPage } from "./page-login.js";

const main = document.getElementById("main");
const titles = { executions: "Executions", machines: "State machines" };
let current = null, shown = "";

// route parses the fragment: #/executions?status=FAILED, #/machine/ARN, #/execution/ARN?tab=logs.
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, arn] = path.split("/");
  let name;
  try {
    name = arn ? decodeURIComponent(arn) : undefined;
  } catch {
    name = arn;
  }
  return { page: page || "executions", arn: name, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function addressOf({ page, arn, query }) {
  const kept = Object.entries(query ?? {}).filter(([, v]) => v);
  const search = kept.length ? `?${new URLSearchParams(kept)}` : "";
  return `#/${page}${arn ? `/${encodeURIComponent(arn)}` : ""}${search}`;
}

// go shows another page. quietly only changes the URL, because the current page already shows the change.
function go(to, quietly = false) {
  if (quietly) {
    history.replaceState(null, "", addressOf(to));
    shown = location.hash;
  } else {
    location.hash = addressOf(to);
  }
}

const makers = { executions: executionsPage, machines: machinesPage, machine: machinePage, execution: executionPage };

function show() {
  if (location.hash === shown && current) return;
  shown = location.hash;
  const at = route();
  leave();
  document.title = `${at.arn ? at.arn.slice(at.arn.lastIndexOf(":") + 1) : titles[at.page] ?? "rayorch"} · rayorch`;
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.dataset.page === at.page || link.dataset.page === `${at.page}s`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const make = makers[at.page];
  try {
    if (!make || (at.page === "machine" || at.page === "execution") && !at.arn) throw new Error("This page does not exist.");
    current = make(main, at, go);
  } catch (error) {
    put(main, h("div.page", {}, problem(error)));
  }
  scrollTo(0, 0);
}

// leave closes the current page and its dialogs.
function leave() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  current?.close?.();
  current = null;
  put(main);
}

function showSignIn(why) {
  leave();
  document.getElementById("nav").hidden = true;
  document.getElementById("signout").hidden = true;
  current = loginPage(main, start, why);
}

// themes sets the button that switches between the light and the dark theme up. The default is the system's theme; the browser stores the
// user's choice.
function themes() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const draw = () => {
    put(button, icon(dark() ? "sun" : "moon"));
    button.setAttribute("aria-label", dark() ? "Use the light theme" : "Use the dark theme");
  };
  button.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("rayorch-theme", next);
    } catch {
      // Without storage, the choice applies only until the page is closed.
    }
    draw();
  });
  system.addEventListener("change", draw);
  draw();
}

const link = /^#\/login\/([^/]*)\/?(.*)$/;

// useLink signs in if a sign-in link opened this page, and returns the error if that fails. In any case, it removes the token from the URL.
async function useLink() {
  const [, token, page] = location.hash.match(link) ?? [];
  if (token === undefined) return undefined;
  history.replaceState(null, "", `#/${page}`);
  try {
    await signInByLink(token);
  } catch (error) {
    return error;
  }
  return undefined;
}

async function start() {
  const trouble = await useLink();
  try {
    await begin();
  } catch (error) {
    put(main, h("div.page", {}, problem(error), h("button", { type: "button", onclick: start }, "Try again")));
    return;
  }
  document.getElementById("where").textContent = server.where;
  if (!server.signedIn) {
    showSignIn(trouble);
    return;
  }
  document.getElementById("nav").hidden = false;
  document.getElementById("signout").hidden = !server.login;
  shown = "";
  leave();
  show();
}

hooks.onSignedOut = () => showSignIn();
addEventListener("hashchange", () => {
  if (link.test(location.hash)) start();
  else if (server.signedIn) show();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the fragment is used for pages
  main.focus();
});
document.getElementById("signout").addEventListener("click", async () => {
  await signOut().catch(() => {});
  start();
});
themes();
start();
