// The heat map on a canvas: layout, drawing, and which cell lies under a point. Up to 1,000 x 1,000 cells.

import { css, inkOn } from "./scale.js";
import { clean, stateOf } from "./model.js";

const FONT = "12px system-ui, sans-serif";
const ZONE_GAP = 6;      // between zones, where cells are large enough to spare it
const STRIP = 20;        // for the zones' names
const LARGEST = 92;
const DECORATED = 9;     // from this size on cells carry patterns and marks
const LABELLED = 13;     // from this size on every row and column has its name

export class HeatMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.model = null;
    this.cursor = null;
  }

  // Places the cells of `model` in `width` CSS pixels.
  layout(model, width) {
    this.model = model;
    const n = model.size;
    this.pen.font = FONT;
    const longest = Math.max(0, ...model.nodes.map((node) => this.pen.measureText(clean(node.name)).width));
    const zoned = model.nodes.some((node) => node.zone !== "");
    const breaks = model.nodes.filter((node, at) => at > 0 && node.zone !== model.nodes[at - 1].zone).length;
    const room = (label) => Math.floor((width - label - (zoned ? STRIP : 0) - breaks * ZONE_GAP - 2) / n);
    let label = Math.min(longest + 10, width < 500 ? 72 : 150);
    if (room(label) < LABELLED) label = 4;
    this.cell = Math.max(1, Math.min(LARGEST, room(label)));
    this.label = label;
    this.gap = this.cell >= 4 ? ZONE_GAP : 0;
    this.strip = zoned ? STRIP : 0;
    this.flat = this.cell >= longest + 6;
    this.top = this.strip + (this.label > 4 ? (this.flat ? 20 : this.label) : 4);
    this.left = this.strip + this.label;
    this.at = [];
    let at = 0;
    model.nodes.forEach((node, i) => {
      if (i > 0 && node.zone !== model.nodes[i - 1].zone) at += this.gap;
      this.at.push(at);
      at += this.cell;
    });
    this.width = this.left + at + 2;
    this.height = this.top + at + 2;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.ratio = ratio;
  }

  draw(probe, metric, palette) {
    const { pen, model } = this;
    if (!model || model.size === 0) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.fill(probe, metric, palette);
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (this.cell >= DECORATED) this.decorate(probe, metric, palette);
    this.names(palette);
    this.mark(palette);
  }

  // Every cell's colour in one image: the cost of a million fillRect calls is what would make a large map slow.
  fill(probe, metric, palette) {
    const { width, height } = this.canvas;
    const image = this.pen.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const spare = this.cell >= 4 ? 1 : 0;
    const edge = this.at.map((at) => [at, at + this.cell - spare]);
    const px = (v) => Math.round(v * this.ratio);
    for (let r = 0; r < this.model.size; r++) {
      for (let c = 0; c < this.model.size; c++) {
        const [red, green, blue] = this.colour(probe, metric, palette, r, c);
        const word = (255 << 24) | (blue << 16) | (green << 8) | red;
        const from = px(this.left + edge[c][0]), to = px(this.left + edge[c][1]);
        for (let y = px(this.top + edge[r][0]); y < px(this.top + edge[r][1]); y++) pixels.fill(word, y * width + from, y * width + to);
      }
    }
    this.pen.putImageData(image, 0, 0);
  }

  colour(probe, metric, palette, r, c) {
    const row = this.model.row(probe, r, c);
    const state = stateOf(row, r, c);
    if (state !== "live") return palette[state];
    const value = metric.value(row);
    return value === null ? palette.absent : palette.level(metric, value);
  }

  // Patterns, so that no state is told by colour alone, and the numbers where they fit.
  decorate(probe, metric, palette) {
    const { pen } = this;
    const size = this.cell - 1;
    for (let r = 0; r < this.model.size; r++) {
      for (let c = 0; c < this.model.size; c++) {
        const row = this.model.row(probe, r, c);
        const state = stateOf(row, r, c);
        const x = this.left + this.at[c], y = this.top + this.at[r];
        const ink = inkOn(this.colour(probe, metric, palette, r, c));
        pen.save();
        pen.beginPath();
        pen.rect(x, y, size, size);
        pen.clip();
        if (state === "self" || state === "absent" || state === "waiting") {
          pen.strokeStyle = palette.line;
          pen.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
          if (state === "self") stroke(pen, [[x, y + size, x + size, y]]);
          if (state === "waiting") this.text("…", x, y, palette.faint);
        } else {
          pen.strokeStyle = ink;
          if (state === "dead") {
            pen.lineWidth = Math.max(1.5, size / 18);
            const inset = size * 0.32;
            stroke(pen, [[x + inset, y + inset, x + size - inset, y + size - inset], [x + size - inset, y + inset, x + inset, y + size - inset]]);
          } else if (state === "stale") {
            pen.globalAlpha = 0.35;
            for (let d = -size; d < size; d += 6) stroke(pen, [[x + d, y + size, x + d + size, y]]);
            pen.globalAlpha = 1;
          } else if (row.received < row.sent) {
            // A bitten corner: some probes were lost, whatever metric is shown.
            const bite = Math.max(5, size / 5);
            pen.fillStyle = css(palette.dead);
            triangle(pen, x + size, y, bite + 1.5);
            pen.strokeStyle = palette.surface;
            stroke(pen, [[x + size - bite - 1.5, y, x + size, y + bite + 1.5]]);
          }
          if (this.cell >= 46 && state !== "dead") this.text(metric.format(metric.value(row)), x, y, ink, state === "stale" ? css(palette.stale) : null);
        }
        pen.restore();
      }
    }
  }

  text(text, x, y, ink, behind = null) {
    const { pen } = this;
    pen.font = this.cell >= 58 ? "12px system-ui, sans-serif" : "10.5px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const [cx, cy] = [x + (this.cell - 1) / 2, y + (this.cell - 1) / 2];
    if (behind) {
      const wide = pen.measureText(text).width + 8;
      pen.fillStyle = behind;
      pen.fillRect(cx - wide / 2, cy - 9, wide, 18);
    }
    pen.fillStyle = ink;
    pen.fillText(text, cx, cy);
  }

  names(palette) {
    const { pen, model } = this;
    pen.font = FONT;
    pen.fillStyle = palette.ink;
    pen.textBaseline = "middle";
    if (this.label > 4) {
      model.nodes.forEach((node, i) => {
        const middle = this.at[i] + (this.cell - 1) / 2;
        const name = this.fit(clean(node.name), this.flat ? this.cell : this.label - 8);
        pen.textAlign = "right";
        pen.fillText(this.fit(clean(node.name), this.label - 8), this.left - 6, this.top + middle);
        pen.save();
        pen.translate(this.left + middle, this.top - 6);
        if (!this.flat) pen.rotate(-Math.PI / 2);
        pen.textAlign = this.flat ? "center" : "left";
        pen.fillText(name, 0, this.flat ? -4 : 0);
        pen.restore();
      });
    }
    if (this.strip === 0) return;
    pen.strokeStyle = palette.line;
    pen.fillStyle = palette.faint;
    for (let from = 0, to; from < model.size; from = to) {
      for (to = from + 1; to < model.size && model.nodes[to].zone === model.nodes[from].zone; to++);
      const [start, end] = [this.at[from], this.at[to - 1] + this.cell - 1];
      const zone = this.fit(clean(model.nodes[from].zone || "no zone"), end - start - 4);
      pen.textAlign = "center";
      pen.fillText(zone, this.left + (start + end) / 2, 8);
      pen.save();
      pen.translate(8, this.top + (start + end) / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText(zone, 0, 0);
      pen.restore();
      stroke(pen, [[this.left + start, 17.5, this.left + end, 17.5], [17.5, this.top + start, 17.5, this.top + end]]);
    }
  }

  // `text` cut to `width` pixels.
  fit(text, width) {
    const { pen } = this;
    if (pen.measureText(text).width <= width) return text;
    const letters = [...text].slice(0, 64);
    while (letters.length > 0 && pen.measureText(letters.join("") + "…").width > width) letters.pop();
    return letters.length > 0 ? letters.join("") + "…" : "";
  }

  mark(palette) {
    if (!this.cursor) return;
    const [x, y, size] = this.box(this.cursor);
    for (const [colour, width] of [[palette.surface, 5], [palette.ink, 2.5]]) {
      this.pen.strokeStyle = colour;
      this.pen.lineWidth = width;
      this.pen.strokeRect(x - 1, y - 1, size + 1, size + 1);
    }
    this.pen.lineWidth = 1;
  }

  // Left, top and size of a cell in CSS pixels from the canvas' corner.
  box({ source, destination }) {
    return [this.left + this.at[destination], this.top + this.at[source], this.cell];
  }

  // The cell at a point in CSS pixels from the canvas' corner; null between and beside cells.
  hit(x, y) {
    const find = (v) => this.at.findIndex((at) => v >= at && v < at + this.cell);
    const [source, destination] = [find(y - this.top), find(x - this.left)];
    return source >= 0 && destination >= 0 ? { source, destination } : null;
  }
}

function stroke(pen, lines) {
  pen.beginPath();
  for (const [x1, y1, x2, y2] of lines) {
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
  }
  pen.stroke();
}

function triangle(pen, x, y, size) {
  pen.beginPath();
  pen.moveTo(x - size, y);
  pen.lineTo(x, y);
  pen.lineTo(x, y + size);
  pen.fill();
}
