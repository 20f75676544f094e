// What stands beside the map: the chosen member, delays, admissions, coordinators
// and events. It keeps what it has built and changes only what differs, so that
// nothing jumps and the focus stays.
import { bars, cdf, round } from "./charts.js";
import { delays } from "./layout.js";
import { Pair } from "./pair.js";
import { Rounds } from "./rounds.js";

const $ = (id) => document.getElementById(id);
const eventsKept = 1000;
const eventsShown = 150;
const outcomes = [
  ["accepted", "var(--good)"],
  ["refused_stale", "var(--warm)"],
  ["refused_full", "var(--bad)"],
  ["refused_by_peer", "var(--soft)"],
];

export class Panel {
  constructor(orders, choose) {
    this.orders = orders;
    this.choose = choose;
    this.names = new Map();
    this.events = []; // newest first
    this.until = Infinity;
    this.rounds = new Rounds($("rounds"), (id) => this.name(id));
    this.pair = new Pair(document.querySelector("#detail .pair"), orders, (text) => this.complain(text));
    $("plan").addEventListener("click", async () => this.complain(await orders.give("plan", "")));
  }

  name(id) {
    return this.names.get(id) ?? id;
  }

  show(snapshot, nodes, past, until, chosen, stream) {
    const members = [...nodes.values()].filter((n) => !n.origin);
    cdf($("cdf"), delays(nodes));
    const sum = (key) => members.reduce((n, m) => n + m.place[key], 0);
    const worst = members.reduce((a, m) => Math.max(a, m.place.gap_ms_max), 0);
    $("stream-figures").textContent = `${stream}: ${sum("packets_lost")} lost of ${sum("packets_received")}, ${sum("duplicates_delivered")} delivered twice, longest gap ${round(worst)} ms`;
    const end = until === Infinity ? Date.parse(snapshot.time) : until;
    bars($("admissions"), past.rates(end, outcomes.map(([key]) => key)), outcomes.map(([, colour]) => colour));
    legend(snapshot.admissions);
    this.coordinators(snapshot);
    $("plan").hidden = !this.orders.known.includes("plan");
    this.rounds.show(snapshot.rounds ?? []);
    this.detail(snapshot, nodes, chosen);
    if (this.until !== until) {
      this.until = until;
      this.list();
    }
  }

  coordinators(snapshot) {
    const led = snapshot.coordinators.find((c) => c.leader);
    $("group").textContent = led ? `term ${led.group.term}, revision ${led.group.revision}` : "nobody leads";
    const rows = snapshot.coordinators.map((c) => {
      const g = c.group;
      const name = c.name || c.address.replace(/:\d+$/, "");
      const state = !c.alive ? "down" : c.leader ? "leads" : g.state || "–";
      return {
        key: c.address, alive: c.alive, node: c.name, title: c.error || g.health || "",
        mark: { down: "dead", leads: "leads" }[state] ?? "",
        cells: [name, state, c.alive ? g.applied_index : "–", contact(c), g.commit_ms_p99 ? `${round(g.commit_ms_p99)} ms` : "–", g.disk_ms_p99 ? `${round(g.disk_ms_p99)} ms` : "–"],
      };
    });
    const body = $("coordinators").tBodies[0];
    rows.forEach((r, i) => this.row(body.rows[i] ?? body.insertRow(), r));
    while (body.rows.length > rows.length) body.deleteRow(-1);
    $("pool").textContent = this.gossip(snapshot);
  }

  gossip(snapshot) {
    const told = snapshot.members.filter((m) => m.alive && m.peers > 0).map((m) => m.peers + 1);
    if (told.length === 0) return "gossip: nobody tells of a peer";
    const least = Math.min(...told), most = Math.max(...told);
    const suspects = snapshot.members.filter((m) => m.suspect).map((m) => m.id);
    return `gossip: ${told.length} members tell of ${least}${most > least ? ` to ${most}` : ""} alive; suspect: ${this.some(suspects)}; ${(snapshot.gossip_events_per_s ?? 0).toFixed(1)} events/s`;
  }

  row(tr, r) {
    while (tr.cells.length <= r.cells.length) tr.insertCell();
    tr.title = r.title;
    r.cells.forEach((text, i) => { tr.cells[i].textContent = text; });
    tr.cells[1].className = r.mark;
    this.actions(tr.cells[r.cells.length], r.node, r.alive, ["kill", "start"]);
  }

  // actions shows the buttons for a node; they stay as long as they are right.
  actions(place, node, alive, fit) {
    const key = node ? `${node} ${alive}` : "";
    if (place.dataset.key === key) return;
    place.dataset.key = key;
    place.replaceChildren(...(node ? this.orders.buttons(node, alive, fit, (text) => this.complain(text)) : []));
  }

  complain(text) {
    if (text) this.note({ kind: "refused", time: new Date().toISOString(), detail: text });
  }

