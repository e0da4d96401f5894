// What Lighthouse's accessibility checks look for, as far as it can be told from the document and its computed styles.
// Gives a list of sentences, empty where all is well.
(() => {
  const wrong = [];
  const seen = (node) => node.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true }) && !node.closest("[aria-hidden='true']");
  const named = (node) => `<${node.localName}${node.id ? ` id=${node.id}` : ""} class="${node.className}"> ${(node.textContent ?? "").trim().slice(0, 40)}`;

  if (!document.documentElement.lang) wrong.push("no lang");
  if (!document.title) wrong.push("no title");
  if (!document.querySelector("meta[name=viewport]")?.content.includes("width=device-width")) wrong.push("no viewport");
  if (!document.querySelector("meta[name=description]")?.content) wrong.push("no description");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");

  let level = 0;
  for (const head of [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(seen)) {
    const next = Number(head.localName[1]);
    if (next > level + 1) wrong.push(`heading skips from ${level} to ${next}: ${named(head)}`);
    level = next;
  }

  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`id ${id} is there twice`);
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) {
      for (const id of node.getAttribute(name).split(" ")) if (!document.getElementById(id)) wrong.push(`${name}=${id} names nothing`);
    }
  }

  const labelOf = (node) => node.getAttribute("aria-label") || (node.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("")
    || [...(node.labels ?? [])].map((label) => label.textContent).join("") || (["input", "select", "canvas"].includes(node.localName) ? "" : node.textContent) || "";
  for (const node of document.querySelectorAll("a, button, input, select, summary, [tabindex], [role=group], section")) {
    if (seen(node) && labelOf(node).trim() === "") wrong.push(`no name: ${named(node)}`);
    if (node.tabIndex > 0) wrong.push(`tabindex above 0: ${named(node)}`);
  }
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) wrong.push("an image without alt");
  for (const th of document.querySelectorAll("main table:not(.u-legend) th")) if (!th.scope) wrong.push(`th without scope: ${named(th)}`);
  for (const field of [...document.querySelectorAll("fieldset")].filter(seen)) if (!field.querySelector("legend")) wrong.push("a fieldset without legend");

  // Contrast of every text with what lies behind it, by WCAG 2: 4.5 to 1, large text 3 to 1.
  const parse = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() === "" || !seen(node) || node.closest("script, option")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [parse(style.color).slice(0, 3), behind(node)].map(luminance).sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`contrast ${ratio.toFixed(2)}: ${named(node)}`);
  }
  return wrong;
})()
