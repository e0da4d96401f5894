// Charts of one direction of a pair: over time, and by percentile. By uPlot; colours are Okabe and Ito's, which are told apart
// with every common colour blindness, and lines differ in their dashes too.

import uPlot from "./vendor/uPlot.esm.js";
import { delay, share } from "./scale.js";

const LIGHT = { p50: "#0072b2", p90: "#009e73", p99: "#b35900", p999: "#8f4a7c", host: "#555f6e", icmp: "#0072b2", tcp: "#b35900", grpc: "#8f4a7c", lost: "#cc0c39" };
const DARK = { p50: "#56b4e9", p90: "#2fc79a", p99: "#e69f00", p999: "#e39bc8", host: "#a3aebd", icmp: "#56b4e9", tcp: "#e69f00", grpc: "#e39bc8", lost: "#ff8494" };
const DASHES = { p50: [], p90: [8, 3], p99: [], p999: [3, 3], host: [2, 4], icmp: [], tcp: [9, 3], grpc: [3, 3], lost: [] };

export const colours = (dark) => (dark ? DARK : LIGHT);

const FONT = "11px system-ui, sans-serif";
const step = uPlot.paths.stepped({ align: 1 });

const axes = (palette, x, y) => [
  { font: FONT, stroke: palette.faint, grid: { stroke: palette.line, width: 0.5 }, ticks: { stroke: palette.line, width: 1, size: 5 }, size: 28, ...x },
  { font: FONT, stroke: palette.faint, grid: { stroke: palette.line, width: 0.5 }, ticks: { stroke: palette.line, width: 1, size: 5 }, size: 62, ...y },
];

const line = (id, label, palette, format) => ({
  label, stroke: colours(palette.dark)[id], width: 1.8, dash: DASHES[id], paths: step, points: { show: false }, spanGaps: false,
  value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
});

// Powers of ten, and 2 and 5 between them where there is room.
const decades = (chart, splits) => {
  const span = Math.log10(splits.at(-1) / splits[0]);
  return splits.map((v) => {
    const digit = Math.round(v / 10 ** Math.floor(Math.log10(v) + 1e-9));
    return digit === 1 || (span < 3 && (digit === 2 || digit === 5)) ? v : null;
  });
};
const bare = (format) => (_, splits) => splits.map((v) => (v === null ? "" : format(v).replace(/\.0+(?= )/, "").replace(/(\.\d*?)0+(?= )/, "$1")));

const delays = (range) => ({ distr: 3, log: 10, range: () => range });
const delayAxis = { filter: decades, values: bare(delay) };
const utc = (ms) => uPlot.tzDate(new Date(ms), "Etc/UTC");
const timeAxis = { values: (_, splits) => splits.map((ms) => new Date(ms).toISOString().slice(11, splits.length > 1 && splits[1] - splits[0] < 60000 ? 19 : 16)), space: 64 };

// The span of time that stands in panes, as both directions are drawn.
export function spanOf(panes) {
  if (panes.length === 0) return null;
  return [Math.min(...panes.map((pane) => pane.start_ms)), Math.max(...panes.map((pane) => pane.end_ms))];
}

// Whole decades around all values.
export function decadesOf(values) {
  const some = values.filter((value) => value > 0);
  if (some.length === 0) return [1e4, 1e6];
  const [low, high] = [Math.floor(Math.log10(Math.min(...some))), Math.ceil(Math.log10(Math.max(...some)))];
  return [10 ** low, 10 ** Math.max(high, low + 1)];
}

// Each pane holds from its start to its end; where no pane is, no line is.
function overTime(panes, fields) {
  const table = [[], ...fields.map(() => [])];
  const put = (at, values) => {
    table[0].push(at);
    values.forEach((value, field) => table[field + 1].push(value));
  };
  panes.forEach((pane, i) => {
    put(pane.start_ms, fields.map((field) => field(pane)));
    const next = panes[i + 1];
    if (!next) put(pane.end_ms, fields.map((field) => field(pane)));
    else if (next.start_ms > pane.end_ms) put(pane.end_ms, fields.map(() => null));
  });
  return table;
}

const nonzero = (value) => (value > 0 ? value : null);

