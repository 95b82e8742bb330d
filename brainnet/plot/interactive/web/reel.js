// The slider over images of a map that has one value of each voxel for every image.

class Reel {
  constructor(app, view) {
    this.view = view;
    this.count = Math.max(0, ...view.scene.maps.map((map) => map.frames ?? 0));
    this.image = el("img", { alt: "" });
    this.name = el("p");
    this.slider = el("input", { type: "range", min: "0", max: String(Math.max(0, this.count - 1)), step: "1", value: "0" });
    this.slider.setAttribute("aria-label", "Image");
    this.slider.addEventListener("input", () => app.showImage(Number(this.slider.value)));
    const step = (textContent, by, title) => el("button", { textContent, title, onclick: () => app.showImage(app.frame + by) });
    const steps = el("div", { className: "steps" }, step("‹", -1, "Image before (,)"), this.slider, step("›", 1, "Next image (.)"));
    this.box = el("div", { className: "reel" }, this.image, this.name, this.count > 1 ? steps : null);
  }

  // Image `frame` for the maps of this run; the box is there while one of them is shown.
  show(frame) {
    const { scene } = this.view;
    this.box.hidden = !this.view.shown.frames;
    const now = Math.min(frame, this.count - 1);
    for (const map of scene.maps) if (map.frames) map.frame = now;
    if (this.box.hidden || this.shown === now) return;
    this.shown = now;
    const [name, source] = scene.images[now];
    Object.assign(this.image, { src: source, alt: name });
    this.name.textContent = `${now + 1} of ${this.count}: ${name}`;
    this.slider.value = String(now);
    this.slider.setAttribute("aria-valuetext", name);
  }
}
