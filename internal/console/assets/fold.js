// Folds an execution's history into what a person wants to see. It reads the Step Functions API's own events, and tells
// what the terminal tells of them: internal/progress is the same fold there, and a test compares the two.

import * as composite from "./composite.js";
import { raised, warningsOf } from "./warnings.js";

// keepBytes bounds what is kept of the events' inputs and outputs: those of old events go first, and are fetched again
// when somebody asks.
const keepBytes = 24 << 20;

const ended = new Set(["succeeded", "failed", "caught", "skipped", "cancelled"]);
const undone = (entry) => entry.status === "failed" || entry.status === "cancelled";
const holds = (entry) => entry.kind === "Map" || entry.kind === "Parallel";

export class Fold {
  constructor() {
    this.entries = []; // each entry of a state, in order
    this.states = new Map(); // state name -> {entries, counts by status, last}
    this.events = []; // each event, with what it belongs to
    this.at = new Map(); // event id -> where it stands
    this.entered = new Map(); // the event before an entry and the entry's state -> where the entry is
    this.status = "RUNNING";
    this.started = this.stopped = 0;
    this.output = this.error = this.cause = "";
    this.warnings = []; // messages about references that found nothing, if that did not fail a step
    this.last = 0;
    this.redriven = new Set(); // ids of ExecutionRedriven events
    this.redrives = 0; // the event of the newest redrive
    this.waiting = []; // entries that the newest of them takes up again
    this.pending = []; // entries that do not run yet, according to the server
    this.parked = ""; // why the server does not drive the execution any more
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
    const state = details?.name ?? details?.state;
    if (this.redriven.has(event.previousEventId) && !event.type.startsWith("Execution")) {
      if (!state && isGroup(event.type)) return { entry: null, stack: [], left: null };
      let i = this.waiting.findIndex((e) => state === e.state);
      if (i < 0) i = 0;
      const [entry] = this.waiting.splice(i, 1);
      if (entry) return { entry, stack: entry.stack, left: null };
    }
    if (event.type === "EvaluationFailed") { // it may follow the event before the entry of the state that it names
      const named = this.entered.get(`${event.previousEventId} ${state}`);
      if (named) return named;
    }
    const place = this.at.get(event.previousEventId) ?? { entry: null, stack: [], left: null };
    this.waiting = this.waiting.filter((e) => e !== place.entry);
    return place;
  }

  fold(event, details, before) {
    const { type, timestamp } = event;
    if (type.startsWith("Execution")) return this.execution(type, details, timestamp, before);
    if (type.endsWith("StateEntered")) {
      const place = this.enter(type, details, timestamp, before);
      this.entered.set(`${event.previousEventId} ${details.name}`, place);
      return place;
    }
    if (isGroup(type)) return this.group(type, details, timestamp, before, this.redriven.has(event.previousEventId));
    if (type.endsWith("StateExited")) this.exit(before.entry, details, timestamp);
    else if (before.entry) this.step(before.entry, type, details, timestamp);
    return before;
  }

  enter(type, details, when, before) {
    const kind = type.slice(0, -"StateEntered".length), { name } = details;
    this.followed(before.entry, name);
    this.tolerate(name, before.left);
    let { stack } = before;
    let within = composite.stepAround(stack, name);
    if (!within && (within = this.resumedStep(name))) stack = [...within.stack, { entry: within }];
    const entry = this.entry({ state: name, kind, stack, input: details.input, within, entered: when });
    this.set(entry, kind === "Fail" ? "failed" : kind === "Task" ? "pending" : "running");
    if (within) composite.entered(within, name, when, (status) => this.set(within, status));
    const step = name.slice("Skip ".length);
    if (before.entry && before.entry.state === `When ${step}` && name === `Skip ${step}`) this.skip(step, stack, details.input, when);
    return { entry, stack, left: before.left };
  }

