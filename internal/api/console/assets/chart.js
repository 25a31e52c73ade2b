// Charts of the metrics in a log: lines such as "metric loss=1.73 step=600". There is one chart for each name.

import { h, s, put } from "./dom.js";
import { count } from "./format.js";

const keepPoints = 2000; // of one metric; if there are more, every second point is dropped
const keepNames = 60;

const pair = /([A-Za-z_][\w./-]*)=(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf|-inf)(?=\s|$)/gi;

// parseMetric parses a line. It returns null if the line is not a metric.
export function parseMetric(line) {
  if (!line.startsWith("metric ")) return null;
  const values = {};
  let step = null;
  for (const [, name, text] of line.matchAll(pair)) {
    const n = Number(text);
    if (name === "step") step = n;
    else if (Number.isFinite(n)) values[name] = n;
  }
  return Object.keys(values).length ? { step, values } : null;
}

export class Metrics {
  constructor() {
    this.node = h("div.charts");
    this.empty = h("p.muted.pad", {}, "No metrics yet. To add one, print a line from the job, such as ", h("code", {}, "metric loss=1.73 step=600"), ".");
    this.clear();
  }

  clear() {
    this.series = new Map();
    put(this.node, this.empty);
  }

  line(text) {
    const found = parseMetric(text);
    if (!found) return;
    for (const [name, value] of Object.entries(found.values)) {
      if (!this.series.has(name) && this.series.size < keepNames) this.begin(name);
      const one = this.series.get(name);
      if (!one) continue;
      one.seen++;
      const x = found.step ?? one.seen;
      // A retried job starts again at an earlier step: its points replace those of the previous attempt.
      while (one.points.length && one.points.at(-1)[0] >= x) one.points.pop();
      one.points.push([x, value]);
      if (one.points.length > keepPoints) one.points = one.points.filter((_, i) => i % 2 === 0 || i === one.points.length - 1);
      one.stale = true;
    }
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  begin(name) {
    const one = { points: [], seen: 0, value: h("span.chart-value"), plot: h("div.plot"), stale: true };
    one.node = h("figure.chart", {}, h("figcaption", {}, h("span.chart-name", {}, name), one.value), one.plot);
    this.series.set(name, one);
    if (this.series.size === 1) put(this.node);
    this.node.append(one.node);
  }

  draw() {
    for (const [name, one] of this.series) {
      if (!one.stale) continue;
      one.stale = false;
      one.value.textContent = short(one.points.at(-1)[1]);
      put(one.plot, plot(name, one.points));
    }
  }
}

export function short(n) {
  if (n === 0) return "0";
  const size = Math.abs(n);
  if (size >= 1e6 || size < 1e-3) return n.toExponential(2);
  if (size >= 1000) return count(Math.round(n));
  return String(Number(n.toPrecision(4)));
}

const width = 420, height = 190, left = 52, bottom = 24, top = 8, right = 10;

// plot draws points as a line with axes. Its label summarizes the line for screen readers.
function plot(name, points) {
  let [x0, x1, y0, y1] = [points[0][0], points.at(-1)[0], Infinity, -Infinity];
  for (const [, y] of points) [y0, y1] = [Math.min(y0, y), Math.max(y1, y)];
  if (x1 === x0) x1 = x0 + 1;
  const pad = (y1 - y0) * 0.06 || Math.abs(y0) * 0.1 || 1;
  [y0, y1] = [y0 - pad, y1 + pad];
  const px = (x) => left + ((x - x0) / (x1 - x0)) * (width - left - right);
  const py = (y) => height - bottom - ((y - y0) / (y1 - y0)) * (height - top - bottom);
  const ys = round(y0, y1, 4), xs = round(x0, x1, 5);
  const line = points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  const words = `${name}: ${count(points.length)} points, from ${short(points[0][1])} at step ${points[0][0]} to ${short(points.at(-1)[1])} at step ${points.at(-1)[0]}`;
  const dot = s("circle.chart-dot", { r: 3.5, cx: px(points.at(-1)[0]), cy: py(points.at(-1)[1]) });
  const tip = s("text.chart-tip", { x: width - right, y: top + 10, "text-anchor": "end" });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
    ys.map((y) => [s("line.grid", { x1: left, x2: width - right, y1: py(y), y2: py(y) }), s("text.tick-text", { x: left - 6, y: py(y) + 3.5, "text-anchor": "end" }, short(y))]),
    xs.map((x) => s("text.tick-text", { x: px(x), y: height - 7, "text-anchor": "middle" }, short(x))),
    s("path.chart-line", { d: line }), dot, tip);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = x0 + (((event.clientX - box.left) / box.width) * width - left) / (width - left - right) * (x1 - x0);
    const near = points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    dot.setAttribute("cx", px(near[0]));
    dot.setAttribute("cy", py(near[1]));
    tip.textContent = `${short(near[1])} at ${count(near[0])}`;
  });
  return svg;
}

// round returns about n round numbers in a range.
function round(from, to, n) {
  const raw = (to - from) / n, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((m) => m >= raw);
  const out = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) out.push(i * step);
  return out;
}
