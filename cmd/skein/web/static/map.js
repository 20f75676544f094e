// The picture of the mesh, on a canvas. It owns positions and the eye; what it
// shows is given to it.
import { hue, radial, placed, spread, depths, slowest } from "./layout.js";

const settle = 450; // ms until a member has moved to its new place
const visible = 4; // ms of spread from which on the network has a shape

export class MeshMap {
  constructor(canvas, onChoose) {
    this.canvas = canvas;
    this.onChoose = onChoose;
    this.spots = new Map(); // id -> {x, y, fromX, fromY, since}
    this.nodes = new Map();
    this.names = new Map();
    this.depth = new Map();
    this.snapshot = null;
    this.chosen = "";
    this.layout = "auto";
    this.flashes = new Map(); // id -> time of the event
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.frames = 0;
    canvas.addEventListener("click", (e) => this.click(e));
    canvas.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colours());
    this.colours();
    this.resize();
    const draw = (now) => {
      this.draw(now);
      this.frames++;
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ink", "soft", "line", "paper", "accent", "bad"]) this[name] = style.getPropertyValue(`--${name}`).trim();
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  }

  resize() {
    const scale = devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    this.width = box.width;
    this.height = box.height;
    this.canvas.width = Math.max(1, Math.round(box.width * scale));
    this.canvas.height = Math.max(1, Math.round(box.height * scale));
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
  }

  // show draws a snapshot from now on. It returns how members are arranged:
  // "place" or "delay".
  show(snapshot, nodes, names) {
    this.snapshot = snapshot;
    this.nodes = nodes;
    this.names = names;
    this.depth = depths(nodes);
    this.far = slowest(nodes);
    const byPlace = this.layout === "place" || (this.layout === "auto" && spread(snapshot) >= visible);
    let at;
    if (byPlace && spread(snapshot) > 0) {
      const p = placed(snapshot, nodes, this.axes);
      at = p.at;
      this.axes = p.axes;
    } else {
      at = radial(snapshot, nodes);
    }
    this.move(at, performance.now());
    return at && byPlace ? "place" : "delay";
  }

  move(at, now) {
    for (const id of this.spots.keys()) if (!at.has(id)) this.spots.delete(id);
    for (const [id, p] of at) {
      const old = this.spots.get(id);
      if (!old) {
        this.spots.set(id, { ...p, fromX: p.x, fromY: p.y, since: now - settle });
      } else if (Math.hypot(old.x - p.x, old.y - p.y) > 0.004) {
        const here = this.where(old, now);
        this.spots.set(id, { ...p, fromX: here.x, fromY: here.y, since: now });
      }
    }
  }

  choose(id) {
    this.chosen = id;
  }

  flash(id) {
    this.flashes.set(id, performance.now());
  }

  where(spot, now) {
    const t = this.calm.matches ? 1 : Math.min(1, (now - spot.since) / settle);
    const ease = 1 - (1 - t) * (1 - t);
    return { x: spot.fromX + (spot.x - spot.fromX) * ease, y: spot.fromY + (spot.y - spot.fromY) * ease };
  }

  toScreen(p) {
    const r = Math.min(this.width, this.height) / 2 - 30;
    const rx = Math.min(this.width / 2 - 44, r * 1.6);
    const ry = Math.min(this.height / 2 - 34, r * 1.6);
    return { x: this.width / 2 + p.x * Math.max(rx, 10), y: this.height / 2 + 2 + p.y * Math.max(ry, 10) };
  }

  draw(now) {
    this.pen.clearRect(0, 0, this.width, this.height);
    if (!this.snapshot) return;
    const places = new Map();
    for (const [id, spot] of this.spots) places.set(id, this.toScreen(this.where(spot, now)));
    const related = this.related();
    this.edges(places, related, now);
    this.standbys(places);
    this.blocked(places);
    this.dots(places, related, now);
  }

  colour(delay, alpha) {
    return `hsl(${hue(delay, this.far)} 70% ${this.dark ? 58 : 42}% / ${alpha})`;
  }

  edges(places, related, now) {
    const pen = this.pen;
    const thin = places.size > 200 ? 0.8 : 1.3;
    for (const [id, node] of this.nodes) {
      const a = places.get(node.parent);
      const b = places.get(id);
      if (!a || !b) continue;
      const mine = related.size === 0 || related.has(id);
      pen.strokeStyle = this.colour(node.delay, mine ? 0.7 : this.dark ? 0.14 : 0.26);
      pen.lineWidth = related.has(id) ? 2.2 : thin;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
      if (this.calm.matches || !mine) continue;
      const t = (now / 900 + (this.depth.get(id) ?? 0) * 0.37) % 1;
      pen.fillStyle = this.colour(node.delay, 1);
      pen.fillRect(a.x + (b.x - a.x) * t - 1.5, a.y + (b.y - a.y) * t - 1.5, 3, 3);
    }
  }

