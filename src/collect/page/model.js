// The matrix as the page sees it: groups (nodes, racks, zones or regions) in order, cells by source and destination.

import { PROBES, SHADE, delay, known, loss, share, stepOf } from "./scale.js";
import { clean } from "./dom.js";
import { brief, middle } from "./names.js";

const LONG = 20;    // letters; names longer than this are shortened in lists
const LONGEST = 36;  // letters; beyond, they are cut in the middle

const order = new Intl.Collator("en", { numeric: true });

// "region", "region/zone", "region/zone/rack" of a group, as filters name them.
export const placeOf = (group, depth) => [group.region, group.zone, group.rack].slice(0, depth).map(encodeURIComponent).join("/");

// A place from an address, written as placeOf writes it; null where it is none.
export function placed(text) {
  const parts = text ? text.split("/") : [];
  if (parts.length === 0 || parts.length > 3) return null;
  try {
    return parts.map((part) => encodeURIComponent(decodeURIComponent(part))).join("/");
  } catch {
    return null; // a percent sign that begins no letter
  }
}

export const within = (group, place) => place === null || placeOf(group, place.split("/").length) === place;

export const NOTHING = {
  groups: [], cells: { source: [], destination: [], state: [], sent: [], received: [], failed: [], p50_ns: [], p99_ns: [], p999_ns: [], host_delay_p99_ns: [] },
};

export class Model {
  // `absent`: what is said of a pair that isn't there.
  constructor({ groups, cells, level, probe, now_ms, declined }, absent) {
    Object.assign(this, { groups, cells, level, probe, now_ms, declined, absent });
    this.count = cells.source.length;
    this.index = new Map(groups.map((group, at) => [group.name, at]));
    // Cells ascend by (source, destination): a source's are those from first[source] to first[source + 1].
    this.first = new Uint32Array(groups.length + 1);
    for (const source of cells.source) this.first[source + 1] += 1;
    for (let at = 0; at < groups.length; at++) this.first[at + 1] += this.first[at];
    this.sorted = groups.map((_, at) => at).sort((a, b) => compare(groups[a], groups[b]));
    this.memo = new Map();
  }

  // Which groups are rows and which are columns.
  show(from, to) {
    this.rows = this.sorted.filter((at) => within(this.groups[at], from));
    this.columns = this.sorted.filter((at) => within(this.groups[at], to));
    this.rowOf = places(this.rows, this.groups.length);
    this.columnOf = places(this.columns, this.groups.length);
  }

  // The number of a cell; -1 where nobody measures.
  find(source, destination) {
    const { destination: to } = this.cells;
    let low = this.first[source], high = this.first[source + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (to[middle] < destination) low = middle + 1;
      else high = middle;
    }
    return low < this.first[source + 1] && to[low] === destination ? low : -1;
  }

  cell(k) {
    if (k < 0) return null;
    const { cells } = this;
    return {
      source: cells.source[k], destination: cells.destination[k], state: cells.state[k],
      sent: cells.sent[k], received: cells.received[k], failed: cells.failed[k],
      p50: cells.p50_ns[k], p99: cells.p99_ns[k], p999: cells.p999_ns[k], host: cells.host_delay_p99_ns[k],
      series: cells.series?.[k] ?? 1, stale: this.staleIn(k),
    };
  }

  staleIn(k) {
    return this.cells.stale?.[k] ?? (this.cells.state[k] === 2 ? 1 : 0);
  }

  between(source, destination) {
    return this.cell(this.find(source, destination));
  }

  // Names for lists, where two stand beside numbers.
  get short() {
    this.brief ??= brief(this.groups.map(nameOf), LONG);
    return this.brief;
  }

  // Both ends of a cell, shortened.
  ends({ source, destination }) {
    return [source, destination].map((at) => middle(this.short.names[at], (text) => text.length <= LONGEST));
  }

  // The same in full, as one text.
  fullEnds({ source, destination }) {
    return [source, destination].map((at) => nameOf(this.groups[at])).join(" → ");
  }

