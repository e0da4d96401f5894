// Metrics, their absolute thresholds, and the colours and words that stand for their values.

const US = 1e3, MS = 1e6;
// Upper bounds, nanoseconds: the same for every cluster and every moment, so that a colour always means the same delay.
const DELAY_STEPS = [25 * US, 50 * US, 100 * US, 250 * US, 500 * US, MS, 2.5 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS];
// Upper bounds of the share of probes lost; the first is exactly none.
const SHARE_STEPS = [0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5];

// Probes that left the source and got no answer in time; null where none left it.
export function loss({ received, failed }) {
  const left = received + failed;
  return left > 0 ? failed / left : null;
}

export const METRICS = [
  { id: "p50", label: "p50", name: "p50 delay", value: (cell) => cell.p50, steps: DELAY_STEPS, format: delay },
  { id: "p99", label: "p99", name: "p99 delay", value: (cell) => cell.p99, steps: DELAY_STEPS, format: delay },
  { id: "p999", label: "p99.9", name: "p99.9 delay", value: (cell) => cell.p999, steps: DELAY_STEPS, format: delay },
  { id: "loss", label: "Loss", name: "loss", value: loss, steps: SHARE_STEPS, format: share },
  { id: "host", label: "Host delay", name: "host delay p99", value: (cell) => cell.host, steps: DELAY_STEPS, format: delay },
];

export const PROBES = [{ id: "icmp", label: "ICMP" }, { id: "tcp", label: "TCP" }, { id: "grpc", label: "gRPC" }];

export const VIEWS = [
  { id: "recent", label: "Now", name: "the newest two windows" }, { id: "1m", label: "1 min", name: "the last minute" },
  { id: "10m", label: "10 min", name: "the last ten minutes" }, { id: "1h", label: "1 h", name: "the last hour" },
];

export const LEVELS = [
  { id: "node", label: "Nodes", one: "node" }, { id: "rack", label: "Racks", one: "rack" },
  { id: "zone", label: "Zones", one: "zone" }, { id: "region", label: "Regions", one: "region" },
];

export const known = (list, id) => list.find((entry) => entry.id === id);

// Three significant digits and a unit.
export function delay(ns) {
  if (ns === null || ns === undefined) return "–";
  if (ns < 1e3) return `${ns} ns`;
  const [value, unit] = ns < 999500 ? [ns / 1e3, "µs"] : ns < 999.5e6 ? [ns / 1e6, "ms"] : [ns / 1e9, "s"];
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
}

export function share(part) {
  if (part === null || part === undefined) return "–";
  if (part === 0) return "0 %";
  if (part < 0.001) return "<0.1 %";
  // What is not all of it must not read as all of it.
  if (part > 0.999 && part < 1) return ">99.9 %";
  return `${(part * 100).toFixed(1).replace(/\.0$/, "")} %`;
}

export function stepOf(metric, value) {
  const at = metric.steps.findIndex((bound) => value <= bound);
  return at < 0 ? metric.steps.length : at;
}

// What a cell may look like, the least worrying first: where several share a pixel the last of them is seen.
export const SHADE = { absent: 0, self: 1, waiting: 2, idle: 3, level: 4, unsent: 20, stale: 21, dead: 22 };

// Viridis (van der Walt, Smith): even in lightness, told apart with every common colour blindness.
const VIRIDIS = ["440154", "482173", "433e85", "38588c", "2d708e", "25858e", "1e9b8a", "2ab07f", "52c569", "86d549", "c2df23", "fde725"]
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

function viridis(t) {
  const at = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.floor(at), high = Math.ceil(at);
  return VIRIDIS[low].map((v, i) => Math.round(v + (VIRIDIS[high][i] - v) * (at - low)));
}

const mixed = (colour, ground, part) => colour.map((v, i) => Math.round(v * part + ground[i] * (1 - part)));

// Colours of one theme. High values stand out from the background in either: dark on light, light on dark.
export function palette(dark) {
  const marks = {
    // Outside the scale on purpose; a cross and words say the same.
    dead: dark ? [255, 69, 88] : [204, 12, 57],
    unsent: dark ? [214, 137, 60] : [178, 98, 0],
    stale: dark ? [92, 99, 110] : [178, 184, 193],
    idle: dark ? [48, 55, 66] : [222, 226, 232],
    waiting: dark ? [38, 44, 53] : [232, 235, 240],
    self: dark ? [28, 33, 41] : [240, 242, 246],
    absent: dark ? [20, 25, 32] : [255, 255, 255],
  };
  const ground = marks.absent;
  const levels = (metric) => {
    const last = metric.steps.length;
    return Array.from({ length: last + 1 }, (_, level) => viridis(dark ? 0.06 + 0.94 * (level / last) : 0.97 * (1 - level / last)));
  };
  return {
    dark, marks, levels,
    ink: dark ? "#e8ecf2" : "#17202c",
    faint: dark ? "#a3aebd" : "#566274",
    line: dark ? "#3a4452" : "#c5ccd6",
    surface: dark ? "#141920" : "#ffffff",
    accent: dark ? "#7cc0ee" : "#1f5f8b",
    // [as they are, pushed back because something else is pointed out], each by shade.
    shades: (metric) => {
      const all = new Array(SHADE.dead + 1).fill(ground);
      for (const [name, colour] of Object.entries(marks)) all[SHADE[name]] = colour;
      levels(metric).forEach((colour, level) => { all[SHADE.level + level] = colour; });
      return [all, all.map((colour) => mixed(colour, ground, 0.22))];
    },
  };
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

// WCAG's relative luminance.
export function luminance(colour) {
  const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// Nearly black or white, whichever reads better on `colour`.
export const inkOn = (colour) => (luminance(colour) > 0.179 ? "#10151c" : "#ffffff");
