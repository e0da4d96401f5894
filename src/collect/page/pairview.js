// Everything known of one pair: both directions side by side, each with its numbers, charts and lossy ports.

import { PROBES, VIEWS, delay, known, loss, share } from "./scale.js";
import { byId, clean, clock, el, span } from "./dom.js";
import { nameOf, statusOf, words } from "./model.js";
import { look, place } from "./details.js";
import { byPercentile, decadesOf, delayOverTime, lossOverTime, spanOf } from "./charts.js";

const NOT_SEEN = { node: "", zone: "", rack: "", region: "" };
const STATES = ["waiting", "fresh", "stale"];

let charts = [];

// A kind as cells of the map are.
const cellOf = (kind) => ({
  state: STATES.indexOf(kind.state), sent: kind.counts.sent, received: kind.counts.received, series: 1, stale: 0,
  failed: kind.counts.lost + kind.counts.refused + kind.counts.unreachable,
  p50: kind.rtt.p50_ns, p99: kind.rtt.p99_ns, p999: kind.rtt.p999_ns, host: kind.host_delay.p99_ns,
});

export function clear() {
  for (const chart of charts) chart.destroy();
  charts = [];
  byId("directions").replaceChildren();
}

// `answer` is null where nobody probes between the two.
export function paint(answer, state, probe, absent, palette) {
  const [from, to] = [state.src, state.dst].map((node) => nameOf({ name: node }));
  byId("pair-view-title").textContent = `${from} ⇄ ${to}`;
  const directions = answer?.directions ?? [];
  const ends = directions.find(({ kinds }) => kinds.length > 0);
  byId("pair-place").textContent = ends ? `${place(ends.source)} ⇄ ${place(ends.destination)}; numbers over ${known(VIEWS, state.view).name}` : "";
  // Charts under the pointer stay as they are: who reads one doesn't want it pulled away.
  if (byId("directions").matches(":hover") && byId("directions").dataset.pair === `${state.src}>${state.dst}>${probe}>${state.view}`) return;
  clear();
  byId("directions").dataset.pair = `${state.src}>${state.dst}>${probe}>${state.view}`;
  if (!ends) {
    byId("directions").replaceChildren(el("p.empty", `Neither direction is known: ${absent}, or nothing was heard of it for long.`));
    return;
  }
  // Both directions are drawn to the same scales, so that they can be compared by eye.
  const chosen = directions.map(({ kinds }) => kinds.find((kind) => kind.probe === probe));
  const panes = chosen.flatMap((kind) => kind?.panes ?? []);
  const all = directions.flatMap(({ kinds }) => kinds);
  const scales = {
    time: spanOf(panes),
    delay: decadesOf(panes.flatMap((pane) => [pane.p50_ns, pane.p999_ns, pane.host_delay_p99_ns])),
    loss: Math.max(0.01, ...panes.map((pane) => (pane.received + pane.failed > 0 ? pane.failed / (pane.received + pane.failed) : 0))),
    percentile: decadesOf(all.flatMap(({ distribution: { ns } }) => [ns[0], ns.at(-1)])),
    most: Math.max(10, ...all.map(({ distribution: { count } }) => count.reduce((sum, n) => sum + n, 0))),
  };
  const columns = directions.map((direction) => column(direction, probe, absent, answer.now_ms));
  byId("directions").replaceChildren(...columns.map(({ section }) => section));
  columns.forEach((parts, at) => draw(parts, directions[at], chosen[at], scales, palette));
}

function column({ source = NOT_SEEN, destination = NOT_SEEN, kinds }, probe, absent, now) {
  const title = el("h3", `${nameOf({ name: source.node })} → ${nameOf({ name: destination.node })}`);
  if (kinds.length === 0) return { section: el("section.direction", [title, el("p.empty", `This direction is ${absent}.`)]) };
  const kind = kinds.find((one) => one.probe === probe);
  const label = known(PROBES, probe).label;
  const parts = { delay: el("div.chart"), loss: el("div.chart"), percentile: el("div.chart") };
  const figure = (box, caption) => el("figure", [el("figcaption", caption), box]);
  const children = [title, status(kind, label, absent, now), el("div.scroll.numbers", [table(kinds, probe)], { tabindex: "0", role: "group", "aria-label": "Numbers by kind of probe" })];
  if (kind) {
    children.push(figure(parts.delay, `${label} delay over time, host delay beside it`), figure(parts.loss, `${label} loss over time`));
  }
  children.push(figure(parts.percentile, "Delay by percentile, all kinds of probe"), flows(kinds));
  if (kind) children.push(facts(kind, now));
  return { section: el("section.direction", children), ...parts };
}

