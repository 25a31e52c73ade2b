// Folds an execution's history into what a person wants to see. It reads the Step Functions API's own events, and tells
// what the terminal tells of them: internal/progress is the same fold there, and a test compares the two.

import * as composite from "./composite.js";
import { raised, warningsOf } from "./warnings.js";

// keepBytes bounds what is kept of the events' inputs and outputs: those of old events go first, and are fetched again
// when somebody asks.
const keepBytes = 24 << 20;

const ended = new Set(["succeeded", "failed", "caught", "cancelled"]);

export class Fold {
  constructor() {
    this.entries = []; // each entry of a state, in order
    this.states = new Map(); // state name -> {entries, counts by status, last}
    this.events = []; // each event, with what it belongs to
    this.at = new Map(); // event id -> where it stands
    this.status = "RUNNING";
    this.started = this.stopped = 0;
    this.output = this.error = this.cause = "";
    this.warnings = []; // sentences about references that found nothing, where that failed no step
    this.last = 0;
    this.redriven = new Set(); // ids of ExecutionRedriven events
    this.waiting = []; // entries that the newest of them takes up again
    this.kept = this.dropped = 0;
  }

  get closed() { return this.status !== "RUNNING" && this.status !== "PENDING_REDRIVE"; }

  // add folds one event; each may come again, but none may be left out.
  add(event) {
    if (event.id <= this.last) return false;
    this.last = event.id;
    const details = detailsOf(event);
    const before = this.before(event, details);
    const place = this.fold(event, details, before);
    if (event.type.endsWith("StateExited")) this.warn(details);
    this.at.set(event.id, place);
    this.keep(event, details, place);
    return true;
  }

  // before is where the event's predecessor stands. After a redrive a task's follows its old entry. Of other states the
  // history does not say which line goes on where it was cut off, but lines are taken up in the order in which they stand.
  before(event, details) {
    if (this.redriven.has(event.previousEventId) && !event.type.startsWith("Execution")) {
      let i = this.waiting.findIndex((e) => details?.name === e.state);
      if (i < 0) i = 0;
      const [entry] = this.waiting.splice(i, 1);
      if (entry) return { entry, stack: entry.stack };
    }
    const place = this.at.get(event.previousEventId) ?? { entry: null, stack: [] };
    this.waiting = this.waiting.filter((e) => e !== place.entry);
    return place;
  }

  fold(event, details, before) {
    const { type, timestamp } = event;
    if (type.startsWith("Execution")) return this.execution(type, details, timestamp, before);
    if (type.endsWith("StateEntered")) return this.enter(type, details, timestamp, before);
    if (/^(Map|Parallel)/.test(type)) return this.group(type, details, timestamp, before);
    if (type.endsWith("StateExited")) this.exit(before.entry, details, timestamp);
    else if (before.entry) this.step(before.entry, type, details, timestamp);
    return before;
  }

  enter(type, details, when, before) {
    const kind = type.slice(0, -"StateEntered".length);
    const indices = before.stack.filter((c) => c.index !== undefined).map((c) => c.index);
    const entry = {
      id: this.last, state: details.name, kind, stack: before.stack, input: details.input, depth: before.stack.length,
      name: details.name + indices.map((i) => `[${i}]`).join(""), status: "", entered: when, ended: 0,
      attempts: [], attempt: 0, output: undefined, error: "", cause: "", job: null, items: null,
    };
    this.entries.push(entry);
    if (!this.states.has(entry.state)) this.states.set(entry.state, { entries: [], counts: {}, last: null });
    const state = this.states.get(entry.state);
    state.entries.push(entry);
    state.last = entry;
    this.set(entry, kind === "Fail" ? "failed" : "running");
    entry.within = composite.stepAround(before.stack, entry.state);
    if (entry.within) composite.entered(entry.within, entry.state, when, (status) => this.set(entry.within, status));
    return { entry, stack: before.stack };
  }

  // warn notes what a state says of references that found nothing; iterations of a Map say the same.
  warn({ name, output }) {
    for (const text of warningsOf(name, output)) {
      if (!this.warnings.includes(text)) this.warnings.push(text);
    }
  }

  set(entry, status) {
    const counts = this.states.get(entry.state).counts;
    if (entry.status) counts[entry.status]--;
    counts[status] = (counts[status] ?? 0) + 1;
    entry.status = status;
  }

