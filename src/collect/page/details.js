// What stands beside the map: the cell pointed at, the worst ones, the scale, the tiles.

import { PROBES, css, delay, inkOn, known, loss, share } from "./scale.js";
import { byId, clean, el, say } from "./dom.js";
import { nameOf, statusOf, words } from "./model.js";

// A bound of the scale without the zeros of a measured value: 2.5 ms, not 2.50 ms.
const bound = (text) => text.replace(/(\.\d*?)0+(?= )/, "$1").replace(/\.(?= )/, "");

export function place({ region, zone, rack }) {
  const where = [region, zone, rack].filter((part) => part !== "").map(clean).join(" / ");
  return where === "" ? "no zone" : where;
}

export const look = (cell, status) => (status !== "live" ? status : cell.failed > 0 ? "lossy" : cell.stale > 0 ? "partly" : status);

// The cell under the pointer or the cursor, and the way back.
export function panel(model, at) {
  if (!at) return [el("p.hint", "Point at a cell, use the arrow keys in the map, or choose one of the worst.")];
  const [from, to] = [model.groups[at.source], model.groups[at.destination]];
  const head = el("p.ends", [el("b", nameOf(from)), " → ", el("b", nameOf(to))]);
  const where = model.level === "node" ? [el("p.hint", `${place(from)} → ${place(to)}`)]
    : [el("p.hint", `${from.nodes} → ${to.nodes} nodes`)];
  const there = model.between(at.source, at.destination), back = model.between(at.destination, at.source);
  if (!there) {
    return [head, ...where, el("p.state", at.source === at.destination && model.level === "node" ? "The node itself: its own address is never probed." : `${known(PROBES, model.probe).label}: ${model.absent}`)];
  }
  const status = statusOf(there);
  const state = el("p.state", `${known(PROBES, model.probe).label}: ${words(there, status)}`);
  state.dataset.state = look(there, status);
  if (status === "waiting") return [head, ...where, state];
  const list = el("dl.facts");
  const add = (term, forth, other) => list.append(el("div", [el("dt", term), el("dd", forth), el("dd.back", other)]));
  const other = (value, format) => (back && back !== there && at.source !== at.destination ? format(value(back)) : "");
  list.append(el("div.heads", [el("dt", "", { "aria-hidden": "true" }), el("dd", "→"), el("dd.back", at.source === at.destination ? "" : "←")]));
  for (const [term, value, format] of [["p50", (c) => c.p50, delay], ["p99", (c) => c.p99, delay], ["p99.9", (c) => c.p999, delay],
    ["Loss", loss, share], ["Host delay p99", (c) => c.host, delay], ["Answered", (c) => `${c.received} of ${c.sent}`, String]]) {
    add(term, format(value(there)), other(value, format));
  }
  if (there.series > 1) add("Pairs", `${there.series}${there.stale > 0 ? `, ${there.stale} stale` : ""}`, back && at.source !== at.destination ? String(back.series) : "");
  return [head, ...where, state, list];
}

// The colour scale and the marks outside it.
export function legend(metric, palette, model) {
  const { steps, format } = metric;
  const items = palette.levels(metric).map((colour, level) => {
    const text = level === steps.length ? `> ${bound(format(steps[level - 1]))}` : steps[level] === 0 ? "none" : `≤ ${bound(format(steps[level]))}`;
    return chip(colour, text, "level");
  });
  const { marks } = palette;
  const bitten = chip(marks.absent, "some loss", "mark", "◥");
  bitten.firstChild.style.color = css(marks.dead);
  const partly = chip(marks.absent, "partly stale", "mark", "◣");
  partly.firstChild.style.color = palette.faint;
  return [
    el("p.hint", `${metric.name}: fixed scale, the same for every cluster`),
    el("div.levels", items),
    el("div.marks", [chip(marks.dead, "no answer", "mark", "✕"), bitten, chip(marks.stale, "stale", "mark", "╱╱"),
      ...(model.level === "node" ? [] : [partly]), chip(marks.waiting, "no data yet", "mark", "…"),
      chip(marks.self, "self", "mark", "╱"), chip(marks.absent, model.absent, "mark")]),
  ];
}

