// What the node and this page remember of the last ten minutes. The present comes
// by itself; older moments are asked for when somebody wants to see them.

const span = 10 * 60 * 1000; // ms
const kept = 30; // snapshots held here

export class Past {
  constructor() {
    this.moments = []; // {at_ms, admissions}, oldest first
    this.cache = new Map(); // at_ms -> snapshot
    this.latest = null;
  }

  async load() {
    const answer = await fetch("page/history");
    if (answer.ok) this.moments = await answer.json();
  }

  add(snapshot) {
    this.latest = snapshot;
    const at = Date.parse(snapshot.time);
    if (at <= (this.moments.at(-1)?.at_ms ?? 0)) return;
    this.moments.push({ at_ms: at, admissions: snapshot.admissions });
    while (at - this.moments[0].at_ms > span) this.moments.shift();
    this.hold(at, snapshot);
  }

  hold(at, snapshot) {
    this.cache.set(at, snapshot);
    if (this.cache.size > kept) this.cache.delete(this.cache.keys().next().value);
  }

  // at returns the snapshot of a moment, or null if nobody has it any more.
  async at(ms) {
    if (this.cache.has(ms)) return this.cache.get(ms);
    const answer = await fetch(`page/moment?at=${ms}`);
    if (!answer.ok) return null;
    const snapshot = await answer.json();
    this.hold(ms, snapshot);
    return snapshot;
  }

  // rates are the admissions per second of the minute before a moment.
  rates(until, keys) {
    const window = this.moments.filter((m) => m.at_ms <= until && m.at_ms > until - 61_000);
    const out = [];
    for (let i = 1; i < window.length; i++) {
      const seconds = Math.max(0.5, (window[i].at_ms - window[i - 1].at_ms) / 1000);
      out.push(keys.map((k) => Math.max(0, window[i].admissions[k] - window[i - 1].admissions[k]) / seconds));
    }
    return out;
  }
}
