// The list of state machines, and the page of one.

import { h, put, icon, problem, copyButton } from "./dom.js";
import { call, extra, layout, mayRun, pages, server } from "./api.js";
import { count, exact, moment, nameOf, statusNames, statusWords, duration } from "./format.js";
import { askStart } from "./dialogs.js";
import { Definition } from "./json.js";
import { Graph } from "./graph.js";

const isCleanup = (name) => name.endsWith("-cleanup");

export function machinesPage(root, route, go) {
  const stop = new AbortController();
  const body = h("div.panel"), filter = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", oninput: () => draw() });
  const all = h("input", { type: "checkbox", onchange: () => draw() });
  let machines = [], counts = {};
  put(root, h("div.page", {}, h("div.page-head", {}, h("h1", {}, "State machines")),
    h("div.filters", {}, filter, h("label.check", {}, all, "Include cleanup machines")), body));

  async function load() {
    try {
      for await (const page of pages("ListStateMachines", { maxResults: 1000 }, stop.signal)) machines.push(...page.stateMachines);
      machines.sort((a, b) => a.name.localeCompare(b.name));
      draw();
      if (server.features.has("counts")) {
        counts = (await extra("counts", { all: true }, stop.signal)).machines;
        draw();
      }
    } catch (error) {
      if (error.name !== "AbortError") put(body, problem(error));
    }
  }

  const rowsShown = 500; // the filter finds the others
  function draw() {
    const wanted = filter.value.trim().toLowerCase();
    const matches = machines.filter((m) => m.name.toLowerCase().includes(wanted) && (all.checked || !isCleanup(m.name)));
    if (!matches.length) {
      put(body, h("div.empty", {}, h("h2", {}, machines.length ? "No matches" : "No state machines yet"),
        h("p", {}, "To create one from a pipeline, use rayorch run or rayorch register.")));
      return;
    }
    const heads = ["Name", "Running", "Succeeded", "Failed", "Created", ""];
    put(body, h("table.plain", {},
      h("thead", {}, h("tr", {}, heads.map((w) => h("th", { scope: "col" }, w || h("span.unseen", {}, "Actions"))))),
      h("tbody", {}, matches.slice(0, rowsShown).map(row))),
    matches.length > rowsShown ? h("p.muted", {}, `${count(matches.length - rowsShown)} more. To find them, filter by name.`) : null);
  }

  function row(m) {
    const n = counts[m.stateMachineArn];
    const number = (status, ...more) => {
      if (!n) return h("td.number.muted", {}, "–");
      const sum = [status, ...more].reduce((a, s) => a + (n[s] ?? 0), 0);
      const query = new URLSearchParams({ machine: m.stateMachineArn, status });
      return h("td.number", {}, sum ? h(`a.status.${statusWords[status]}`, { href: `#/executions?${query}` }, count(sum)) : h("span.muted", {}, "0"));
    };
    return h("tr", {},
      h("th", { scope: "row" }, h("a", { href: `#/machine/${encodeURIComponent(m.stateMachineArn)}` }, m.name), m.type === "EXPRESS" ? h("span.tag", {}, "Express") : null),
      number("RUNNING"), number("SUCCEEDED"), number("FAILED", "TIMED_OUT", "ABORTED"),
      h("td.wide-only", {}, h("time", { datetime: exact(m.creationDate) }, moment(m.creationDate))),
      h("td.end", {}, mayRun() ? h("button", { type: "button", "aria-label": `Start ${m.name}`, onclick: () => startMachine(m.stateMachineArn, go) }, "Start") : null));
  }

  load();
  return { close() { stop.abort(); } };
}

// startMachine asks for the input of a state machine, starts an execution, and shows it.
export async function startMachine(arn, go, input) {
  let definition = "";
  try {
    definition = (await call("DescribeStateMachine", { stateMachineArn: arn })).definition;
  } catch {
    // Without a definition, the dialog asks for JSON. If the state machine does not exist, StartExecution reports it.
  }
  const started = await askStart({ arn, definition, input });
  if (started) go({ page: "execution", arn: started });
}

export function machinePage(root, route, go) {
  const stop = new AbortController();
  const page = h("div.page", {}, h("p.boot", { role: "status" }, "Loading…"));
  let graph, definition;
  put(root, page);

  async function load() {
    const m = await call("DescribeStateMachine", { stateMachineArn: route.arn }, stop.signal);
    const drawn = h("div.graph-holder"), recent = h("div.panel", {}, h("p.muted.pad", {}, "Loading…"));
    definition = new Definition(m.definition);
    graph = new Graph({ onpick: (name) => { graph.select(name); definition.reveal(name); } });
    put(drawn, graph.node);
    const query = new URLSearchParams({ machine: m.stateMachineArn });
    put(page,
      h("nav.crumbs", { "aria-label": "Breadcrumbs" }, h("a", { href: "#/machines" }, "State machines"), h("span", { "aria-hidden": "true" }, "/"), h("span", {}, m.name)),
      h("div.page-head", {}, h("h1", {}, m.name), m.type === "EXPRESS" ? h("span.tag", {}, "Express") : null,
        h("div.actions", {}, h("a.button", { href: `#/executions?${query}` }, "Executions"),
          mayRun() ? h("button.primary", { type: "button", onclick: () => startMachine(m.stateMachineArn, go) }, "Start") : null)),
      m.description ? h("p.lead", {}, m.description) : null,
      h("div.split", {}, h("section.panel", { "aria-label": "Graph" }, drawn),
        h("section.panel.definition-panel", { "aria-label": "Definition" }, h("div.panel-head", {}, h("h2", {}, "Definition"), copyButton("definition", () => m.definition)), definition.node)),
      h("section", {}, h("h2", {}, "Newest executions"), recent),
      h("dl.facts", {}, fact("ARN", m.stateMachineArn), fact("Revision", m.revisionId ?? "–"), fact("Created", moment(m.creationDate))));
    layout(m.definition, stop.signal).then((placed) => graph.draw(placed), (error) => {
      if (error.name !== "AbortError") put(drawn, problem(error));
    });
    await newest(recent, m);
  }

  async function newest(node, m) {
    if (m.type === "EXPRESS") {
      put(node, h("p.muted.pad", {}, "Executions of Express state machines are not stored."));
      return;
    }
    const { executions } = await call("ListExecutions", { stateMachineArn: m.stateMachineArn, maxResults: 8 }, stop.signal);
    if (!executions.length) put(node, h("p.muted.pad", {}, "No executions yet."));
    else put(node, h("ul.plain-list", {}, executions.map((x) => h("li", {},
      h(`span.status.${statusWords[x.status]}`, {}, icon(statusWords[x.status]), statusNames[x.status]),
      h("a", { href: `#/execution/${encodeURIComponent(x.executionArn)}` }, x.name),
      h("span.muted", {}, moment(x.startDate)), h("span.muted", {}, x.stopDate ? duration(x.stopDate - x.startDate) : "")))));
  }

  load().catch((error) => { if (error.name !== "AbortError") put(page, h("h1", {}, nameOf(route.arn)), problem(error)); });
  return { close() { stop.abort(); graph?.close(); definition?.close(); } };
}

const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
