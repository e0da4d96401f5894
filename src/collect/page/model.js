// The matrix as the page sees it: nodes in order, and for every probe the row of a (source, destination).

import { METRICS, PROBES, delay, loss, share } from "./scale.js";

// Names come from the network. They are only ever put in as text; what would reorder or hide text is shown as U+FFFD.
export const clean = (name) => String(name).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");

const order = new Intl.Collator("en", { numeric: true });

export class Model {
  constructor(rows) {
    const nodes = new Map();
    for (const row of rows) {
      nodes.set(row.src_node, { name: row.src_node, zone: row.src_zone, rack: row.src_rack });
      // What a source says of itself beats what others say of it.
      if (!nodes.has(row.dst_node)) nodes.set(row.dst_node, { name: row.dst_node, zone: row.dst_zone, rack: row.dst_rack });
    }
    this.rows = rows;
    this.nodes = [...nodes.values()].sort(
      (a, b) => order.compare(a.zone, b.zone) || order.compare(a.rack, b.rack) || order.compare(a.name, b.name) || (a.name < b.name ? -1 : 1),
    );
    this.index = new Map(this.nodes.map((node, at) => [node.name, at]));
    this.cells = new Map(PROBES.map(({ id }) => [id, new Map()]));
    for (const row of rows) this.cells.get(row.probe)?.set(this.index.get(row.src_node) * this.nodes.length + this.index.get(row.dst_node), row);
  }

  get size() {
    return this.nodes.length;
  }

  row(probe, source, destination) {
    return this.cells.get(probe)?.get(source * this.nodes.length + destination);
  }

  has(probe) {
    return (this.cells.get(probe)?.size ?? 0) > 0;
  }

  rowsOf(probe) {
    return [...(this.cells.get(probe)?.values() ?? [])];
  }
}

// What a cell shows beyond its number: "self", "absent", "waiting", "stale", "dead" or "live".
export function stateOf(row, source, destination) {
  if (!row) return source === destination ? "self" : "absent";
  if (row.state === "waiting") return "waiting";
  if (row.stale) return "stale";
  return row.sent > 0 && row.received === 0 ? "dead" : "live";
}

export function words(row, state) {
  switch (state) {
    case "self": return "the node itself, not probed";
    case "absent": return "not probed";
    case "waiting": return "no data yet";
    case "stale": return "stale: no record for several windows, the last numbers known";
    case "dead": return row.sent === row.send_error ? "nothing could be sent" : "no answer to any probe";
    default: return loss(row) > 0 ? "answers, with loss" : "answers";
  }
}

// The pair's numbers in one sentence, for those who hear the page.
export function sentence(model, probe, source, destination) {
  const [from, to] = [model.nodes[source], model.nodes[destination]];
  const row = model.row(probe, source, destination);
  const state = stateOf(row, source, destination);
  const where = `${clean(from.name)} to ${clean(to.name)}, ${PROBES.find((p) => p.id === probe).label}: ${words(row, state)}`;
  if (!row || state === "waiting") return `${where}.`;
  return `${where}. p50 ${delay(row.rtt_p50_ns)}, p99 ${delay(row.rtt_p99_ns)}, p99.9 ${delay(row.rtt_p999_ns)}, ` +
    `loss ${share(loss(row))}, host delay p99 ${delay(row.host_delay_p99_ns)}, ${row.received} of ${row.sent} probes answered.`;
}

// Worst first: what answers nothing, what is silent, then by the metric.
export function ranked(rows, metric) {
  const weight = (row) => ({ dead: 2, stale: 1 })[stateOf(row)] ?? 0;
  return rows
    .filter((row) => row.state !== "waiting")
    .sort((a, b) => weight(b) - weight(a) || (metric.value(b) ?? -1) - (metric.value(a) ?? -1) || (loss(b) ?? 0) - (loss(a) ?? 0));
}

export const metricOf = (id) => METRICS.find((metric) => metric.id === id);
