// Dialogs for actions. Each asks for confirmation or input, and shows the error if the API rejects the action.

import { h, put, problem, announce } from "./dom.js";
import { call } from "./api.js";
import { nameOf } from "./format.js";

// ask shows a form in a dialog, and calls act when it is submitted. If act fails, the dialog shows the error and stays open. The promise
// resolves to the result of act, or to undefined if the user cancels.
export function ask({ title, body, label, danger = false, act, wide = false }) {
  return new Promise((resolve) => {
    const back = document.activeElement;
    const trouble = h("div"), go = h(`button${danger ? ".danger" : ".primary"}`, { type: "submit" }, label);
    let result;
    const dialog = h(`dialog${wide ? ".wide" : ""}`, { "aria-labelledby": "dialog-title", onclose: () => {
      dialog.remove();
      back?.focus?.();
      resolve(result);
    } }, h("form", { novalidate: true, onsubmit: submit },
      h("h2", { id: "dialog-title" }, title), h("div.dialog-body", {}, body), trouble,
      h("div.dialog-end", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go)));

    async function submit(event) {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      put(trouble);
      try {
        result = await act(dialog);
        dialog.close();
      } catch (error) {
        put(trouble, problem(error));
      } finally {
        go.disabled = false;
      }
    }
    document.body.append(dialog);
    dialog.showModal();
  });
}

const field = (label, input, note) => h("label.field", {}, h("span.field-name", {}, label), input, note ? h("small", {}, note) : null);

export function askStop(arn, name) {
  const cause = h("input", { type: "text", name: "cause", maxlength: "1000", autocomplete: "off" });
  return ask({
    title: `Stop ${name}?`, label: "Stop the execution", danger: true,
    body: [h("p", {}, "This also stops its jobs. The execution gets the status Aborted, and can be redriven later."),
      field("Cause (optional)", cause)],
    act: async () => {
      await call("StopExecution", { executionArn: arn, cause: cause.value || undefined });
      announce(`Stopping ${name}`);
      return true;
    },
  });
}

export function askRedrive(arn, name) {
  return ask({
    title: `Redrive ${name}?`, label: "Redrive",
    body: [h("p", {}, "The execution continues from the states that did not succeed, with the same definition and input. States that succeeded do not run again.")],
    act: async () => {
      await call("RedriveExecution", { executionArn: arn });
      announce(`${name} was redriven`);
      return true;
    },
  });
}

// schemaOf returns the JSON Schema of a pipeline's parameters, which the compiler writes into the Comment of the definition; null if there is
// none.
export function schemaOf(definition) {
  try {
    const comment = JSON.parse(JSON.parse(definition).Comment);
    return comment?.params?.properties ? { ...comment.params, description: comment.description } : null;
  } catch {
    return null; // the Comment of another tool can be any text
  }
}

// askStart asks for the input of an execution: with a form if the definition has a schema, or as JSON.
export function askStart({ arn, definition, input }) {
  const schema = schemaOf(definition);
  const form = schema ? paramsForm(schema, input) : null;
  const json = h("textarea.mono", { rows: "10", spellcheck: "false", "aria-label": "Input, JSON", value: pretty(input) });
  const name = h("input", { type: "text", maxlength: "80", autocomplete: "off", placeholder: "default: from the current time" });
  const shown = h("div");
  let asJSON = !form;
  const choose = (next) => {
    if (next && form && !asJSON) json.value = JSON.stringify(form.read(), null, 2);
    if (!next && form && asJSON) form.write(json.value);
    asJSON = next;
    put(shown, asJSON ? json : form.node);
    for (const tab of tabs) tab.setAttribute("aria-pressed", String((tab.textContent === "JSON") === asJSON));
  };
  const tabs = ["Form", "JSON"].map((word) => h("button", { type: "button", onclick: () => choose(word === "JSON") }, word));
  if (form && input && !form.write(pretty(input))) asJSON = true;
  choose(asJSON);
  return ask({
    title: `Start ${nameOf(arn)}`, label: "Start", wide: true,
    body: [schema?.description ? h("p", {}, schema.description) : null,
      form ? h("div.switch", { role: "group", "aria-label": "Input as" }, tabs) : null, shown,
      field("Name of the execution (optional)", name)],
    act: () => start(arn, name.value.trim(), asJSON ? json.value : JSON.stringify(form.read())),
  });
}

async function start(arn, name, input) {
  const fromTime = new Date().toISOString().replace(/[-:]/g, "").replace("T", "-").replace(/\.(\d+)Z/, "-$1");
  const started = await call("StartExecution", { stateMachineArn: arn, name: name || fromTime, input: input.trim() || "{}" });
  announce("Execution started");
  return started.executionArn;
}

function pretty(input) {
  try {
    return JSON.stringify(JSON.parse(input || "{}"), null, 2);
  } catch {
    return input;
  }
}

// paramsForm creates the fields for a pipeline's parameters. Fields for lists and objects contain JSON.
function paramsForm(schema, input) {
  let given = {};
  try {
    given = JSON.parse(input || "{}") ?? {};
  } catch {
    // Not JSON: use the defaults.
  }
  const fields = Object.entries(schema.properties).map(([name, p]) => ({ name, p, input: control(p, given[name] ?? p.default) }));
  const required = new Set(schema.required ?? []);
  const node = h("div.params", {}, fields.length ? fields.map(({ name, p, input }) =>
    field(name + (required.has(name) ? " (required)" : ""), input, p.description)) : h("p.muted", {}, "This pipeline has no parameters."));
  return {
    node,
    read() {
      const out = {};
      for (const { name, p, input } of fields) {
        const value = valueIn(p, input);
        if (value !== undefined) out[name] = value;
      }
      return out;
    },
    // write sets the fields. It returns false if the JSON contains something for which there is no field.
    write(text) {
      let values;
      try {
        values = JSON.parse(text);
      } catch {
        return false;
      }
      for (const { name, p, input } of fields) {
        if (p.type === "boolean") input.checked = values?.[name] === true;
        else if (values?.[name] !== undefined) input.value = p.enum ? JSON.stringify(values[name]) : shown(p, values[name]);
      }
      return Object.keys(values ?? {}).every((key) => key in schema.properties);
    },
  };
}

function control(p, value) {
  if (p.enum) {
    return h("select", { value: undefined }, p.enum.map((v) =>
      h("option", { value: JSON.stringify(v), selected: v === value }, String(v))));
  }
  if (p.type === "boolean") return h("input", { type: "checkbox", checked: value === true });
  const number = p.type === "integer" || p.type === "number";
  return h("input", {
    type: number ? "number" : "text", step: p.type === "integer" ? "1" : "any", min: p.minimum, max: p.maximum,
    minlength: p.minLength, maxlength: p.maxLength, value: shown(p, value ?? ""), autocomplete: "off",
  });
}

function shown(p, value) {
  return (p.type === "array" || p.type === "object") && value !== "" ? JSON.stringify(value) : value;
}

// valueIn returns the value of a field; undefined for an empty field, so that the pipeline's default applies. Invalid numbers and invalid
// JSON are returned as strings: the definition validates its input and reports the error.
function valueIn(p, input) {
  if (p.enum) return JSON.parse(input.value);
  if (p.type === "boolean") return input.checked;
  if (p.type === "string") return input.value === "" && p.default === undefined ? undefined : input.value;
  if (input.value === "") return undefined;
  if (p.type === "array" || p.type === "object") return parsed(input.value);
  const n = Number(input.value);
  return Number.isFinite(n) ? n : input.value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
