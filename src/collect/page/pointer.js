// Pointer and keys in the map.

import { byId } from "./dom.js";
import { sentence } from "./model.js";

// `act`: { hover(cell or null), choose(cell), enter(cell), cursor() -> cell or null, zoom(factor) }.
export function listen(map, act) {
  const { canvas, frame } = map;
  let at = null;

  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    return map.hit(event.clientX - box.left, event.clientY - box.top);
  };
  const hover = (event) => {
    const cell = event ? under(event) : null;
    tip(cell, event);
    if (cell?.source !== at?.source || cell?.destination !== at?.destination) act.hover(cell);
    at = cell;
  };
  const tip = (cell, event) => {
    const box = byId("tip");
    box.hidden = !cell;
    if (!cell) return;
    box.textContent = sentence(map.model, cell.source, cell.destination);
    const { offsetWidth, offsetHeight } = box;
    box.style.left = `${Math.max(8, Math.min(event.clientX + 16, innerWidth - offsetWidth - 8))}px`;
    box.style.top = `${event.clientY + 20 + offsetHeight > innerHeight ? event.clientY - offsetHeight - 12 : event.clientY + 20}px`;
  };

  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("click", (event) => {
    const cell = under(event);
    if (!cell) return;
    act.choose(cell);
    act.enter(cell);
  });
  let drawing = false;
  frame.addEventListener("scroll", () => {
    hover(null);
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      act.scrolled();
    });
  });
  // Pinching a touchpad is a wheel with Ctrl, everywhere.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    act.zoom(event.deltaY < 0 ? 1.25 : 0.8, under(event));
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !map.model) return;
    const { rows, columns, rowOf, columnOf } = map.model;
    if (rows.length === 0 || columns.length === 0) return;
    const cursor = act.cursor();
    if (event.key === "Enter" && cursor) return act.enter(cursor);
    if (event.key === "+" || event.key === "-") return act.zoom(event.key === "+" ? 2 : 0.5, cursor);
    const moves = {
      ArrowUp: ([r, c]) => [r - 1, c], ArrowDown: ([r, c]) => [r + 1, c], ArrowLeft: ([r, c]) => [r, c - 1], ArrowRight: ([r, c]) => [r, c + 1],
      Home: ([r]) => [r, 0], End: ([r]) => [r, columns.length - 1], PageUp: ([r, c]) => [r - 10, c], PageDown: ([r, c]) => [r + 10, c],
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    // The first key shows where the cursor is.
    const first = [0, columns[0] === rows[0] && columns.length > 1 ? 1 : 0];
    const [row, column] = cursor ? moves[event.key]([rowOf[cursor.source], columnOf[cursor.destination]]) : first;
    const inside = (v, list) => list[Math.min(Math.max(v, 0), list.length - 1)];
    hover(null);
    const cell = { source: inside(row, rows), destination: inside(column, columns) };
    act.choose(cell);
    map.reveal(cell);
    const box = map.box(cell), top = canvas.getBoundingClientRect().top;
    if (box && (top + box[1] < 0 || top + box[1] + map.cell > innerHeight)) scrollBy(0, top + box[1] - innerHeight / 2);
  });
}
