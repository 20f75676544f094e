// Where to draw whom. Pure functions: a snapshot in, positions out.

// tree picks the tree of one stream out of a snapshot: a Map from the member's
// name to {member, place, parent, children, delay}. The origin has no place.
export function tree(snapshot, stream) {
  const nodes = new Map();
  for (const member of snapshot.members) {
    const place = (member.streams ?? []).find((s) => s.stream === stream);
    const origin = (member.publishes ?? []).includes(stream);
    if (member.alive && (place || origin)) {
      nodes.set(member.name, {
        member, place, origin, children: [],
        parent: origin ? "" : place.parent,
        delay: origin ? 0 : place.delay_ms_p50,
      });
    }
  }
  for (const [name, node] of nodes) {
    const parent = nodes.get(node.parent);
    if (parent && parent !== node) parent.children.push(name);
  }
  for (const node of nodes.values()) node.children.sort();
  return nodes;
}

// depths gives each member of a tree its distance from the origin in links;
// members whose path does not reach the origin are missing.
export function depths(nodes) {
  const depth = new Map();
  let level = [...nodes].filter(([, n]) => n.origin).map(([name]) => name);
  for (let d = 0; level.length > 0; d++) {
    const next = [];
    for (const name of level) {
      if (depth.has(name)) continue;
      depth.set(name, d);
      next.push(...nodes.get(name).children);
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
  const count = (name) => {
    let n = 0;
    for (const child of nodes.get(name).children) n += count(child);
    leaves.set(name, Math.max(n, 1));
    return leaves.get(name);
  };
  const roots = [...depth].filter(([, d]) => d === 0).map(([name]) => name);
  roots.forEach(count);
  const deepest = Math.max(1, ...depth.values());
  const slowest = Math.max(1, ...[...nodes.values()].map((n) => n.delay));
  const at = new Map();
  const put = (name, from, to) => {
    const node = nodes.get(name);
    const d = depth.get(name);
    // Half by depth, so that rings can be told apart where all delays are alike.
    const r = d === 0 ? 0 : 0.14 + 0.72 * (0.55 * (d / deepest) + 0.45 * Math.sqrt(node.delay / slowest));
    const angle = (from + to) / 2;
    at.set(name, { x: r * Math.cos(angle), y: r * Math.sin(angle) });
    let start = from;
    for (const child of node.children) {
      const width = ((to - from) * leaves.get(child)) / leaves.get(name);
      put(child, start, start + width);
      start += width;
    }
  };
  roots.forEach((root, i) => put(root, (2 * Math.PI * i) / roots.length, (2 * Math.PI * (i + 1)) / roots.length));
  const rest = snapshot.members.filter((m) => m.alive && !at.has(m.name));
  rest.forEach((m, i) => {
    const angle = (2 * Math.PI * i) / rest.length - Math.PI / 2;
    at.set(m.name, { x: 0.98 * Math.cos(angle), y: 0.98 * Math.sin(angle) });
  });
  return at;
}

// hue tells near (green) from far (red).
export function hue(delay, slowest) {
  return 150 - 145 * Math.min(1, slowest > 0 ? delay / slowest : 0);
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
