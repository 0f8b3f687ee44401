// What pages can do beyond reading: local times, the drawer, keys, zooming, following live, progress. Every page works without.
const csrf = document.body.dataset.csrf;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// What this browser keeps, where it keeps anything.
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Then for this page alone.
  }
}

// Times in the reader's zone, UTC in the title.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const two = (n) => String(n).padStart(2, "0");
function localise(root) {
  for (const element of $$("time[datetime]", root)) {
    const at = new Date(element.dateTime);
    if (isNaN(at) || element.dataset.local) continue;
    const day = `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
    element.dataset.local = "1";
    element.title = `${element.dateTime.slice(0, 19).replace("T", " ")} UTC`;
    const form = { short: `${day} ${time}`, minute: `${at.getFullYear()}-${day} ${time.slice(0, 5)}` };
    element.textContent = form["short" in element.dataset ? "short" : "minute" in element.dataset ? "minute" : ""] ?? `${at.getFullYear()}-${day} ${time}`;
  }
}
localise(document);
for (const element of $$("[data-zone]")) element.textContent = zone;

/** Says something to whoever does not see it happen. */
function say(text) {
  const said = $("#said");
  if (said) said.textContent = text;
}

// The drawer: the event's own page beside the list.
const rows = $("#rows");
let drawer = null;
let selected = null;
function select(row) {
  selected?.removeAttribute("aria-selected");
  selected = row;
  row?.setAttribute("aria-selected", "true");
  row?.scrollIntoView({ block: "nearest" });
}
/** Opens the event of a row, or one that is not in the list. */
async function open(row, seq = row.dataset.seq) {
  const stepping = drawer !== null && !drawer.contains(document.activeElement);
  select(row);
  drawer?.remove();
  drawer = document.createElement("div");
  drawer.className = "drawer";
  drawer.dataset.opening = "";
  drawer.setAttribute("role", "dialog");
  drawer.setAttribute("aria-label", `Event ${seq}`);
  const head = document.createElement("div");
  head.className = "head";
  const title = document.createElement("b");
  title.textContent = `Event #${seq}`;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", shut);
  head.append(title, close);
  const body = document.createElement("div");
  body.textContent = "Loading …";
  drawer.append(head, body);
  document.body.append(drawer);
  if (!stepping) close.focus();
  history.replaceState(null, "", `#event-${seq}`);
  const mine = drawer;
  try {
    const answer = await fetch(`/events/${seq}`, { headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine !== drawer) return;
    const content = $("#event", page) ?? $("main", page);
    body.replaceChildren(document.adoptNode(content));
    localise(body);
    const { prepare } = await import($("meta[name=verify]").content);
    prepare(body);
  } catch (error) {
    body.textContent = `The event could not be loaded: ${error.message}`;
  }
}
function shut() {
  drawer?.remove();
  drawer = null;
  history.replaceState(null, "", location.pathname + location.search);
  $("a", selected ?? document.createElement("p"))?.focus();
}
rows?.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  const row = event.target.closest("tr");
  if (!row?.dataset.seq || getSelection().toString()) return;
  event.preventDefault();
  open(row);
});
if (rows && /^#event-\d+$/.test(location.hash)) {
  const seq = location.hash.slice(7);
  open($(`tr[data-seq="${seq}"]`, rows), seq);
}

