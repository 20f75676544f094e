// The latest rounds of reorganisation: what each saved, and who objected.
import { round } from "./charts.js";

const ended = ["confirmed", "objected", "refused", "reversed"];

export class Rounds {
  constructor(list, name) {
    this.list = list;
    this.name = name;
    this.items = new Map(); // id -> {text, li}
  }

  show(rounds) {
    const now = new Map();
    for (const r of rounds.toReversed()) {
      const text = JSON.stringify(r);
      const old = this.items.get(r.id);
      now.set(r.id, old?.text === text ? old : { text, li: this.item(r, old?.li.querySelector("details")?.open) });
    }
    const wanted = [...now.values()].map((x) => x.li);
    this.items = now;
    if (wanted.length === 0) {
      if (this.list.textContent !== nothing) this.list.replaceChildren(line("li", "small", nothing));
    } else if (wanted.length !== this.list.children.length || wanted.some((li, i) => li !== this.list.children[i])) {
      this.list.replaceChildren(...wanted);
    }
  }

  item(r, open) {
    const li = document.createElement("li");
    const details = document.createElement("details");
    details.open = Boolean(open);
    const summary = document.createElement("summary");
    const time = document.createElement("time");
    const begun = new Date(r.begun);
    time.dateTime = r.begun;
    time.textContent = begun.toLocaleTimeString([], { hour12: false });
    summary.append(time, ` ${r.cause}: ${this.outcome(r)}`);
    const objectors = r.moves.flatMap((m) => m.objections ?? []);
    if (objectors.length > 0) summary.append(line("span", "bad", `objected: ${this.objections(objectors)}`));
    const moves = document.createElement("ul");
    moves.append(...r.moves.map((m) => this.move(m)));
    details.append(summary, moves);
    li.append(details);
    return li;
  }

  outcome(r) {
    const count = r.moves.length === 1 ? "1 move" : `${r.moves.length} moves`;
    if (!r.ended) return `${count} under way`;
    const states = ended.map((s) => [r.moves.filter((m) => m.state === s).length, s]).filter(([n]) => n > 0);
    const gain = r.cost_before_ms - r.cost_after_ms;
    const saved = `${gain < 0 ? "costs" : "saves"} ${round(Math.abs(gain))} ms of ${round(r.cost_before_ms)}`;
    return `${count}, ${states.map(([n, s]) => (n === r.moves.length ? s : `${n} ${s}`)).join(", ") || "nothing done"}; ${saved}`;
  }

  objections(list) {
    const texts = [...new Set(list.map((o) => `${this.name(o.member)} (${o.reason})`))];
    return texts.length > 3 ? `${texts.slice(0, 3).join(", ")} and ${texts.length - 3} more` : texts.join(", ");
  }

  move(m) {
    const steps = m.steps.map((s) => `${this.name(s.member)} from ${this.name(s.from)} to ${this.name(s.to)}`).join("; ");
    return line("li", ended.indexOf(m.state) > 0 ? "bad" : "", `${m.kind}, ${m.state}, saves ${round(m.gain_ms)} ms: ${steps}`);
  }
}

const nothing = "No round since this leader took office.";

function line(kind, style, text) {
  const e = document.createElement(kind);
  e.className = style;
  e.textContent = text;
  return e;
}