  detail(snapshot, nodes, chosen) {
    const member = snapshot.members.find((m) => m.id === chosen);
    const box = $("detail");
    box.querySelector("p").hidden = Boolean(member);
    this.actions(box.querySelector(".actions"), member?.name ?? "", member?.alive, ["kill", "drain", "pause", "start"]);
    this.pair.show(member, snapshot, nodes, this.names);
    const title = !member ? "Member" : `${this.name(member.id)}${member.alive ? (member.connected ? "" : " (silent)") : " (gone)"}`;
    if (box.querySelector("h2").textContent !== title) box.querySelector("h2").textContent = title;
    const list = box.querySelector("dl");
    if (!member) {
      list.replaceChildren();
      return;
    }
    const node = nodes.get(chosen);
    const place = node?.place;
    const lines = [
      ["id", member.id],
      ["uplink", `${member.sending_kbps} of ${member.uplink_kbps} kbit/s`],
      ["parent", node?.origin ? "is the origin" : node?.parent ? this.name(node.parent) : "none"],
      ["standbys", this.some(place?.standbys ?? [])],
      ["children", this.some(node?.children ?? [])],
      ["layers", place?.layers?.length ? `${place.layers.join(", ")} (1 the lowest)` : "none"],
      ["delay", place ? `${round(place.delay_ms_p50)} ms p50, ${round(place.delay_ms_p99)} ms p99` : "–"],
      ["packets", place ? `${place.packets_received} received, ${place.packets_lost} lost` : "–"],
      ["nearest", this.some((member.nearest ?? []).map((n) => n.peer), (id, i) => ` ${round(member.nearest[i].rtt_ms)} ms`)],
      ["gossip", `${member.peers} peers alive${member.suspect ? "; it is suspect itself" : ""}`],
      ...(member.blocked?.length ? [["kept apart", this.some(member.blocked)]] : []),
    ];
    while (list.children.length > 2 * lines.length) list.lastChild.remove();
    lines.forEach(([name, value], i) => {
      const dt = list.children[2 * i] ?? list.appendChild(document.createElement("dt"));
      const dd = list.children[2 * i + 1] ?? list.appendChild(document.createElement("dd"));
      dt.textContent = name;
      dd.textContent = value;
    });
  }

  some(ids, more = () => "") {
    const most = 6;
    const text = ids.slice(0, most).map((id, i) => this.name(id) + more(id, i)).join(", ");
    return ids.length > most ? `${text} and ${ids.length - most} more` : text || "none";
  }

  // note takes in an event; it returns the member to point at, if it is bad news.
  note(event) {
    const bad = /lost|kill|refused|objected|reversed|expired|broken|drained|paused|\.blocked/.test(event.kind);
    const entry = { at: Date.parse(event.time), bad, event };
    this.events.unshift(entry);
    this.events.length = Math.min(this.events.length, eventsKept);
    if (entry.at <= this.until) {
      $("events").prepend(this.item(entry));
      while ($("events").childElementCount > eventsShown) $("events").lastChild.remove();
    }
    if (!bad || !event.member) return "";
    return this.names.has(event.member) ? event.member : [...this.names].find(([, n]) => n === event.member)?.[0] ?? "";
  }

  list() {
    const past = this.events.filter((e) => e.at <= this.until).slice(0, eventsShown);
    $("events").replaceChildren(...past.map((e) => this.item(e)));
  }

  item({ at, bad, event }) {
    const li = document.createElement("li");
    const time = document.createElement("time");
    const text = document.createElement("span");
    const when = new Date(at);
    time.dateTime = when.toISOString();
    time.textContent = when.toLocaleTimeString([], { hour12: false });
    const detail = (event.detail ?? "").replace(/\b[a-z2-7]{24}\b/g, (id) => this.name(id));
    text.textContent = [event.kind, event.member && this.name(event.member), event.stream, event.parent && `from ${this.name(event.parent)}`, event.cause, detail, event.gain_ms > 0 && `saves ${round(event.gain_ms)} ms`]
      .filter(Boolean).join(" ");
    text.className = bad ? "bad" : "";
    li.append(time, text);
    return li;
  }
}

function contact(c) {
  if (!c.alive || c.leader) return "–";
  return c.group.last_contact_ms < 0 ? "never" : `${c.group.last_contact_ms} ms`;
}

function legend(admissions) {
  const p = $("admission-figures");
  if (p.children.length !== outcomes.length) {
    p.replaceChildren(...outcomes.map(([, colour]) => {
      const s = document.createElement("span");
      s.style.setProperty("--key", colour);
      s.className = "key";
      return s;
    }));
  }
  outcomes.forEach(([key], i) => { p.children[i].textContent = `${admissions[key] ?? 0} ${key.replaceAll("_", " ")}`; });
}
