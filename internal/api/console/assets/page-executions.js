// The list of executions, of all state machines or of one, with filters and counts. It loads more when the user scrolls.

import { h, put, icon, problem, announce } from "./dom.js";
import { call, extra, server, url } from "./api.js";
import { List } from "./list.js";
import { Stream, Poll } from "./live.js";
import { count, duration, machineOf, moment, nameOf, now, exact, statusNames, statusWords } from "./format.js";

const pageSize = 200;
const statuses = ["", "RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"];

const spans = { "": "Any time", 3600: "Last hour", 86400: "Last 24 hours", 604800: "Last 7 days", 2592000: "Last 30 days" };

// Rows loads the executions of a query page by page, and updates those that are loaded.
class Rows {
  constructor(query) {
    this.query = query;
    this.all = [];
    this.byARN = new Map();
    this.next = undefined;
    this.done = false;
    this.stop = new AbortController();
  }

  async page(next, limit = pageSize) {
    const { machine, status, name, after, before } = this.query;
    if (server.features.has("executions")) {
      const page = await extra("executions", { machine, status, name, after, before, limit, next }, this.stop.signal);
      return { ...page, next: page.next };
    }
    if (!machine) return { executions: [] };
    const page = await call("ListExecutions", { stateMachineArn: machine, statusFilter: status || undefined, maxResults: limit, nextToken: next }, this.stop.signal);
    return { executions: page.executions, next: page.nextToken };
  }

  async more() {
    if (this.done || this.busy) return false;
    this.busy = true;
    try {
      const page = await this.page(this.next);
      for (const x of page.executions) this.put(x, false);
      this.next = page.next;
      this.reached = page.reached;
      this.done = !page.next;
      return true;
    } finally {
      this.busy = false;
    }
  }

  put(x, first) {
    const old = this.byARN.get(x.executionArn);
    if (old) {
      Object.assign(old, x);
      return false;
    }
    this.byARN.set(x.executionArn, x);
    if (first) this.all.unshift(x);
    else this.all.push(x);
    return true;
  }

  // refresh reloads the newest executions, and the visible ones that were running. Its cost does not depend on the number of loaded rows.
  async refresh(inSight) {
    const page = await this.page(undefined, 100);
    let fresh = 0;
    for (const x of page.executions.toReversed()) if (this.put(x, true)) fresh++;
    const known = new Set(page.executions.map((x) => x.executionArn));
    const stale = inSight.filter((x) => x.status === "RUNNING" && !known.has(x.executionArn)).slice(0, 30);
    await Promise.all(stale.map(async (x) => {
      const d = await call("DescribeExecution", { executionArn: x.executionArn, includedData: "METADATA_ONLY" }, this.stop.signal);
      Object.assign(x, { status: d.status, stopDate: d.stopDate });
    }));
    return fresh;
  }
}

