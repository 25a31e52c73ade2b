// The Logs tab: follows the log of a job. It keeps the last 100,000 lines at most; the page contains elements only for the visible ones. The
// output of a job is always shown as text.

import { h, put, problem } from "./dom.js";
import { extra, open, server, url } from "./api.js";
import { List } from "./list.js";
import { count } from "./format.js";
import { Metrics } from "./chart.js";

const keepLines = 100_000, keepChars = 24 << 20, longestLine = 4000;

// Escape sequences, such as those for colors in Ray's own lines.
const escapes = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])/g;

// clean returns a line as a terminal would show it, without text that a carriage return overwrote.
export function clean(line) {
  if (line.includes("\x1b")) line = line.replace(escapes, "");
  if (line.endsWith("\r")) line = line.slice(0, -1);
  const over = line.lastIndexOf("\r");
  if (over >= 0) line = line.slice(over + 1);
  return line.length > longestLine ? `${line.slice(0, longestLine)}…` : line;
}

// logsOf finds the log of an entry's attempt by the events of its tasks: the last task that has a log has the complete log. Logs of earlier
// releases have no event. For these, logsOf returns the logs of the state that started during the attempt; in iterations of a Map, there can
// be several. After a redrive, a task counts its attempts from 1 again, but the entry does not.
function logsOf(logs, entry, attempt) {
  const shown = entry.attempts.find((a) => a.n === attempt);
  const found = (shown?.tasks ?? []).map((event) => logs.find((l) => l.Event === event)).findLast(Boolean);
  if (found || !shown) return found ? [found] : [];
  const within = (at) => at >= Math.round(shown.scheduled * 1000) && (!shown.ended || at <= Math.round(shown.ended * 1000));
  const during = logs.filter((l) => !l.Event && l.State === entry.state && within(Date.parse(l.Started)));
  const same = during.filter((l) => l.Attempt === attempt);
  return same.length > 0 ? same : during;
}

// Buffer keeps the last lines of a text that arrives in pieces.
export class Buffer {
  constructor() {
    this.lines = [];
    this.chars = this.gone = 0;
    this.rest = "";
  }

  // add adds a piece, and returns the lines that it completed.
  add(piece) {
    const parts = (this.rest + piece).split("\n");
    this.rest = parts.pop();
    if (this.rest.length > 4 * longestLine) this.rest = this.rest.slice(-4 * longestLine);
    const fresh = parts.map(clean);
    for (const line of fresh) {
      this.lines.push(line);
      this.chars += line.length;
    }
    this.trim();
    return fresh;
  }

  // trim drops a tenth of the lines at a time, so that it is rarely necessary.
  trim() {
    while (this.lines.length > keepLines || this.chars > keepChars) {
      const gone = this.lines.splice(0, Math.max(1, Math.min(keepLines / 10, this.lines.length >> 1)));
      this.gone += gone.length;
      for (const line of gone) this.chars -= line.length;
    }
  }
}

export class Logs {
  // onpick is called with the entry and the attempt whose log the user selects.
  constructor(arn, { onpick }) {
    Object.assign(this, { arn, buffer: new Buffer(), metrics: new Metrics(), shown: null, following: true });
    this.choice = h("select", { "aria-label": "Step and attempt", onchange: () => {
      const [i, n] = this.choice.value.split(":").map(Number);
      onpick(this.options[i], n);
    } });
    this.filter = h("input", { type: "search", placeholder: "Search the log", "aria-label": "Search the log", autocomplete: "off", spellcheck: "false", oninput: () => this.applyFilter() });
    this.follow = h("button.toggle", { type: "button", "aria-pressed": "true", onclick: () => this.setFollow(!this.following) }, "Follow");
    this.save = h("a.button", { download: "" }, "Download");
    this.how = h("span.muted", { role: "status" });
    this.trouble = h("div");
    this.list = new List({ label: "Log", render: (i, row) => this.render(row, i), role: "list" });
    this.list.node.classList.add("code", "log");
    this.list.node.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.node = h("div.logs", {}, h("div.tools", {}, this.choice, this.filter, this.follow, this.save, this.how), this.trouble, this.list.node);
    this.seen = () => this.visible();
    document.addEventListener("visibilitychange", this.seen);
    if (!server.features.has("log")) put(this.trouble, h("p.notice", {}, "This API does not store logs of jobs; only a rayorch server does. For the log of a Ray job, see the Ray dashboard."));
  }

  close() {
    this.over = true;
    this.stop?.abort();
    clearTimeout(this.timer);
    clearTimeout(this.resting);
    document.removeEventListener("visibilitychange", this.seen);
    this.list.close();
  }

  // offer updates the list of steps and attempts, and selects one.
  offer(view, entry, attempt) {
    this.options = view.steps.filter((s) => s.attempt > 0).slice(-500);
    const signature = this.options.map((s) => `${s.n}.${s.attempt}`).join();
    if (signature !== this.signature) {
      this.signature = signature;
      put(this.choice, this.options.flatMap((s, i) => s.attempts.map((a) => h("option", { value: `${i}:${a.n}` }, s.name + (s.attempts.length > 1 ? ` · attempt ${a.n}` : "")))));
      if (!this.options.length) put(this.choice, h("option", { value: "" }, "No job yet"));
    }
    const i = this.options.indexOf(entry);
    if (i >= 0) this.choice.value = `${i}:${attempt}`;
  }

