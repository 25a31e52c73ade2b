// Follows the server's events for as long as somebody looks. A browser gives one server six connections in all tabs
// together, so that a tab which nobody sees gives its own back; and a tab left open over night must not pile up work.

import { place, begin, url, pages } from "./api.js";

const hiddenTime = 20_000; // ms that a hidden tab goes on listening
const firstPause = 500, longestPause = 30_000; // ms between two tries

// Stream is an EventSource that comes back. make gives the address to go on from, take is called with each event, and
// onstate with "live", "lost" or "rests".
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

  // lost tries again later, and asks first whether the server still knows this browser.
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
    if (document.hidden) return; // visible comes back to it
    try {
      if (place.login) await begin();
    } catch {
      // The server is still away.
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

// Poll calls ask again and again while the tab is seen, and less often while it fails.
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

// detailsOf is the one member of an event that holds its details.
export function detailsOf(event) {
  for (const key in event) {
    if (key.endsWith("EventDetails")) return event[key];
  }
  return null;
}

// follow adds an execution's events to a history, from where it stands, until the execution is closed: by the server's events where
// it sends them, otherwise by asking the API for the newest.
export function follow(arn, history, onnews, onstate) {
  if (place.features.has("watch")) {
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

// newer reads back from the newest event to the last one that is known: the API has no way to go on from an event.
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

// findEvent fetches an event whose contents were let go.
export async function findEvent(arn, id) {
  for await (const page of pages("GetExecutionHistory", { executionArn: arn, maxResults: 1000 })) {
    const found = page.events.find((e) => e.id === id);
    if (found) return found;
  }
  return null;
}
