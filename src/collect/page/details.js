// What stands beside and below the map: the chosen pair, the scale, the tiles, the worst pairs. All names go in as text.

import { METRICS, PROBES, css, delay, inkOn, loss, share } from "./scale.js";
import { clean, ranked, stateOf, words } from "./model.js";

const WORST = 12;

export const byId = (id) => document.getElementById(id);

export function el(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text !== null && text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

// A bound of the scale without the zeros of a measured value: 2.5 ms, not 2.50 ms.
const bound = (text) => text.replace(/(\.\d*?)0+(?= )/, "$1").replace(/\.(?= )/, "");

const with_class = (node, name) => (node.classList.add(name), node);

function place(node) {
  const where = [node.zone, node.rack].filter((part) => part !== "").map(clean).join(" / ");
  return where === "" ? "no zone" : where;
}

// The pair's panel: every probe kind, both directions, then all that is known of the chosen kind.
export function pair(model, cell, probe, now) {
  const { source, destination } = cell;
  const [from, to] = [model.nodes[source], model.nodes[destination]];
  const head = with_class(el("p", null, with_class(el("b", clean(from.name)), "node"), " → ", with_class(el("b", clean(to.name)), "node")), "ends");
  const where = with_class(el("p", `${place(from)} → ${place(to)}`), "hint");
  if (source === destination) return [head, el("p", "The node itself. Its own address is never probed.")];

  const body = el("tbody");
  for (const kind of PROBES) {
    const [there, back] = [model.row(kind.id, source, destination), model.row(kind.id, destination, source)];
    if (!there && !back) continue;
    const line = el("tr", null, with_class(el("th", kind.label), "name"));
    line.firstChild.scope = "row";
    if (kind.id === probe) line.classList.add("chosen");
    const dead = there && stateOf(there) === "dead";
    line.append(
      el("td", dead ? "none" : delay(there?.rtt_p50_ns)), el("td", dead ? "none" : delay(there?.rtt_p99_ns)), el("td", share(there ? loss(there) : null)),
      el("td", delay(there?.host_delay_p99_ns)), el("td", delay(back?.rtt_p99_ns)),
    );
    body.append(line);
  }
  const heads = ["Probe", "p50", "p99", "Loss", "Host p99", "← p99"].map((text) => el("th", text));
  heads.forEach((th) => { th.scope = "col"; });
  heads[5].title = "p99 in the other direction";
  const kinds = with_class(el("div", null, el("table", null, el("thead", null, el("tr", null, ...heads)), body)), "scroll");

  const row = model.row(probe, source, destination);
  const state = stateOf(row, source, destination);
  const status = with_class(el("p", `${PROBES.find((p) => p.id === probe).label}: ${words(row, state)}`), "state");
  status.dataset.state = state === "live" && loss(row) > 0 ? "lossy" : state;
  if (!row || state === "waiting") return [head, where, kinds, status];
  return [head, where, status, kinds, facts(row, now)];
}

function facts(row, now) {
  const list = with_class(el("dl"), "facts");
  const add = (term, text) => list.append(el("div", null, el("dt", term), el("dd", text)));
  add("Min / mean / max", [row.rtt_min_ns, row.rtt_mean_ns, row.rtt_max_ns].map(delay).join(" / "));
  add("p90 / p99.9", [row.rtt_p90_ns, row.rtt_p999_ns].map(delay).join(" / "));
  add("Sent / received", `${row.sent} / ${row.received}`);
  const fates = [["lost", row.lost], ["refused", row.refused], ["unreachable", row.unreachable], ["send errors", row.send_error],
    ["late", row.late], ["duplicate", row.duplicate], ["skipped", row.skipped]].filter(([, count]) => count > 0);
  add("Other fates", fates.length > 0 ? fates.map(([name, count]) => `${count} ${name}`).join(", ") : "none");
  add("Measured by", `${clean(row.method)} to ${clean(row.dst_ip)}${row.dst_port ? `, port ${row.dst_port}` : ""}`);
  add("Clocks (sent / received)", `${clean(row.timestamp_tx ?? "–")} / ${clean(row.timestamp_rx ?? "–")}`);
  add("Covers", `${Math.round((row.window_end_ms - row.window_start_ms) / 1000)} s, until ${new Date(row.window_end_ms).toISOString().slice(11, 19)} UTC`);
  add("Last record", `${Math.max(0, Math.round((now - row.last_seen_ms) / 1000))} s ago`);
  return list;
}

// The colour scale and the marks outside it.
export function legend(metric, palette) {
  const { steps, format } = metric;
  const levels = palette.levels(metric);
  const items = levels.map((colour, level) => {
    const text = level === steps.length ? `> ${bound(format(steps[level - 1]))}` : steps[level] === 0 ? "none" : `≤ ${bound(format(steps[level]))}`;
    return chip(colour, text, "level");
  });
  const scale = with_class(el("div", null, ...items), "levels");
  const marks = with_class(el("div", null, chip(palette.dead, "no answer", "mark", "✕"), chip(palette.stale, "stale", "mark", "╱╱"),
    chip(palette.absent, "some loss", "mark", "◥"), chip(palette.self, "self", "mark", "╱"), chip(palette.absent, "not probed", "mark")), "marks");
  marks.children[2].firstChild.style.color = css(palette.dead);
  return [with_class(el("p", `${metric.name}, fixed scale`), "hint"), scale, marks];
}

function chip(colour, text, kind, sign = "") {
  const swatch = with_class(el("i", sign), "swatch");
  swatch.setAttribute("aria-hidden", "true");
  swatch.style.background = css(colour);
  swatch.style.color = inkOn(colour);
  return with_class(el("span", null, swatch, el("span", text)), kind);
}

export function tiles(model, probe, metric, view_ms) {
  const rows = model.rowsOf(probe).filter((row) => row.state !== "waiting");
  const set = (id, value, sub, bad = false) => {
    byId(id).textContent = value;
    byId(`${id}-sub`).textContent = sub;
    byId(id).parentElement.classList.toggle("bad", bad);
  };
  const label = PROBES.find((p) => p.id === probe).label;
  set("tile-nodes", String(model.size), `${rows.length} ${label} pairs, last ${Math.round(view_ms / 1000)} s`);
  const [worst] = ranked(rows, metric);
  const dead = rows.filter((row) => stateOf(row) === "dead").length;
  byId("tile-worst-name").textContent = `Worst ${metric.name}`;
  set("tile-worst", worst ? (stateOf(worst) === "dead" ? "no answer" : metric.format(metric.value(worst))) : "–",
    worst ? `${clean(worst.src_node)} → ${clean(worst.dst_node)}` : "no data yet", dead > 0);
  const left = rows.reduce((sum, row) => sum + row.sent - row.send_error, 0);
  const lossy = rows.filter((row) => loss(row) > 0).length;
  const received = rows.reduce((sum, row) => sum + row.received, 0);
  set("tile-loss", share(left > 0 ? (left - received) / left : null), lossy > 0 ? `▲ ${lossy} of ${rows.length} pairs` : `all ${rows.length} pairs answer`, lossy > 0);
  if (rows.length === 0) byId("tile-loss-sub").textContent = "no data yet";
  const stale = rows.filter((row) => row.stale).length;
  set("tile-stale", String(stale), stale > 0 ? "▲ pairs without fresh records" : "pairs; every source reports", stale > 0);
  if (rows.length === 0) byId("tile-stale-sub").textContent = "no data yet";
}

export function worst(model, probe, metric, choose) {
  return ranked(model.rowsOf(probe), metric).slice(0, WORST).map((row) => {
    const pick = el("button", clean(row.src_node));
    pick.type = "button";
    pick.title = "Show this pair";
    pick.addEventListener("click", () => choose(row));
    const state = stateOf(row);
    const status = with_class(el("td", { dead: "✕ no answer", stale: "╱╱ stale" }[state] ?? (loss(row) > 0 ? "◥ loss" : "ok")), "state");
    status.dataset.state = state === "live" && loss(row) > 0 ? "lossy" : state;
    const source = el("th", null, pick);
    source.scope = "row";
    return el("tr", null, source, with_class(el("td", clean(row.dst_node)), "name"),
      ...[delay(row.rtt_p50_ns), delay(row.rtt_p99_ns), delay(row.rtt_p999_ns), share(loss(row)), delay(row.host_delay_p99_ns), String(row.sent)].map((text) => el("td", text)), status);
  });
}

export function choices(parent, name, options, chosen, change) {
  parent.replaceChildren(...options.map(({ id, label }) => {
    const input = el("input");
    Object.assign(input, { type: "radio", name, value: id, id: `${name}-${id}`, checked: id === chosen });
    input.addEventListener("change", () => change(id));
    const text = el("label", label);
    text.htmlFor = input.id;
    return el("span", null, input, text);
  }));
}

export { METRICS, PROBES };
