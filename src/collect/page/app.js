// The page's state, where it comes from (server, URL, pointer, keys), and what is redrawn when it changes.

import { HeatMap } from "./heatmap.js";
import { Model, metricOf, sentence } from "./model.js";
import { METRICS, PROBES, byId, choices, el, legend, pair, tiles, worst } from "./details.js";
import { palette } from "./scale.js";

const POLL_MS = 5000; // also without events: pairs fall silent without one

const canvas = byId("map");
const map = new HeatMap(canvas);
const darkness = matchMedia("(prefers-color-scheme: dark)");

const state = {
  metric: "p99",
  probe: null,        // null: the first kind with data
  chosen: null,       // names, so that a node that joins doesn't move the cursor
  hover: null,        // cell under the pointer
  model: new Model([]),
  view_ms: 60000,
  now_ms: Date.now(), // the server's clock
  loaded: false,
};

const probe = () => state.probe ?? PROBES.find(({ id }) => state.model.has(id))?.id ?? "icmp";
const metric = () => metricOf(state.metric);

function chosenCell() {
  if (!state.chosen) return null;
  const source = state.model.index.get(state.chosen.source), destination = state.model.index.get(state.chosen.destination);
  return source === undefined || destination === undefined ? null : { source, destination };
}

function choose(cell, aloud) {
  state.chosen = { source: state.model.nodes[cell.source].name, destination: state.model.nodes[cell.destination].name };
  if (aloud) byId("live").textContent = sentence(state.model, probe(), cell.source, cell.destination);
  keep();
  paint();
}

// Everything that depends on the state. Cheap enough to do whole.
function paint() {
  const colours = palette(darkness.matches);
  const { model } = state;
  const kind = probe();
  for (const option of document.querySelectorAll("#controls input")) {
    option.checked = option.value === (option.name === "metric" ? state.metric : kind);
  }
  const some = model.has(kind);
  canvas.hidden = !some;
  byId("empty").hidden = some;
  if (!some) {
    const label = PROBES.find(({ id }) => id === kind).label;
    byId("empty").textContent = !state.loaded ? "Loading…" : model.size === 0 ? "No data yet: no record has arrived." : `No ${label} data: nobody probes by ${label}.`;
  }
  byId("map-title").textContent = `${PROBES.find(({ id }) => id === kind).label} ${metric().name}, source × destination`;
  if (some) {
    map.layout(model, byId("scroll").clientWidth);
    map.cursor = chosenCell();
    map.draw(kind, metric(), colours);
  }
  byId("legend").replaceChildren(...legend(metric(), colours));
  tiles(model, kind, metric(), state.view_ms);
  paintPair();
  byId("worst").replaceChildren(...rowsOrNone(worst(model, kind, metric(), pick)));
}

function rowsOrNone(rows) {
  if (rows.length > 0) return rows;
  const none = el("td", "no data yet");
  none.colSpan = 9;
  return [el("tr", null, none)];
}

function pick(row) {
  choose({ source: state.model.index.get(row.src_node), destination: state.model.index.get(row.dst_node) }, true);
  // On a narrow screen the panel is above the table, out of sight.
  byId("pair-title").scrollIntoView({ block: "nearest" });
}

function paintPair() {
  const cell = state.hover ?? chosenCell();
  byId("pair").replaceChildren(...(cell ? pair(state.model, cell, probe(), state.now_ms) : [el("p", "Point at a cell, or choose a pair below.")]));
}

// --- pointer and keys

function under(event) {
  const frame = canvas.getBoundingClientRect();
  return map.model ? map.hit(event.clientX - frame.left, event.clientY - frame.top) : null;
}

canvas.addEventListener("pointermove", (event) => {
  state.hover = under(event);
  tip(event);
  paintPair();
});
canvas.addEventListener("pointerleave", () => {
  state.hover = null;
  byId("tip").hidden = true;
  paintPair();
});
canvas.addEventListener("click", (event) => {
  const cell = under(event);
  if (cell) choose(cell, true);
});

function tip(event) {
  const box = byId("tip");
  box.hidden = !state.hover;
  if (!state.hover) return;
  box.textContent = sentence(state.model, probe(), state.hover.source, state.hover.destination);
  const { offsetWidth, offsetHeight } = box;
  box.style.left = `${Math.max(8, Math.min(event.clientX + 16, innerWidth - offsetWidth - 8))}px`;
  box.style.top = `${event.clientY + 20 + offsetHeight > innerHeight ? event.clientY - offsetHeight - 12 : event.clientY + 20}px`;
}