  // standbys of the chosen member, as dashes.
  standbys(places) {
    const b = places.get(this.chosen);
    if (!b) return;
    const pen = this.pen;
    pen.setLineDash([4, 4]);
    pen.strokeStyle = this.soft;
    pen.lineWidth = 1.4;
    for (const id of this.nodes.get(this.chosen)?.place?.standbys ?? []) {
      const a = places.get(id);
      if (!a) continue;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  // blocked pairs, as crossed lines.
  blocked(places) {
    const pen = this.pen;
    pen.strokeStyle = this.bad;
    pen.lineWidth = 1.6;
    for (const m of this.snapshot.members) {
      for (const other of m.blocked ?? []) {
        const a = places.get(m.id), b = places.get(other);
        if (!a || !b || m.id > other) continue;
        const x = (a.x + b.x) / 2, y = (a.y + b.y) / 2, arm = 5;
        pen.beginPath();
        pen.setLineDash([2, 4]);
        pen.moveTo(a.x, a.y);
        pen.lineTo(b.x, b.y);
        pen.stroke();
        pen.setLineDash([]);
        pen.beginPath();
        pen.moveTo(x - arm, y - arm);
        pen.lineTo(x + arm, y + arm);
        pen.moveTo(x + arm, y - arm);
        pen.lineTo(x - arm, y + arm);
        pen.stroke();
      }
    }
  }

  // related holds the chosen member, its ancestors and all below it; it is empty
  // if nobody is chosen who is in the tree.
  related() {
    const set = new Set();
    if (!this.nodes.has(this.chosen)) return set;
    for (let n = this.chosen; n && !set.has(n); n = this.nodes.get(n)?.parent) set.add(n);
    const pending = [this.chosen];
    while (pending.length > 0) {
      const id = pending.pop();
      set.add(id);
      for (const child of this.nodes.get(id)?.children ?? []) if (!set.has(child)) pending.push(child);
    }
    return set;
  }

  dots(places, related, now) {
    const pen = this.pen;
    const size = places.size > 250 ? 0.62 : places.size > 80 ? 0.8 : places.size > 30 ? 1 : 1.3;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    const labels = [];
    for (const [id, p] of places) {
      const node = this.nodes.get(id);
      const n = node?.children.length ?? 0;
      const r = node?.origin ? 9 : (n > 0 ? 4.6 + Math.min(5, Math.sqrt(n)) : 3.8) * size;
      this.ring(id, p, r, now);
      pen.globalAlpha = related.size > 0 && !related.has(id) ? 0.35 : 1;
      pen.beginPath();
      pen.arc(p.x, p.y, r, 0, 2 * Math.PI);
      pen.fillStyle = !node ? this.soft : node.origin ? this.accent : this.colour(node.delay, 1);
      pen.fill();
      pen.strokeStyle = id === this.chosen ? this.ink : this.paper;
      pen.lineWidth = id === this.chosen ? 2.5 : 1.5 * size;
      pen.stroke();
      pen.globalAlpha = 1;
      const near = id === this.chosen || node?.origin;
      if (near || places.size <= 60 || (places.size <= 150 && n > 1)) labels.push({ id, p, r, near });
    }
    this.write(labels);
  }

  ring(id, p, r, now) {
    const flash = this.flashes.get(id);
    if (!flash) return;
    if (now - flash > 1500) {
      this.flashes.delete(id);
      return;
    }
    this.pen.strokeStyle = this.bad;
    this.pen.lineWidth = 2;
    this.pen.beginPath();
    this.pen.arc(p.x, p.y, r + 2 + (now - flash) / 60, 0, 2 * Math.PI);
    this.pen.stroke();
  }

  // write puts names where they do not cover one another; those of the chosen
  // member and of the origin come first.
  write(labels) {
    const pen = this.pen;
    const taken = [];
    labels.sort((a, b) => b.near - a.near);
    for (const { id, p, r, near } of labels) {
      const text = this.names.get(id) ?? id.slice(0, 6);
      const w = 6.2 * text.length + 4;
      const box = { x: p.x - w / 2, y: p.y + r + 3, w, h: 13 };
      if (taken.some((t) => box.x < t.x + t.w && t.x < box.x + box.w && box.y < t.y + t.h && t.y < box.y + box.h)) continue;
      taken.push(box);
      pen.lineWidth = 3;
      pen.strokeStyle = this.paper;
      pen.strokeText(text, p.x, box.y + 10);
      pen.fillStyle = near ? this.ink : this.soft;
      pen.fillText(text, p.x, box.y + 10);
    }
  }

  click(e) {
    const box = this.canvas.getBoundingClientRect();
    const now = performance.now();
    let best = "";
    let least = 24; // px: a finger's width
    for (const [id, spot] of this.spots) {
      const p = this.toScreen(this.where(spot, now));
      const d = Math.hypot(p.x - (e.clientX - box.left), p.y - (e.clientY - box.top));
      if (d < least) [best, least] = [id, d];
    }
    this.onChoose(best);
  }

  key(e) {
    const node = this.nodes.get(this.chosen);
    const origin = [...this.nodes].find(([, n]) => n.origin)?.[0] ?? "";
    const siblings = this.nodes.get(node?.parent)?.children ?? [];
    const i = siblings.indexOf(this.chosen);
    const to = {
      ArrowUp: node?.parent || origin,
      ArrowDown: node ? node.children[0] ?? this.chosen : origin,
      ArrowLeft: siblings[(i - 1 + siblings.length) % siblings.length] ?? this.chosen,
      ArrowRight: siblings[(i + 1) % siblings.length] ?? this.chosen,
      Escape: "",
    }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    this.onChoose(to);
  }
}
