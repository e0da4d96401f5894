// The server's answers and its events. Read-only; the token, where one is asked for, stays in this tab.

const KEY = "dt-token";
const RETRY_MS = 3000;

// The token is missing or wrong.
export class Refused extends Error {}
// The server doesn't do what it was asked for, and says why.
export class Declined extends Error {}

// A link may carry the token in its fragment, which browsers don't send; it is taken out of the address at once.
export function takeToken() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (!hash.has("token")) return;
  setToken(hash.get("token"));
  hash.delete("token");
  history.replaceState(null, "", `#${hash}`);
}

export const setToken = (token) => sessionStorage.setItem(KEY, token);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

async function ask(path, signal) {
  const token = sessionStorage.getItem(KEY);
  const answer = await fetch(path, { headers: token ? { authorization: `Bearer ${token}` } : {}, cache: "no-store", signal });
  if (answer.status === 401) throw new Refused(path);
  return answer;
}

// null where the server knows of no such thing.
export async function get(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null));
  const answer = await ask(query.size > 0 ? `${path}?${query}` : path);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new (answer.status === 400 ? Declined : Error)((await answer.json().catch(() => ({}))).error ?? `${path}: HTTP ${answer.status}`);
  return answer.json();
}

// Calls `changed` whenever there is something new, for ever. By fetch, since EventSource can't send the token.
export async function follow(changed) {
  for (;;) {
    try {
      const answer = await ask("/api/v1/events");
      const reader = answer.ok ? answer.body.pipeThrough(new TextDecoderStream()).getReader() : null;
      for (let text = "", part; reader && !(part = await reader.read()).done;) {
        const messages = (text + part.value).split("\n\n");
        text = messages.pop();
        if (messages.some((message) => /^event: ?refresh$/m.test(message))) changed();
      }
    } catch {
      // Without events the page asks by itself; that is where an unreachable server or a missing token is noticed.
    }
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  }
}
