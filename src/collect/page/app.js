// What is shown and when: state and answers come in, everything that depends on them is drawn anew.

import { byId, check, choices, clock, el, say } from "./dom.js";
import { legend, panel, tiles, worst } from "./details.js";
import { isPart, keyOf, levelFor, pointsOut, verdict } from "./findings.js";
import { HeatMap } from "./heatmap.js";
import { Model, NOTHING, nameOf, placeOf, sentence } from "./model.js";
import { clear, paint as paintPair } from "./pairview.js";
import { stands } from "./names.js";
import { listen } from "./pointer.js";
import { LEVELS, METRICS, PROBES, VIEWS, known, palette } from "./scale.js";
import { Declined, Refused, follow, get, hasToken, setToken, takeToken } from "./server.js";
import { MOST_ZOOM, keep, recall, state } from "./state.js";

const POLL_MS = 5000;     // also without events: pairs fall silent without one
const WORST = 10;
const MANY = 120;         // more nodes than this are first shown by rack or zone
const PARTS = 300000;     // of more pairs than this only the part that is shown is asked for

const map = new HeatMap(byId("map"), byId("frame"), byId("stage"));
const darkness = matchMedia("(prefers-color-scheme: dark)");
const shown = { status: null, model: null, findings: null, pair: null, hover: null, lost: false };

// --- what the state means for the data at hand

function level() {
  if (state.level) return state.level;
  const { node, rack, zone } = shown.status.levels;
  if (node <= MANY) return "node";
  return rack > 1 && rack < node / 2 ? "rack" : zone > 1 ? "zone" : "node";
}

const probe = () => state.probe ?? PROBES.find(({ id }) => shown.status.probes[id] > 0)?.id ?? "icmp";
const useful = ({ id }) => id === "node" || id === level() || shown.status.levels[id] > (id === "zone" ? 0 : 1);

// The cell of two groups, by their names: their places change with what is known.
function cellOf({ src, dst }) {
  const { model } = shown;
  const [source, destination] = [model?.index.get(src), model?.index.get(dst)];
  return source === undefined || destination === undefined || model.rowOf[source] < 0 || model.columnOf[destination] < 0 ? null : { source, destination };
}

const chosen = () => cellOf(state);

const part = () => (shown.status.probes[probe()] > PARTS ? { from: state.from, to: state.to } : {});

const finding = () => shown.findings?.findings.find((one) => keyOf(one) === state.finding) ?? null;

// --- what is asked of the server

let loading = false, again = false, loadedAt = -Infinity, took = 0, later = 0;

async function load() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  try {
    // What goes wrong in drawing is no news of the server.
    if (await ask()) paint();
  } finally {
    loading = false;
    if (again) {
      again = false;
      load();
    }
  }
}

// Whether the server answered; what it says is what is to be shown then.
async function ask() {
  const from = performance.now();
  try {
    shown.status = await get("/api/v1/status");
    const [matrix, findings, pair] = await Promise.all([
      get("/api/v1/matrix", { level: level(), view: state.view, probe: probe(), ...part() }).catch(declined),
      shown.status.diagnosis ? get("/api/v1/findings") : null,
      state.open ? get("/api/v1/pair", { source: state.src, destination: state.dst, view: state.view }) : null,
    ]);
    Object.assign(shown, { model: new Model(matrix, isPart(findings) ? "not read here" : "not probed"), findings, pair, lost: false });
  } catch (error) {
    shown.lost = true;
    if (error instanceof Refused) login();
    else if (!(error instanceof TypeError)) console.warn(String(error));
    link();
    return false;
  }
  loadedAt = performance.now();
  took = loadedAt - from;
  byId("login").hidden = true;
  byId("page").hidden = false;
  return true;
}

// A matrix that isn't given, as one too large, is an empty one with the reason.
function declined(error) {
  if (!(error instanceof Declined)) throw error;
  return { ...NOTHING, level: level(), probe: probe(), declined: error.message };
}

// News come once a second; a large cluster is asked for less often, so that neither side is kept busy with it.
function news() {
  const wait = Math.max(1000, took * 5) - (performance.now() - loadedAt);
  clearTimeout(later);
  if (wait <= 0) load();
  else later = setTimeout(load, wait);
}

function login() {
  byId("login-wrong").textContent = hasToken() ? "The server refuses this token." : "";
  if (!byId("login").hidden) return;
  byId("page").hidden = true;
  byId("login").hidden = false;
  byId("token").focus();
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(byId("token").value.trim());
  load();
});

// --- drawing

