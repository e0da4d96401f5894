// The heat map on a canvas: where cells lie, their colours, and which cell lies under a point.
//
// The canvas is as large as what is seen of the map and stays in place while its frame scrolls, so that 1,000 x 1,000
// cells of any size cost no more than the pixels on the screen, and the names stay beside them. Where cells are smaller
// than a pixel, a pixel shows the worst of its cells.

import { SHADE } from "./scale.js";
import { decorate, headings, labelsOf, outline, points } from "./marks.js";

const ZONE_GAP = 6;      // between zones, where cells are large enough to spare it
const RACK_GAP = 2;
const STRIP = 20;        // for the zones' names
const LARGEST = 104;
const DECORATED = 9;     // from this size on cells carry patterns and marks
const LABELLED = 13;     // from this size on every row and column has its name
const NARROW = 500;      // below, names get half the room
const BRIGHT = 32;       // added to the shade of what is pointed out, so that it wins over what is not

// How many letters of a name have room beside a map of this width, roughly.
export const lettersOf = (width) => (width < NARROW ? 9 : 20);

export class HeatMap {
  constructor(canvas, frame, stage) {
    Object.assign(this, { canvas, frame, stage, pen: canvas.getContext("2d"), model: null, cursor: null, labels: null });
  }

  // Places what `model` shows in a frame of this many CSS pixels; `zoom` 1 is what fits.
  layout(model, width, height, zoom) {
    const most = lettersOf(width);
    if (this.model !== model || this.letters !== most) this.labels = labelsOf(this.pen, model, most);
    Object.assign(this, { model, letters: most });
    const [rows, columns] = [model.rows, model.columns];
    const { banded, longest } = this.labels;
    this.strip = banded ? STRIP : 0;
    const size = (label, gaps) => {
      const room = (space, list, head) => (space - head - this.strip - 2 - (gaps ? spare(model, list, this.labels) : 0)) / list.length;
      const fits = Math.min(room(width, columns, label), room(height, rows, label), LARGEST);
      const cell = Math.min(fits * zoom, Math.max(fits, LARGEST));
      return cell >= 4 ? Math.floor(cell) : Math.max(cell, 1 / 16);
    };
    this.label = Math.min(longest + 10, width < NARROW ? 72 : 150);
    this.cell = size(this.label, true);
    if (this.cell < LABELLED) {
      this.label = 4;
      this.cell = size(4, false);
      if (this.cell >= 4) this.cell = size(4, true);
    }
    this.named = this.label > 4;
    this.flat = this.cell >= longest + 6;
    this.left = this.strip + this.label;
    this.top = this.strip + (this.named ? (this.flat ? 20 : this.label) : 4);
    this.gap = this.cell >= 4 ? ZONE_GAP : 0;
    this.rackGap = this.cell >= DECORATED ? RACK_GAP : 0;
    [this.rowAt, this.columnAt] = [this.places(rows), this.places(columns)];
    this.width = Math.ceil(this.left + this.columnAt[columns.length] + 2);
    this.height = Math.ceil(this.top + this.rowAt[rows.length] + 2);
    this.stage.style.width = `${this.width}px`;
    this.stage.style.height = `${this.height}px`;
    this.frame.style.height = `${Math.min(this.height, Math.ceil(height)) + 2}px`;
    this.ratio = window.devicePixelRatio || 1;
    this.seen = [Math.min(this.width, width), Math.min(this.height, Math.ceil(height))];
    const [w, h] = this.seen.map((v) => Math.round(v * this.ratio));
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    this.canvas.style.width = `${this.seen[0]}px`;
    this.canvas.style.height = `${this.seen[1]}px`;
  }

  // Where each of `list` begins, and where the last ends.
  places(list) {
    const at = new Float64Array(list.length + 1);
    const { bands, racks } = this.labels;
    for (let i = 1; i <= list.length; i++) {
      at[i] = at[i - 1] + this.cell;
      if (i === list.length) break;
      if (bands[list[i]] !== bands[list[i - 1]]) at[i] += this.gap;
      else if (racks[list[i]] !== racks[list[i - 1]]) at[i] += this.rackGap;
    }
    return at;
  }

  // `pointed`: { rows, columns, both } of what is pointed out, or null.
  draw(metric, palette, pointed) {
    if (!this.model) return;
    this.metric = metric;
    this.palette = palette;
    this.pointed = pointed;
    this.scroll = [this.frame.scrollLeft, this.frame.scrollTop];
    const { pen } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.fill();
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.save();
    pen.beginPath();
    pen.rect(this.left - 2, this.top - 2, this.seen[0], this.seen[1]);
    pen.clip();
    if (this.cell >= DECORATED) decorate(this);
    outline(this);
    pen.restore();
    headings(this);
    points(this);
  }