  // entry adds an entry of a state.
  entry(of) {
    const indices = of.stack.filter((c) => c.index !== undefined).map((c) => c.index);
    const entry = {
      id: this.last, name: of.state + indices.map((i) => `[${i}]`).join(""), depth: of.stack.length, status: "", ended: 0,
      attempts: [], attempt: 0, output: undefined, error: "", cause: "", job: null, items: null, tolerated: false, ...of,
    };
    this.entries.push(entry);
    if (!this.states.has(entry.state)) this.states.set(entry.state, { entries: [], counts: {}, last: null });
    const state = this.states.get(entry.state);
    state.entries.push(entry);
    state.last = entry;
    return entry;
  }

  // skip adds an entry of a step whose condition did not hold: its own state was not entered.
  skip(step, stack, input, when) {
    const entry = this.entry({ state: step, kind: "Skipped", stack, entered: when });
    Object.assign(entry, { skipReason: skipReason(input), ended: when });
    this.set(entry, "skipped");
  }

  // followed folds which state follows a step that a catcher left. In a compiled definition that is the step's cleanup, after
  // which the run fails all the same, or the failure of a step without one, or of a cleanup that failed itself.
  followed(entry, next) {
    if (entry?.status !== "caught") return;
    const cleanup = "Clean up after ";
    if (next === cleanup + entry.state || next === `Fail ${entry.state.replace(cleanup, "")}`) this.set(entry, "failed");
  }

  // tolerate marks the failures in a branch or an iteration whose failure is tolerated, and unmarks them if there are too many.
  // The compiled definition then goes from "Try X" to "Failed X", and if there are too many, to "Refuse failures of X".
  tolerate(next, left) {
    if (!left) return;
    const tolerated = left.state.startsWith("Try ") && next === `Failed ${left.state.slice("Try ".length)}`;
    if (!tolerated && next !== `Refuse failures of ${left.state}`) return;
    if (tolerated) this.set(left, "failed");
    for (const entry of [left, ...this.inside(left)]) entry.tolerated = tolerated && entry.status === "failed";
  }

  inside(group) { return this.entries.filter((e) => e.stack.some((c) => c.entry === group)); }

  // settle ends the states that a group's failure stopped. The events about aborted states do not name them: they all follow the
  // last event of the failing branch.
  settle(group, failing, when) {
    for (const entry of this.inside(group)) this.close(entry, entry === failing ? "failed" : "cancelled", when);
  }

  // close ends an entry that is open, and its attempt.
  close(entry, status, when) {
    const attempt = entry.attempts.at(-1);
    if (attempt && !attempt.ended) Object.assign(attempt, { ended: when, status });
    if (ended.has(entry.status)) return;
    this.set(entry, status);
    entry.ended = when;
  }

  // resumedStep returns the step in a cluster that continues with a state inside it after a redrive. Its events follow the redrive,
  // and by that alone could belong to any step that did not succeed. Of the steps with one name in several iterations, those that
  // had given up start again.
  resumedStep(state) {
    const found = this.redrives ? this.entries.filter((e) => e.isStep && e.resumedBy === this.redrives && !e.exited && composite.isInside(e, state)) : [];
    return found.find((e) => undone(e) && Boolean(e.gaveUp) === composite.begins(e, state)) ?? found[0] ?? null;
  }

  // warn records a state's messages about references that found nothing. Iterations of a Map have the same messages.
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
  group(type, details, when, before, redriven) {
    const kind = type.startsWith("Map") ? "Map" : "Parallel";
    const found = details?.name ? this.named(before, details.name) : this.innermost(before, kind);
    if (!found.entry) return before;
    const { entry, stack } = found;
    const here = { entry, stack, left: before.left };
    if (type.endsWith("StateExited")) {
      this.exit(entry, details, when);
      here.left = entry;
    } else if (type.endsWith("StateStarted")) {
      if (!redriven && before.entry !== entry) this.settle(entry, before.entry, when); // a retrier starts it again
      if (kind === "Parallel") return { entry: null, stack: [...stack, { entry }], left: null };
      entry.items = { total: details?.length ?? 0, started: 0, succeeded: 0, failed: 0, aborted: 0 };
    } else if (type === "MapIterationStarted") {
      if (entry.items) entry.items.started++;
      return { entry: null, stack: [...stack, { entry, index: details.index }], left: null };
    } else if (type.startsWith("MapIteration")) {
      const word = type.slice("MapIteration".length).toLowerCase();
      if (entry.items && word in entry.items) entry.items[word]++;
      if (word === "failed") return { entry: before.entry, stack: [...stack, { entry }], left: null };
    } else if (type.startsWith("MapRun")) {
      entry.mapRun = details?.mapRunArn ?? entry.mapRun;
      if (/Failed|TimedOut/.test(type)) this.fails(entry, details, type, when);
    } else if (type.endsWith("StateFailed") && !redriven) {
      this.settle(entry, before.entry, when);
      this.groupFails(entry, before.entry, type, when);
      here.left = entry;
    } else if (type.endsWith("Aborted")) {
      return before;
    }
    return here;
  }

