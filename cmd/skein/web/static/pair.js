// The form with which a testnet keeps two members apart.

export class Pair {
  constructor(form, orders, tell) {
    this.form = form;
    this.orders = orders;
    this.select = form.querySelector("select");
    this.button = form.querySelector("button");
    this.select.addEventListener("change", () => this.label());
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      this.button.disabled = true;
      tell(await orders.give(this.button.textContent, this.member.id, this.select.value));
      this.button.disabled = false;
    });
  }

  show(member, snapshot, nodes, names) {
    this.form.hidden = !member?.alive || !this.orders.known.includes("block");
    if (this.form.hidden) return;
    this.member = member;
    const node = nodes.get(member.id);
    const near = [node?.parent, ...(node?.place?.standbys ?? []), ...(node?.children ?? [])].filter(Boolean);
    const others = snapshot.members.filter((m) => m.alive && m.id !== member.id && !near.includes(m.id)).map((m) => m.id);
    const key = [member.id, ...near, "", ...others].join(" ");
    if (key !== this.key) {
      const before = this.key?.startsWith(member.id) ? this.select.value : "";
      this.key = key;
      const group = (label, ids) => {
        const g = document.createElement("optgroup");
        g.label = label;
        g.append(...[...new Set(ids)].map((id) => new Option(names.get(id) ?? id, id)));
        return g;
      };
      this.select.replaceChildren(group("neighbours", near), group("others", others));
      if ([...this.select.options].some((o) => o.value === before)) this.select.value = before;
    }
    this.label();
  }

  label() {
    const text = this.member.blocked?.includes(this.select.value) ? "unblock" : "block";
    if (this.button.textContent !== text) this.button.textContent = text;
  }
}
