// Asks for an access key. Its secret goes to the server once, for a cookie that no script can read.

import { h, put, problem } from "./dom.js";
import { place, signIn } from "./api.js";

export function loginPage(root, done) {
  place.signedIn = false;
  const key = h("input", { type: "text", name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const secret = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const trouble = h("div"), button = h("button.primary", { type: "submit" }, "Sign in");
  put(root, h("div.page.narrow", {}, h("form.panel.login", { onsubmit: submit },
    h("h1", {}, "Sign in"),
    h("p.muted", {}, "This server wants an access key, the same that SDKs sign with."),
    h("label.field", {}, h("span.field-name", {}, "Access key id"), key),
    h("label.field", {}, h("span.field-name", {}, "Secret"), secret),
    trouble, button)));
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
