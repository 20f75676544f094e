// The picture of the mesh, on a canvas. It owns positions and the eye; what it
// shows is given to it.
import { hue, radial, depths } from "./layout.js";

const settle = 350; // ms until a member has moved to its new place

export class MeshMap {
  constructor(canvas, onChoose) {
    this.canvas = canvas;
    this.onChoose = onChoose;
    this.spots = new Map(); // name -> {x, y, fromX, fromY, since}
    this.nodes = new Map();
    this.depth = new Map();
    this.snapshot = null;
    this.chosen = "";
    this.flashes = new Map(); // name -> time of the event
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    canvas.addEventListener("click", (e) => this.click(e));
    canvas.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colours());
    this.colours();
    this.resize();
    this.frames = 0;
    const draw = (now) => {
      this.draw(now);
      this.frames++;
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    this.ink = get("--ink");
    this.soft = get("--soft");
    this.line = get("--line");
    this.card = get("--card");
    this.accent = get("--accent");
    this.bad = get("--bad");
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

  show(snapshot, nodes) {
    this.snapshot = snapshot;
    this.nodes = nodes;
    this.depth = depths(nodes);
    this.slowest = Math.max(1, ...[...nodes.values()].map((n) => n.delay));
    const now = performance.now();
    const at = radial(snapshot, nodes);
    for (const name of this.spots.keys()) if (!at.has(name)) this.spots.delete(name);
    for (const [name, p] of at) {
      const old = this.spots.get(name);
      if (!old) {
        this.spots.set(name, { ...p, fromX: p.x, fromY: p.y, since: now - settle });
      } else if (Math.hypot(old.x - p.x, old.y - p.y) > 0.004) {
        const here = this.where(old, now);
        this.spots.set(name, { ...p, fromX: here.x, fromY: here.y, since: now });
      }
    }
  }

  choose(name) {
    this.chosen = name;
  }

  flash(name) {
    this.flashes.set(name, performance.now());
  }

  where(spot, now) {
    const t = this.calm.matches ? 1 : Math.min(1, (now - spot.since) / settle);
    const ease = 1 - (1 - t) * (1 - t);
    return { x: spot.fromX + (spot.x - spot.fromX) * ease, y: spot.fromY + (spot.y - spot.fromY) * ease };
  }

  toScreen(p) {
    const r = Math.min(this.width, this.height) / 2 - 28;
    const rx = Math.min(this.width / 2 - 40, r * 1.5);
    return { x: this.width / 2 + p.x * Math.max(rx, 10), y: this.height / 2 + p.y * Math.max(r, 10) };
  }

  draw(now) {
    const pen = this.pen;
    pen.clearRect(0, 0, this.width, this.height);
    if (!this.snapshot) return;
    const places = new Map();
    for (const [name, spot] of this.spots) places.set(name, this.toScreen(this.where(spot, now)));
    this.edges(places, now);
    this.dots(places, now);
  }

  colour(delay, alpha) {
    return `hsl(${hue(delay, this.slowest)} 70% ${this.dark ? 58 : 42}% / ${alpha})`;
  }

  edges(places, now) {
    const pen = this.pen;
    const related = this.related();
    for (const [name, node] of this.nodes) {
      const a = places.get(node.parent);
      const b = places.get(name);
      if (!a || !b) continue;
      const mine = !this.chosen || related.has(name);
      pen.strokeStyle = this.colour(node.delay, mine ? 0.75 : 0.15);
      pen.lineWidth = mine && this.chosen ? 2.2 : 1.3;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
      if (this.calm.matches || !mine) continue;
      const t = ((now / 900) + (this.depth.get(name) ?? 0) * 0.37) % 1;
      pen.fillStyle = this.colour(node.delay, 1);
      pen.fillRect(a.x + (b.x - a.x) * t - 1.5, a.y + (b.y - a.y) * t - 1.5, 3, 3);
    }
  }

  // related holds the chosen member, its ancestors and all below it.
  related() {
    const set = new Set();
    if (!this.chosen) return set;
    for (let n = this.chosen; n && !set.has(n); n = this.nodes.get(n)?.parent) set.add(n);
    const pending = [this.chosen];
    while (pending.length > 0) {
      const name = pending.pop();
      set.add(name);
      for (const child of this.nodes.get(name)?.children ?? []) if (!set.has(child)) pending.push(child);
    }
    return set;
  }

  dots(places, now) {
    const pen = this.pen;
    const many = places.size > 120;
    const labels = places.size <= 60;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    for (const [name, p] of places) {
      const node = this.nodes.get(name);
      const relay = node && node.children.length > 0;
      const r = node?.origin ? 9 : (relay ? 4.5 + Math.min(4, Math.sqrt(node.children.length)) : 3.6) * (many ? 0.75 : 1);
      const flash = this.flashes.get(name);
      if (flash && now - flash < 1200) {
        pen.strokeStyle = this.bad;
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(p.x, p.y, r + 2 + (now - flash) / 60, 0, 2 * Math.PI);
        pen.stroke();
      } else if (flash) {
        this.flashes.delete(name);
      }
      pen.beginPath();
      pen.arc(p.x, p.y, r, 0, 2 * Math.PI);
      pen.fillStyle = !node ? this.soft : node.origin ? this.accent : this.colour(node.delay, 1);
      pen.fill();
      pen.strokeStyle = name === this.chosen ? this.ink : this.card;
      pen.lineWidth = name === this.chosen ? 2.5 : 1.5;
      pen.stroke();
      if (labels || name === this.chosen || node?.origin) {
        pen.fillStyle = name === this.chosen ? this.ink : this.soft;
        pen.fillText(name, p.x, p.y + r + 12);
      }
    }
  }

  click(e) {
    const box = this.canvas.getBoundingClientRect();
    const now = performance.now();
    let best = "";
    let least = 24; // px: a finger's width
    for (const [name, spot] of this.spots) {
      const p = this.toScreen(this.where(spot, now));
      const d = Math.hypot(p.x - (e.clientX - box.left), p.y - (e.clientY - box.top));
      if (d < least) [best, least] = [name, d];
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
      ArrowDown: node ? node.children[0] : origin,
      ArrowLeft: siblings[(i - 1 + siblings.length) % siblings.length] ?? this.chosen,
      ArrowRight: siblings[(i + 1) % siblings.length] ?? this.chosen,
      Escape: "",
    }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    this.onChoose(to);
  }
}
