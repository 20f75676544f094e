// Where to draw whom. Pure functions: a snapshot in, positions out.

// tree picks the tree of one stream out of a snapshot: a Map from the member's
// id to {member, place, parent, children, delay}. The origin has no place.
export function tree(snapshot, stream) {
  const nodes = new Map();
  for (const member of snapshot.members) {
    const place = (member.streams ?? []).find((s) => s.stream === stream);
    const origin = (member.publishes ?? []).includes(stream);
    if (member.alive && (place || origin)) {
      nodes.set(member.id, {
        member, place, origin, children: [],
        parent: origin ? "" : place.parent,
        delay: origin ? 0 : place.delay_ms_p50,
      });
    }
  }
  for (const [id, node] of nodes) {
    const parent = nodes.get(node.parent);
    if (parent && parent !== node) parent.children.push(id);
  }
  for (const node of nodes.values()) node.children.sort();
  return nodes;
}

// depths gives each member of a tree its distance from the origin in links;
// members whose path does not reach the origin are missing.
export function depths(nodes) {
  const depth = new Map();
  let level = [...nodes].filter(([, n]) => n.origin).map(([id]) => id);
  for (let d = 0; level.length > 0; d++) {
    const next = [];
    for (const id of level) {
      if (depth.has(id)) continue;
      depth.set(id, d);
      next.push(...nodes.get(id).children);
    }
    level = next;
  }
  return depth;
}

// radial places a tree in the unit circle: the origin in the middle, everybody
// else at a radius that grows with the delay, in the sector of the parent.
// Who has no place in the tree stands on the rim.
export function radial(snapshot, nodes) {
  const depth = depths(nodes);
  const leaves = new Map();
  const count = (id) => {
    let n = 0;
    for (const child of nodes.get(id).children) n += count(child);
    leaves.set(id, Math.max(n, 1));
    return leaves.get(id);
  };
  const roots = [...depth].filter(([, d]) => d === 0).map(([id]) => id);
  roots.forEach(count);
  const deepest = Math.max(1, ...depth.values());
  const far = slowest(nodes);
  const at = new Map();
  const put = (id, from, to) => {
    const node = nodes.get(id);
    const d = depth.get(id);
    // Half by depth, so that rings can be told apart where all delays are alike.
    const r = d === 0 ? 0 : 0.14 + 0.76 * (0.55 * (d / deepest) + 0.45 * Math.sqrt(Math.min(1, node.delay / far)));
    const angle = (from + to) / 2;
    at.set(id, { x: r * Math.cos(angle), y: r * Math.sin(angle) });
    let start = from;
    for (const child of node.children) {
      const width = ((to - from) * leaves.get(child)) / leaves.get(id);
      put(child, start, start + width);
      start += width;
    }
  };
  roots.forEach((root, i) => put(root, (2 * Math.PI * i) / roots.length, (2 * Math.PI * (i + 1)) / roots.length));
  const rest = snapshot.members.filter((m) => m.alive && !at.has(m.id));
  rest.forEach((m, i) => {
    const angle = (2 * Math.PI * i) / rest.length - Math.PI / 2;
    at.set(m.id, { x: 0.99 * Math.cos(angle), y: 0.99 * Math.sin(angle) });
  });
  return at;
}

// spread tells how far apart members stand, in ms; 0 if too few are located.
// Below a few ms a map would show noise.
export function spread(snapshot) {
  const points = located(snapshot);
  if (points.length < 3 || points.length < 0.6 * snapshot.members.filter((m) => m.alive).length) return 0;
  const middle = mean(points.map((p) => p.v));
  return quantile(points.map((p) => Math.hypot(...p.v.map((x, i) => x - middle[i]))).sort((a, b) => a - b), 0.9);
}

