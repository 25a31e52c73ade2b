// Functions that create elements. All strings become text nodes, and no function parses markup, so that the output of jobs and the contents of
// definitions cannot become part of the page.

const svgSpace = "http://www.w3.org/2000/svg";

// h creates an element: h("a.button", {href, onclick}, "text", child...). Properties that are null or false are omitted.
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, props, children);
}

// s is h for SVG.
export function s(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS(svgSpace, name), classes, props, children);
}

function fill(node, classes, props, children) {
  if (classes.length) node.classList.add(...classes);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(node.style, value);
    else if (key === "value") node.value = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// put replaces the children of a node.
export function put(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// text sets the text of a node only if it differs, because screen readers announce each change.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// announce makes screen readers announce a message.
export function announce(words) {
  text(document.getElementById("announce"), words);
}

const shapes = {
  running: ["circle", { cx: 8, cy: 8, r: 5.5, "stroke-dasharray": "24 12" }],
  retrying: ["path", { d: "M13 8a5 5 0 1 1-1.6-3.7M13 2.2v3h-3" }],
  succeeded: ["path", { d: "m3.2 8.6 3.2 3.2 6.4-7.4" }],
  failed: ["path", { d: "m4 4 8 8M12 4l-8 8" }],
  caught: ["path", { d: "M8 1.8 13 4v4c0 3-2 5.2-5 6.4C5 13.2 3 11 3 8V4zM8 5v3.4M8 10.8v.2" }],
  cancelled: ["path", { d: "M3.2 8h9.6" }],
  skipped: ["path", { d: "M3 4.5 6.5 8 3 11.5M9.5 4.5 13 8 9.5 11.5" }],
  pending: ["path", { d: "M8 3.5V8l3 2M8 1.8a6.2 6.2 0 1 0 .01 0" }],
  sun: ["path", { d: "M8 5a3 3 0 1 0 .01 0M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1" }],
  moon: ["path", { d: "M13.4 9.6A5.8 5.8 0 0 1 6.4 2.6 5.8 5.8 0 1 0 13.4 9.6z" }],
  copy: ["path", { d: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z" }],
  out: ["path", { d: "M9 3h4v4M13 3 7.5 8.5M11 9.5V13H3V5h3.5" }],
};

// icon returns an icon. It is hidden from screen readers, because a word next to it has the same meaning.
export function icon(name) {
  const [tag, props] = shapes[name] ?? shapes.pending;
  return s(`svg.icon.icon-${name}`, { viewBox: "0 0 16 16", "aria-hidden": "true" }, s(tag, props));
}

// copyButton returns a button that copies the result of make.
export function copyButton(what, make) {
  const label = h("span", {}, "Copy");
  return h("button.quiet.copy", {
    type: "button", "aria-label": `Copy ${what}`,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(await make());
        label.textContent = "Copied";
        announce(`${what} copied`);
      } catch {
        label.textContent = "Copy failed";
      }
      setTimeout(() => { label.textContent = "Copy"; }, 1500);
    },
  }, icon("copy"), label);
}

// problem returns an element that shows an error.
export function problem(error) {
  const code = error.code ? h("strong", {}, error.code) : null;
  return h("div.problem", { role: "alert" }, icon("failed"), h("div", {}, code, h("p", {}, error.message || String(error))));
}
