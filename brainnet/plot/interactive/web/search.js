// The box that finds regions, maps and vertices by what they are called.

class Search {
  constructor(app) {
    this.app = app;
    this.box = document.getElementById("query");
    this.list = document.getElementById("found");
    this.found = [];
    this.at = 0;
    this.box.addEventListener("input", () => this.show());
    this.box.addEventListener("focus", () => this.show());
    this.box.addEventListener("blur", () => setTimeout(() => this.hide(), 150));
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  matches(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const found = [];
    const number = /^(?:vertex|v)?\s*(\d+)$/.exec(wanted);
    const [view] = this.app.views;
    if (number)
      for (const [side, name] of [[0, "left"], [1, "right"]]) {
        const vertex = view.brain.data.vertexOf.get(Number(number[1]) + side * view.brain.data.n_side);
        const exists = Number(number[1]) < view.brain.data.n_side && vertex !== undefined;
        if (exists) found.push({ name: `vertex ${number[1]}`, kind: name, go: () => this.app.visit(view, vertex) });
      }
    this.app.views.forEach((one, index) =>
      one.scene.rois.forEach((roi, place) => {
        const kind = [roi.atlas || "region", this.app.views.length > 1 ? one.scene.title || `run ${index + 1}` : ""].filter(Boolean).join(", ");
        const rank = rankOf(roi.name, wanted);
        if (rank < 3) found.push({ name: roi.name, kind, rank, go: () => this.app.chooseRoi(one, place, true) });
      }),
    );
    view.scene.maps.forEach((map, place) => {
      const rank = rankOf(map.name, wanted);
      if (rank < 3) found.push({ name: map.name, kind: "map", rank, go: () => this.app.showMap(place) });
    });
    return found.sort((one, other) => (one.rank ?? -1) - (other.rank ?? -1)).slice(0, 40);
  }

  show() {
    this.found = this.matches(this.box.value);
    this.at = 0;
    const rows = this.found.map((one, i) =>
      el("li", { role: "option", "aria-selected": String(i === 0), onmousedown: (event) => (event.preventDefault(), this.go(i)) },
        el("span", { textContent: one.name }), el("small", { textContent: one.kind })),
    );
    if (!rows.length && this.box.value.trim()) rows.push(el("li", {}, el("small", { textContent: "Nothing is called like that." })));
    this.list.replaceChildren(...rows);
    this.list.hidden = !rows.length;
    this.box.setAttribute("aria-expanded", String(rows.length > 0));
  }

  hide() {
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
  }

  key(event) {
    if (event.key === "Enter") this.go(this.at);
    else if (event.key === "Escape") this.box.blur();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.at = Math.max(0, Math.min(this.found.length - 1, this.at + (event.key === "ArrowDown" ? 1 : -1)));
      [...this.list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === this.at)));
      this.list.children[this.at]?.scrollIntoView({ block: "nearest" });
    }
    event.stopPropagation();
  }

  go(place) {
    if (!this.found[place]) return;
    this.found[place].go();
    this.hide();
    this.box.blur();
  }
}

function rankOf(name, wanted) {
  const lower = name.toLowerCase();
  return lower === wanted ? 0 : lower.startsWith(wanted) ? 1 : lower.includes(wanted) ? 2 : 3;
}
