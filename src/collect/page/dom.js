// Small helpers for the document. Whatever comes from the network goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

// Names come from the network; what would reorder or hide text is shown as U+FFFD.
export const clean = (name) => String(name).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");

// el("p.hint", "text") or el("tr", [cell, cell]); attributes last.
export function el(what, content = null, attributes = {}) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  node.classList.add(...classes);
  if (Array.isArray(content)) node.append(...content);
  else if (content !== null) node.textContent = content;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// A live region, and whatever the pointer is over, is only touched when it has something new to say.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A row of radio buttons; `change` gets the chosen id.
export function choices(parent, name, options, change) {
  if (parent.dataset.options === options.map(({ id }) => id).join()) return;
  parent.dataset.options = options.map(({ id }) => id).join();
  parent.replaceChildren(...options.map(({ id, label }) => {
    const input = el("input", null, { type: "radio", name, value: id, id: `${name}-${id}` });
    input.addEventListener("change", () => change(id));
    return el("span", [input, el("label", label, { for: input.id })]);
  }));
}

export function check(name, chosen) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`)) input.checked = input.value === chosen;
}

// UTC, with the date where it isn't today's.
export function clock(ms, now) {
  const at = new Date(ms);
  const [today, day] = [new Date(now), at].map((moment) => moment.toISOString().slice(0, 10));
  const time = `${at.toISOString().slice(11, 19)} UTC`;
  return today === day ? time : `${day} ${time}`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}