  // Every cell's value of a metric (NaN for none) and its shade.
  of(metric) {
    if (!this.memo.has(metric.id)) {
      const values = new Float64Array(this.count), shades = new Uint8Array(this.count);
      for (let k = 0; k < this.count; k++) {
        const cell = this.cell(k);
        const value = metric.value(cell);
        const status = statusOf(cell);
        values[k] = value ?? NaN;
        shades[k] = status !== "live" ? SHADE[status] : value === null ? SHADE.idle : SHADE.level + stepOf(metric, value);
      }
      this.memo.set(metric.id, { values, shades });
    }
    return this.memo.get(metric.id);
  }

  // Numbers of every cell that is shown and `chosen`, and the `most` worst of them.
  sum(metric, chosen, most) {
    const { values, shades } = this.of(metric);
    const sum = { shown: 0, received: 0, failed: 0, lossy: 0, dead: 0, stale: 0, silent: 0, waiting: 0, measured: 0, worst: [] };
    const rank = (k) => (shades[k] === SHADE.dead ? 2e12 : shades[k] === SHADE.stale ? 1e12 : 0) + (values[k] || 0);
    for (const source of this.rows) {
      for (let k = this.first[source]; k < this.first[source + 1]; k++) {
        const destination = this.cells.destination[k];
        if (this.columnOf[destination] < 0 || (chosen && !chosen(source, destination))) continue;
        sum.shown += 1;
        if (shades[k] === SHADE.waiting) {
          sum.waiting += 1;
          continue;
        }
        sum.measured += 1;
        sum.received += this.cells.received[k];
        sum.failed += this.cells.failed[k];
        sum.lossy += this.cells.failed[k] > 0;
        sum.dead += shades[k] === SHADE.dead;
        // Pairs of nodes, and the cells that hold some.
        const stale = this.staleIn(k);
        sum.stale += stale;
        sum.silent += stale > 0;
        const place = rank(k);
        let at = sum.worst.length;
        while (at > 0 && sum.worst[at - 1].place < place) at -= 1;
        if (at < most) {
          sum.worst.splice(at, 0, { k, place });
          sum.worst.length = Math.min(sum.worst.length, most);
        }
      }
    }
    return sum;
  }
}

function compare(a, b) {
  return order.compare(a.region, b.region) || order.compare(a.zone, b.zone) || order.compare(a.rack, b.rack)
    || order.compare(a.name, b.name) || (a.name < b.name ? -1 : 1);
}

function places(list, size) {
  const places = new Int32Array(size).fill(-1);
  list.forEach((group, at) => { places[group] = at; });
  return places;
}

// What a cell shows beyond its number.
export function statusOf(cell) {
  if (cell.state === 0) return "waiting";
  if (cell.state === 2) return "stale";
  if (cell.sent === 0) return "idle";
  if (cell.received + cell.failed === 0) return "unsent";
  return cell.received === 0 ? "dead" : "live";
}

export const nameOf = (group) => (group.name === "" ? "no label" : clean(group.name));

export function words(cell, status) {
  switch (status) {
    case "waiting": return "no data yet";
    case "stale": return "stale: no record for several windows";
    case "idle": return "no probe in this span";
    case "unsent": return "nothing could be sent";
    case "dead": return "no answer to any probe";
    default: return cell.failed > 0 ? "answers, with loss" : "answers";
  }
}

// The cell's numbers in one sentence: the tip, and what is said to those who hear the page.
export function sentence(model, source, destination) {
  const [from, to] = [model.groups[source], model.groups[destination]];
  const cell = model.between(source, destination);
  const where = `${nameOf(from)} to ${nameOf(to)}, ${known(PROBES, model.probe).label}`;
  if (!cell) return `${where}: ${source === destination && model.level === "node" ? "the node itself, not probed" : model.absent}.`;
  const status = statusOf(cell);
  const many = cell.series > 1 ? ` ${cell.series} pairs${cell.stale > 0 && status !== "stale" ? `, ${cell.stale} of them stale` : ""}.` : "";
  if (status === "waiting" || cell.sent === 0) return `${where}: ${words(cell, status)}.${many}`;
  return `${where}: ${words(cell, status)}. p50 ${delay(cell.p50)}, p99 ${delay(cell.p99)}, p99.9 ${delay(cell.p999)}, ` +
    `loss ${share(loss(cell))}, host delay p99 ${delay(cell.host)}, ${cell.received} of ${cell.sent} probes answered.${many}`;
}
