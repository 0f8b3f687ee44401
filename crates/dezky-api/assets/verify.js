// Verifies one event from the bytes that the server serves: its hash (RFC 8785, SHA-256), its place in the tree (RFC 9162,
// section 2.1.3.2), and the signature of the tree's root (Ed25519, C2SP signed note) under a key that was pinned before.
const utf8 = new TextEncoder();
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const unbase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const join = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
};
const equal = (a, b) => a.length === b.length && a.every((byte, index) => byte === b[index]);

/** RFC 8785: members in the order of their UTF-16 code units; numbers and strings as ECMAScript writes them. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${members.join(",")}}`;
}

/** Log format, section 3: the event without its hash, each part replaced by its digest. */
export async function eventHash(line) {
  const event = JSON.parse(line);
  if (canonical(event) !== line) throw new Error("the line is not in canonical form");
  const preimage = { ...event };
  delete preimage.hash;
  for (const name of ["actor", "client", "resource", "metadata"]) {
    const part = event[name];
    if (part === undefined || typeof part === "string") continue;
    preimage[name] = "sealed" in part ? part.digest : hex(await sha256(utf8.encode(canonical(part))));
  }
  return { event, computed: hex(await sha256(utf8.encode(canonical(preimage)))) };
}

/** The root that a leaf and its path lead to; null where the path has another length than the tree's shape asks for. */
export async function rootOf(hash, index, size, path) {
  const node = (left, right) => sha256(join(Uint8Array.of(1), left, right));
  if (index >= size) return null;
  let [fn, sn] = [index, size - 1n];
  let root = await sha256(join(Uint8Array.of(0), hash));
  for (const next of path) {
    if (sn === 0n) return null;
    if (fn & 1n || fn === sn) {
      root = await node(next, root);
      while (!(fn & 1n) && fn !== 0n) { fn >>= 1n; sn >>= 1n; }
    } else {
      root = await node(root, next);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n ? root : null;
}

/** c2sp.org/tlog-proof@v1. */
export function parseProof(text) {
  const [head, note] = [text.slice(0, text.indexOf("\n\n")), text.slice(text.indexOf("\n\n") + 2)];
  const [magic, extra, index, ...path] = head.split("\n");
  if (magic !== "c2sp.org/tlog-proof@v1" || !extra?.startsWith("extra ") || !index?.startsWith("index ")) throw new Error("this is no proof");
  const line = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(unbase64(extra.slice(6)));
  return { line, index: BigInt(index.slice(6)), path: path.map(unbase64), note };
}

/** A vkey: name+id+base64(0x01 ‖ key); the id is recomputed. */
async function parseKey(vkey) {
  const parts = vkey.trim().split("+");
  const [name, id, data] = [parts[0], parts[1], parts.slice(2).join("+")];
  const key = unbase64(data ?? "");
  if (key.length !== 33 || key[0] !== 1) throw new Error("the pinned key is no Ed25519 vkey");
  const expected = (await sha256(join(utf8.encode(`${name}\n`), key))).slice(0, 4);
  if (hex(expected) !== id) throw new Error("the pinned key’s id is not its own");
  const imported = await crypto.subtle.importKey("raw", key.slice(1), { name: "Ed25519" }, false, ["verify"]);
  return { name, id: expected, imported };
}

/** The signed root, if the key signed this note of this log. */
export async function openNote(note, origin, vkey) {
  const at = note.indexOf("\n\n");
  const text = note.slice(0, at + 1);
  const [stated, size, root, ...more] = text.split("\n");
  if (stated !== origin || more.join("") !== "") throw new Error(`the checkpoint is of another log: ${stated}`);
  const key = await parseKey(vkey);
  if (key.name !== origin) throw new Error("the pinned key is of another log");
  let known = false;
  for (const line of note.slice(at + 2).split("\n").filter(Boolean)) {
    const [, name, blob] = /^— (\S+) (\S+)$/u.exec(line) ?? [];
    const bytes = blob ? unbase64(blob) : new Uint8Array();
    if (name !== key.name || !equal(bytes.slice(0, 4), key.id)) continue;
    known = true;
    if (!(await crypto.subtle.verify({ name: "Ed25519" }, key.imported, bytes.slice(4), utf8.encode(text)))) throw new Error("the signature is not good");
  }
  if (!known) throw new Error("the pinned key has not signed this checkpoint; if the log has a new key that was handed to you, use that one");
  return { size: BigInt(size), root: unbase64(root) };
}

const place = (origin) => `dezky-audit.vkey.${origin}`;

// Where the browser keeps nothing, a pinned key is good for this page.
let unkept = null;
function pinned(origin) {
  try {
    return localStorage.getItem(place(origin)) ?? unkept;
  } catch {
    return unkept;
  }
}
function pinKey(origin, vkey) {
  unkept = vkey;
  try {
    localStorage.setItem(place(origin), vkey);
  } catch {
    // For this page alone, then.
  }
}

/** What could not be looked at is not wrong. */
class CouldNotCheck extends Error {}

/** Answers that say nothing of the event: who asks, how often, or a server that is not there. */
const elsewhere = [401, 403, 408, 429, 502, 503, 504];

async function load(what, url, accept) {
  let answer;
  try {
    answer = await fetch(url, { headers: { accept } });
  } catch (error) {
    throw new CouldNotCheck(`${what} could not be loaded: ${error.message}`);
  }
  if (answer.ok) return answer.text();
  const { detail } = await answer.json().catch(() => ({}));
  const why = `${what} could not be loaded: ${detail ?? `status ${answer.status}`}`;
  throw elsewhere.includes(answer.status) ? new CouldNotCheck(why) : new Error(why);
}

const signs = { good: "✓", bad: "✕", warn: "?" };

async function run(article, steps) {
  const { seq, origin } = article.dataset;
  steps.replaceChildren();
  const say = (state, text) => {
    const item = document.createElement("li");
    const sign = document.createElement("span");
    sign.className = `state ${state}`;
    sign.textContent = signs[state];
    const words = document.createElement("span");
    words.textContent = text;
    item.append(sign, words);
    steps.append(item);
  };
  delete article.dataset.verified;
  try {
    const line = await load("the event", `/audit/events/${seq}`, "application/json");
    const { event, computed } = await eventHash(line);
    if (computed !== event.hash) throw new Error(`the event’s hash is not its own: stated ${event.hash}, computed ${computed}`);
    if (String(event.seq) !== seq) throw new Error(`this is event ${event.seq}, not ${seq}`);
    say("good", `The event has the hash that it states: ${computed}`);
    const proof = parseProof(await load("its proof", `/audit/events/${seq}/proof`, "application/json, text/plain"));
    if (proof.line !== line) throw new Error("the proof is of another event");
    if (proof.index !== BigInt(seq) - 1n) throw new Error("the proof is of another place");
    const head = await openNote(proof.note, origin, pinned(origin));
    say("good", `The key that is pinned in this browser signed the tree of ${head.size} events`);
    const root = await rootOf(unhex(computed), proof.index, head.size, proof.path);
    if (!root || !equal(root, head.root)) throw new Error("its path does not lead to the signed root");
    say("good", `The event is number ${seq} of that tree, by ${proof.path.length} hashes`);
    say("good", "Verified in this browser.");
    article.dataset.verified = "good";
  } catch (error) {
    const unchecked = error instanceof CouldNotCheck || error.name === "NotSupportedError";
    say(unchecked ? "warn" : "bad", `${unchecked ? "Could not be checked" : "Not verified"}: ${error.message}.`);
    article.dataset.verified = unchecked ? "unknown" : "bad";
  }
}

/** Makes the button of an event's page work, wherever the page was put. */
export function prepare(root) {
  const article = root.querySelector("#event");
  const button = root.querySelector("[data-verify]");
  if (!article || !button || button.dataset.ready) return;
  button.dataset.ready = "1";
  const { origin } = article.dataset;
  const pin = root.querySelector("[data-pin]");
  const input = root.querySelector("[data-vkey]");
  const steps = root.querySelector("[data-steps]");
  button.classList.remove("scripted");
  if (!globalThis.crypto?.subtle) {
    button.hidden = true;
    steps.textContent = "This browser verifies on https:// and on this machine only.";
    return;
  }
  const held = root.querySelector("[data-held]");
  const ask = () => {
    pin.hidden = false;
    input.focus();
  };
  const show = () => {
    held.hidden = !pinned(origin);
    held.querySelector("code").textContent = pinned(origin) ?? "";
  };
  show();
  root.querySelector("[data-other]").addEventListener("click", ask);
  button.addEventListener("click", () => (pinned(origin) ? run(article, steps) : ask()));
  root.querySelector("[data-pin-now]").addEventListener("click", async () => {
    try {
      const vkey = input.value.trim();
      if ((await parseKey(vkey)).name !== origin) throw new Error("this is the key of another log");
      pinKey(origin, vkey);
      pin.hidden = true;
      show();
      await run(article, steps);
    } catch (error) {
      steps.textContent = `✕ Not pinned: ${error.message}.`;
    }
  });
}
prepare(document);
