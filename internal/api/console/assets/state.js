// The panel of the selected state: its status, attempts, job, error, input and output.

import { h, put, icon, problem, text } from "./dom.js";
import { detailsOf, findEvent } from "./live.js";
import { word } from "./view.js";
import { jsonView } from "./json.js";
import { clock, duration, now } from "./format.js";

const longestChoice = 300; // entries of a state in the list; the timeline has all of them

export class StatePanel {
  // onpick is called with the selected entry and attempt, onlog to show its log.
  constructor(arn, { onpick, onlog }) {
    Object.assign(this, { arn, onpick, onlog });
    this.node = h("div.state", {}, h("p.muted.pad", {}, "No state has been entered yet."));
  }

  // show redraws the panel only if the entry has changed, so that expanded parts stay expanded.
  show(entry, view, attempt) {
    if (!entry) return;
    const others = view.states.get(entry.state).entries;
    const signature = [entry.n, word(entry), entry.attempt, entry.attempts.map((a) => a.status + a.started).join(), Boolean(entry.job), entry.ended, others.length, attempt, entry.waiting?.reason, entry.items && Object.values(entry.items).join()].join("|");
    if (signature !== this.signature) {
      this.signature = signature;
      this.draw(entry, others, attempt);
    }
    for (const [node, from, until] of this.clocks) text(node, duration((until() || now()) - from));
  }

  missing(name) {
    this.signature = "";
    put(this.node, h("div.panel-head", {}, h("h2", {}, name)), h("p.muted.pad", {}, "Not reached in this run."));
  }

  draw(entry, others, attempt) {
    this.clocks = [];
    put(this.node, h("div.panel-head", {}, h("h2", {}, entry.name), h(`span.status.${entry.status}`, {}, icon(entry.status), h("span", {}, word(entry)))),
      h("div.state-body", {}, this.choice(entry, others), this.facts(entry), this.attempts(entry, attempt), this.failure(entry),
        this.part("Output", entry.output, entry.outputEvent), this.part("Input", entry.input, entry.kind === "Skipped" ? 0 : entry.event)));
  }

  choice(entry, others) {
    if (others.length < 2) return null;
    const near = others.slice(-longestChoice);
    if (!near.includes(entry)) near.unshift(entry);
    const select = h("select", { "aria-label": "Entry of the state", onchange: () => this.onpick(near[Number(select.value)], 0) },
      near.map((e, i) => h("option", { value: String(i), selected: e === entry }, `${e.name}, ${clock(e.entered)}, ${word(e)}`)));
    return h("label.field", {}, h("span.field-name", {}, `Entered ${others.length} times`), select);
  }

  facts(entry) {
    if (entry.kind === "Skipped") return entry.skipReason ? h("dl.facts.tight", {}, h("div", {}, h("dt", {}, "Condition"), h("dd.mono", {}, entry.skipReason))) : null;
    const took = h("dd"), link = entry.job?.dashboard, waits = entry.waiting;
    const facts = [h("div", {}, h("dt", {}, entry.ended ? "Duration" : entry.status === "pending" ? "Pending for" : "Running for"), took)];
    this.clocks.push([took, waits?.since ?? entry.entered, () => entry.ended]);
    if (waits) facts.push(h("div", {}, h("dt", {}, "Reason"), h("dd", {}, waits.reason)));
    if (entry.items) facts.push(h("div", {}, h("dt", {}, "Items"), h("dd", {}, `${entry.items.succeeded} of ${entry.items.total} done${entry.items.failed ? `, ${entry.items.failed} failed` : ""}`)));
    if (entry.mapRun) facts.push(h("div", {}, h("dt", {}, "Map run"), h("dd.mono", {}, entry.mapRun)));
    if (entry.job?.submissionId) facts.push(h("div", {}, h("dt", {}, "Ray job"), h("dd.mono", {}, entry.job.submissionId)));
    else if (entry.job?.id) facts.push(h("div", {}, h("dt", {}, "Job"), h("dd.mono", {}, entry.job.id)));
    const buttons = [
      entry.attempt ? h("button", { type: "button", onclick: () => this.onlog() }, "Show log") : null,
      link ? h("a.button", { href: link, target: "_blank", rel: "noopener noreferrer" }, icon("out"), "Ray dashboard") : null,
    ].filter(Boolean);
    return [h("dl.facts.tight", {}, facts), buttons.length ? h("div.actions.left", {}, buttons) : null];
  }

  attempts(entry, attempt) {
    if (entry.attempts.length < 2) return null;
    return h("table.plain.small", {}, h("caption.unseen", {}, "Attempts"), h("thead", {}, h("tr", {}, ["Attempt", "Status", "Started", "Duration", "Error"].map((w) => h("th", { scope: "col" }, w)))),
      h("tbody", {}, entry.attempts.map((a) => {
        const took = h("td.number");
        this.clocks.push([took, a.scheduled, () => a.ended || entry.ended]);
        return h("tr", { class: a.n === attempt ? "chosen" : null }, h("td", {}, h("button.link", { type: "button", "aria-label": `Log of attempt ${a.n}`, onclick: () => { this.onpick(entry, a.n); this.onlog(); } }, String(a.n))),
          h("td", {}, h(`span.status.${a.status}`, {}, icon(a.status), h("span", {}, a.status))), h("td", {}, clock(a.scheduled)), took, h("td.mono", {}, a.error));
      })));
  }

  failure(entry) {
    if (!entry.error || entry.status === "running" || entry.status === "pending") return null; // the attempts show the errors of earlier attempts
    return h("div.problem", {}, icon(entry.status === "caught" ? "caught" : "failed"), h("div", {}, h("strong", {}, entry.error), entry.cause ? h("pre.cause", {}, entry.cause) : null));
  }

  // part shows the input or the output. The server omits long ones, so that they are fetched with their event if the user wants to see them.
  part(name, value, event) {
    const tree = (text) => jsonView(`${name.toLowerCase()} of the state`, text, 2);
    if (value !== undefined) return h("section", {}, h("h3", {}, name), tree(value));
    if (!event) return null;
    const body = h("div", {}, h("button", { type: "button", onclick: async () => {
      try {
        put(body, tree(detailsOf(await findEvent(this.arn, event))?.[name.toLowerCase()] ?? ""));
      } catch (error) {
        put(body, problem(error));
      }
    } }, `Show ${name.toLowerCase()}`));
    return h("section", {}, h("h3", {}, name), body);
  }
}
