// The page of an execution, which updates itself: the graph of the states, the selected state, and tabs with timeline, events, logs, metrics,
// input and output, and the definition.

import { h, put, icon, text, problem, announce, copyButton } from "./dom.js";
import { call, layout, mayRun } from "./api.js";
import { View, followView } from "./view.js";
import { Graph } from "./graph.js";
import { Timeline } from "./timeline.js";
import { Events } from "./events.js";
import { Logs } from "./logs.js";
import { Definition, jsonView } from "./json.js";
import { StatePanel } from "./state.js";
import { askRedrive, askStop } from "./dialogs.js";
import { startMachine } from "./page-machines.js";
import { count, duration, exact, machineOf, moment, nameOf, now, statusNames, statusWords } from "./format.js";

const tabs = { timeline: "Timeline", events: "Events", logs: "Logs", metrics: "Metrics", data: "Input and output", definition: "Definition" };

export function executionPage(root, route, go) {
  const page = new ExecutionPage(root, route, go);
  page.load();
  return page;
}

class ExecutionPage {
  constructor(root, route, go) {
    Object.assign(this, { arn: route.arn, go, query: { ...route.query }, view: new View(), stop: new AbortController() });
    this.name = nameOf(this.arn);
    this.tab = this.query.tab in tabs ? this.query.tab : "timeline";
    this.graph = new Graph({ onpick: (name) => this.pick(this.view.states.get(name)?.last ?? null, name) });
    this.timeline = new Timeline({ onpick: (entry) => this.pick(entry) });
    this.events = new Events(this.arn);
    this.logs = new Logs(this.arn, { onpick: (entry, attempt) => this.pick(entry, entry.state, attempt) });
    this.state = new StatePanel(this.arn, { onpick: (entry, attempt) => this.pick(entry, entry.state, attempt), onlog: () => this.showTab("logs", true) });
    this.root = root;
    put(root, this.build());
    this.clock = setInterval(() => { if (!document.hidden && !this.view.closed) this.draw(); }, 1000);
  }

