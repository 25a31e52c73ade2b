// Asks for an access key. Its secret goes to the server once, for a cookie that no script can read. why is what went wrong with
// a link.

import { h, put, problem } from "./dom.js";
import { place, signIn } from "./api.js";

const again = "The command rayorch console, run by the server's user, prints a link that signs you in.";

export function loginPage(root, done, why) {
  place.signedIn = false;
  if (!place.keys) {
    put(root, h("div.page.narrow", {}, h("div.panel.login", {},
      h("h1", {}, "Sign in"), h("p.muted", {}, again), why ? problem(why) : null)));
    return { close() {} };
  }
  const key = h("input", { type: "text", name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const secret = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const trouble = h("div"), button = h("button.primary", { type: "submit" }, "Sign in");
  put(root, h("div.page.narrow", {}, h("form.panel.login", { onsubmit: submit },
    h("h1", {}, "Sign in"),
    h("p.muted", {}, "Use an access key of this server, as for SDKs."),
    h("p.muted", {}, again),
    h("label.field", {}, h("span.field-name", {}, "Access key id"), key),
    h("label.field", {}, h("span.field-name", {}, "Secret"), secret),
    trouble, button)));
  if (why) put(trouble, problem(why));
  key.focus();

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    put(trouble);
    try {
      await signIn(key.value.trim(), secret.value);
      secret.value = "";
      place.signedIn = true;
      done();
    } catch (error) {
      secret.value = "";
      put(trouble, problem(error));
      secret.focus();
    } finally {
      button.disabled = false;
    }
  }
  return { close() {} };
}
