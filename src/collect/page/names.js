// Names short enough to stand beside one another: without what they have in common, and cut in the middle, since names of a
// cluster differ at the end as often as at the beginning.

const ENDS = /[-._/:]/;

// `names` as they are where none has more than `most` letters; else without the beginning, up to a separator, and the domain
// at the end that half of them or more share. "…" stands where something was left out. { names, head, tail }: what that was.
export function brief(names, most) {
  const known = [...new Set(names)];
  const asIs = { names, head: "", tail: "" };
  if (known.length < 2 || known.every((name) => [...name].length <= most)) return asIs;
  const head = shared(known, (name) => [...name.slice(0, -1)].flatMap((_, at) => (ENDS.test(name[at]) ? name.slice(0, at + 1) : [])));
  const begun = (name) => head !== "" && name.startsWith(head);
  const rest = known.map((name) => (begun(name) ? name.slice(head.length) : name));
  const tail = shared(rest, (name) => [...name.slice(1)].flatMap((_, at) => (name[at + 1] === "." ? name.slice(at + 1) : [])));
  if (head.length + tail.length < 4) return asIs;
  const short = (name) => {
    const left = begun(name) ? name.slice(head.length) : name;
    const ended = tail !== "" && left.length > tail.length && left.endsWith(tail);
    return (begun(name) ? "…" : "") + (ended ? `${left.slice(0, -tail.length)}…` : left);
  };
  return { names: names.map(short), head, tail };
}

// Of the parts that half of the names have, the one that saves most letters.
function shared(names, partsOf) {
  const counts = new Map();
  for (const name of names) for (const part of partsOf(name)) counts.set(part, (counts.get(part) ?? 0) + 1);
  let best = "", saved = 0;
  for (const [part, count] of counts) {
    if (count > 1 && count * 2 >= names.length && count * part.length > saved) [best, saved] = [part, count * part.length];
  }
  return best;
}

// What "…" stands for, as a sentence; nothing where it stands for nothing.
export function stands({ head, tail }) {
  const parts = [head && `"${head}" before`, tail && `"${tail}" behind`].filter((part) => part !== "");
  return parts.length > 0 ? `In names … stands for ${parts.join(" and ")}.` : "";
}

// `text` where `fits` says so, else as much of its beginning and its end as fits.
export function middle(text, fits) {
  if (fits(text)) return text;
  const letters = [...text];
  const cut = (kept) => letters.slice(0, kept >> 1).join("") + "…" + letters.slice(letters.length - kept + (kept >> 1)).join("");
  let low = 0, high = letters.length - 1;
  while (low < high) {
    const kept = (low + high + 1) >> 1;
    if (fits(cut(kept))) low = kept;
    else high = kept - 1;
  }
  return low > 0 ? cut(low) : "";
}
