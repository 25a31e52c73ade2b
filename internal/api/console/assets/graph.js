// The graph of a definition. The server computes the layout; the statuses of an execution determine the colors. The graph can be scrolled and
// zoomed, and arrow keys select the nearest state in a direction.

import { h, s, put, icon } from "./dom.js";
import { duration } from "./format.js";

export class Graph {
  // onpick is called with the name of the selected state.
  constructor({ onpick }) {
    this.onpick = onpick;
    this.boxes = new Map();
    this.zoom = 1;
    this.canvas = h("div.graph-canvas", { tabindex: "0", role: "group", "aria-label": "Graph of the states. Use the arrow keys to select a state." });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.node = h("div.graph", {}, this.canvas, h("div.zoom", { role: "group", "aria-label": "Zoom" },
      h("button", { type: "button", "aria-label": "Zoom out", onclick: () => this.scale(this.zoom / 1.25) }, "−"),
      h("button", { type: "button", "aria-label": "Fit the whole graph", onclick: () => this.whole() }, "Fit"),
      h("button", { type: "button", "aria-label": "Zoom in", onclick: () => this.scale(this.zoom * 1.25) }, "+")));
    this.resized = new ResizeObserver(() => { if (this.placed && !this.chosenZoom) this.fit(); });
    this.resized.observe(this.canvas);
  }

  close() { this.resized.disconnect(); }

  draw(placed) {
    this.placed = placed;
    this.boxes.clear();
    const arrow = s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, s("path.arrow", { d: "M0 0 8 4 0 8z" }));
    const edges = placed.ways.map((e) => s(`path.edge${e.dashed ? ".dashed" : ""}`, { d: e.path, [e.back ? "marker-start" : "marker-end"]: "url(#arrow)" }));
    this.svg = s("svg", { viewBox: `0 0 ${placed.width} ${placed.height}` }, s("defs", {}, arrow),
      placed.boxes.filter((b) => b.group).map((b) => this.box(b)), edges, placed.boxes.filter((b) => !b.group).map((b) => this.box(b)));
    put(this.canvas, this.svg);
    this.fit();
    this.update(this.view);
    this.select(this.selected);
  }

  // box draws a state: its name, its type, and an icon for its status.
  box(b) {
    const name = s("text.box-name", { x: b.x + 30, y: b.y + 19 }, b.name);
    const detail = s("text.box-detail", { x: b.x + 30, y: b.y + 35 }, b.detail ? `${b.kind}: ${b.detail}` : b.kind);
    const mark = s("svg", { x: b.x + 9, y: b.y + 7, width: 16, height: 16, viewBox: "0 0 16 16" });
    const node = s(`g.box.kind-${b.kind}${b.group ? ".group" : ""}`, { role: "button", "aria-label": `${b.name} ${detail.textContent}`, "data-state": b.name, tabindex: "-1", onclick: () => this.onpick(b.name) },
      s("rect", { x: b.x, y: b.y, width: b.width, height: b.height, rx: 9 }), mark, name, " ", detail);
    this.boxes.set(b.name, { b, node, name, detail, mark, status: "" });
    return node;
  }

  // update sets the statuses of the states from a view.
  update(view) {
    this.view = view;
    if (!view || !this.placed) return;
    for (const [name, box] of this.boxes) {
      const status = view.stateStatus(name), state = view.states.get(name);
      if (status !== box.status) {
        box.node.classList.remove(box.status || "none");
        if (status) box.node.classList.add(status);
        box.node.dataset.status = status;
        put(box.mark, status ? icon(status).firstChild : null);
        box.status = status;
      }
      if (!state) continue;
      const words = note(state, status);
      const label = `${name} ${words}: ${status}`;
      if (label !== box.label) {
        box.label = label;
        box.detail.textContent = words;
        box.node.setAttribute("aria-label", label);
      }
    }
  }

  select(name, reveal = true) {
    this.boxes.get(this.selected)?.node.classList.remove("selected");
    this.selected = name;
    const box = this.boxes.get(name);
    box?.node.classList.add("selected");
    if (box && reveal) this.reveal(box.b);
  }

  reveal(b) {
    const c = this.canvas, z = this.zoom;
    const see = (at, size, from, room) => (at < from ? at : at + size > from + room ? at + size - room : from);
    c.scrollTop = see(b.y * z - 10, Math.min(b.height, 60) * z + 20, c.scrollTop, c.clientHeight);
    c.scrollLeft = see(b.x * z - 10, Math.min(b.width, 200) * z + 20, c.scrollLeft, c.clientWidth);
  }

  get across() { return (this.canvas.clientWidth - 4) / this.placed.width; }
  get down() { return (this.canvas.clientHeight - 4) / this.placed.height; }

  // fit chooses a zoom at which the text is readable: a long graph is then only partly visible. whole shows the whole graph.
  fit() {
    this.chosenZoom = false;
    if (this.placed && this.canvas.clientWidth) this.apply(Math.max(0.5, Math.min(1.1, this.across, Math.max(0.85, this.down))));
  }

  whole() {
    this.chosenZoom = true;
    if (this.placed) this.apply(Math.min(1.1, this.across, this.down));
  }

  scale(zoom) {
    this.chosenZoom = true;
    this.apply(Math.max(0.2, Math.min(3, zoom)));
  }

  apply(zoom) {
    this.zoom = zoom;
    if (!this.svg) return;
    this.svg.setAttribute("width", this.placed.width * zoom);
    this.svg.setAttribute("height", this.placed.height * zoom);
  }

  // key selects the nearest state in the direction of an arrow key.
  key(event) {
    const direction = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
    if (!direction || !this.placed || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const from = this.boxes.get(this.selected)?.b;
    if (!from) {
      if (this.placed.boxes.length) this.onpick(this.placed.boxes[0].name);
      return;
    }
    let best = null, least = Infinity;
    for (const b of this.placed.boxes) {
      const dx = b.x + b.width / 2 - from.x - from.width / 2, dy = b.y + Math.min(b.height, 46) / 2 - from.y - Math.min(from.height, 46) / 2;
      const along = dx * direction[0] + dy * direction[1], aside = Math.abs(dx * direction[1] + dy * direction[0]);
      if (b === from || along <= 1) continue;
      if (along + 2 * aside < least) [best, least] = [b, along + 2 * aside];
    }
    if (best) this.onpick(best.name);
  }
}

// note returns the second line of a state: the items of a Map, the attempts, and the duration.
function note(state, status) {
  const { last, entries } = state, words = [];
  if (last.items) words.push(`${last.items.succeeded} of ${last.items.total} done${last.items.failed ? `, ${last.items.failed} failed` : ""}`);
  else if (entries.length > 1) words.push(`${entries.length} times`);
  if (last.tolerated) words.push("tolerated");
  if (last.attempt > 1 && entries.length === 1) words.push(`attempt ${last.attempt}`);
  if (["Choice", "Pass", "Skipped"].includes(last.kind)) return words.join(" · ") || last.kind;
  const until = last.ended || (["pending", "running", "retrying"].includes(status) ? Date.now() / 1000 : 0);
  if (until && entries.length === 1) words.push(duration(until - last.entered));
  return words.join(" · ") || last.kind;
}
