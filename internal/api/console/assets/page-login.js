// The sign-in form. The secret is sent to the server once, in exchange for a cookie that scripts cannot read.

import { h, put, problem } from "./dom.js";
import { server, signIn } from "./api.js";

const linkHint = "To get a link that signs you in, run rayorch console as the server's user.";

// loginPage shows the form. why is the error of a sign-in link, if there was one.
export function loginPage(root, done, why) {
  server.signedIn = false;
  if (!server.keys) {
    put(root, h("div.page.narrow", {}, h("div.panel.login", {},
      h("h1", {}, "Sign in"), h("p.muted", {}, linkHint), why ? problem(why) : null)));
    return { close() {} };
  }
  const key = h("input", { type: "text", name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const secret = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const trouble = h("div"), button = h("button.primary", { type: "submit" }, "Sign in");
  put(root, h("div.page.narrow", {}, h("form.panel.login", { onsubmit: submit },
    h("h1", {}, "Sign in"),
    h("p.muted", {}, "Use an access key of this server, the same as for SDKs."),
    h("p.muted", {}, linkHint),
    h("label.field", {}, h("span.field-name", {}, "Access key ID"), key),
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
      server.signedIn = true;
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