export function executionsPage(root, route, go) {
  const state = { ...route.query };
  let rows, list, stream, machines = [], seen = [0, 0], over = false, typing;

  const chips = h("div.chips", { role: "group", "aria-label": "Status" });
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search by name", value: state.name ?? "", autocomplete: "off", spellcheck: "false",
    disabled: !server.features.has("executions"),
    oninput: () => { clearTimeout(typing); typing = setTimeout(() => set({ name: search.value.trim() }), 250); } });
  const machine = h("select", { "aria-label": "State machine", onchange: () => set({ machine: machine.value }) });
  const span = h("select", { "aria-label": "Started", onchange: () => set({ span: span.value }), disabled: !server.features.has("executions") },
    Object.entries(spans).map(([value, words]) => h("option", { value, selected: (state.span ?? "") === value }, words)),
    h("option", { value: "custom", selected: state.span === "custom" }, "Between…"));
  const from = h("input", { type: "datetime-local", "aria-label": "Started from", value: state.from ?? "", onchange: () => set({ from: from.value }) });
  const to = h("input", { type: "datetime-local", "aria-label": "Started before", value: state.to ?? "", onchange: () => set({ to: to.value }) });
  const between = h("span.between", { hidden: true }, from, h("span", {}, "to"), to);
  const summary = h("p.muted.summary", { role: "status" });
  const holder = h("div.panel.list-panel");

  put(root, h("div.page", {},
    h("div.page-head", {}, h("h1", {}, "Executions")),
    h("div.filters", {}, search, machine, span, between), chips, holder, summary));

  const query = () => {
    const seconds = Number(state.span);
    const local = (v) => (v ? new Date(v).getTime() / 1000 : undefined);
    const custom = state.span === "custom";
    return {
      machine: state.machine, status: state.status, name: state.name,
      after: custom ? local(state.from) : seconds ? Math.floor(now() - seconds) : undefined,
      before: custom ? local(state.to) : undefined,
    };
  };

  function set(change) {
    Object.assign(state, change);
    go({ page: "executions", query: state }, true);
    begin();
  }

  async function begin() {
    between.hidden = state.span !== "custom";
    rows?.stop.abort();
    list?.close();
    const mine = rows = new Rows(query());
    list = new List({
      label: "Executions", render, role: "list",
      onpick: (i, event) => { if (!event?.target?.closest?.("a")) go({ page: "execution", arn: rows.all[i].executionArn }); },
      onseen: (first, last) => { seen = [first, last]; if (last >= rows.all.length - 40) readOn(mine); },
    });
    put(holder, h("div.exec-head.row-grid", { "aria-hidden": "true" }, ["Name", "State machine", "Status", "Started", "Duration"].map((w) => h("span", {}, w))), list.node);
    drawChips(null);
    mine.ready = readOn(mine);
    await mine.ready;
    counts(mine);
  }

  async function readOn(mine) {
    if (mine !== rows || mine.done || mine.busy) return;
    try {
      const had = mine.all.length;
      if (await mine.more() && mine === rows) show(mine);
      // A search can find nothing on a page: continue until there are rows to show, or everything was searched.
      if (mine === rows && !mine.done && mine.all.length < Math.max(had + 1, 40)) await readOn(mine);
    } catch (error) {
      if (error.name !== "AbortError" && mine === rows) put(summary, problem(error));
    }
  }

  function show(mine) {
    list.show(mine.all.length);
    const loaded = count(mine.all.length);
    if (!mine.all.length && mine.done) put(holder, empty(state));
    const missing = server.features.has("executions") ? "" : " This API has no search, time filter and counts: they need a rayorch server.";
    summary.textContent = (mine.done ? `Showing all ${loaded}.` : `${loaded} loaded. Scroll down for older ones.` +
      (state.name && mine.reached ? ` Searched back to ${moment(mine.reached)}.` : "")) + missing;
  }

  function drawChips(counts, whole = true) {
    const total = counts && Object.values(counts).reduce((a, b) => a + b, 0);
    put(chips, statuses.map((status) => h("button.chip", {
      type: "button", "aria-pressed": String((state.status ?? "") === status), onclick: () => set({ status }),
      "data-status": status || "ALL",
    }, status ? icon(statusWords[status]) : null, status ? statusNames[status] : "All",
    counts ? h("span.chip-count", {}, count(status ? counts[status] ?? 0 : total) + (whole ? "" : "+")) : null)));
  }

  async function counts(mine) {
    if (!server.features.has("counts")) return;
    try {
      const { machine, name, after, before } = mine.query;
      const found = await extra("counts", { machine, name, after, before }, mine.stop.signal);
      if (mine === rows) drawChips(found.counts, found.whole);
    } catch {
      // The list shows errors of the server.
    }
  }

  function render(index, row) {
    const x = rows.all[index];
    const word = statusWords[x.status] ?? "pending";
    const took = (x.stopDate ?? now()) - x.startDate;
    row.classList.add("row-grid");
    put(row,
      h("a.row-name", { href: `#/execution/${encodeURIComponent(x.executionArn)}`, tabindex: "-1" }, x.name),
      h("span.row-machine", {}, machineOf(x.executionArn)),
      h(`span.status.${word}`, {}, icon(word), h("span", {}, statusNames[x.status] ?? x.status)),
      h("time.row-time", { datetime: exact(x.startDate), title: exact(x.startDate) }, moment(x.startDate)),
      h("span.row-took", {}, duration(took)));
  }

  // refresh runs one round at a time. If it is called during a round, another round follows.
  let refreshing = false, again = false;
  async function refresh() {
    again = true;
    if (refreshing) return;
    refreshing = true;
    while (again && !over) {
      again = false;
      try {
        await round(rows);
      } catch {
        // A filter has changed, or the server is unreachable: the stream continues when it is back.
      }
    }
    refreshing = false;
  }

  async function round(mine) {
    await mine?.ready;
    if (!mine || mine !== rows) return;
    const fresh = await mine.refresh(mine.all.slice(...seen));
    if (mine !== rows) return;
    if (fresh && !list.node.isConnected) {
      begin();
      return;
    }
    if (fresh && list.node.scrollTop > 0) list.node.scrollTop += fresh * list.rowHeight;
    show(mine);
    await counts(mine);
  }

  async function loadMachines() {
    const listed = await call("ListStateMachines", { maxResults: 1000 }).catch(() => ({ stateMachines: [] }));
    machines = listed.stateMachines.filter((m) => m.type !== "EXPRESS" && !m.name.endsWith("-cleanup"));
    if (!server.features.has("executions") && !state.machine && machines.length) state.machine = machines[0].stateMachineArn;
    put(machine, server.features.has("executions") ? h("option", { value: "" }, "All state machines") : null,
      machines.map((m) => h("option", { value: m.stateMachineArn }, m.name)));
    if (state.machine && !machines.some((m) => m.stateMachineArn === state.machine)) {
      machine.append(h("option", { value: state.machine }, nameOf(state.machine)));
    }
    machine.value = state.machine ?? "";
  }

  const ready = loadMachines();
  if (server.features.has("executions")) begin();
  else ready.then(begin);
  stream = server.features.has("changes")
    ? new Stream({ make: () => url("changes"), take: refresh })
    : new Poll({ every: 10_000, ask: refresh });
  // The durations of running executions change every second.
  const clock = setInterval(() => { if (!document.hidden && rows?.all.slice(...seen).some((x) => x.status === "RUNNING")) list.schedule(true); }, 1000);
  return {
    close() {
      over = true;
      stream.close();
      rows?.stop.abort();
      list?.close();
      clearInterval(clock);
      clearTimeout(typing);
    },
  };
}

function empty(state) {
  const filtered = state.name || state.status || state.span || state.machine;
  announce("No executions");
  return h("div.empty", {}, h("h2", {}, filtered ? "No matches" : "No executions yet"),
    h("p", {}, filtered ? "No execution matches the filters." : "Start one on the page of a state machine, or with rayorch run."));
}