// A dashed upright line where the trouble began.
const since = (at, palette) => ({
  hooks: {
    draw: [(chart) => {
      if (!at || at < chart.scales.x.min || at > chart.scales.x.max) return;
      const x = Math.round(chart.valToPos(at, "x", true)), { ctx, bbox } = chart;
      ctx.save();
      ctx.strokeStyle = colours(palette.dark).lost;
      ctx.lineWidth = 2;
      ctx.setLineDash([6, 4]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    }],
  },
});

const clockOf = (_, ms) => (ms === null || ms === undefined ? "–" : new Date(ms).toISOString().slice(11, 19));

export function delayOverTime(box, width, panes, time, range, failing, palette) {
  const fields = [["p50", "p50", (p) => p.p50_ns], ["p90", "p90", (p) => p.p90_ns], ["p99", "p99", (p) => p.p99_ns], ["p999", "p99.9", (p) => p.p999_ns],
    ["host", "host p99", (p) => p.host_delay_p99_ns]];
  const options = {
    width, height: 220, ms: 1, tzDate: utc, padding: [10, 12, 0, 0], plugins: [since(failing, palette)], cursor: { sync: { key: "time" }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: () => time }, y: delays(range) },
    axes: axes(palette, timeAxis, delayAxis),
    series: [{ label: "UTC", value: clockOf }, ...fields.map(([id, label]) => line(id, label, palette, delay))],
  };
  return new uPlot(options, overTime(panes, fields.map(([, , field]) => (pane) => nonzero(field(pane)))), box);
}

export function lossOverTime(box, width, panes, time, most, failing, palette) {
  const lost = (pane) => (pane.received + pane.failed > 0 ? pane.failed / (pane.received + pane.failed) : null);
  const options = {
    width, height: 110, ms: 1, tzDate: utc, padding: [10, 12, 0, 0], plugins: [since(failing, palette)], cursor: { sync: { key: "time" }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: () => time }, y: { range: () => [0, most] } },
    axes: axes(palette, timeAxis, { values: (_, splits) => splits.map(share), space: 26 }),
    series: [{ label: "UTC", value: clockOf }, { ...line("lost", "lost", palette, share), fill: `${colours(palette.dark).lost}40` }],
  };
  return new uPlot(options, overTime(panes, [lost]), box);
}

// HdrHistogram's plot: the value of each percentile, the tail stretched by drawing 1/(1 - q) on a logarithmic scale.
function curve({ ns, count }) {
  const total = count.reduce((sum, n) => sum + n, 0);
  const table = [[], []];
  let below = 0;
  ns.forEach((value, at) => {
    table[0].push(total / (total - below));
    table[1].push(value);
    below += count[at];
  });
  if (total > 0) {
    table[0].push(Math.max(total, table[0].at(-1) * 1.0001, 2));
    table[1].push(ns.at(-1));
  }
  return table;
}

const percentile = (x) => {
  const digits = Math.max(0, Math.ceil(Math.log10(x)) - 2);
  return `${(100 * (1 - 1 / x)).toFixed(x < 10 ? 0 : Math.max(digits, x > 99.9 && x < 101 ? 0 : digits))} %`;
};

export function byPercentile(box, width, kinds, range, most, palette) {
  const some = kinds.filter((kind) => kind.distribution.ns.length > 0);
  const options = {
    width, height: 220, padding: [10, 12, 0, 0], cursor: { sync: { key: "percentile" }, drag: { x: false, y: false } },
    scales: { x: { time: false, distr: 3, log: 10, range: () => [1, Math.max(10, most)] }, y: delays(range) },
    axes: axes(palette, { filter: (_, splits) => splits.map((v) => (Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 || v === 2 ? v : null)),
      values: (_, splits) => splits.map((v) => (v === null ? "" : percentile(v))), space: 30 }, delayAxis),
    series: [{ label: "percentile", value: (_, x) => (x === null || x === undefined ? "–" : percentile(x)) },
      ...some.map((kind) => ({ ...line(kind.probe, kind.label, palette, delay), spanGaps: true }))],
  };
  const table = some.length > 0 ? uPlot.join(some.map((kind) => curve(kind.distribution)), some.map(() => [1])) : [[], []];
  return new uPlot(options, table, box);
}
