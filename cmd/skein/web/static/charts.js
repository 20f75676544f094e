// Small charts as SVG. Each call draws its chart anew.

const ns = "http://www.w3.org/2000/svg";

function add(parent, kind, attributes, text) {
  const e = document.createElementNS(ns, kind);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
}

const left = 30, right = 312, top = 8, bottom = 98;

// cdf draws the share of members within a delay.
export function cdf(svg, sorted) {
  svg.replaceChildren();
  const most = Math.max(1, sorted.at(-1) ?? 1);
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * (bottom - top);
    add(svg, "line", { class: "axis", x1: left, x2: right, y1: y, y2: y });
    add(svg, "text", { x: left - 4, y: y + 3, "text-anchor": "end" }, `${share * 100}%`);
  }
  for (const part of [0, 0.5, 1]) {
    add(svg, "text", { x: left + part * (right - left), y: bottom + 13, "text-anchor": ["start", "middle", "end"][2 * part] }, `${round(part * most)} ms`);
  }
  if (sorted.length === 0) return;
  let d = `M${left} ${bottom}`;
  sorted.forEach((v, i) => {
    const x = left + (v / most) * (right - left);
    d += `H${x.toFixed(1)}V${(bottom - ((i + 1) / sorted.length) * (bottom - top)).toFixed(1)}`;
  });
  add(svg, "path", { class: "curve", d: d + `H${right}` });
}

// bars draws stacked bars, the last one at the right: each entry is a list of amounts, one per colour.
export function bars(svg, entries, colours) {
  svg.replaceChildren();
  const base = 72;
  const most = Math.max(1, ...entries.map((e) => e.reduce((a, b) => a + b, 0)));
  add(svg, "line", { class: "axis", x1: left, x2: right, y1: base, y2: base });
  add(svg, "text", { x: left - 4, y: top + 6, "text-anchor": "end" }, most >= 10 ? Math.round(most) : +most.toFixed(1));
  add(svg, "text", { x: right, y: base + 13, "text-anchor": "end" }, "now");
  const slots = Math.max(60, entries.length);
  add(svg, "text", { x: left, y: base + 13 }, `${slots} s ago`);
  const width = (right - left) / slots;
  entries.forEach((amounts, i) => {
    let y = base;
    amounts.forEach((amount, k) => {
      const h = (amount / most) * (base - top);
      if (h <= 0) return;
      y -= h;
      add(svg, "rect", { x: right - (entries.length - i) * width, y, width: Math.max(1, width - 1), height: h, fill: colours[k] });
    });
  });
}

// round for people: two figures that matter.
export function round(v) {
  if (!Number.isFinite(v)) return "–";
  if (v === 0) return "0";
  if (v >= 100) return v.toFixed(0);
  return v >= 10 ? v.toFixed(1) : v.toFixed(2);
}