  // group folds what happens to a Map or Parallel state itself. Events do not say by their order what they are in: an
  // iteration may follow upon another one's end.
  group(type, details, when, before) {
    const kind = type.startsWith("Map") ? "Map" : "Parallel";
    const found = details?.name ? this.named(before, details.name) : this.innermost(before, kind);
    if (!found.entry) return before;
    const { entry, stack } = found;
    const here = { entry, stack };
    if (type.endsWith("StateExited")) {
      this.exit(entry, details, when);
    } else if (type === "ParallelStateStarted") {
      return { entry: null, stack: [...stack, { entry }] };
    } else if (type === "MapStateStarted") {
      entry.items = { total: details?.length ?? 0, started: 0, succeeded: 0, failed: 0, aborted: 0 };
    } else if (type === "MapIterationStarted") {
      if (entry.items) entry.items.started++;
      return { entry: null, stack: [...stack, { entry, index: details.index }] };
    } else if (type.startsWith("MapIteration")) {
      const word = type.slice("MapIteration".length).toLowerCase();
      if (entry.items && word in entry.items) entry.items[word]++;
    } else if (type.startsWith("MapRun")) {
      entry.mapRun = details?.mapRunArn ?? entry.mapRun;
      if (/Failed|TimedOut/.test(type)) this.fails(entry, details, type);
    } else if (type.endsWith("Failed")) {
      this.fails(entry, details, type);
      entry.ended = when;
    } else if (type.endsWith("Aborted")) {
      this.set(entry, "cancelled");
      entry.ended = when;
    }
    return here;
  }

  named(before, name) {
    if (before.entry?.state === name) return before;
    const i = before.stack.findIndex((c) => c.entry.state === name);
    return i < 0 ? { entry: null } : { entry: before.stack[i].entry, stack: before.stack.slice(0, i) };
  }

  innermost(before, kind) {
    if (before.entry?.kind === kind && !before.entry.ended) return before;
    for (let i = before.stack.length - 1; i >= 0; i--) {
      if (before.stack[i].entry.kind === kind) return { entry: before.stack[i].entry, stack: before.stack.slice(0, i) };
    }
    return { entry: null };
  }

  fails(entry, details, type) {
    Object.assign(entry, { error: details?.error ?? type, cause: details?.cause ?? "" }, type === "EvaluationFailed" ? raised(details) : {});
    this.set(entry, entry.kind === "Task" || entry.kind === "Wait" ? "retrying" : "failed");
  }

  // step folds what happens inside a Task: the end of the type says what, whatever kind of task it is.
  step(entry, type, details, when) {
    const attempt = entry.attempts.at(-1);
    if (type.endsWith("Scheduled")) {
      if (entry.within) composite.scheduled(entry.within, entry.state, when);
      entry.attempt++;
      Object.assign(entry, { job: null, ended: 0 });
      entry.attempts.push({ n: entry.attempt, scheduled: when, started: 0, ended: 0, status: "running", error: "", cause: "", job: null });
      this.set(entry, "running");
    } else if (/(Failed|TimedOut)$/.test(type)) {
      this.fails(entry, details, type);
      if (attempt) Object.assign(attempt, { status: "failed", ended: when, error: entry.error, cause: entry.cause });
    } else if (type.endsWith("Aborted")) {
      this.set(entry, "cancelled");
      entry.ended = when;
      if (attempt) Object.assign(attempt, { status: "cancelled", ended: when });
    } else if (type.endsWith("Started")) {
      if (attempt) attempt.started = when;
    } else if (details?.output !== undefined) {
      this.job(entry, attempt, details.output);
      if (!type.endsWith("Succeeded")) return;
      Object.assign(entry, { error: "", cause: "" });
      if (attempt) Object.assign(attempt, { status: "succeeded", ended: when });
    }
  }

  // job takes from a task's output what was started outside.
  job(entry, attempt, output) {
    let said;
    try {
      said = JSON.parse(output);
    } catch {
      return;
    }
    if (!said || typeof said !== "object" || !(said.SubmissionId || said.Id)) return;
    entry.job = { submission: said.SubmissionId, address: said.Address, id: said.Id, pid: said.Pid, output: said.Output };
    if (attempt) attempt.job = entry.job;
  }

