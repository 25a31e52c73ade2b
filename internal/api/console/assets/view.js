// The view of an execution, which the server computes (docs/serve.md, "How an execution is shown"). The server sends entries when they change;
// this module only stores them.

import { url } from "./api.js";
import { Stream } from "./live.js";

// The defaults of members that the server omits.
const plain = {
  step: false, within: null, depth: 0, tolerated: false, attempts: [], error: "", cause: "", skipReason: "", job: null, waiting: null,
  items: null, mapRun: "", input: undefined, output: undefined, outputEvent: 0,
};

export class View {
  constructor() {
    this.entries = []; // all entries, in order; an entry keeps its object when it changes
    this.states = new Map(); // state name -> {entries, last, status}
    this.byEvent = new Map(); // the event that entered the state -> the entry
    Object.assign(this, { status: "RUNNING", started: 0, stopped: 0, error: "", cause: "", parked: "", warnings: [], last: 0 });
  }

  get closed() { return this.status !== "RUNNING" && this.status !== "PENDING_REDRIVE"; }

  // steps are the entries that are steps of the pipeline.
  get steps() { return this.entries.filter((e) => e.step); }

  apply({ entries, states, ...head }) {
    Object.assign(this, { started: 0, stopped: 0, error: "", cause: "", parked: "", warnings: [] }, head);
    for (const shown of entries) {
      const entry = this.entries[shown.n] ?? this.add(shown);
      Object.assign(entry, plain, shown);
    }
    for (const [name, { status }] of Object.entries(states)) this.states.get(name).status = status;
  }

  add({ n, event, state, kind }) {
    const entry = {};
    this.entries[n] = entry;
    if (kind !== "Skipped") this.byEvent.set(event, entry);
    if (!this.states.has(state)) this.states.set(state, { entries: [], last: null, status: "" });
    const of = this.states.get(state);
    of.entries.push(entry);
    of.last = entry;
    return entry;
  }

  // stateStatus returns the status of a state in the graph.
  stateStatus(name) { return this.states.get(name)?.status ?? ""; }
}

// followView updates a view until the execution is closed.
export function followView(arn, view, onnews, onstate) {
  return new Stream({
    make: () => url("view", { execution: arn, after: view.last }), onstate,
    take(data, kind) {
      if (kind === "message") view.apply(JSON.parse(data));
      onnews(kind === "closed");
    },
  });
}

// word returns the status of an entry for display.
export const word = (entry) => entry.status + (entry.tolerated ? " (tolerated)" : "");