function paint() {
  link();
  if (!shown.model) return;
  const { model, status } = shown;
  const metric = known(METRICS, state.metric), colours = palette(darkness.matches);
  model.show(state.from, state.to);
  controls();
  notes(status.notes);
  verdict(shown.findings, status.records.merged > 0, state.finding, point);
  const pointed = pointsOut(model, finding(), state.find);
  const sum = model.sum(metric, pointed && ((source, destination) => (pointed.both ? pointed.rows[source] && pointed.columns[destination] : pointed.rows[source] || pointed.columns[destination])), WORST);
  tiles(model, metric, sum, status);
  byId("map-view").hidden = state.open;
  byId("pair-view").hidden = !state.open;
  for (const part of document.querySelectorAll(".of-map")) part.hidden = state.open;
  document.title = `${byId("verdict-head").textContent} · Distributed trace`;
  if (state.open) {
    if (shown.pair !== undefined) paintPair(shown.pair, state, probe(), model.absent, colours);
    return;
  }
  const label = known(PROBES, model.probe).label;
  say(byId("map-title"), `${label} ${metric.name}, ${known(LEVELS, model.level).one} × ${known(LEVELS, model.level).one}, ${known(VIEWS, state.view).name}`);
  say(byId("map-keys"), model.level === "node" ? "Click a cell, or focus the map, use the arrow keys and Enter, to see all of a pair."
    : `Click a cell, or focus the map, use the arrow keys and Enter, to see what it is made of.`);
  const some = model.rows.length > 0 && model.columns.length > 0 && model.count > 0;
  byId("frame").hidden = !some;
  byId("empty").hidden = some;
  say(byId("empty"), model.declined ? `The server declines: ${model.declined}.` : status.levels.node === 0 ? "No data yet: no record has arrived." : model.count === 0 ? `No ${label} data: ${isPart(shown.findings) ? "none is read here" : `nobody probes by ${label}`}.` : "Nothing lies between what is chosen by From and To.");
  if (some) drawMap(metric, colours, pointed);
  byId("legend").replaceChildren(...legend(metric, colours, model));
  paintPanel();
  say(byId("worst-title"), `Worst ${metric.name}`);
  say(byId("worst-names"), stands(model.short));
  say(byId("worst-metric"), metric.label);
  say(byId("worst-other"), metric.id === "loss" ? "p99" : "Loss");
  worst(byId("worst"), model, metric, sum, (cell) => choose(cell, true));
}

function drawMap(metric, colours, pointed) {
  const height = Math.max(360, innerHeight - 150);
  const before = map.cell;
  map.layout(shown.model, byId("frame").clientWidth, height, state.zoom);
  map.cursor = chosen();
  // Other sizes scroll elsewhere: what was in the middle of attention stays in sight.
  if (map.cell !== before && map.cursor && state.zoom > 1) map.reveal(map.cursor);
  map.draw(metric, colours, pointed);
  say(byId("map-names"), map.named ? stands(map.labels.short) : "");
  say(byId("zoom"), state.zoom === 1 ? "fit" : `× ${Math.round(state.zoom * 10) / 10}`);
}

function paintPanel() {
  const at = (shown.hover && cellOf(shown.hover)) ?? chosen();
  byId("pair").replaceChildren(...panel(shown.model, at));
  const cell = chosen();
  byId("open").hidden = !cell || (shown.model.level === "node" && cell.source === cell.destination);
  say(byId("open"), shown.model.level === "node" ? "Open this pair" : "See what it is made of");
}

function controls() {
  choices(byId("levels"), "level", LEVELS.filter(useful), (id) => set({ level: id, src: null, dst: null, zoom: 1 }, true));
  byId("levels-choice").hidden = state.open || LEVELS.filter(useful).length < 2;
  for (const [name, value] of [["metric", state.metric], ["view", state.view], ["probe", probe()], ["level", level()]]) check(name, value);
  for (const name of ["from", "to"]) places(byId(name), state[name]);
  if (byId("find") !== document.activeElement) byId("find").value = state.find;
}

// The places to choose from, as the groups of this level have them.
function places(select, value) {
  const { groups, level: depth } = shown.model;
  const regions = new Set(groups.map((group) => group.region)).size > 1;
  const options = new Map([["", "everywhere"]]);
  for (const group of shown.model.sorted.map((at) => groups[at])) {
    const parts = [group.region, group.zone, group.rack];
    for (const deep of { region: [1], zone: [1, 2], rack: [1, 2, 3], node: [1, 2, 3] }[depth]) {
      if (parts[deep - 1] === "" || (deep === 1 && !regions)) continue;
      options.set(placeOf(group, deep), parts.slice(0, deep).filter((part) => part !== "").map((part) => nameOf({ name: part })).join(" / "));
    }
  }
  if (value && !options.has(value)) options.set(value, value.split("/").map(decodeURIComponent).filter((part) => part !== "").join(" / "));
  const wanted = [...options].map(([id, label]) => `${id}\n${label}`).join("\n");
  if (select.dataset.options !== wanted) {
    select.dataset.options = wanted;
    select.replaceChildren(...[...options].map(([id, label]) => el("option", label, { value: id })));
  }
  select.value = value ?? "";
}

