// Streams of server-sent events, and polling. A browser opens at most six connections to a server for all tabs together, so that a hidden tab
// must close its connection. Also, a tab that is open for days must not accumulate work.

import { server, begin, url, pages } from "./api.js";

const hiddenTime = 20_000; // ms until a hidden tab closes its connection
const firstPause = 500, longestPause = 30_000; // ms between two attempts to connect

// Stream is an EventSource that reconnects. make returns the URL at which to continue, take is called with each event, and onstate with
// "live", "lost" or "rests" (in a hidden tab).
export class Stream {
  constructor({ make, take, onstate = () => {} }) {
    Object.assign(this, { make, take, onstate, pause: firstPause, over: false });
    this.seen = () => this.visible();
    document.addEventListener("visibilitychange", this.seen);
    this.connect();
  }

  connect() {
    if (this.over || this.source) return;
    clearTimeout(this.timer);
    const source = new EventSource(this.make());
    this.source = source;
    source.onopen = () => {
      this.pause = firstPause;
      this.onstate("live");
    };
    source.onmessage = (event) => this.take(event.data, "message");
    source.addEventListener("closed", (event) => {
      this.take(event.data, "closed");
      this.close();
    });
    source.onerror = () => this.lost();
  }

  disconnect() {
    this.source?.close();
    this.source = null;
  }

  // lost reconnects later. Before that, it checks the session of this browser.
  lost() {
    this.disconnect();
    if (this.over) return;
    this.onstate("lost");
    const wait = this.pause * (0.7 + Math.random() * 0.6);
    this.pause = Math.min(longestPause, this.pause * 2);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.again(), wait);
  }

  async again() {
    if (document.hidden) return; // visible() connects later
    try {
      if (server.login) await begin();
    } catch {
      // The server is still unreachable.
    }
    this.connect();
  }

  visible() {
    clearTimeout(this.resting);
    if (!document.hidden) {
      this.connect();
    } else {
      this.resting = setTimeout(() => {
        clearTimeout(this.timer);
        this.disconnect();
        this.onstate("rests");
      }, hiddenTime);
    }
  }

  close() {
    this.over = true;
    clearTimeout(this.timer);
    clearTimeout(this.resting);
    this.disconnect();
    document.removeEventListener("visibilitychange", this.seen);
  }
}

// Poll calls ask periodically while the tab is visible, and less often while ask fails.
export class Poll {
  constructor({ every, ask, onstate = () => {} }) {
    Object.assign(this, { every, ask, onstate, pause: every });
    this.seen = () => { if (!document.hidden && !this.busy) this.run(); };
    document.addEventListener("visibilitychange", this.seen);
    this.timer = setTimeout(() => this.run(), every);
  }

  async run() {
    clearTimeout(this.timer);
    if (this.over || document.hidden) return;
    this.busy = true;
    try {
      await this.ask();
      this.pause = this.every;
      this.onstate("live");
    } catch {
      this.pause = Math.min(120_000, this.pause * 2);
      this.onstate("lost");
    }
    this.busy = false;
    if (!this.over) this.timer = setTimeout(() => this.run(), this.pause);
  }

  close() {
    this.over = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  }
}

// detailsOf returns the details of an event. The name of the member depends on the type of the event.
export function detailsOf(event) {
  for (const key in event) {
    if (key.endsWith("EventDetails")) return event[key];
  }
  return null;
}

// follow adds an execution's events after the last known one to a history, until the execution is closed. It uses server-sent events if the
// server has them, otherwise polling.
export function follow(arn, history, onnews, onstate) {
  if (server.features.has("watch")) {
    return new Stream({
      make: () => url("watch", { execution: arn, after: history.last }), onstate,
      take(data, kind) {
        if (kind === "message") history.add(JSON.parse(data));
        onnews(kind === "closed");
      },
    });
  }
  const poll = new Poll({
    every: 3000, onstate,
    async ask() {
      for (const event of await newer(arn, history.last)) history.add(event);
      onnews(history.closed);
      if (history.closed) poll.close();
    },
  });
  poll.run();
  return poll;
}

// newer reads the history backward from the newest event to the last known one, because GetExecutionHistory cannot start at an event.
async function newer(arn, last) {
  if (last === 0) {
    const all = [];
    for await (const page of pages("GetExecutionHistory", { executionArn: arn, maxResults: 1000 })) all.push(...page.events);
    return all;
  }
  const found = [];
  for await (const page of pages("GetExecutionHistory", { executionArn: arn, maxResults: 100, reverseOrder: true })) {
    found.push(...page.events.filter((e) => e.id > last));
    if (page.events.at(-1)?.id <= last + 1) break;
  }
  return found.reverse();
}

// findEvent fetches an event whose details were dropped.
export async function findEvent(arn, id) {
  for await (const page of pages("GetExecutionHistory", { executionArn: arn, maxResults: 1000 })) {
    const found = page.events.find((e) => e.id === id);
    if (found) return found;
  }
  return null;
}