// placed draws members where the network has them: the two axes along which
// their positions differ most. It begins with the axes it found last, so that the
// map neither turns nor flips between two snapshots; it returns {at, axes}.
export function placed(snapshot, nodes, axes) {
  const points = located(snapshot);
  const middle = mean(points.map((p) => p.v));
  const rows = points.map((p) => p.v.map((x, i) => x - middle[i]));
  const first = principal(rows, axes?.[0]);
  const second = principal(rows.map((r) => minus(r, first)), axes?.[1]);
  const flat = rows.map((r) => ({ x: dot(r, first), y: dot(r, second) }));
  const reach = (key) => Math.max(1e-6, quantile(flat.map((p) => Math.abs(p[key])).sort((a, b) => a - b), 0.97));
  const wide = reach("x");
  const high = Math.max(reach("y"), wide / 2); // a little taller than true, to use the room
  const within = (v) => (0.97 * v) / (1 + v ** 4) ** 0.25; // who is far out stays on the map
  const at = new Map();
  points.forEach((p, i) => at.set(p.id, { x: within(flat[i].x / wide), y: within(flat[i].y / high) }));
  // Newcomers stand beside their parent until they have been located.
  const strays = snapshot.members.filter((m) => m.alive && !at.has(m.id));
  strays.forEach((m, i) => {
    const by = at.get(nodes.get(m.id)?.parent);
    const angle = i * 2.4;
    at.set(m.id, by ? { x: by.x + 0.05 * Math.cos(angle), y: by.y + 0.05 * Math.sin(angle) } : { x: 0.99 * Math.cos(angle), y: 0.99 * Math.sin(angle) });
  });
  apart([...at.values()]);
  return { at, axes: [first, second] };
}

// apart moves points that stand on one another a little away from each other.
function apart(points) {
  const room = Math.min(0.09, 1.1 / Math.sqrt(Math.max(1, points.length)));
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < points.length; i++) {
      for (let j = i + 1; j < points.length; j++) {
        const a = points[i], b = points[j];
        const dx = b.x - a.x, dy = b.y - a.y;
        if (Math.abs(dx) >= room || Math.abs(dy) >= room) continue;
        const d = Math.hypot(dx, dy);
        if (d >= room) continue;
        const angle = d > 1e-9 ? Math.atan2(dy, dx) : i * 2.4;
        const push = (room - d) / 4;
        a.x -= push * Math.cos(angle); a.y -= push * Math.sin(angle);
        b.x += push * Math.cos(angle); b.y += push * Math.sin(angle);
      }
    }
  }
}

function located(snapshot) {
  return snapshot.members.filter((m) => m.alive && m.position_ms?.length > 1).map((m) => ({ id: m.id, v: m.position_ms }));
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const minus = (row, axis) => {
  const along = dot(row, axis);
  return row.map((x, i) => x - along * axis[i]);
};
const mean = (rows) => (rows[0] ?? []).map((_, i) => rows.reduce((sum, r) => sum + r[i], 0) / rows.length);

// principal finds the axis along which rows vary most, by power iteration.
function principal(rows, start) {
  const n = rows[0]?.length ?? 0;
  let axis = start?.length === n ? start : Array.from({ length: n }, (_, i) => 1 / (i + 1));
  for (let i = 0; i < 30; i++) {
    const next = new Array(n).fill(0);
    for (const r of rows) {
      const along = dot(r, axis);
      for (let k = 0; k < n; k++) next[k] += along * r[k];
    }
    const length = Math.hypot(...next);
    if (length < 1e-12) break;
    axis = next.map((x) => x / length);
  }
  return axis;
}

// slowest is the delay that counts as far: that of almost everybody, so that one
// straggler does not make all others look near.
export function slowest(nodes) {
  const all = [...nodes.values()].map((n) => n.delay).sort((a, b) => a - b);
  return Math.max(1, quantile(all, 0.98) || 0);
}

// hue tells near (green) from far (red).
export function hue(delay, far) {
  return 150 - 145 * Math.min(1, far > 0 ? delay / far : 0);
}

// quantile of an ascending list; NaN if it is empty.
export function quantile(sorted, q) {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

// delays of all members that draw a stream, ascending, in ms.
export function delays(nodes) {
  return [...nodes.values()].filter((n) => !n.origin && n.place.packets_received > 0)
    .map((n) => n.delay).sort((a, b) => a - b);
}