  // groupFails folds the failure of a Map or Parallel by what failed inside it.
  groupFails(entry, failing, type, when) {
    const { error, cause } = failing === entry ? entry : failing ?? {};
    if (!entry.isStep) {
      Object.assign(entry, { error: error || type, cause: cause || "", ended: when });
      this.set(entry, "failed");
      return;
    }
    composite.fails(entry, error, cause, when);
    this.set(entry, "retrying"); // unless a later event shows otherwise
  }

  named(before, name) {
    if (before.entry?.state === name) return before;
    const i = before.stack.findIndex((c) => c.entry.state === name);
    if (i >= 0) return { entry: before.stack[i].entry, stack: before.stack.slice(0, i) };
    const entry = this.entries.find((e) => e.state === name && holds(e) && !e.exited); // right after a redrive
    return entry ? { entry, stack: entry.stack } : { entry: null };
  }

  innermost(before, kind) {
    if (before.entry?.kind === kind && !before.entry.ended && !before.entry.gaveUp) return before;
    for (let i = before.stack.length - 1; i >= 0; i--) {
      if (before.stack[i].entry.kind === kind) return { entry: before.stack[i].entry, stack: before.stack.slice(0, i) };
    }
    return { entry: null };
  }

  fails(entry, details, type, when) {
    Object.assign(entry, { error: details?.error ?? type, cause: details?.cause ?? "" }, type === "EvaluationFailed" ? raised(details) : {});
    const retries = entry.kind === "Task" || entry.kind === "Wait"; // unless a later event shows otherwise
    this.set(entry, retries ? "retrying" : "failed");
    entry.ended = retries ? 0 : when;
  }

  // runs records that the work of an entry's newest attempt runs.
  runs(entry) {
    if (entry.status !== "pending") return;
    this.set(entry, "running");
    const attempt = entry.attempts.at(-1);
    if (attempt) attempt.status = "running";
  }

  // showWaiting replaces the waiting tasks that the entries show with those that the server reports now.
  showWaiting(now) {
    for (const entry of this.pending) {
      if (entry.waits?.wasRunning) this.runs(entry);
      entry.waits = null;
    }
    this.pending = [];
    for (const { event, since, reason } of now) {
      const task = this.at.get(event)?.entry;
      for (const entry of [task, task?.within]) {
        if (entry?.status !== "running" && entry?.status !== "pending") continue;
        entry.waits = { since: Date.parse(since) / 1000, reason, wasRunning: entry.status === "running" };
        this.set(entry, "pending");
        this.pending.push(entry);
      }
    }
  }

