// A virtual list: the page contains elements only for visible rows, so that a list of 100,000 rows costs as much as one of fifty.

import { h } from "./dom.js";

const extra = 8; // rows above and below the visible ones, so that fast scrolling shows no gap

// longest is the maximum height in pixels that browsers lay out reliably. A higher list scrolls in larger steps.
const longest = 15_000_000;

// List shows rows of the same height. Options: render(index, row) fills a row element; label is the accessible name; onpick(index) is called
// for Enter and clicks; onseen(first, last) is called when other rows become visible; role is "list" or "table".
export class List {
  constructor(options) {
    this.options = options;
    this.count = 0;
    this.active = -1;
    this.rows = new Map();
    this.spare = [];
    this.inner = h("div.rows");
    this.node = h("div.scroller", { tabindex: "0", role: options.role ?? "list", "aria-label": options.label }, this.inner);
    this.node.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("click", (event) => this.click(event));
    this.resized = new ResizeObserver(() => this.schedule(true));
    this.resized.observe(this.node);
  }

  close() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  // rowHeight is from the style sheet, because rows are higher on narrow pages.
  get rowHeight() {
    return parseFloat(getComputedStyle(this.node).getPropertyValue("--row")) || 28;
  }

  // show sets the number of rows, and renders the visible ones again if all is true.
  show(count, all = true) {
    this.count = count;
    this.schedule(all);
  }

  schedule(all = false) {
    this.all ||= all;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw(this.all);
      this.all = false;
    });
  }

  draw(all) {
    const height = this.rowHeight, seen = this.node.clientHeight;
    const total = this.count * height;
    this.inner.style.height = `${Math.min(total, longest)}px`;
    const scale = total > longest ? (total - seen) / (longest - seen) : 1;
    const top = this.node.scrollTop * scale;
    const first = Math.max(0, Math.floor(top / height) - extra);
    const last = Math.min(this.count, Math.ceil((top + seen) / height) + extra);
    for (const [index, row] of this.rows) {
      if (index >= first && index < last) continue;
      this.rows.delete(index);
      this.spare.push(row);
    }
    const shift = this.node.scrollTop - top;
    for (let index = first; index < last; index++) {
      const old = this.rows.get(index);
      const row = old ?? this.take(index);
      row.style.transform = `translateY(${index * height + shift}px)`;
      if (!old || all) this.fill(row, index);
    }
    for (const row of this.spare) row.remove();
    this.spare.length = 0;
    this.node.setAttribute("aria-busy", "false");
    this.options.onseen?.(first, last);
  }

  take(index) {
    const row = this.spare.pop() ?? h("div.row", { role: this.options.role === "table" ? "row" : "listitem" });
    this.rows.set(index, row);
    if (!row.isConnected) this.inner.append(row);
    return row;
  }

  fill(row, index) {
    row.dataset.index = index;
    row.id = `${this.id}-${index}`;
    row.setAttribute(this.options.role === "table" ? "aria-rowindex" : "aria-posinset", index + 1);
    row.classList.toggle("active", index === this.active);
    this.options.render(index, row);
  }

  get id() {
    this.unique ??= `list-${++List.made}`;
    return this.unique;
  }

  click(event) {
    const row = event.target.closest(".row");
    if (!row || getSelection()?.toString()) return;
    this.activate(Number(row.dataset.index), false);
    if (!event.target.closest("a, button")) this.options.onpick?.(this.active, event);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.target !== this.node || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in steps && this.count > 0) {
      event.preventDefault();
      this.activate(Math.max(0, Math.min(this.count - 1, this.active + steps[event.key])), true);
    } else if ((event.key === "Enter" || event.key === " ") && this.active >= 0) {
      event.preventDefault();
      this.options.onpick?.(this.active, event);
    }
  }

  activate(index, scroll) {
    this.active = index;
    if (scroll) this.reveal(index);
    this.draw(true);
    this.node.setAttribute("aria-activedescendant", `${this.id}-${index}`);
  }

  // reveal scrolls as little as necessary to make a row visible.
  reveal(index) {
    const height = this.rowHeight, seen = this.node.clientHeight, total = this.count * height;
    const scale = total > longest ? (total - seen) / (longest - seen) : 1;
    const top = this.node.scrollTop * scale, at = index * height;
    if (at < top) this.node.scrollTop = at / scale;
    else if (at + height > top + seen) this.node.scrollTop = (at + height - seen) / scale;
  }

  get atEnd() {
    return this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight < 2 * this.rowHeight;
  }

  toEnd() {
    this.draw(false);
    this.node.scrollTop = this.node.scrollHeight;
    this.schedule();
  }
}

List.made = 0;