// Older events, below those that are there.
async function older() {
  const link = $("#older");
  if (!link || link.dataset.loading) return;
  link.dataset.loading = "1";
  link.textContent = "Loading …";
  const blank = document.createElement("tr");
  blank.className = "skeleton";
  blank.setAttribute("aria-hidden", "true");
  for (const head of $$("th", rows.closest("table"))) blank.append(Object.assign(document.createElement("td"), { className: head.className }));
  const blanks = Array.from({ length: 5 }, () => blank.cloneNode(true));
  rows.append(...blanks);
  try {
    const answer = await fetch(link.href, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const more = $$("#rows > tr", page);
    localise(page);
    rows.append(...more.map((row) => document.adoptNode(row)));
    // What the page says of the archive holds for the list that now ends where it ends.
    for (const part of ["#more", "#notices"]) $(part).replaceWith(document.adoptNode($(part, page)));
    say(`${more.length} more event${more.length === 1 ? "" : "s"}`);
    if (document.activeElement === document.body) $("a", more[0] ?? $("#more"))?.focus({ preventScroll: true });
    $("#older")?.addEventListener("click", loadOlder);
    for (const up of $$("#more a:not(#older)")) up.remove();
  } catch (error) {
    delete link.dataset.loading;
    link.textContent = `Load older (it failed: ${error.message})`;
  } finally {
    for (const row of blanks) row.remove();
  }
}
function loadOlder(event) {
  event.preventDefault();
  older();
}
$("#older")?.addEventListener("click", loadOlder);

// Keys. They are single letters, so whoever speaks to the browser can do without them.
const useKeys = $("#use-keys");
if (useKeys) {
  useKeys.checked = kept("dezky-audit.keys") !== "off";
  useKeys.addEventListener("change", () => keep("dezky-audit.keys", useKeys.checked ? "on" : "off"));
}
function step(by) {
  const all = $$("tr[data-seq]", rows);
  const at = all.indexOf(selected) + by;
  const row = all[Math.max(0, Math.min(all.length - 1, at))];
  if (!row) return;
  select(row);
  $("a", row)?.focus({ preventScroll: true });
  if (drawer) open(row);
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && drawer) return shut();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (!rows || !useKeys?.checked) return;
  const act = {
    "/": () => $("#search")?.focus(),
    j: () => step(1),
    k: () => step(-1),
    o: older,
    Enter: () => selected && document.activeElement === $("a", selected) && open(selected),
    "?": () => $("#keys")?.showModal(),
  }[event.key];
  if (act && (event.key !== "Enter" || selected)) {
    if (event.key !== "Enter" || document.activeElement === $("a", selected)) event.preventDefault();
    act();
  }
});

const keys = $("#show-keys");
keys?.classList.remove("scripted");
keys?.addEventListener("click", () => $("#keys").showModal());

// Zooming: a part of the histogram becomes the range.
const histogram = $("#histogram");
if (histogram) {
  const from = Number(histogram.dataset.from);
  const until = Number(histogram.dataset.until);
  let begin = null;
  let mark = null;
  const place = (event) => {
    const box = histogram.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  const draw = (to) => {
    const width = histogram.viewBox.baseVal.width;
    mark.setAttribute("x", Math.min(begin, to) * width);
    mark.setAttribute("width", Math.abs(to - begin) * width);
  };
  histogram.addEventListener("dragstart", (event) => event.preventDefault());
  // A finger that scrolls the page, or Escape, is no drag after all.
  const cancel = () => {
    begin = null;
    mark?.remove();
  };
  document.addEventListener("pointercancel", cancel);
  document.addEventListener("keydown", (event) => event.key === "Escape" && cancel());
  histogram.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    cancel();
    begin = place(event);
    mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    mark.setAttribute("class", "drag");
    mark.setAttribute("y", 0);
    mark.setAttribute("height", 100);
    mark.setAttribute("width", 0);
    histogram.append(mark);
  });
  document.addEventListener("pointermove", (event) => begin !== null && draw(place(event)));
  document.addEventListener("pointerup", (event) => {
    if (begin === null) return;
    const [a, b] = [begin, place(event)].sort((x, y) => x - y);
    begin = null;
    mark.remove();
    if (b - a < 0.01) return;
    histogram.addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
    const url = new URL(location.href);
    url.hash = "";
    for (const name of ["range", "cursor", "since", "until"]) url.searchParams.delete(name);
    const iso = (part) => new Date(Math.round((from + part * (until - from)) / 1000) * 1000).toISOString();
    url.searchParams.set("since", iso(a));
    url.searchParams.set("until", iso(b));
    location.assign(url);
  });
}
// Where the facets stand open by style, their element says so too.
if (matchMedia("(min-width: 75.001rem)").matches) $("#facets")?.setAttribute("open", "");