  // step folds what happens inside a Task: the end of the type says what, whatever kind of task it is.
  step(entry, type, details, when) {
    const attempt = entry.attempts.at(-1);
    if (type.endsWith("Scheduled")) {
      if (entry.within) composite.scheduled(entry.within, entry.state, when, (status) => this.set(entry.within, status));
      entry.attempt++;
      Object.assign(entry, { job: null, ended: 0, waits: null });
      entry.attempts.push({ n: entry.attempt, scheduled: when, started: 0, ended: 0, status: "pending", error: "", cause: "", job: null });
      this.set(entry, "pending");
    } else if (/(Failed|TimedOut)$/.test(type)) {
      this.fails(entry, details, type, when);
      entry.itself ||= holds(entry); // it failed before anything in it started
      if (attempt) Object.assign(attempt, { status: "failed", ended: when, error: entry.error, cause: entry.cause });
    } else if (type.endsWith("Started")) {
      if (attempt) attempt.started = when;
      if (!submits(details?.resource ?? "")) this.runs(entry);
    } else if (details?.output !== undefined) {
      this.runs(entry);
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
    entry.exited = true;
    if (entry.within) composite.left(entry.within, details, () => this.runs(entry.within));
    if (entry.isStep && !entry.gaveUp) Object.assign(entry, { error: "", cause: "" });
    entry.output = details?.output;
    entry.ended = when;
    const attempt = entry.attempts.at(-1);
    if (attempt && !attempt.ended) Object.assign(attempt, { ended: when, status: "succeeded" });
    if (entry.kind !== "Fail") this.set(entry, entry.error || entry.gaveUp ? "caught" : "succeeded");
  }

  execution(type, details, when, before) {
    const word = type.slice("Execution".length);
    if (word === "Started") {
      this.started = when;
      this.input = details?.input;
    } else if (word === "Redriven") {
      Object.assign(this, { status: "RUNNING", stopped: 0, output: "", error: "", cause: "" });
      this.redriven.add(this.last);
      this.redrives = this.last;
      this.reopen();
    } else {
      this.end({ Succeeded: "SUCCEEDED", Failed: "FAILED", Aborted: "ABORTED", TimedOut: "TIMED_OUT" }[word] ?? "FAILED", details, when, before);
    }
    return before;
  }

  // reopen resumes the states that did not succeed, and reopens the entries around them. It does not change a state after which a
  // catcher continued. A step in a cluster is reopened when something happens inside it.
  reopen() {
    const taken = this.entries.filter((e) => undone(e) && !e.exited && !e.stack.some((c) => c.entry.exited));
    this.waiting = taken.filter((e) => !holds(e) || e.itself);
    for (const entry of taken) if (entry.isStep) entry.resumedBy = this.redrives;
    for (const { entry } of this.waiting.flatMap((e) => e.stack)) {
      if (entry.isStep) continue;
      if (undone(entry)) this.set(entry, "running");
      Object.assign(entry, { ended: 0, error: "", cause: "" });
    }
  }

  // end ends the states that were open: the one that failed the execution is failed, the others are cancelled.
  end(status, details, when, before) {
    Object.assign(this, { status, stopped: when, output: details?.output ?? "", error: details?.error ?? "", cause: details?.cause ?? "" });
    for (const entry of this.entries) {
      if (ended.has(entry.status)) continue;
      const here = status === "FAILED" && (entry === before.entry || entry === before.entry?.within);
      if (here && !entry.error) Object.assign(entry, { error: this.error, cause: this.cause });
      this.close(entry, here ? "failed" : "cancelled", when);
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
    const open = ["running", "retrying", "pending"].find((s) => counts[s]);
    if (open) return open;
    if (!last.stack.some((c) => c.index !== undefined)) return last.status;
    return ["failed", "caught", "cancelled", "succeeded", "skipped"].find((s) => counts[s]) ?? "";
  }

  // steps are the entries that a pipeline calls steps.
  get steps() { return this.entries.filter((e) => e.isStep || !e.within && (e.itself || ["Task", "Wait", "Skipped"].includes(e.kind))); }
}

// isGroup reports whether an event is about a Map or Parallel state itself.
const isGroup = (type) => /^(Map|Parallel)/.test(type);

// submits reports whether a task's work waits until the service has accepted it.
const submits = (resource) => resource.includes(".sync") || resource.endsWith(".waitForTaskToken");

// skipReason returns a condition with its values: "steps.eval.output.acc > 0.9 (steps.eval.output.acc is 0.5)".
function skipReason(input) {
  let said;
  try {
    said = JSON.parse(input);
  } catch {
    return "";
  }
  if (typeof said?.condition !== "string" || !said.values) return "";
  const values = Object.entries(said.values).map(([name, value]) => `${name} is ${JSON.stringify(value)}`);
  return said.condition + (values.length ? ` (${values.join(", ")})` : "");
}

// word returns an entry's status as users see it.
export const word = (entry) => entry.status + (entry.tolerated ? " (tolerated)" : "");

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