function chip(colour, text, kind, sign = "") {
  const swatch = el("i.swatch", sign, { "aria-hidden": "true" });
  swatch.style.background = css(colour);
  swatch.style.color = inkOn(colour);
  return el(`span.${kind}`, [swatch, el("span", text)]);
}

export function tiles(model, metric, sum, status) {
  const set = (id, value, sub, bad = false) => {
    say(byId(id), value);
    say(byId(`${id}-sub`), sub);
    byId(id).parentElement.classList.toggle("bad", bad);
  };
  const label = known(PROBES, model.probe).label;
  const pairs = model.level === "node" ? "pairs" : `${model.level} pairs`;
  set("tile-nodes", String(status.levels.node), `${sum.shown} ${label} ${pairs} shown`);
  const [worst] = sum.worst;
  const cell = worst && model.cell(worst.k);
  const dead = cell && statusOf(cell) === "dead";
  say(byId("tile-worst-name"), `Worst ${metric.name}`);
  set("tile-worst", !cell ? "–" : dead && metric.id !== "loss" ? "no answer" : metric.format(metric.value(cell)),
    cell ? model.ends(cell).join(" → ") : "no data yet", Boolean(dead));
  byId("tile-worst-sub").title = cell ? model.fullEnds(cell) : "";
  const left = sum.received + sum.failed;
  set("tile-loss", share(left > 0 ? sum.failed / left : null),
    sum.measured === 0 ? "no data yet" : sum.lossy > 0 ? `▲ in ${sum.lossy} of ${sum.measured} ${pairs}` : `all ${sum.measured} ${pairs} answer`, sum.lossy > 0);
  set("tile-stale", String(sum.stale), sum.measured === 0 ? "no data yet" : sum.stale === 0 ? "every source reports"
    : model.level === "node" ? "▲ pairs without fresh records" : `▲ node pairs without fresh records, in ${sum.silent} of ${sum.measured} ${pairs}`, sum.stale > 0);
}

const SIGNS = { dead: "✕ no answer", stale: "╱╱ stale", lossy: "◥ loss", partly: "◣ partly stale", idle: "no probe", unsent: "╲ not sent", live: "ok" };

// Rows stay in place while they are of the same pairs: a button that is replaced while it is pressed gets no click.
export function worst(list, model, metric, sum, choose) {
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const rows = sum.worst.map(({ k }) => {
    const cell = model.cell(k);
    const key = JSON.stringify([cell.source, cell.destination].map((at) => model.groups[at].name));
    const row = old.get(key) ?? blank(key, choose);
    fill(row, cell, model, metric);
    return row;
  });
  if (rows.length === 0) list.replaceChildren(el("tr", [el("td", "no data yet", { colspan: "4" })]));
  else if (rows.length !== list.children.length || rows.some((row, at) => list.children[at] !== row)) list.replaceChildren(...rows);
}

function blank(key, choose) {
  const pick = el("button", [el("span.end"), " ", el("span.end")], { type: "button" });
  const row = el("tr", [el("th", [pick], { scope: "row" }), el("td"), el("td"), el("td.state")]);
  row.dataset.key = key;
  pick.addEventListener("click", () => choose(row.cell));
  return row;
}

function fill(row, cell, model, metric) {
  row.cell = cell;
  const [head, value, other, state] = row.children;
  const [from, to] = model.ends(cell);
  const [first, second] = head.firstChild.children;
  say(first, `${from} →`);
  say(second, to);
  head.firstChild.title = `Show ${model.fullEnds(cell)} in the map`;
  say(value, metric.format(metric.value(cell)));
  say(other, metric.id === "loss" ? delay(cell.p99) : share(loss(cell)));
  const status = look(cell, statusOf(cell));
  say(state, SIGNS[status]);
  state.dataset.state = status;
}