canvas.addEventListener("keydown", (event) => {
  const last = state.model.size - 1;
  const moves = {
    ArrowUp: ([s, d]) => [s - 1, d], ArrowDown: ([s, d]) => [s + 1, d], ArrowLeft: ([s, d]) => [s, d - 1], ArrowRight: ([s, d]) => [s, d + 1],
    Home: ([s]) => [s, 0], End: ([s]) => [s, last], PageUp: ([s, d]) => [s - 10, d], PageDown: ([s, d]) => [s + 10, d],
  };
  if (!moves[event.key] || last < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const from = chosenCell();
  // The first key shows where the cursor is.
  const [source, destination] = from ? moves[event.key]([from.source, from.destination]) : [0, Math.min(1, last)];
  const within = (v) => Math.min(Math.max(v, 0), last);
  state.hover = null;
  byId("tip").hidden = true;
  choose({ source: within(source), destination: within(destination) }, true);
  const [x, y, size] = map.box(map.cursor), box = byId("scroll");
  if (x < box.scrollLeft || x + size > box.scrollLeft + box.clientWidth) box.scrollLeft = x - box.clientWidth / 2;
  if (y + canvas.getBoundingClientRect().top < 0 || y + size + canvas.getBoundingClientRect().top > innerHeight) scrollBy(0, canvas.getBoundingClientRect().top + y - innerHeight / 2);
});

// --- the URL holds the state

function keep() {
  const hash = new URLSearchParams({ metric: state.metric, probe: probe() });
  if (state.chosen) {
    hash.set("src", state.chosen.source);
    hash.set("dst", state.chosen.destination);
  }
  history.replaceState(null, "", `#${hash}`);
}

function recall() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (metricOf(hash.get("metric"))) state.metric = hash.get("metric");
  if (PROBES.some(({ id }) => id === hash.get("probe"))) state.probe = hash.get("probe");
  state.chosen = hash.has("src") && hash.has("dst") ? { source: hash.get("src"), destination: hash.get("dst") } : null;
}

// --- the server

let loading = false, again = false, loadedAt = 0;

async function load() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  try {
    const [rows, status] = await Promise.all(["/api/v1/pairs", "/api/v1/status"].map(async (path) => {
      const answer = await fetch(path);
      if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
      return answer.json();
    }));
    state.model = new Model(rows);
    state.view_ms = status.view_ms;
    state.now_ms = status.now_ms;
    state.loaded = true;
    loadedAt = performance.now();
    notes(status.notes);
    link("live");
    // The cell under the pointer may be another node's now.
    if (state.hover && (state.hover.source >= state.model.size || state.hover.destination >= state.model.size)) state.hover = null;
    paint();
  } catch (error) {
    link("lost");
  } finally {
    loading = false;
    if (again) {
      again = false;
      load();
    }
  }
}

function notes(lines) {
  const box = byId("notes");
  // A live region is only touched when it has something new to say.
  if ([...box.children].map((line) => line.textContent).join("\n") === lines.join("\n")) return;
  box.hidden = lines.length === 0;
  box.replaceChildren(...lines.map((line) => el("p", line)));
}

function link(how) {
  byId("link").dataset.link = how;
  const since = Math.round((performance.now() - loadedAt) / 1000);
  byId("link-text").textContent = how === "live" ? `live, ${new Date(state.now_ms).toISOString().slice(11, 19)} UTC`
    : state.loaded ? `server unreachable: numbers are ${since} s old` : "server unreachable";
}

const events = new EventSource("/api/v1/events");
events.addEventListener("refresh", load);
setInterval(() => {
  if (performance.now() - loadedAt >= POLL_MS) load();
}, POLL_MS);

recall();
choices(byId("metrics"), "metric", METRICS, state.metric, (id) => { state.metric = id; keep(); paint(); });
choices(byId("probes"), "probe", PROBES, probe(), (id) => { state.probe = id; keep(); paint(); });
addEventListener("hashchange", () => { recall(); paint(); });
addEventListener("resize", paint);
darkness.addEventListener("change", paint);
paint();
load();