  build() {
    this.badge = h("span.status.big");
    this.link = h("span.link-state", { role: "status" });
    this.facts = h("dl.facts");
    this.actions = h("div.actions");
    this.trouble = h("div");
    this.data = h("div.data");
    this.code = h("div.definition-panel");
    this.heads = Object.entries(tabs).map(([id, words]) => h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "tab-body", onclick: () => this.showTab(id), onkeydown: (e) => this.tabKey(e) }, words));
    this.body = h("div.tab-body", { id: "tab-body", role: "tabpanel", tabindex: "-1" });
    this.stuff = { timeline: this.timeline.node, events: this.events.node, logs: this.logs.node, metrics: this.logs.metrics.node, data: this.data, definition: this.code };
    this.showTab(this.tab);
    return h("div.page.execution", {},
      h("nav.crumbs", { "aria-label": "Breadcrumbs" }, h("a", { href: "#/executions" }, "Executions"), h("span", { "aria-hidden": "true" }, "/"), h("span", {}, machineOf(this.arn))),
      h("div.page-head", {}, h("h1", {}, this.name), this.badge, this.link, this.actions),
      this.facts, this.trouble,
      h("div.split", {}, h("section.panel", { "aria-label": "Graph" }, h("div.graph-holder", {}, this.graph.node)), h("section.panel.state-panel", { "aria-label": "State" }, this.state.node)),
      h("section.panel.tabbed", {}, h("div.tabs", { role: "tablist", "aria-label": "Details of the execution" }, this.heads), this.body));
  }

  async load() {
    try {
      await this.describe();
      const d = await call("DescribeStateMachineForExecution", { executionArn: this.arn }, this.stop.signal);
      this.definition = d.definition;
      this.showDefinition();
      layout(d.definition, this.stop.signal).then((placed) => {
        this.graph.draw(placed);
        this.draw();
      }, (error) => this.fails(error));
      this.follow();
    } catch (error) {
      this.fails(error);
    }
  }

  fails(error) {
    if (error.name !== "AbortError") put(this.trouble, problem(error));
  }

  async describe() {
    this.about = await call("DescribeExecution", { executionArn: this.arn }, this.stop.signal);
    this.showData();
    this.draw();
  }

  follow() {
    this.live?.close();
    this.live = followView(this.arn, this.view, (closed) => this.news(closed), (state) => this.shows(state));
  }

  // news draws at most once per frame, because a long history arrives at thousands of events per second.
  news(closed) {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw(true);
    });
    if (!closed) return;
    this.shows("ended");
    this.describe().then(() => announce(`${this.name}: ${statusNames[this.about.status]}`), (error) => this.fails(error));
  }

  shows(state) {
    const words = { live: "Live", lost: "Connection lost, reconnecting", rests: "", ended: "" };
    if (this.view.closed && state === "live") state = "ended";
    this.link.className = `link-state ${state}`;
    text(this.link, words[state] ?? "");
  }

  // draw updates all visible parts.
  draw(fresh = false) {
    const { view, about } = this;
    const status = view.last && !(about?.status !== "RUNNING" && !view.closed) ? view.status : about?.status;
    if (!status) return;
    const shown = status === "RUNNING" && view.parked ? "Parked" : statusNames[status] ?? status;
    if (this.shownStatus !== shown) {
      const word = shown === "Parked" ? "pending" : statusWords[status] ?? "pending";
      this.shownStatus = shown;
      this.badge.className = `status big ${word}`;
      put(this.badge, icon(word), h("span", {}, shown));
      this.showActions(status);
    }
    this.showFacts(status);
    this.showTrouble();
    this.choose();
    this.graph.update(view);
    this.state.show(this.picked, view, this.attempt);
    this.logs.offer(view, this.logEntry, this.logAttempt);
    if (this.tab === "timeline") this.timeline.update(view);
    if (this.tab === "events" && fresh) {
      this.events.update(view);
      this.events.begin();
    }
  }

  // choose selects a state unless the user has selected one: the first that failed, otherwise the newest that runs.
  choose() {
    const { view } = this;
    if (this.query.state && !this.picked) {
      this.picked = view.entries.findLast((e) => e.name === this.query.state) ?? null;
      if (this.picked) this.graph.select(this.picked.state);
    }
    if (!this.byHand && !this.query.state) {
      const failed = (e) => e.status === "failed" && !e.tolerated;
      const best = view.steps.find(failed) ?? view.entries.findLast(failed) ??
        view.steps.findLast((e) => ["running", "retrying", "pending"].includes(e.status)) ?? view.steps.at(-1) ?? view.entries.at(-1) ?? null;
      if (best !== this.picked) {
        this.picked = best;
        this.graph.select(best?.state);
      }
    }
    this.chooseLog();
  }

  // chooseLog shows the log of the selected state, or, if it has none, of the newest job.
  chooseLog() {
    let entry = this.picked?.attempt ? this.picked : null;
    if (!entry) entry = this.view.steps.findLast((e) => e.attempt > 0) ?? null;
    const attempt = entry === this.picked && this.attempt ? this.attempt : entry?.attempt ?? 0;
    if (entry === this.logEntry && attempt === this.logAttempt) return;
    Object.assign(this, { logEntry: entry, logAttempt: attempt });
    if (this.wantsLog) this.logs.show(entry, attempt);
  }

  get wantsLog() { return this.tab === "logs" || this.tab === "metrics"; }

  pick(entry, name = entry?.state, attempt = 0) {
    this.byHand = true;
    Object.assign(this, { picked: entry, attempt });
    this.query.state = entry?.name;
    this.graph.select(name);
    if (!entry) this.state.missing(name);
    this.shownDefinition?.reveal(name);
    this.remember();
    this.draw(true);
  }

  remember() {
    this.go({ page: "execution", arn: this.arn, query: { tab: this.tab === "timeline" ? "" : this.tab, state: this.byHand ? this.query.state : "" } }, true);
  }

  showTab(id, scroll = false) {
    const changed = this.tab !== id;
    this.tab = id;
    this.heads.forEach((head) => {
      const on = head.id === `tab-${id}`;
      head.setAttribute("aria-selected", String(on));
      head.tabIndex = on ? 0 : -1;
    });
    this.body.setAttribute("aria-labelledby", `tab-${id}`);
    put(this.body, this.stuff[id]);
    if (changed) {
      this.remember();
      this.draw(true);
    }
    if (this.wantsLog && this.logEntry) this.logs.show(this.logEntry, this.logAttempt);
    if (scroll) this.body.scrollIntoView({ block: "nearest" });
  }

  tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const ids = Object.keys(tabs), at = (ids.indexOf(this.tab) + step + ids.length) % ids.length;
    this.showTab(ids[at]);
    this.heads[at].focus();
  }

  showActions(status) {
    const { about } = this;
    if (!mayRun()) return;
    const running = status === "RUNNING" || status === "PENDING_REDRIVE";
    const redrivable = ["FAILED", "TIMED_OUT", "ABORTED"].includes(status);
    put(this.actions,
      about ? h("button", { type: "button", onclick: () => startMachine(about.stateMachineArn, this.go, about.input) }, "Start again") : null,
      redrivable ? h("button.primary", { type: "button", onclick: () => this.redrive() }, "Redrive") : null,
      running ? h("button.danger", { type: "button", onclick: () => askStop(this.arn, this.name) }, "Stop") : null);
  }

  async redrive() {
    if (!await askRedrive(this.arn, this.name)) return;
    this.byHand = false;
    this.query.state = "";
    await this.describe().catch((error) => this.fails(error));
    this.follow();
  }

  showFacts(status) {
    const { about, view } = this;
    if (!about) return;
    const until = view.stopped || about.stopDate || now();
    const open = status === "RUNNING";
    const facts = [
      ["State machine", h("a", { href: `#/machine/${encodeURIComponent(about.stateMachineArn)}` }, nameOf(about.stateMachineArn))],
      ["Started", h("time", { datetime: exact(about.startDate), title: exact(about.startDate) }, moment(about.startDate))],
      [open ? "Running for" : "Duration", duration(until - about.startDate)],
      ["Events", count(view.last)],
      about.redriveCount > 0 ? ["Redriven", `${about.redriveCount} ${about.redriveCount === 1 ? "time" : "times"}`] : null,
      about.mapRunArn ? ["Map run", nameOf(about.mapRunArn)] : null,
    ].filter(Boolean);
    const signature = facts.map(([name, value]) => name + (value.textContent ?? value)).join();
    if (signature === this.factsShown) return;
    this.factsShown = signature;
    put(this.facts, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  showTrouble() {
    const error = this.view.error || (this.view.closed ? this.about?.error : ""), cause = this.view.cause || (this.view.closed ? this.about?.cause : "");
    const { warnings, parked } = this.view;
    const signature = [error, cause, parked, ...warnings].join("\n");
    if (signature === this.troubleShown || !this.view.last) return;
    this.troubleShown = signature;
    put(this.trouble,
      error || cause ? h("div.problem.ended", {}, icon("failed"), h("div", {}, h("strong", {}, error || "Stopped"), cause ? h("pre.cause", {}, cause) : null)) : null,
      parked ? h("p.notice", {}, `Parked: ${parked}. Stop the execution, or try the step again with `, h("code", {}, `rayorch resume ${this.name}`)) : null,
      ...warnings.map((text) => h("p.notice", {}, text)));
  }

  showData() {
    const { input, output, status, error, cause } = this.about;
    put(this.data, h("section", {}, h("h3", {}, "Input"), jsonView("input", input)),
      h("section", {}, h("h3", {}, "Output"), status === "RUNNING" ? h("p.muted", {}, "Not available before the execution has succeeded.") : jsonView("output", output)),
      error ? h("section", {}, h("h3", {}, "Error"), jsonView("error", error)) : null,
      cause ? h("section", {}, h("h3", {}, "Cause"), jsonView("cause", cause)) : null,
      h("section", {}, h("h3", {}, "ARN"), h("div.json", {}, copyButton("ARN", () => this.arn), h("pre.mono", {}, this.arn))));
  }

  showDefinition() {
    this.shownDefinition = new Definition(this.definition);
    put(this.code, h("div.tools", {}, copyButton("definition", () => this.definition)), this.shownDefinition.node);
  }

  close() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame);
    this.stop.abort();
    this.live?.close();
    for (const part of [this.graph, this.timeline, this.events, this.logs, this.shownDefinition]) part?.close();
  }
}
