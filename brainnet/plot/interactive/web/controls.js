// Mouse, touch and keys. A drag turns the folded brain and shifts the flat map; a click asks.

const KEYS = [
  ["Drag", "turn the brain, or shift the flat map"],
  ["Shift and drag, or two fingers", "shift"],
  ["Wheel, pinch, + and −", "zoom"],
  ["Point, click", "read a vertex, open what is known of it"],
  ["Arrow keys", "turn or shift"],
  ["[ and ]", "fold and unfold"],
  ["M and N", "next map, last map"],
  [", and .", "image before, next image"],
  ["R, F, L", "regions, fading, shading"],
  ["0", "see all"],
  ["/", "find"],
  ["S", "save a picture"],
  ["Esc", "close the details"],
];

class Controls {
  constructor(app) {
    this.app = app;
    this.pointers = new Map();
    this.moved = 0;
    const { canvas } = app;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => app.hover(null, 0, 0));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    window.addEventListener("keydown", (event) => this.key(event));
  }

  down(event) {
    this.app.stopMoving();
    this.app.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (this.pointers.size === 1) this.moved = 0;
  }

  move(event) {
    const { app } = this;
    const last = this.pointers.get(event.pointerId);
    if (!last) return void (event.pointerType !== "touch" && app.hover(app.viewAt(event.offsetX, event.offsetY), event.offsetX, event.offsetY));
    const [dx, dy] = [event.offsetX - last[0], event.offsetY - last[1]];
    const height = app.rects[0].height;
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
      const after = Math.hypot(event.offsetX - other[0], event.offsetY - other[1]);
      const [x, y] = app.fromMiddle((event.offsetX + other[0]) / 2, (event.offsetY + other[1]) / 2);
      app.camera.zoom(before / Math.max(after, 1), x, y, height);
      app.camera.drag(dx / 2, dy / 2, height, true);
    } else app.camera.drag(dx, dy, height, event.shiftKey || (event.buttons & 6) > 0);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.moved += Math.abs(dx) + Math.abs(dy) + (this.pointers.size === 2 ? 99 : 0);
    if (this.moved > 4) app.hover(null, 0, 0);
    app.draw(true);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
    if (this.moved > 4) return void this.app.remember();
    const view = this.app.viewAt(event.offsetX, event.offsetY);
    this.app.choose(view, this.app.pick(view, event.offsetX, event.offsetY));
  }

  wheel(event) {
    event.preventDefault();
    this.app.stopMoving();
    const lines = event.deltaMode === 1 ? 30 : 1;
    const [x, y] = this.app.fromMiddle(event.offsetX, event.offsetY);
    this.app.camera.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY * lines)) * 0.004), x, y, this.app.rects[0].height);
    this.app.hover(null, 0, 0);
    this.app.draw(true);
    this.app.remember();
  }

  key(event) {
    const { app } = this;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.target.tagName === "INPUT" && (event.key.startsWith("Arrow") || event.target.type === "search")) return;
    const height = app.rects[0].height;
    const turns = { ArrowLeft: [-25, 0], ArrowRight: [25, 0], ArrowUp: [0, -25], ArrowDown: [0, 25] };
    const acts = {
      "+": () => app.camera.zoom(0.85, 0, 0, height), "=": () => app.camera.zoom(0.85, 0, 0, height),
      "-": () => app.camera.zoom(1 / 0.85, 0, 0, height),
      "[": () => app.setUnfold(app.camera.unfold - 0.1), "]": () => app.setUnfold(app.camera.unfold + 0.1),
      m: () => app.showMap(app.views[0].map + 1), n: () => app.showMap(app.views[0].map - 1),
      ",": () => app.showImage(app.frame - 1), ".": () => app.showImage(app.frame + 1),
      r: () => app.toggle("lines"), f: () => app.toggle("fade"), l: () => app.toggle("light"),
      0: () => app.fit(), s: () => app.picture(), "/": () => app.search.box.focus(),
      "?": () => app.help(), Escape: () => app.choose(null, -1),
    };
    const act = turns[event.key] ? () => app.camera.drag(...turns[event.key], height, event.shiftKey) : acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    app.stopMoving();
    act();
    app.draw();
    app.remember();
  }
}