function status(kind, label, absent, now) {
  if (!kind) return el("p.state", `${label}: ${absent}`);
  const cell = cellOf(kind), state = statusOf(cell);
  const failing = kind.failing_since_ms ? `, failing since ${clock(kind.failing_since_ms, now)} (${span(now - kind.failing_since_ms)})` : "";
  const line = el("p.state", `${label}: ${words(cell, state)}${failing}`);
  line.dataset.state = look(cell, state);
  return line;
}

function table(kinds, probe) {
  const heads = ["Probe", "p50", "p90", "p99", "p99.9", "Max", "Loss", "Host p99", "Sent"].map((text) => el("th", text, { scope: "col" }));
  const rows = kinds.map((kind) => {
    const { rtt, counts } = kind;
    const row = el("tr", [el("th", known(PROBES, kind.probe).label, { scope: "row" }),
      ...[rtt.p50_ns, rtt.p90_ns, rtt.p99_ns, rtt.p999_ns, rtt.max_ns].map((ns) => el("td", delay(ns))),
      el("td", share(loss(cellOf(kind)))), el("td", delay(kind.host_delay.p99_ns)), el("td", String(counts.sent))]);
    if (kind.probe === probe) row.classList.add("chosen");
    return row;
  });
  return el("table", [el("thead", [el("tr", heads)]), el("tbody", rows)]);
}

// Each source port takes its own path through the network, so one that loses while others don't names a broken path.
function flows(kinds) {
  const some = kinds.filter((kind) => kind.flows_used > 0);
  const body = some.flatMap((kind) => kind.flows.filter((flow) => flow.lost > 0).map((flow) => {
    const bar = el("i.bar-of", null, { "aria-hidden": "true" });
    bar.style.width = `${Math.max(2, Math.round(100 * flow.lost / kind.flows[0].lost))}%`;
    return el("tr", [el("th", `${known(PROBES, kind.probe).label} ${flow.port}`, { scope: "row" }), el("td", String(flow.lost)), el("td", String(flow.windows)), el("td.bars", [bar])]);
  }));
  const used = some.map((kind) => `${kind.flows_used} ${known(PROBES, kind.probe).label} source ports`).join(", ");
  const title = el("h4", "Loss by source port");
  if (some.length === 0) return el("div.flows", [title, el("p.hint", "No kind of probe here varies its source port.")]);
  if (body.length === 0) return el("div.flows", [title, el("p.hint", `No loss on any: ${used} in a window.`)]);
  const heads = ["Port", "Lost", "Windows", ""].map((text) => el("th", text, { scope: "col" }));
  return el("div.flows", [title, el("p.hint", `${used} in a window; the worst of each window is counted.`),
    el("table", [el("thead", [el("tr", heads)]), el("tbody", body)])]);
}

function facts({ counts, rtt, method, window_ms: window, flows_used: _, ...kind }, now) {
  const list = el("dl.facts");
  const add = (term, text) => list.append(el("div", [el("dt", term), el("dd", text)]));
  add("Min / mean / max", [rtt.min_ns, rtt.mean_ns, rtt.max_ns].map(delay).join(" / "));
  const fates = [["lost", counts.lost], ["refused", counts.refused], ["unreachable", counts.unreachable], ["send errors", counts.send_error],
    ["late", counts.late], ["duplicate", counts.duplicate], ["skipped", counts.skipped]].filter(([, count]) => count > 0);
  add("Received", `${counts.received} of ${counts.sent}`);
  add("Other fates", fates.length > 0 ? fates.map(([name, count]) => `${count} ${name}`).join(", ") : "none");
  add("Measured by", clean(method) + (kind.destination_ip ? ` to ${clean(kind.destination_ip)}${kind.destination_port ? `, port ${kind.destination_port}` : ""}` : ""));
  if (window > 0) add("Windows", span(window));
  if (kind.last_seen_ms) add("Last record", `${span(now - kind.last_seen_ms)} ago`);
  return list;
}

function draw(parts, direction, kind, scales, palette) {
  if (!parts.percentile) return;
  const width = parts.percentile.clientWidth;
  if (kind && scales.time) {
    charts.push(delayOverTime(parts.delay, width, kind.panes, scales.time, scales.delay, kind.failing_since_ms, palette));
    charts.push(lossOverTime(parts.loss, width, kind.panes, scales.time, scales.loss, kind.failing_since_ms, palette));
  }
  const kinds = direction.kinds.map((one) => ({ ...one, label: known(PROBES, one.probe).label }));
  charts.push(byPercentile(parts.percentile, width, kinds, scales.percentile, scales.most, palette));
}