// Following live: new rows are announced and wait until they are asked for.
const live = $("#live");
if (live) {
  const announce = $("#announce");
  const button = $("button", announce);
  const most = 500;
  // Up to which event the page knows: what came between its making and following, or during a pause, is not skipped.
  let { after } = live.dataset;
  let stream = null;
  let waiting = [];
  // What is not shown: how many, where that is known, and why.
  let left = new Map();
  let ended = "";
  const leave = (why, n) => left.set(why, left.has(why) ? left.get(why) + (n ?? NaN) : (n ?? NaN));
  const missed = () => [...left].map(([why, n]) => `${isNaN(n) ? "some" : n.toLocaleString("en")} events ${why}`).join(" · ");
  const tell = () => {
    const n = waiting.length;
    const not = [missed(), ended].filter(Boolean).join(" · ");
    announce.hidden = n === 0 && !not;
    const news = n ? `${n} new event${n === 1 ? "" : "s"}` : "";
    const text = [news, not].filter(Boolean).join(" · ") + (n ? " — show" : "");
    // Told once it is there, not again with every number.
    if (button.textContent === "" && text) say(n ? "New events have come" : not);
    button.textContent = text;
  };
  const show = () => {
    const table = rows.closest("table");
    table.hidden = false;
    const keep = document.documentElement.scrollHeight - scrollY;
    const first = waiting[0];
    // The place of what is not shown stays to be seen.
    if (left.size) {
      const gap = document.createElement("tr");
      gap.className = "gap";
      const cell = document.createElement("td");
      cell.colSpan = $$("th", table).length;
      cell.textContent = `${missed()}: load the page again to see them`;
      gap.append(cell);
      waiting.push(gap);
    }
    rows.prepend(...waiting);
    if (scrollY > 100) scrollTo(0, document.documentElement.scrollHeight - keep);
    waiting = [];
    left = new Map();
    ended = "";
    $(".empty")?.remove();
    $("a", first)?.focus({ preventScroll: true });
    tell();
  };
  const follow = () => {
    const url = new URL(live.dataset.url, location.href);
    url.searchParams.set("after", after);
    stream = new EventSource(url);
    stream.onerror = () => {
      // While it tries again there is nothing to do; it ends where the answer was no stream.
      if (stream?.readyState !== EventSource.CLOSED) return;
      pause();
      ended = "following ended: load the page again";
      tell();
    };
    stream.onmessage = (event) => {
      after = event.lastEventId;
      const { html, shed } = JSON.parse(event.data);
      const table = document.createElement("table");
      table.innerHTML = `<tbody>${html}</tbody>`;
      const fresh = $$("tr", table).filter((row) => !$(`tr[data-seq="${row.dataset.seq}"]`, rows));
      for (const row of fresh) row.classList.add("new");
      localise(table);
      waiting.unshift(...fresh);
      if (waiting.length > most) {
        leave("were more than wait here", waiting.length - most);
        waiting.length = most;
      }
      if (shed) leave(shed.why, shed.n);
      tell();
    };
    live.textContent = "❚❚ Pause";
    live.setAttribute("aria-pressed", "true");
  };
  const pause = () => {
    stream?.close();
    stream = null;
    live.textContent = "▷ Follow live";
    live.setAttribute("aria-pressed", "false");
  };
  live.classList.remove("scripted");
  live.addEventListener("click", () => (stream ? pause() : follow()));
  button.addEventListener("click", show);
  addEventListener("pagehide", () => stream?.close());
}

// Verifying the chain, with progress.
for (const form of document.querySelectorAll("#verify, #verify-hot")) form.addEventListener("submit", verifyChain);
async function verifyChain(event) {
  event.preventDefault();
  const verify = event.currentTarget;
  const stop = new AbortController();
  const press = $("button", verify);
  press.disabled = true;
  $("#progress").hidden = false;
  $("#cancel").onclick = () => stop.abort();
  const text = $("#progress-text");
  const bar = $("#progress-bar");
  text.textContent = "Verifying …";
  try {
    const answer = await fetch(verify.action, { method: "POST", signal: stop.signal, headers: { accept: "application/x-ndjson", "x-csrf-token": csrf } });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const told = JSON.parse(line);
        if (told.failed) throw new Error(told.failed);
        if ("exitCode" in told) return location.reload();
        bar.max = Math.max(1, told.of);
        bar.value = told.walked;
        text.textContent = `${told.walked.toLocaleString("en")} of ${told.of.toLocaleString("en")} events`;
      }
    }
    throw new Error("the answer broke off");
  } catch (error) {
    text.textContent = stop.signal.aborted ? "Cancelled: nothing was concluded." : `It could not be verified: ${error.message}`;
    press.disabled = false;
  }
}

// Which key this browser has pinned.
const pinned = $("[data-pinned]");
if (pinned) {
  const vkey = kept(`dezky-audit.vkey.${document.body.dataset.origin}`);
  pinned.textContent = vkey ? `Pinned in this browser: ${vkey}` : "No key of this log is pinned in this browser.";
}