  exit(entry, details, when) {
    if (!entry) return;
    if (entry.within) composite.left(entry.within, details);
    if (entry.isStep && !entry.gaveUp) Object.assign(entry, { error: "", cause: "" });
    entry.output = details?.output;
    entry.ended = when;
    const attempt = entry.attempts.at(-1);
    if (attempt && !attempt.ended) Object.assign(attempt, { ended: when, status: "succeeded" });
    if (entry.kind !== "Fail") this.set(entry, entry.error ? "caught" : "succeeded");
  }

  execution(type, details, when, before) {
    const word = type.slice("Execution".length);
    if (word === "Started") {
      this.started = when;
      this.input = details?.input;
    } else if (word === "Redriven") {
      Object.assign(this, { status: "RUNNING", stopped: 0, output: "", error: "", cause: "" });
      this.redriven.add(this.last);
      this.reopen();
    } else {
      this.end({ Succeeded: "SUCCEEDED", Failed: "FAILED", Aborted: "ABORTED", TimedOut: "TIMED_OUT" }[word] ?? "FAILED", details, when, before);
    }
    return before;
  }

  // reopen takes up the states that did not succeed, and opens again what they are in. One that a catcher went on from
  // stays as it is.
  reopen() {
    const undone = (e) => e.status === "failed" || e.status === "cancelled";
    const holds = (e) => e.kind === "Map" || e.kind === "Parallel";
    const passed = (e) => e.status === "succeeded" || e.status === "caught";
    this.waiting = this.entries.filter((e) => undone(e) && !holds(e) && !e.stack.some((c) => passed(c.entry)));
    for (const { stack } of this.waiting) {
      for (const { entry } of stack) {
        if (undone(entry)) this.set(entry, "running");
        Object.assign(entry, { ended: 0, error: "", cause: "" });
      }
    }
  }

  // end ends the states that were open: where the execution failed, and those whose last attempt did, have failed; the
  // others were cut off.
  end(status, details, when, before) {
    Object.assign(this, { status, stopped: when, output: details?.output ?? "", error: details?.error ?? "", cause: details?.cause ?? "" });
    for (const entry of this.entries) {
      if (ended.has(entry.status)) continue;
      const here = status === "FAILED" && entry === before.entry;
      if (here && !entry.error) Object.assign(entry, { error: this.error, cause: this.cause });
      this.set(entry, entry.status === "retrying" || here ? "failed" : "cancelled");
      entry.ended = when;
      const attempt = entry.attempts.at(-1);
      if (attempt && !attempt.ended) Object.assign(attempt, { ended: when, status: "cancelled" });
    }
  }

  // keep remembers an event for the table, within bounds.
  keep(event, details, place) {
    const size = payloadSize(details);
    const state = details?.name ?? place.entry?.name ?? "";
    this.events.push({ id: event.id, type: event.type, when: event.timestamp, state, previous: event.previousEventId, event, size });
    this.kept += size;
    while (this.kept > keepBytes && this.dropped < this.events.length - 1) {
      const old = this.events[this.dropped++];
      this.kept -= old.size;
      if (old.size > 512) old.event = null;
    }
  }

  // stateStatus is what a picture of the states shows for one.
  stateStatus(name) {
    const state = this.states.get(name);
    if (!state) return "";
    const { counts, last } = state;
    if (counts.running) return "running";
    if (counts.retrying) return "retrying";
    if (!last.stack.some((c) => c.index !== undefined)) return last.status;
    return ["failed", "caught", "cancelled", "succeeded"].find((s) => counts[s]) ?? "";
  }

  // steps are the entries that a pipeline calls steps.
  get steps() { return this.entries.filter((e) => e.isStep || !e.within && (e.kind === "Task" || e.kind === "Wait")); }
}

// detailsOf is the one member of an event that holds its details.
export function detailsOf(event) {
  for (const key in event) {
    if (key.endsWith("EventDetails")) return event[key];
  }
  return null;
}

function payloadSize(details) {
  let size = 64;
  for (const key in details) {
    if (typeof details[key] === "string") size += details[key].length;
  }
  return size;
}

// dashboard is the page of Ray's dashboard that shows a job, or null: the address comes from a job's output, so that
// only what is a web page's address is taken.
export function dashboard(job) {
  if (!job?.submission || !job.address) return null;
  try {
    const base = new URL(job.address);
    if (base.protocol !== "http:" && base.protocol !== "https:") return null;
    return `${base.href.replace(/\/$/, "")}/#/jobs/${encodeURIComponent(job.submission)}`;
  } catch {
    return null;
  }
}
