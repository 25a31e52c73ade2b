// The Timeline tab: a bar for each state and attempt, on a common time axis.

import { h, put, icon } from "./dom.js";
import { List } from "./list.js";
import { word } from "./view.js";
import { clock, duration, now } from "./format.js";

export class Timeline {
  // onpick is called with the entry of the selected bar.
  constructor({ onpick }) {
    this.rows = [];
    this.axis = h("div.axis", { "aria-hidden": "true" });
    this.everything = h("input", { type: "checkbox", onchange: () => this.update(this.view) });
    this.list = new List({ label: "Timeline", render: (i, row) => this.render(row, this.rows[i]), onpick: (i) => onpick(this.rows[i].entry) });
    this.list.node.classList.add("timeline-rows");
    this.node = h("div.timeline", {}, h("div.tools", {}, h("label.check", {}, this.everything, "Include Pass and Choice states")), h("div.timeline-head", {}, h("span"), this.axis), this.list.node);
  }

  close() { this.list.close(); }

  update(view) {
    this.view = view;
    if (!view) return;
    this.from = view.started || now();
    this.to = Math.max(view.stopped || now(), this.from + 0.001);
    this.rows = rowsOf(view, this.everything.checked);
    this.list.show(this.rows.length);
    put(this.axis, ticks(this.to - this.from).map((t) => h("span.tick", { style: { left: `${(100 * t) / (this.to - this.from)}%` } }, duration(t))));
  }

  render(row, { entry, attempt, first }) {
    const begin = attempt ? (first ? entry.entered : attempt.scheduled) : entry.entered;
    const until = (attempt ? attempt.ended : 0) || entry.ended || this.to;
    const end = attempt && attempt === entry.attempts.at(-1) && entry.ended ? entry.ended : until;
    const status = attempt && attempt !== entry.attempts.at(-1) ? attempt.status : entry.status;
    const shown = status === entry.status ? word(entry) : status;
    const span = this.to - this.from, percent = (t) => `${(100 * Math.max(0, t)) / span}%`;
    const label = entry.name + (entry.attempts.length > 1 ? ` · attempt ${attempt.n}` : "");
    const took = entry.kind === "Skipped" ? "skipped" : duration(end - begin);
    const bar = h(`span.bar-fill.${status}`, { style: { left: percent(begin - this.from), width: percent(end - begin) } });
    // The duration is to the right of the bar, or to the left of a bar that ends late.
    const late = (end - this.from) / span > 0.8;
    const words = h(`span.bar-words${late ? ".before" : ""}`, { style: late ? { right: `calc(100% - ${percent(begin - this.from)})` } : { left: percent(end - this.from) } }, took);
    put(row, h("span.bar-name", { title: label, style: { paddingLeft: `${Math.min(entry.depth, 6) * 14}px` } }, icon(status), h("span.bar-label", {}, label)),
      h("span.bar-track", { title: `${label}: ${shown}, ${took}, started ${clock(begin)}` }, bar, words, h("span.unseen", {}, `${shown}, started ${clock(begin)}`)));
  }
}

function rowsOf(view, everything) {
  const rows = [];
  for (const entry of view.entries) {
    if (!everything && entry.within !== null) continue; // the bar of its step represents it
    if (!everything && !["Task", "Wait", "Map", "Parallel", "Skipped"].includes(entry.kind) && entry.status !== "failed") continue;
    if (entry.attempts.length < 2) rows.push({ entry, attempt: entry.attempts[0], first: true });
    else rows.push(...entry.attempts.map((attempt, i) => ({ entry, attempt, first: i === 0 })));
  }
  return rows;
}

// ticks returns about five round times.
function ticks(span) {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  let step = steps.find((s) => span / s <= 5.5) ?? 86400;
  while (span / step > 8) step *= 2;
  const out = [];
  for (let t = 0; t <= span * 0.97; t += step) out.push(t);
  return out;
}
