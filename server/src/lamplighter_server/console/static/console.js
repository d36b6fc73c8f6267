// Live updates without a framework: the stream carries the HTML of the parts that differ, made by
// the same templates as the first paint. What a person did (focus, filter, open rows) is kept.

const SILENCE_MS = 31_000; // three beats of the server and a little more
const RETRY_MS = 5_000;
const STATES = {
  connecting: "Connecting",
  live: "Live",
  lost: "Connection lost, trying again",
  paused: "Paused",
};

const byId = (id) => document.getElementById(id);
const content = byId("content");
const connection = byId("connection");
const filter = byId("filter");

// ---- The live stream

let shown = content.dataset.digest;
let stream;
let silence;

function connect() {
  stream?.close();
  stream = new EventSource(`/api/v1/stream?shown=${shown}`);
  stream.addEventListener("beat", heard);
  stream.addEventListener("change", (event) => {
    apply(JSON.parse(event.data));
    heard();
  });
  stream.addEventListener("error", () => {
    show("lost");
    if (stream.readyState === EventSource.CLOSED) askWhetherSignedIn();
  });
}

async function askWhetherSignedIn() {
  wait(RETRY_MS);
  const answer = await fetch("/api/v1/me").catch(() => undefined);
  if (answer?.status === 401) location.assign("/sign-in");
}

function heard() {
  show("live");
  wait(SILENCE_MS);
}

function wait(delayMs) {
  clearTimeout(silence);
  silence = setTimeout(() => {
    show("lost");
    connect();
  }, delayMs);
}

function show(state) {
  if (connection.dataset.state === state) return;
  connection.dataset.state = state;
  connection.textContent = STATES[state];
}

// A tab that nobody sees costs the server nothing, and browsers allow only six streams per host.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(silence);
    stream?.close();
    show("paused");
  } else {
    show("connecting");
    connect();
  }
});

// ---- Patching

function apply({ digest, order, html }) {
  const said = new Set(announcements());
  const focused = document.activeElement?.id;
  for (const [box, parts] of Object.entries(order)) arrange(byId(box), parts, html);
  if (focused && document.activeElement?.id !== focused) {
    byId(focused)?.focus({ preventScroll: true });
  }
  shown = digest;
  search();
  tellAges();
  announce(announcements().filter((text) => !said.has(text)));
}

function arrange(box, parts, html) {
  parts.forEach((id, place) => {
    let part = byId(id);
    if (!part) {
      part = Object.assign(document.createElement("div"), { id, className: "part" });
    }
    if (box.children[place] !== part) box.insertBefore(part, box.children[place] ?? null);
    if (id in html) replace(part, html[id]);
  });
  while (box.children.length > parts.length) box.lastElementChild.remove();
}

function replace(part, html) {
  const details = [...part.querySelectorAll("details[open]")].map((element) => element.id);
  const rows = new Map(
    [...part.querySelectorAll("tr.more:not([hidden])")].map((row) => [row.id, row.innerHTML]),
  );
  part.innerHTML = html;
  for (const id of details) byId(id)?.setAttribute("open", "");
  for (const [id, former] of rows) {
    const row = byId(id);
    if (!row) continue;
    row.innerHTML = former;
    open(row.closest(".device"));
  }
}

const announcements = () =>
  [...content.querySelectorAll("[data-announce]")].map((element) => element.textContent.trim());

function announce(texts) {
  if (texts.length) byId("news").textContent = texts.join(". ");
}

// ---- Details of a device

async function open(device) {
  const row = device.querySelector(".more");
  row.hidden = false;
  device.querySelector(".open").setAttribute("aria-expanded", "true");
  try {
    const answer = await fetch(`/console/devices/${encodeURIComponent(device.dataset.device)}`);
    row.firstElementChild.innerHTML = answer.ok ? await answer.text() : "<p>No such device.</p>";
  } catch {
    row.firstElementChild.innerHTML = "<p>The server does not answer.</p>";
  }
  tellAges();
}

function close(device) {
  device.querySelector(".more").hidden = true;
  device.querySelector(".open").setAttribute("aria-expanded", "false");
}

// ---- Filter

function search() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const devices = [...content.querySelectorAll(".device")];
  for (const device of devices) {
    device.hidden = !words.every((word) => device.dataset.search.includes(word));
  }
  for (const part of byId("sites").children) {
    part.hidden = words.length > 0 && !part.querySelector(".device:not([hidden])");
  }
  const left = devices.filter((device) => !device.hidden).length;
  byId("matches").textContent = words.length ? `${left} of ${devices.length} devices` : "";
}

function setFilter(text) {
  filter.value = text;
  search();
}

filter.addEventListener("input", search);

// ---- Ages

function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "yesterday" : `${days} days ago`;
}

function tellAges() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    time.title ||= time.textContent;
    const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

// ---- What people press

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.matches(".open")) {
    const device = button.closest(".device");
    if (button.getAttribute("aria-expanded") === "true") close(device);
    else await open(device);
  } else if (button.dataset.filter) {
    setFilter(button.dataset.filter);
    filter.focus();
  } else if (button.dataset.copy) {
    await copy(button);
  }
});

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    announce(["The command is copied"]);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 2_000);
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    announce(["The command is selected: copy it with the keyboard"]);
  }
}

document.addEventListener("keydown", (event) => {
  const writing = event.target.matches("input, textarea");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    filter.focus();
    filter.select();
  } else if (event.key === "Escape" && event.target === filter) {
    setFilter("");
  }
});

search();
tellAges();
setInterval(tellAges, 15_000);
if (document.hidden) show("paused");
else connect();
