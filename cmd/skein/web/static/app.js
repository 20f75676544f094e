// The page: takes snapshots and events from the node, shows the chosen moment.
import { tree, delays, quantile, slowest } from "./layout.js";
import { MeshMap } from "./map.js";
import { Past } from "./history.js";
import { Panel } from "./panel.js";
import { Orders } from "./orders.js";
import { round } from "./charts.js";

const $ = (id) => document.getElementById(id);

const past = new Past();
const orders = new Orders();
const map = new MeshMap($("map"), choose);
const panel = new Panel(orders, choose);
let shown = null; // the snapshot on show
let replay = 0; // its time if it is not the present, ms
let stream = "";
let names = new Map();

globalThis.skein = { map, past, get shown() { return shown; } }; // for tests and the curious

function connect() {
  const source = new EventSource("page/events");
  source.onopen = () => link("live", "connected");
  source.onerror = () => link("lost", "connection lost, trying again");
  source.addEventListener("state", (e) => receive(JSON.parse(e.data)));
  source.addEventListener("event", (e) => {
    const id = panel.note(JSON.parse(e.data));
    if (id) map.flash(id);
  });
}

function link(state, text) {
  $("link").className = state;
  $("link").textContent = text;
}

function receive(snapshot) {
  past.add(snapshot);
  names = new Map(snapshot.members.map((m) => [m.id, m.name || m.id.slice(0, 8)]));
  const strangers = names.size !== panel.names.size;
  panel.names = names;
  if (strangers) panel.list(); // events that came before their names
  slider();
  offer(snapshot);
  if (!replay) show(snapshot);
}

// slider spans what is remembered; its value is a time in whole seconds.
function slider() {
  const first = past.moments[0]?.at_ms ?? 0;
  const last = past.moments.at(-1)?.at_ms ?? 0;
  const s = $("slider");
  s.min = String(Math.floor(first / 1000));
  s.max = String(Math.ceil(last / 1000));
  if (!replay) s.value = s.max;
  else $("when").textContent = `${Math.round((last - replay) / 1000)} s ago`;
}

// offer lists streams and members to choose from.
function offer(snapshot) {
  const streams = [...new Set(snapshot.members.flatMap((m) => (m.alive ? m.publishes ?? [] : [])))].sort();
  fill($("stream"), streams);
  if (!streams.includes(stream)) stream = streams.find((n) => n.endsWith("video")) ?? streams[0] ?? "";
  $("stream").value = stream;
  fill($("found"), [...names.values()].sort(new Intl.Collator(undefined, { numeric: true }).compare));
}

function fill(list, values) {
  if (values.join("\n") === [...list.children].map((o) => o.value).join("\n")) return;
  list.replaceChildren(...values.map((v) => new Option(v, v)));
}

function show(snapshot) {
  shown = snapshot;
  const nodes = tree(snapshot, stream);
  map.show(snapshot, nodes, names);
  figures(snapshot, nodes);
  const at = Date.parse(snapshot.time);
  panel.show(snapshot, nodes, past, replay ? at : Infinity, map.chosen, stream);
}

function figures(snapshot, nodes) {
  const alive = snapshot.members.filter((m) => m.alive).length;
  const lost = [...nodes.values()].reduce((sum, n) => sum + (n.place?.packets_lost ?? 0), 0);
  const leader = snapshot.coordinators.find((c) => c.leader);
  set("figure-members", alive === snapshot.members.length ? alive : `${alive} of ${snapshot.members.length}`);
  set("figure-streams", new Set(snapshot.members.flatMap((m) => m.publishes ?? [])).size);
  set("figure-delay", `${round(quantile(delays(nodes), 0.5))} ms`);
  set("figure-lost", lost, lost > 0);
  set("figure-leader", leader ? leader.name || leader.address : "none", !leader);
  set("figure-admissions", snapshot.admissions.accepted);
  set("figure-broken", snapshot.invariants_broken, snapshot.invariants_broken > 0);
  $("far").textContent = `${round(slowest(nodes))} ms`;
}

function set(id, value, bad = false) {
  $(id).textContent = value;
  $(id).classList.toggle("bad", bad);
}

function choose(id) {
  map.choose(id);
  if (shown) show(shown);
}

function live() {
  replay = 0;
  $("when").textContent = "live";
  $("live").disabled = true;
  slider();
  if (past.latest) show(past.latest);
}

async function goTo(ms) {
  const known = past.moments.findLast((m) => m.at_ms <= ms) ?? past.moments[0];
  if (!known) return;
  replay = known.at_ms;
  $("live").disabled = false;
  slider();
  const snapshot = await past.at(known.at_ms);
  if (snapshot && replay === known.at_ms) show(snapshot);
}

$("stream").addEventListener("change", (e) => {
  stream = e.target.value;
  if (shown) show(shown);
});
$("layout").addEventListener("change", (e) => {
  map.layout = e.target.value;
  if (shown) show(shown);
});
$("find").addEventListener("input", (e) => {
  const id = [...names].find(([, name]) => name === e.target.value)?.[0];
  if (id) choose(id);
});
$("slider").addEventListener("input", (e) => (e.target.value === e.target.max ? live() : goTo(Number(e.target.value) * 1000)));
$("live").addEventListener("click", live);

await Promise.allSettled([past.load(), orders.load()]);
document.body.classList.toggle("ordering", orders.known.length > 0);
connect();
