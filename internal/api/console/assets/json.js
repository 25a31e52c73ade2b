// Views of JSON: a collapsible tree, and a definition as colored lines. The page contains only elements that are visible or were expanded.

import { h, put, copyButton } from "./dom.js";
import { List } from "./list.js";

// Exact is a number that JavaScript cannot represent, as its text.
class Exact {
  constructor(text) { this.text = text; }
}

// parse parses JSON. Numbers that JavaScript cannot represent become Exact if the browser supports context.source.
export function parse(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source && !Number.isSafeInteger(value)
      ? new Exact(context.source) : value);
}

// jsonView shows JSON as a tree with a Copy button. open is the number of expanded levels. A text that is not JSON is shown unchanged.
export function jsonView(what, text, open = 2) {
  if (text === undefined || text === null || text === "") return h("p.muted", {}, "–");
  let value;
  try {
    value = parse(text);
  } catch {
    return h("div.json", {}, copyButton(what, () => text), h("pre.mono", {}, clip(text)));
  }
  return h("div.json", {}, copyButton(what, () => JSON.stringify(JSON.parse(text), null, 2)), h("div.tree.mono", { role: "group", "aria-label": what }, branch(null, value, open)));
}

const longestText = 20_000, chunk = 100;

function clip(text) {
  return text.length > longestText ? `${text.slice(0, longestText)}… (${text.length} characters; Copy copies all of them)` : text;
}

// branch returns the element for a member of a tree. The elements inside an object or array are created when it is expanded.
function branch(key, value, open) {
  const name = key === null ? null : [h("span.j-key", {}, typeof key === "number" ? String(key) : JSON.stringify(key)), ": "];
  if (value === null || typeof value !== "object" || value instanceof Exact) return h("div.leaf", {}, name, leaf(value));
  const array = Array.isArray(value);
  const entries = array ? value.map((v, i) => [i, v]) : Object.entries(value);
  if (!entries.length) return h("div.leaf", {}, name, array ? "[]" : "{}");
  const hint = `${array ? "[" : "{"} ${entries.length} ${array ? "item" : "member"}${entries.length === 1 ? "" : "s"} ${array ? "]" : "}"}`;
  const inside = h("div.inside"), node = h("details", { open: open > 0, ontoggle: fill }, h("summary", {}, name, h("span.hint", {}, hint)), inside);
  let filled = 0;
  function more() {
    const next = entries.slice(filled, filled + chunk).map(([k, v]) => branch(k, v, open - 1));
    filled += next.length;
    inside.querySelector(":scope > .more")?.remove();
    inside.append(...next);
    if (filled < entries.length) inside.append(h("button.quiet.more", { type: "button", onclick: more }, `${entries.length - filled} more`));
  }
  function fill() {
    if (node.open && !filled) more();
  }
  if (open > 0) fill();
  return node;
}

function leaf(value) {
  if (value instanceof Exact) return h("span.j-number", {}, value.text);
  if (typeof value === "string") return h("span.j-string", {}, clip(JSON.stringify(value)));
  return h(`span.j-${value === null ? "null" : typeof value}`, {}, String(value));
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|\b(true|false|null)\b/g;

// highlight splits a line of JSON into colored pieces. Strings between {% and %} are expressions.
export function highlight(line) {
  const out = [];
  let at = 0;
  for (const found of line.matchAll(token)) {
    if (found.index > at) out.push(line.slice(at, found.index));
    const [all, text, colon, number] = found;
    let kind = number ? "number" : "literal";
    if (text) kind = colon ? "key" : text.startsWith('"{%') ? "expr" : "string";
    if (text && colon) out.push(h("span.j-key", {}, text), colon);
    else out.push(h(`span.j-${kind}`, {}, all));
    at = found.index + all.length;
  }
  out.push(line.slice(at));
  return out;
}

// Definition shows a definition with line numbers and syntax highlighting.
export class Definition {
  constructor(text) {
    try {
      this.lines = JSON.stringify(JSON.parse(text), null, 2).split("\n");
    } catch {
      this.lines = text.split("\n");
    }
    this.list = new List({ label: "Definition", render: (i, row) => put(row, h("span.line-number", { "aria-hidden": "true" }, String(i + 1)), h("code", {}, highlight(this.lines[i]))) });
    this.list.node.classList.add("code");
    this.node = this.list.node;
    this.list.show(this.lines.length);
  }

  // reveal scrolls to the definition of a state.
  reveal(state) {
    const line = this.lines.findIndex((l) => l.trim() === `${JSON.stringify(state)}: {`);
    if (line < 0) return;
    this.list.node.scrollTop = Math.max(0, (line - 2) * this.list.rowHeight);
    this.list.activate(line, false);
  }

  close() { this.list.close(); }
}
