// The Events tab: the history as a table with a filter, the details of one event, and the cleanup report.

import { h, put, problem } from "./dom.js";
import { extra, server } from "./api.js";
import { List } from "./list.js";
import { clock, count, duration, exact } from "./format.js";
import { jsonView } from "./json.js";
import { detailsOf, findEvent, follow } from "./live.js";

const kinds = {
  "": "All events",
  task: "Tasks",
  state: "States",
  bad: "Failures",
};

const tests = {
  "": () => true,
  task: (e) => /^(Task|Activity|Lambda)(?!State)/.test(e.type),
  state: (e) => /State(Entered|Exited)$/.test(e.type),
  bad: (e) => /(Failed|TimedOut|Aborted)$/.test(e.type),
};

// keepBytes is the maximum size of the details of all events. Details of the oldest events are dropped first, and fetched again when the user
// opens the event.
const keepBytes = 24 << 20;

// History has the events received so far.
class History {
  constructor() {
    this.events = [];
    this.owners = new Map(); // event -> the event that entered its state
    this.last = this.kept = this.dropped = 0;
    this.closed = false;
  }

  // add adds an event. It ignores events that were added before.
  add(event) {
    if (event.id <= this.last) return;
    const details = detailsOf(event), owner = event.type.endsWith("StateEntered") ? event.id : this.owners.get(event.previousEventId) ?? 0;
    const size = payloadSize(details);
    this.last = event.id;
    this.owners.set(event.id, owner);
    this.events.push({ id: event.id, type: event.type, when: event.timestamp, name: details?.name, owner, previous: event.previousEventId, event, size });
    if (event.type.startsWith("Execution")) this.closed = !/(Started|Redriven)$/.test(event.type);
    this.kept += size;
    while (this.kept > keepBytes && this.dropped < this.events.length - 1) {
      const old = this.events[this.dropped++];
      this.kept -= old.size;
      if (old.size > 512) old.event = null;
    }
  }
}

function payloadSize(details) {
  let size = 64;
  for (const key in details) {
    if (typeof details[key] === "string") size += details[key].length;
  }
  return size;
}

export class Events {
  constructor(arn) {
    this.arn = arn;
    this.history = new History();
    this.shown = null; // indices of the events that match the filter, or null for all
    this.filter = h("input", { type: "search", placeholder: "Filter: state, type, id", "aria-label": "Filter events", autocomplete: "off", spellcheck: "false", oninput: () => this.applyFilter() });
    this.kind = h("select", { "aria-label": "Type of event", onchange: () => this.applyFilter() }, Object.entries(kinds).map(([value, words]) => h("option", { value }, words)));
    this.how = h("span.muted", { role: "status" });
    this.detail = h("div.event-detail", { "aria-live": "polite" }, h("p.muted", {}, "Select an event to see its details."));
    this.list = new List({ label: "Events", role: "table", render: (i, row) => this.render(row, this.event(i)), onpick: (i) => this.open(this.event(i)) });
    this.list.node.classList.add("event-rows");
    this.report = h("div.cleanup-report", { "aria-live": "polite" });
    this.node = h("div.events", {}, h("div.tools", {}, this.filter, this.kind, this.how),
      h("div.events-split", {}, this.list.node, this.detail), this.report);
  }

  // begin starts to follow the history after the last known event. It is called only while the tab is visible.
  begin() {
    const { history, view } = this;
    if (this.live && (!history.closed || history.last >= view.last)) return;
    this.live?.close();
    this.live = follow(this.arn, history, () => {
      this.frame ||= requestAnimationFrame(() => {
        this.frame = 0;
        this.update(this.view);
      });
    }, () => {});
  }

