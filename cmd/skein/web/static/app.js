// The page: takes snapshots and events from the node, shows the chosen moment.
import { tree, delays, quantile } from "./layout.js";
import { MeshMap } from "./map.js";
import { bars, cdf, round } from "./charts.js";

const $ = (id) => document.getElementById(id);
const keep = 600; // snapshots: ten minutes
const eventsShown = 200;
const outcomes = [
  ["accepted", "var(--good)"],
  ["refused_stale", "var(--warm)"],
  ["refused_full", "var(--bad)"],
  ["refused_by_peer", "var(--soft)"],
];

const history = []; // {snapshot}, oldest first, about one a second
let shown = -1; // index into history; -1 = live
let stream = "";
let chosen = "";

const map = new MeshMap($("map"), choose);
globalThis.skein = { map, history }; // for tests and the curious

function connect() {
  const source = new EventSource("events");
  source.onopen = () => link("live", "live");
  source.onerror = () => link("lost", "connection lost, trying again");
  source.addEventListener("state", (e) => receive(JSON.parse(e.data)));
  source.addEventListener("event", (e) => note(JSON.parse(e.data)));
}

function link(state, text) {
  $("link").className = state;
  $("link").textContent = text;
}

function receive(snapshot) {
  const last = history.at(-1);
  if (last && snapshot.seconds - last.seconds < 0.8) history.pop();
  history.push(snapshot);
  if (history.length > keep) {
    history.shift();
    if (shown > 0) shown--;
  }
  const slider = $("slider");
  slider.max = String(history.length - 1);
  if (shown < 0) slider.value = slider.max;
  streams(snapshot);
  if (shown < 0) render();
}

function moment() {
  return shown < 0 ? history.at(-1) : history[shown];
}

function streams(snapshot) {
  const names = [...new Set(snapshot.members.flatMap((m) => (m.alive ? m.publishes ?? [] : [])))].sort();
  const select = $("stream");
  if (names.join("\n") === [...select.options].map((o) => o.value).join("\n")) return;
  select.replaceChildren(...names.map((n) => new Option(n, n)));
  if (!names.includes(stream)) stream = names.find((n) => n.endsWith("video")) ?? names[0] ?? "";
  select.value = stream;
}

function render() {
  const snapshot = moment();
  if (!snapshot) return;
  const nodes = tree(snapshot, stream);
  map.show(snapshot, nodes);
  figures(snapshot, nodes);
  cdf($("cdf"), delays(nodes));
  admissions();
  coordinators(snapshot);
  detail(snapshot, nodes);
}

function figures(snapshot, nodes) {
  const alive = snapshot.members.filter((m) => m.alive).length;
  const lost = [...nodes.values()].reduce((sum, n) => sum + (n.place?.packets_lost ?? 0), 0);
  set("figure-members", alive === snapshot.members.length ? alive : `${alive} of ${snapshot.members.length}`);
  set("figure-streams", $("stream").options.length);
  set("figure-delay", `${round(quantile(delays(nodes), 0.5))} ms`);
  set("figure-lost", lost, lost > 0);
  set("figure-leader", snapshot.coordinators.find((c) => c.leader)?.name ?? "none", !snapshot.coordinators.some((c) => c.leader));
  set("figure-broken", snapshot.invariants_broken, snapshot.invariants_broken > 0);
}

function set(id, value, bad = false) {
  $(id).textContent = value;
  $(id).classList.toggle("bad", bad);
}

function admissions() {
  const until = shown < 0 ? history.length : shown + 1;
  const window = history.slice(Math.max(0, until - 61), until);
  const rates = [];
  for (let i = 1; i < window.length; i++) {
    rates.push(outcomes.map(([key]) => Math.max(0, window[i].admissions[key] - window[i - 1].admissions[key])));
  }
  bars($("admissions"), rates, outcomes.map(([, colour]) => colour));
  const now = window.at(-1)?.admissions ?? {};
  $("admission-figures").textContent = outcomes.map(([key]) => `${now[key] ?? 0} ${key.replaceAll("_", " ")}`).join(" · ");
}

function coordinators(snapshot) {
  const rows = snapshot.coordinators.map((c) => {
    const state = !c.alive ? "down" : c.leader ? "leads" : "follows";
    return row([c.name, state, c.address], { down: "dead", leads: "leads" }[state]);
  });
  $("coordinators").tBodies[0].replaceChildren(...rows);
}

function row(cells, mark) {
  const tr = document.createElement("tr");
  cells.forEach((text, i) => {
    const td = tr.insertCell();
    td.textContent = text;
    if (i === 1 && mark) td.className = mark;
  });
  return tr;
}

function detail(snapshot, nodes) {
  const member = snapshot.members.find((m) => m.name === chosen);
  $("detail").hidden = !member;
  if (!member) return;
  const node = nodes.get(chosen);
  const lines = [
    ["id", member.id],
    ["uplink", `${member.sending_kbps} of ${member.uplink_kbps} kbit/s`],
    ["parent", node?.origin ? "is the origin" : node?.parent || "none"],
    ["standbys", node?.place?.standbys ?? "–"],
    ["children", node ? node.children.join(", ") || "none" : "–"],
    ["delay", node?.place ? `${round(node.place.delay_ms_p50)} ms p50, ${round(node.place.delay_ms_p99)} ms p99` : "–"],
    ["packets", node?.place ? `${node.place.packets_received} received, ${node.place.packets_lost} lost` : "–"],
    ["parents changed", node?.place?.switches ?? "–"],
  ];
  $("detail").querySelector("h2").textContent = member.alive ? member.name : `${member.name} (gone)`;
  const list = $("detail").querySelector("dl");
  list.replaceChildren(...lines.flatMap(([name, value]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

function choose(name) {
  chosen = name;
  map.choose(name);
  render();
}

function note(event) {
  const li = document.createElement("li");
  const time = document.createElement("time");
  const text = document.createElement("span");
  const at = new Date(event.time);
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString([], { hour12: false });
  const names = new Map((history.at(-1)?.members ?? []).map((m) => [m.id, m.name]));
  const name = (id) => names.get(id) ?? id;
  text.textContent = [event.kind, name(event.member), event.stream, event.parent && `from ${name(event.parent)}`, event.cause, event.detail]
    .filter(Boolean).join(" ");
  text.className = /lost|kill|refused|expired|broken/.test(event.kind) ? "bad" : "";
  li.append(time, text);
  $("events").prepend(li);
  while ($("events").childElementCount > eventsShown) $("events").lastChild.remove();
  if (text.className && event.member) map.flash(name(event.member));
}

$("stream").addEventListener("change", (e) => {
  stream = e.target.value;
  render();
});
$("slider").addEventListener("input", (e) => {
  const i = Number(e.target.value);
  shown = i >= history.length - 1 ? -1 : i;
  $("live").disabled = shown < 0;
  $("when").textContent = shown < 0 ? "live" : `${Math.round(history.at(-1).seconds - history[shown].seconds)} s ago`;
  render();
});
$("live").addEventListener("click", () => {
  shown = -1;
  $("slider").value = $("slider").max;
  $("when").textContent = "live";
  $("live").disabled = true;
  render();
});

fetch("state").then((r) => (r.ok ? r.json() : null)).then((s) => s?.members && receive(s)).catch(() => {}).finally(connect);
