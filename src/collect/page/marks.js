// What the heat map carries beside colours: patterns, numbers, names. No state is told by colour alone.

import { css, inkOn, SHADE } from "./scale.js";
import { nameOf, statusOf } from "./model.js";
import { brief, middle } from "./names.js";

const FONT = "12px system-ui, sans-serif";
const SMALL = "10.5px system-ui, sans-serif";
const NUMBERS = 46; // from this size on cells carry their number

// Names of rows and columns, of at most `most` letters where that can be, and of the bands that hold them: zones, or regions
// above them.
export function labelsOf(pen, model, most) {
  const regions = new Set(model.groups.map((group) => group.region)).size > 1;
  const band = (group) => {
    const parts = model.level === "region" ? [] : [regions ? group.region : "", model.level === "zone" ? "" : group.zone];
    return parts.filter((part) => part !== "").map((part) => nameOf({ name: part })).join(" / ");
  };
  const short = brief(model.groups.map((group) => nameOf(model.level === "rack" && group.rack !== "" ? { name: group.rack } : group)), most);
  const { names } = short;
  const bands = model.groups.map(band);
  pen.font = FONT;
  let longest = 0;
  for (const name of names) longest = Math.max(longest, pen.measureText(name.slice(0, 64)).width);
  return { names, short, bands, racks: model.groups.map((group) => group.rack), longest, banded: bands.some((name) => name !== "") };
}

export function decorate(map) {
  const { pen, model, metric, palette } = map;
  const size = map.cell - 1;
  const { shades } = model.of(metric);
  const [bright, dim] = palette.shades(metric);
  const columns = [...map.visible(0)];
  for (const row of map.visible(1)) {
    for (const column of columns) {
      const [source, destination] = [model.rows[row], model.columns[column]];
      const k = model.find(source, destination);
      const [x, y] = map.box({ source, destination });
      pen.save();
      pen.beginPath();
      pen.rect(x, y, size, size);
      pen.clip();
      if (k < 0) blank(map, x, y, size, source === destination && model.level === "node");
      else mark(map, x, y, size, model.cell(k), (lit(map, source, destination) ? bright : dim)[shades[k]], shades[k]);
      pen.restore();
    }
  }
}

export function lit({ pointed }, source, destination) {
  if (!pointed) return true;
  const [row, column] = [pointed.rows[source], pointed.columns[destination]];
  return pointed.both ? row && column : row || column;
}

function blank({ pen, palette }, x, y, size, self) {
  pen.strokeStyle = palette.line;
  pen.lineWidth = 1;
  pen.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
  if (self) stroke(pen, [[x, y + size, x + size, y]]);
}

function mark(map, x, y, size, cell, colour, shade) {
  const { pen, palette, metric } = map;
  const status = statusOf(cell);
  const ink = inkOn(colour);
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  if (status === "waiting" || status === "idle") {
    blank(map, x, y, size, false);
    write(map, status === "waiting" ? "…" : "0", x, y, palette.faint);
    if (cell.stale > 0) partlyStale(map, x, y + size, size);
    return;
  }
  if (status === "dead" || status === "unsent") {
    pen.lineWidth = Math.max(1.5, size / 18);
    const inset = size * 0.32;
    const lines = [[x + inset, y + inset, x + size - inset, y + size - inset], [x + size - inset, y + inset, x + inset, y + size - inset]];
    stroke(pen, status === "dead" ? lines : lines.slice(0, 1));
    if (cell.stale > 0) partlyStale(map, x, y + size, size);
    return;
  }
  if (status === "stale") {
    pen.globalAlpha = 0.35;
    for (let d = -size; d < size; d += 6) stroke(pen, [[x + d, y + size, x + d + size, y]]);
    pen.globalAlpha = 1;
  } else if (cell.failed > 0) {
    // A bitten corner: some probes were lost, whatever metric is shown.
    const bite = Math.max(5, size / 5);
    pen.fillStyle = css(palette.marks.dead);
    triangle(pen, x + size, y, -bite - 1.5, bite + 1.5);
    pen.strokeStyle = palette.surface;
    stroke(pen, [[x + size - bite - 1.5, y, x + size, y + bite + 1.5]]);
  }
  if (status !== "stale" && cell.stale > 0) partlyStale(map, x, y + size, size);
  const value = metric.value(cell);
  if (map.cell >= NUMBERS && value !== null) write(map, metric.format(value), x, y, ink, shade === SHADE.stale ? css(colour) : null);
}

// The other corner: some of the pairs in a group's cell are silent, so its numbers leave them out.
function partlyStale({ pen, palette }, x, y, size) {
  const bite = Math.max(5, size / 5) + 1.5;
  pen.fillStyle = palette.faint;
  triangle(pen, x, y, bite, -bite);
  pen.strokeStyle = palette.surface;
  pen.lineWidth = 1;
  stroke(pen, [[x, y - bite, x + bite, y]]);
}

