// Orders to a testnet. The token comes with the page's address, after #, and is
// kept for this tab only.

const kept = "skein-token";

export class Orders {
  constructor() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token) {
      sessionStorage.setItem(kept, token);
      history.replaceState(null, "", location.pathname);
    }
    this.token = sessionStorage.getItem(kept) ?? "";
    this.known = [];
  }

  async load() {
    if (!this.token) return;
    const answer = await fetch("page/orders");
    if (answer.ok) this.known = await answer.json();
  }

  // buttons for what may be ordered, and is fit, for a node; tell receives what went wrong.
  buttons(node, alive, fit, tell) {
    return this.known.filter((o) => fit.includes(o) && (o === "start") !== alive).map((order) => {
      const b = document.createElement("button");
      b.type = "button";
      b.textContent = order;
      b.setAttribute("aria-label", `${order} ${node}`);
      b.addEventListener("click", async () => {
        b.disabled = true;
        tell(await this.give(order, node));
        b.disabled = false;
      });
      return b;
    });
  }

  async give(order, node, peer) {
    try {
      const answer = await fetch("page/orders", {
        method: "POST",
        headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
        body: JSON.stringify({ do: order, node, peer }),
      });
      return answer.ok ? "" : await answer.text();
    } catch {
      return "the node does not answer";
    }
  }
}