  close() {
    this.gone = true;
    this.live?.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.again);
    this.list.close();
  }

  // showReport shows the cleanup report: what happened to stopped work. The history does not contain it, because an abort closes the history
  // immediately. showReport repeats its requests until no effects are pending.
  async showReport(wait = 500) {
    clearTimeout(this.again);
    const execution = this.arn;
    try {
      // In this order: work that is stopped between the two requests is still pending in the first response, so that there is another round.
      const { left } = await extra("left", { execution });
      const { aftermath } = await extra("aftermath", { execution });
      if (this.gone) return;
      const when = (a) => Date.parse(a.timestamp) / 1000;
      const rows = aftermath.map((a) => h("li", {}, h("time.muted", { datetime: exact(when(a)), title: exact(when(a)) }, clock(when(a))), " ", outcomeOf(a)));
      put(this.report, rows.length ? [h("h3", {}, "Cleanup report"), h("ul", {}, rows)] : []);
      if (left) this.again = setTimeout(() => this.showReport(Math.min(2 * wait, 10000)), wait);
    } catch {
      // The tab is usable without the report.
    }
  }

  event(i) { return this.history.events[this.shown ? this.shown[i] : i]; }

  // stateOf returns the state of an event, with the indices of its iteration if the event itself has no name.
  stateOf(e) { return e.name ?? this.view?.byEvent.get(e.owner)?.name ?? ""; }

  matches(e) {
    const wanted = this.filter.value.trim().toLowerCase();
    if (!tests[this.kind.value](e)) return false;
    return !wanted || e.type.toLowerCase().includes(wanted) || this.stateOf(e).toLowerCase().includes(wanted) || String(e.id) === wanted;
  }

  applyFilter() {
    this.looked = 0;
    this.shown = this.filter.value.trim() || this.kind.value ? [] : null;
    this.list.active = -1;
    this.list.node.scrollTop = 0;
    this.update(this.view);
  }

  update(view) {
    this.view = view;
    if (!view) return;
    const { history } = this, all = history.events;
    if (this.shown) {
      for (let i = this.looked ?? 0; i < all.length; i++) if (this.matches(all[i])) this.shown.push(i);
      this.looked = all.length;
    }
    const n = this.shown?.length ?? all.length;
    this.list.show(n);
    this.list.node.setAttribute("aria-rowcount", n);
    if (history.closed && this.asked !== history.last && server.features.has("aftermath")) {
      this.asked = history.last;
      this.showReport();
    }
    this.how.textContent = this.shown ? `${count(n)} of ${count(all.length)} events` : `${count(n)} events`;
  }

  render(row, e) {
    const bad = tests.bad(e);
    row.classList.toggle("bad", bad);
    put(row, h("span.event-id", { role: "cell" }, String(e.id)), h("span.event-type", { role: "cell" }, e.type), h("span.event-state", { role: "cell" }, this.stateOf(e)),
      h("time.event-time", { role: "cell", datetime: exact(e.when), title: exact(e.when) }, `+${duration(e.when - (this.view.started || e.when))}`));
  }

  async open(e) {
    const mine = this.opened = {};
    put(this.detail, h("p.muted", {}, "Loading…"));
    let event = e.event;
    try {
      event ??= await findEvent(this.arn, e.id);
    } catch (error) {
      put(this.detail, problem(error));
      return;
    }
    if (mine !== this.opened) return;
    put(this.detail, h("h3", {}, `${e.id}. ${e.type}`), h("p.muted", {}, `${clock(e.when)}, after event ${e.previous}`), event ? members(detailsOf(event)) : h("p", {}, "The API no longer has this event."));
  }
}

// outcomeOf describes an entry of the cleanup report.
function outcomeOf(a) {
  const stopped = a.taskStoppedEventDetails;
  if (stopped) return [h("strong", {}, stopped.name), ": ", stopped.outcome];
  const arn = a.cleanupStartedEventDetails?.execution ?? "";
  return ["cleaned up by ", h("a", { href: `#/execution/${encodeURIComponent(arn)}` }, arn.split(":").pop())];
}

// members shows the details of an event. Strings that contain JSON are shown as trees.
function members(details) {
  return Object.entries(details ?? {}).filter(([key]) => !key.endsWith("Details")).map(([key, value]) => {
    const json = typeof value === "string" && /^\s*[[{"]/.test(value);
    const shown = typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
    return h("div.member", {}, h("h4", {}, key), json || typeof value === "object" ? jsonView(key, shown, 1) : h("pre.mono", {}, shown));
  });
}