function write({ pen, cell }, text, x, y, ink, behind = null) {
  pen.font = cell >= 58 ? FONT : SMALL;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const [cx, cy] = [x + (cell - 1) / 2, y + (cell - 1) / 2];
  if (behind) {
    const wide = pen.measureText(text).width + 8;
    pen.fillStyle = behind;
    pen.fillRect(cx - wide / 2, cy - 9, wide, 18);
  }
  pen.fillStyle = ink;
  pen.fillText(text, cx, cy);
}

// The cursor.
export function outline(map) {
  const box = map.cursor && map.box(map.cursor);
  if (!box) return;
  const size = Math.max(map.cell, 5);
  const [x, y] = box.map((v) => v - (size - map.cell) / 2);
  for (const [colour, width] of [[map.palette.surface, 5], [map.palette.ink, 2.5]]) {
    map.pen.strokeStyle = colour;
    map.pen.lineWidth = width;
    map.pen.strokeRect(x - 1, y - 1, size + 1, size + 1);
  }
  map.pen.lineWidth = 1;
}

// Names of rows and columns, and the bands beside them.
export function headings(map) {
  const { pen, palette, model, labels, scroll, seen } = map;
  pen.textBaseline = "middle";
  const axes = [[0, model.columns, map.columnAt, map.left], [1, model.rows, map.rowAt, map.top]];
  for (const [axis, list, at, head] of axes) {
    pen.save();
    pen.beginPath();
    pen.rect(axis ? 0 : map.left - 2, axis ? map.top - 2 : 0, seen[0], seen[1]);
    pen.clip();
    if (map.named) {
      for (const i of map.visible(axis)) {
        pen.font = FONT;
        pen.fillStyle = map.pointed && !pointedAt(map, axis, list[i]) ? palette.faint : palette.ink;
        const middle = head + at[i] - scroll[axis] + (map.cell - 1) / 2;
        const name = fit(pen, labels.names[list[i]], axis === 0 && map.flat ? map.cell : map.label - 8);
        pen.textAlign = axis ? "right" : map.flat ? "center" : "left";
        if (axis) pen.fillText(name, map.left - 6, middle);
        else turned(pen, middle, map.top - (map.flat ? 10 : 6), map.flat ? 0 : -Math.PI / 2, name);
      }
    }
    if (labels.banded) bands(map, axis, list, at, head);
    pen.restore();
  }
}

function bands({ pen, palette, labels, cell, scroll, seen }, axis, list, at, head) {
  pen.font = FONT;
  pen.textAlign = "center";
  pen.strokeStyle = palette.line;
  pen.fillStyle = palette.faint;
  for (let from = 0, to; from < list.length; from = to) {
    for (to = from + 1; to < list.length && labels.bands[list[to]] === labels.bands[list[from]]; to++);
    const start = Math.max(head + at[from] - scroll[axis], head), end = Math.min(head + at[to - 1] + cell - 1 - scroll[axis], seen[axis]);
    if (end <= start) continue;
    const name = fit(pen, labels.bands[list[from]] || "no zone", end - start - 4);
    if (axis) turned(pen, 8, (start + end) / 2, -Math.PI / 2, name);
    else pen.fillText(name, (start + end) / 2, 8);
    stroke(pen, [axis ? [17.5, start, 17.5, end] : [start, 17.5, end, 17.5]]);
  }
}

const pointedAt = ({ pointed }, axis, group) => (axis ? pointed.rows : pointed.columns)[group];

// Bars at the edges beside what is pointed out: on a map of thousands, dimming alone would be overlooked.
export function points(map) {
  const { pen, pointed, model, palette, scroll, seen } = map;
  if (!pointed) return;
  pen.fillStyle = palette.accent;
  for (const [axis, list, at, head] of [[0, model.columns, map.columnAt, map.left], [1, model.rows, map.rowAt, map.top]]) {
    for (const i of map.visible(axis)) {
      if (!pointedAt(map, axis, list[i])) continue;
      const from = Math.max(head + at[i] - scroll[axis], head), to = Math.min(from + Math.max(map.cell - 1, 3), seen[axis]);
      if (axis) pen.fillRect(map.left - 4, from, 3, to - from);
      else pen.fillRect(from, map.top - 4, to - from, 3);
    }
  }
}

function turned(pen, x, y, angle, text) {
  pen.save();
  pen.translate(x, y);
  pen.rotate(angle);
  pen.fillText(text, 0, 0);
  pen.restore();
}

// `text` cut to `width` pixels.
const fit = (pen, text, width) => middle(text, (some) => pen.measureText(some).width <= width);

function stroke(pen, lines) {
  pen.beginPath();
  for (const [x1, y1, x2, y2] of lines) {
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
  }
  pen.stroke();
}

// In the corner at (x, y), this far to the side and down.
function triangle(pen, x, y, across, down) {
  pen.beginPath();
  pen.moveTo(x + across, y);
  pen.lineTo(x, y);
  pen.lineTo(x, y + down);
  pen.fill();
}
