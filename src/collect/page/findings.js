// The verdict on top, its findings, and what of the map a finding points out.

import { byId, clean, clock, el, say, span } from "./dom.js";

// Who is to blame for a kind of finding. Kinds that a newer server may name count as the network's.
const WHERE = {
  node_down: "host", node_slow: "host", agent_down: "host", grpc_failing: "host",
  prober_at_fault: "measurement", node_silent: "measurement", collector_blind: "measurement",
};
const whereOf = (finding) => WHERE[finding.kind] ?? "network";

const HEADLINES = {
  network: "The network is at fault",
  host: "A host is at fault, not the network",
  measurement: "The measurement is at fault: the network can't be judged",
};
const SIGNS = { network: "✕", host: "✕", measurement: "?", none: "✓", part: "◐", unknown: "…" };

const PATTERNS = { podset_down: "pod-set down", podset_failure: "pod-set failure", spine_failure: "spine failure" };

const words = (kind) => clean(kind).replaceAll("_", " ");

// Stays the same as long as the same thing is found of the same nodes.
export function keyOf({ kind, subject }) {
  const { nodes = [], racks = [], zones = [], source, destination, port } = subject ?? {};
  return [kind, ...nodes, ...racks, ...zones, ...(source ? [`${source}>${destination ?? ""}`] : []), ...(port ? [port] : [])].join(",");
}

// Other collectors read some of the partitions: what they see isn't seen here. Where the share isn't told it is the whole.
export const isPart = (told) => Boolean(told?.share) && told.share.read < told.share.of;

const NOBODY_LOOKS = { findings: [], pattern: "unknown", now_ms: 0 };

// `known`: whether there is anything to judge by; `pointed`: key of the finding that is pointed out in the map.
export function verdict(told, known, pointed, point) {
  const { findings, pattern, now_ms: now, judged = true } = told ?? NOBODY_LOOKS;
  const worst = ["network", "host", "measurement"].find((where) => findings.some((finding) => whereOf(finding) === where));
  const how = worst ?? (now > 0 && known && judged ? (isPart(told) ? "part" : "none") : "unknown");
  const box = byId("verdict");
  box.dataset.verdict = how;
  say(byId("verdict-sign"), SIGNS[how]);
  if (how === "none") {
    say(byId("verdict-head"), "No fault found");
    say(byId("verdict-since"), `Network and hosts look as they should. Checked at ${clock(now, now)}`);
  } else if (how === "part") {
    say(byId("verdict-head"), `No fault in the ${told.share.read} of ${told.share.of} partitions read here`);
    say(byId("verdict-since"), `Other collectors see the rest. Checked at ${clock(now, now)}`);
  } else if (how === "unknown") {
    say(byId("verdict-head"), told ? "No verdict yet" : "No verdict");
    say(byId("verdict-since"), !told ? "This server doesn't look for faults." : !known ? "No record has arrived." : judged ? "Faults are being looked for." : "What has arrived isn't judged yet.");
  } else {
    const since = Math.min(...findings.filter((finding) => whereOf(finding) === worst).map((finding) => finding.since_ms ?? now));
    say(byId("verdict-head"), HEADLINES[worst]);
    say(byId("verdict-since"), `since ${clock(since, now)} (${span(now - since)})${PATTERNS[pattern] ? `, pattern: ${PATTERNS[pattern]}` : ""}`);
  }
  cards(findings, now, pointed, point);
}

// Cards stay in place while their finding does, so that what a reader opened stays open.
function cards(findings, now, pointed, point) {
  const list = byId("findings");
  const old = new Map([...list.children].map((card) => [card.dataset.key, card]));
  const fresh = findings.map((finding) => {
    const key = keyOf(finding);
    const card = old.get(key) ?? blank(key, point);
    fill(card, finding, now, pointed === key);
    return card;
  });
  list.hidden = fresh.length === 0;
  if (fresh.length !== list.children.length || fresh.some((card, at) => list.children[at] !== card)) list.replaceChildren(...fresh);
}

function blank(key, point) {
  const button = el("button.sentence", null, { type: "button" });
  const card = el("li.finding", [button, el("p.meta"), el("details", [el("summary", "Evidence"), el("ul")])]);
  card.dataset.key = key;
  button.addEventListener("click", () => point(card.finding));
  return card;
}

function fill(card, finding, now, pressed) {
  card.finding = finding;
  card.dataset.where = whereOf(finding);
  const [button, meta, details] = card.children;
  say(button, clean(finding.summary));
  button.setAttribute("aria-pressed", String(pressed));
  button.title = pressed ? "Stop pointing it out in the map" : "Point it out in the map";
  const since = finding.since_ms ? `since ${clock(finding.since_ms, now)} (${span(now - finding.since_ms)})` : "since when is not known";
  const pairs = finding.pairs ? `, ${finding.pairs} ${finding.pairs === 1 ? "pair" : "pairs"}` : "";
  say(meta, `${words(finding.kind)}, ${Math.round(finding.confidence * 100)} % sure, ${since}${pairs}`);
  const evidence = finding.evidence ?? [];
  details.hidden = evidence.length === 0;
  const lines = details.lastChild;
  if ([...lines.children].map((line) => line.textContent).join("\n") !== evidence.map(clean).join("\n")) {
    lines.replaceChildren(...evidence.map((line) => el("li", clean(line))));
  }
}

// The level at which a finding can be seen: the one that is shown, where something of it is there.
export function levelFor(model, finding) {
  const here = pointsOut(model, finding, "");
  if (here && [...here.rows, ...here.columns].some(Boolean)) return model.level;
  const { nodes = [], racks = [], source } = finding.subject ?? {};
  return nodes.length > 0 || source ? "node" : racks.length > 0 ? "rack" : "zone";
}

// Every name by which a finding may mean a group.
function namesOf({ name, region, zone, rack }, level) {
  if (level === "region") return [name];
  const zones = [zone, `${region}/${zone}`].filter(() => zone !== "");
  const racks = rack === "" ? [] : [`${zone}/${rack}`, `${region}/${zone}/${rack}`];
  return [name, ...zones, ...(level === "zone" ? [] : racks)];
}

// { rows, columns, both }: a cell is pointed out where its row or its column is, or where both must be, both.
export function pointsOut(model, finding, find) {
  const text = find.trim().toLowerCase();
  if (text !== "") {
    const found = model.groups.map((group) => [group.name, group.zone, group.rack, group.region].some((part) => part.toLowerCase().includes(text)));
    return { rows: found, columns: found, both: false };
  }
  if (!finding) return null;
  const { nodes = [], racks = [], zones = [], source, destination } = finding.subject ?? {};
  const of = (names) => {
    const wanted = new Set(names);
    return model.groups.map((group) => namesOf(group, model.level).some((name) => wanted.has(name)));
  };
  if (source && destination) return { rows: of([source]), columns: of([destination]), both: true };
  if (source) return { rows: of([source]), columns: of([]), both: false };
  const all = of([...nodes, ...racks, ...zones]);
  return { rows: all, columns: all, both: zones.length > 1 };
}