  // Every cell's colour in one image: the cost of a million fillRect calls is what would make a large map slow.
  fill() {
    const { model, metric, palette, pointed, ratio } = this;
    const [left, top] = [Math.round(this.left * ratio), Math.round(this.top * ratio)];
    const [width, height] = [this.canvas.width - left, this.canvas.height - top];
    if (width <= 0 || height <= 0) return;
    const seen = new Uint8Array(width * height);
    const { shades } = model.of(metric);
    const slim = this.cell >= 4 ? 1 : 0;
    const edges = (at, scroll, limit) => (i) => {
      const from = Math.round((at[i] - scroll) * ratio), to = Math.round((at[i] + this.cell - slim - scroll) * ratio);
      return [Math.max(from, 0), Math.min(Math.max(to, from + 1), limit)];
    };
    const across = edges(this.columnAt, this.scroll[0], width), down = edges(this.rowAt, this.scroll[1], height);
    const paint = (column, from, to, shade) => {
      const [start, end] = across(column);
      for (let y = from; y < to; y++) {
        for (let at = y * width + start; at < y * width + end; at++) if (seen[at] < shade) seen[at] = shade;
      }
    };
    for (const row of this.visible(1)) {
      const source = model.rows[row];
      const [from, to] = down(row);
      const bright = !pointed || (!pointed.both && pointed.rows[source]);
      if (model.level === "node" && model.columnOf[source] >= 0) paint(model.columnOf[source], from, to, SHADE.self + BRIGHT);
      for (let k = model.first[source]; k < model.first[source + 1]; k++) {
        const destination = model.cells.destination[k], column = model.columnOf[destination];
        if (column < 0) continue;
        const lit = bright || (pointed.columns[destination] && (!pointed.both || pointed.rows[source]));
        paint(column, from, to, shades[k] + (lit ? BRIGHT : 0));
      }
    }
    const [lit, dim] = palette.shades(metric).map((shades) => shades.map(([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r));
    const words = new Uint32Array(2 * BRIGHT);
    words.set(dim);
    words.set(lit, BRIGHT);
    const image = this.pen.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    // What no cell covers stays transparent.
    for (let at = 0; at < seen.length; at++) if (seen[at] !== 0) pixels[at] = words[seen[at]];
    this.pen.putImageData(image, left, top);
  }

  // The rows (axis 1) or columns (axis 0) of which something is seen.
  *visible(axis) {
    const at = axis ? this.rowAt : this.columnAt;
    const end = this.scroll[axis] + this.seen[axis] - (axis ? this.top : this.left);
    for (let i = before(at, this.scroll[axis] - this.cell); i < at.length - 1 && at[i] < end; i++) yield i;
  }

  // Left and top of a cell (of groups) in CSS pixels from the canvas' corner; null where it isn't shown.
  box({ source, destination }) {
    const [row, column] = [this.model.rowOf[source], this.model.columnOf[destination]];
    if (row < 0 || column < 0) return null;
    return [this.left + this.columnAt[column] - this.scroll[0], this.top + this.rowAt[row] - this.scroll[1]];
  }

  // The cell at a point in CSS pixels from the canvas' corner; null between and beside cells.
  hit(x, y) {
    if (!this.model || x < this.left || y < this.top) return null;
    const find = (at, v) => {
      const i = before(at, v);
      return i < at.length - 1 && v < at[i] + this.cell ? i : -1;
    };
    const [row, column] = [find(this.rowAt, y - this.top + this.scroll[1]), find(this.columnAt, x - this.left + this.scroll[0])];
    return row < 0 || column < 0 ? null : { source: this.model.rows[row], destination: this.model.columns[column] };
  }

  // Scrolls so that a cell is seen, in the middle where it was not.
  reveal(cell) {
    const [row, column] = [this.model.rowOf[cell.source], this.model.columnOf[cell.destination]];
    if (row < 0 || column < 0) return;
    const into = (axis, at, head) => {
      const room = this.seen[axis] - head;
      const name = axis ? "scrollTop" : "scrollLeft";
      if (at < this.frame[name] || at + this.cell > this.frame[name] + room) this.frame[name] = at - room / 2;
    };
    into(0, this.columnAt[column], this.left);
    into(1, this.rowAt[row], this.top);
  }
}

// What the gaps between zones take.
function spare(model, list, { bands, racks }) {
  let room = 0;
  for (let i = 1; i < list.length; i++) room += bands[list[i]] !== bands[list[i - 1]] ? ZONE_GAP : racks[list[i]] !== racks[list[i - 1]] ? RACK_GAP : 0;
  return room;
}

// The last place that begins at or before `v`; 0 where none does.
function before(at, v) {
  let low = 0, high = at.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (at[middle] <= v) low = middle;
    else high = middle - 1;
  }
  return low;
}