  // show reads the log of an attempt from the beginning, and follows it.
  show(entry, attempt) {
    if (this.following) requestAnimationFrame(() => this.list.toEnd()); // lines that arrived while the tab was not shown
    if (!server.features.has("log") || this.entry === entry && this.attempt === attempt) return;
    Object.assign(this, { entry, attempt });
    this.begin();
  }

  begin() {
    this.stop?.abort();
    clearTimeout(this.timer);
    this.buffer = new Buffer();
    this.metrics.clear();
    this.shown = null;
    this.list.show(0);
    this.save.removeAttribute("href");
    if (this.entry) this.read(new AbortController(), 500);
  }

  async read(stop, pause) {
    this.stop = stop;
    const running = () => !this.entry.ended && this.entry.attempt === this.attempt;
    try {
      const found = await this.find(stop.signal);
      if (found.length > 1) {
        this.how.textContent = `An earlier release stored ${found.length} logs of this attempt without their iterations. To list them, run rayorch logs.`;
        return;
      }
      const task = found[0]?.Task;
      if (!task) {
        this.how.textContent = running() ? "No output yet" : "No output";
        if (running()) this.timer = setTimeout(() => this.read(stop, pause), 1000);
        return;
      }
      this.save.href = url("log", { execution: this.arn, task });
      this.save.download = `${this.entry.name}-${this.attempt}.log`;
      put(this.trouble);
      await this.stream(await open("log", { execution: this.arn, task, follow: "true" }, stop.signal), stop);
      if (!stop.signal.aborted && running()) throw new Error("The connection was lost. Reading the log again.");
    } catch (error) {
      if (stop.signal.aborted || error.name === "AbortError") return;
      put(this.trouble, problem(error));
      this.timer = setTimeout(() => { if (this.stop === stop) this.begin(); }, pause + 2000);
    }
  }

  async find(signal) {
    const { logs } = await extra("logs", { execution: this.arn }, signal);
    return logsOf(logs, this.entry, this.attempt);
  }

  async stream(response, stop) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || stop.signal.aborted) break;
      this.take(value);
    }
    if (this.buffer.rest) this.take("\n");
  }

  take(piece) {
    const gone = this.buffer.gone;
    const fresh = this.buffer.add(piece);
    for (const line of fresh) this.metrics.line(line);
    if (gone !== this.buffer.gone || this.shown && !this.wanted) this.applyFilter();
    else if (this.shown) {
      const from = this.buffer.lines.length - fresh.length;
      fresh.forEach((line, i) => { if (line.toLowerCase().includes(this.wanted)) this.shown.push(from + i); });
    }
    this.update(false);
  }

  applyFilter() {
    this.wanted = this.filter.value.toLowerCase();
    this.shown = null;
    if (this.wanted) {
      this.shown = [];
      this.buffer.lines.forEach((line, i) => { if (line.toLowerCase().includes(this.wanted)) this.shown.push(i); });
    }
    this.update(true);
  }

  update(all) {
    const n = this.shown?.length ?? this.buffer.lines.length;
    this.list.show(n, all || this.buffer.gone > 0);
    const lines = `${count(this.buffer.lines.length)} lines`;
    this.how.textContent = (this.shown ? `${count(n)} of ${lines}` : lines) + (this.buffer.gone ? `, ${count(this.buffer.gone)} older lines are not shown` : "");
    if (this.following) requestAnimationFrame(() => { if (!this.over && this.following) this.list.toEnd(); });
  }

  render(row, i) {
    const at = this.shown ? this.shown[i] : i;
    const line = this.buffer.lines[at] ?? "";
    put(row, h("span.line-number", { "aria-hidden": "true" }, String(at + 1 + this.buffer.gone)), h("code", {}, this.marked(line)));
  }

  // marked highlights the matches of the search.
  marked(line) {
    if (!this.shown) return line;
    const low = line.toLowerCase(), out = [];
    let at = 0;
    for (let i = low.indexOf(this.wanted); i >= 0 && out.length < 100; i = low.indexOf(this.wanted, at)) {
      out.push(line.slice(at, i), h("mark", {}, line.slice(i, i + this.wanted.length)));
      at = i + this.wanted.length;
    }
    out.push(line.slice(at));
    return out;
  }

  setFollow(on) {
    this.following = on;
    this.follow.setAttribute("aria-pressed", String(on));
    if (on) this.list.toEnd();
  }

  // scrolled stops following when the user scrolls up.
  scrolled() {
    const top = this.list.node.scrollTop;
    if (top < (this.top ?? 0) - 2 && !this.list.atEnd && this.following) this.setFollow(false);
    this.top = top;
  }

  // visible closes the connection while the tab is hidden, and reads the log again when it is visible.
  visible() {
    clearTimeout(this.resting);
    if (document.hidden) {
      this.resting = setTimeout(() => {
        this.rests = Boolean(this.entry && !this.entry.ended);
        if (this.rests) this.stop?.abort();
      }, 20_000);
    } else if (this.rests) {
      this.rests = false;
      this.begin();
    }
  }
}