function notes(lines) {
  const box = byId("notes");
  if ([...box.children].map((line) => line.textContent).join("\n") === lines.join("\n")) return;
  box.hidden = lines.length === 0;
  box.replaceChildren(...lines.map((line) => el("p", line)));
}

function link() {
  const how = shown.lost ? "lost" : shown.model ? "live" : "connecting";
  byId("link").dataset.link = how;
  byId("verdict").dataset.link = how;
  const now = shown.status?.now_ms;
  const age = Math.round((performance.now() - loadedAt) / 1000);
  say(byId("link-text"), how === "live" ? `live, ${clock(now, now)}` : how === "connecting" ? "connecting" : shown.model ? `server unreachable: all this is ${age} s old` : "no answer from the server");
}

// --- what people do

function set(changes, step = false) {
  Object.assign(state, { level: level(), probe: probe() }, changes);
  keep(step);
  paint();
  if (["level", "view", "probe", "open", ...Object.keys(part())].some((name) => name in changes)) load();
}

function choose(cell, aloud) {
  const { groups } = shown.model;
  set({ src: groups[cell.source].name, dst: groups[cell.destination].name });
  if (aloud) byId("live").textContent = sentence(shown.model, cell.source, cell.destination);
  if (!state.open) map.reveal(cell);
}

// One step closer: from groups to what they hold, from a pair of nodes to all that is known of it.
function enter(cell) {
  const { groups, level: here } = shown.model;
  const [source, destination] = [groups[cell.source], groups[cell.destination]];
  if (here === "node") {
    if (cell.source === cell.destination) return;
    shown.pair = undefined;
    set({ src: source.name, dst: destination.name, open: true }, true);
    byId("pair-view-title").focus({ preventScroll: true });
    byId("pair-view").scrollIntoView({ block: "nearest" });
    return;
  }
  const depth = { region: 1, zone: 2, rack: 3 }[here];
  const finer = LEVELS.slice(0, LEVELS.findIndex(({ id }) => id === here)).filter(useful).at(-1).id;
  set({ level: finer, from: placeOf(source, depth), to: placeOf(destination, depth), src: null, dst: null, zoom: 1 }, true);
}

function close() {
  clear();
  set({ open: false }, true);
  map.canvas.focus({ preventScroll: true });
}

function point(one) {
  const key = keyOf(one);
  if (state.finding === key) {
    set({ finding: null });
    return;
  }
  const { model } = shown;
  const here = level();
  const at = model.level === here ? levelFor(model, one) : here;
  const { source, destination } = one.subject ?? {};
  const ends = at === here && model.index.has(source) && model.index.has(destination) ? { src: source, dst: destination } : {};
  set({ finding: key, find: "", open: false, from: null, to: null, zoom: 1, level: at, ...(at === here ? ends : { src: null, dst: null }) }, true);
  byId("map-view").scrollIntoView({ block: "nearest" });
}

function zoom(factor, around) {
  const next = Math.min(Math.max(Math.round(state.zoom * factor * 100) / 100, 1), MOST_ZOOM);
  set({ zoom: next });
  const cell = around ?? chosen();
  if (cell) map.reveal(cell);
  paint();
}

listen(map, {
  hover: (cell) => {
    shown.hover = cell && { src: shown.model.groups[cell.source].name, dst: shown.model.groups[cell.destination].name };
    paintPanel();
  },
  choose: (cell) => choose(cell, true),
  enter,
  cursor: chosen,
  zoom,
  scrolled: () => map.model && map.draw(map.metric, map.palette, map.pointed),
});

choices(byId("metrics"), "metric", METRICS, (id) => set({ metric: id }));
choices(byId("views"), "view", VIEWS, (id) => set({ view: id }));
choices(byId("probes"), "probe", PROBES, (id) => set({ probe: id }));
for (const name of ["from", "to"]) byId(name).addEventListener("change", (event) => set({ [name]: event.target.value || null, zoom: 1 }, true));
byId("find").addEventListener("input", (event) => set({ find: event.target.value }));
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("zoom-in").addEventListener("click", () => zoom(2));
byId("zoom-out").addEventListener("click", () => zoom(0.5));
byId("open").addEventListener("click", () => enter(chosen()));
byId("close").addEventListener("click", close);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.open) close();
});
for (const change of ["popstate", "hashchange"]) {
  addEventListener(change, () => {
    takeToken();
    recall();
    shown.pair = undefined;
    paint();
    load();
  });
}
addEventListener("resize", paint);
darkness.addEventListener("change", paint);
setInterval(() => {
  if (performance.now() - loadedAt >= Math.max(POLL_MS, took * 5)) load();
  else if (shown.lost) link();
}, POLL_MS);

takeToken();
recall();
load();
follow(news);
