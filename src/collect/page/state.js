// What the page shows, and the address that says so: whoever opens a copied link sees the same.

import { placed } from "./model.js";
import { LEVELS, METRICS, PROBES, VIEWS, known } from "./scale.js";

const FRESH = {
  level: null,   // null: what suits the size of the cluster
  probe: null,   // null: the first kind with data
  metric: "p99",
  view: "1m",
  from: null,    // "region", "region/zone" or "region/zone/rack": rows; each part may be empty
  to: null,      // the same for columns
  find: "",
  finding: null, // key of the finding that is pointed out in the map
  src: null,     // names, so that a node that joins doesn't move the cursor
  dst: null,
  open: false,   // the pair's own view
  zoom: 1,
};

export const state = { ...FRESH };

export const MOST_ZOOM = 64;

// Links are typed and cut by hand: what nobody can have meant counts as not there.
export function recall() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const one = (name, list) => (known(list, hash.get(name)) ? hash.get(name) : FRESH[name]);
  const zoom = Number(hash.get("zoom"));
  Object.assign(state, FRESH, {
    level: one("level", LEVELS), probe: one("probe", PROBES), metric: one("metric", METRICS), view: one("view", VIEWS),
    from: placed(hash.get("from")), to: placed(hash.get("to")), find: hash.get("find") ?? "", finding: hash.get("finding"),
    zoom: zoom >= 1 && zoom <= MOST_ZOOM ? zoom : 1,
  });
  if (hash.has("src") && hash.has("dst")) Object.assign(state, { src: hash.get("src"), dst: hash.get("dst"), open: hash.get("open") === "1" });
}

function address() {
  const hash = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value === null || value === "" || value === false || (name === "zoom" && value === 1)) continue;
    hash.set(name, value === true ? "1" : String(value));
  }
  return `#${hash}`;
}

// `step`: the browser's "back" leads to what was shown before.
export function keep(step = false) {
  if (address() === location.hash) return;
  history[step ? "pushState" : "replaceState"](null, "", address());
}
