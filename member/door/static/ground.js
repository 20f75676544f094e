// The ground as seen from above: metres on a canvas, north up.

let extent = null;              // of the whole plaza, if it is known
let view = { x: 0, y: 0, scale: 4 }; // the centre, and pixels per metre
let size = { w: 1, h: 1 };

export function ground(crowd) { extent = crowd && { w: crowd.width, h: crowd.height }; }

export function toGround(px, py) { return { x: view.x + (px - size.w / 2) / view.scale, y: view.y - (py - size.h / 2) / view.scale }; }

const toScreen = p => [size.w / 2 + (p.x - view.x) * view.scale, size.h / 2 - (p.y - view.y) * view.scale];

export function draw(canvas, world) {
  const ratio = devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  size = { w: box.width, h: box.height };
  if (canvas.width !== Math.round(box.width * ratio) || canvas.height !== Math.round(box.height * ratio)) {
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
  }
  const g = canvas.getContext('2d'), style = getComputedStyle(document.body), color = n => style.getPropertyValue(n).trim();
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, size.w, size.h);
  aim(world.me);
  cells(g, color('--line'));
  if (world.crowd) everybody(g, world.crowd, color);
  const { me } = world;
  if (!me) return;
  for (const [part, alpha] of [[1, 0.05], [2 / 3, 0.06], [1 / 3, 0.08]]) circle(g, me, part * world.radius * view.scale, color('--accent'), alpha);
  for (const b of world.around) {
    if (b.detail) line(g, b, me, color('--good'), b.detail === 'hear' ? 0.35 : 0.8);
    dot(g, b, b.detail ? color('--good') : color('--soft'), 4.5);
    label(g, b, b.who.split('/')[1], color('--soft'));
  }
  dot(g, me, color('--accent'), 6);
}

// aim shows the whole plaza or, where that is not known, 60 m around the walker.
function aim(me) {
  if (extent) {
    view = { x: extent.w / 2, y: extent.h / 2, scale: Math.min(size.w / extent.w, size.h / extent.h) * 0.96 };
  } else {
    view = { x: me?.x || 0, y: me?.y || 0, scale: Math.min(size.w, size.h) / 120 };
  }
}

const edge = 64;
function cells(g, color) {
  const a = toGround(0, size.h), b = toGround(size.w, 0);
  g.strokeStyle = color;
  g.lineWidth = 1;
  g.beginPath();
  for (let x = Math.floor(a.x / edge) * edge; x <= b.x; x += edge) {
    const [px] = toScreen({ x, y: 0 });
    g.moveTo(px, 0);
    g.lineTo(px, size.h);
  }
  for (let y = Math.floor(a.y / edge) * edge; y <= b.y; y += edge) {
    const [, py] = toScreen({ x: 0, y });
    g.moveTo(0, py);
    g.lineTo(size.w, py);
  }
  g.stroke();
}

// everybody draws those the testnet moves: a line from each to whom it hears, a ring
// around those who send a video.
function everybody(g, crowd, color) {
  g.strokeStyle = color('--accent');
  g.globalAlpha = 0.18;
  g.lineWidth = 1;
  g.beginPath();
  for (const [i, j] of crowd.hears) {
    g.moveTo(...toScreen(crowd.people[i]));
    g.lineTo(...toScreen(crowd.people[j]));
  }
  g.stroke();
  g.globalAlpha = 0.8;
  g.strokeStyle = color('--good');
  g.beginPath();
  for (const [i, j] of crowd.sees) {
    g.moveTo(...toScreen(crowd.people[i]));
    g.lineTo(...toScreen(crowd.people[j]));
  }
  g.stroke();
  g.globalAlpha = 1;
  for (const p of crowd.people) {
    dot(g, p, p.film ? color('--good') : color('--soft'), 3.5);
  }
}

function dot(g, p, color, r) {
  const [x, y] = toScreen(p);
  g.fillStyle = g.strokeStyle = color;
  g.lineWidth = 2;
  g.beginPath();
  g.arc(x, y, r, 0, 2 * Math.PI);
  g.fill();
  g.beginPath();
  g.moveTo(x, y);
  g.lineTo(x + 2.2 * r * Math.cos(p.facing), y - 2.2 * r * Math.sin(p.facing));
  g.stroke();
}

function circle(g, p, r, color, alpha) {
  g.globalAlpha = alpha;
  g.fillStyle = color;
  g.beginPath();
  g.arc(...toScreen(p), r, 0, 2 * Math.PI);
  g.fill();
  g.globalAlpha = 1;
}

function line(g, a, b, color, alpha) {
  g.globalAlpha = alpha;
  g.strokeStyle = color;
  g.lineWidth = 2;
  g.beginPath();
  g.moveTo(...toScreen(a));
  g.lineTo(...toScreen(b));
  g.stroke();
  g.globalAlpha = 1;
}

function label(g, p, text, color) {
  if (!text) return;
  const [x, y] = toScreen(p);
  g.fillStyle = color;
  g.font = '12px system-ui, sans-serif';
  g.fillText(text, x + 8, y - 8);
}
