// Puts the page together: reads it, draws when something changed, and keeps its state in the address.

const DARK = { uGyrus: [0.47, 0.48, 0.5], uSulcus: [0.29, 0.3, 0.32], uInk: [0.03, 0.04, 0.05], uHalo: [0.95, 0.95, 0.95], uAccent: [1, 0.54, 0.3] };
const LIGHT = { uGyrus: [0.93, 0.93, 0.935], uSulcus: [0.68, 0.68, 0.69], uInk: [0.07, 0.08, 0.1], uHalo: [1, 1, 1], uAccent: [0.85, 0.28, 0.06] };
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const night = window.matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);
const isSoftware = drawsInSoftware();

// Whether pictures are drawn by the processor: then a brain that moves is drawn coarsely, and in full when it rests.
function drawsInSoftware() {
  const context = el("canvas", { width: 1, height: 1 }).getContext("webgl2");
  if (!context) return false;
  let name = context.getParameter(context.RENDERER);
  if (/^webkit/i.test(name)) { // only Firefox says it there, and warns who asks the extension
    const known = context.getExtension("WEBGL_debug_renderer_info");
    if (known) name = context.getParameter(known.UNMASKED_RENDERER_WEBGL);
  }
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

class App {
  constructor(page) {
    this.page = page;
    this.canvas = byId("canvas");
    this.camera = new Camera();
    this.camera.unfold = page.surface;
    THREE.ColorManagement.enabled = false; // colors are written as they are
    this.eye = new THREE.OrthographicCamera();
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: !isSoftware && (window.devicePixelRatio || 1) < 1.5 });
    this.renderer.autoClear = false;
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
    this.target = new THREE.WebGLRenderTarget(1, 1);
    const brains = page.brains.map((data) => new Brain(data));
    this.views = page.scenes.map((scene, number) => new View(scene, brains[scene.brain], number));
    this.options = { lines: true, light: true, fade: true, atlas: 0 };
    this.atlases = [...new Set(this.views.flatMap((view) => view.scene.rois.map((roi) => roi.atlas)))];
    this.frame = 0; // image of maps that have one value for each
    this.hovered = { view: null, vertex: -1 };
    this.chosen = { view: null, vertex: -1 };
    this.frames = 0;
    this.build();
    this.panel = new Panel(this, byId("panel"));
    this.search = new Search(this);
    this.controls = new Controls(this);
    this.theme = null;
    this.setTheme(null);
    night.addEventListener("change", () => this.theme === null && this.setTheme(null));
    this.outline();
    this.camera.turn = this.bestView().turn;
    this.camera.tilt = this.bestView().tilt;
    this.camera.side = this.bestView().side;
    this.views.forEach((view) => this.caption(view));
    this.resize();
    this.fit();
    this.recall();
    this.repaint();
    new ResizeObserver(() => this.resize()).observe(byId("stage"));
    window.addEventListener("hashchange", () => location.hash.slice(1) !== this.hash && this.recall());
  }

  // ------------------------------------------------------------------ elements around the picture

  build() {
    byId("title").textContent = this.page.title;
    document.title = this.page.title;
    const group = byId("look");
    for (const [name, view] of Object.entries(VIEWS))
      group.append(el("button", { textContent: name[0].toUpperCase() + name.slice(1), onclick: () => this.look(view) }));
    byId("unfold").addEventListener("input", (event) => (this.stopMoving(), this.setUnfold(Number(event.target.value), true)));
    for (const button of document.querySelectorAll("[data-unfold]"))
      button.addEventListener("click", () => this.moveTo({ unfold: Number(button.dataset.unfold) }));
    for (const name of ["lines", "light", "fade"]) byId(name).addEventListener("change", () => this.toggle(name, byId(name).checked));
    byId("shot").addEventListener("click", () => this.picture());
    byId("link").addEventListener("click", () => this.copyLink());
    byId("theme").addEventListener("click", () => this.setTheme(this.isDark ? "light" : "dark"));
    byId("help").addEventListener("click", () => this.help());
    const names = this.atlases.map((name) => name || "of the run");
    if (names.length > 1) byId("atlas").append(...[...names, "all"].map((textContent, k) => el("option", { textContent, value: String(k) })));
    byId("atlas").hidden = names.length < 2;
    byId("atlas").addEventListener("change", () => this.setAtlas(Number(byId("atlas").value)));
    byId("lines").parentElement.hidden = !this.views.some((view) => view.scene.rois.length);
    const [first] = this.views;
    byId("fader").hidden = first.scene.score === null;
    if (first.scene.score !== null) byId("fader").querySelector("span").textContent = `Fade by ${first.scene.maps[first.scene.score].name}`;
    document.body.classList.toggle("several", this.views.length > 1);
    document.body.classList.toggle("many", this.views.length > 2);
    this.listMaps();
    this.overlays = this.views.map((view) => {
      const words = el("div");
      const reel = new Reel(this, view);
      const caption = el("div", { className: "caption" }, words, reel.count ? reel.box : null);
      const layer = el("div", { className: "layer" });
      const box = byId("views").appendChild(el("div", { className: "view" }, layer, caption));
      return { box, caption, words, reel, labels: new Labels(view, layer) };
    });
  }

  listMaps() {
    const [view] = this.views;
    const groups = new Map();
    view.scene.maps.forEach((map, number) => groups.set(map.group, [...(groups.get(map.group) ?? []), number]));
    this.mapButtons = [];
    this.furtherButtons = [];
    for (const [name, numbers] of groups) {
      byId("maps").append(el("h2", { textContent: name || "Maps" }));
      for (const number of numbers) {
        const map = view.scene.maps[number];
        const button = el("button", { title: map.meaning, onclick: () => this.showMap(number) }, swatch(map), el("span", { textContent: map.short || map.name }));
        this.mapButtons[number] = byId("maps").appendChild(button);
      }
    }
    for (const other of this.views.slice(1)) this.listFurther(other, new Set(view.scene.maps.map((map) => map.name)));
  }

  // Maps that another run has and the first one lacks, such as differences: they are shown in its own part.
  listFurther(view, known) {
    let heading = null;
    view.scene.maps.forEach((map, number) => {
      if (known.has(map.name)) return;
      const words = map.group || `Of ${view.scene.title || `run ${view.number + 1}`}`;
      if (words !== heading) byId("maps").append(el("h2", { textContent: (heading = words) }));
      const button = el("button", { title: map.meaning, onclick: () => this.showMapOf(view, number) }, swatch(map), el("span", { textContent: map.short || map.name }));
      this.furtherButtons.push([byId("maps").appendChild(button), view, number]);
    });
  }

  caption(view) {
    const map = view.shown;
    const { scene } = view;
    const several = this.views.length > 1;
    const title = several
      ? el("select", { title: "Map of this run", onchange: (event) => this.showMapOf(view, Number(event.target.value)) },
          ...scene.maps.map((one, number) => el("option", { value: String(number), textContent: one.name, selected: number === view.map })))
      : el("h2", { textContent: map.name });
    const score = scene.score === null ? null : scene.maps[scene.score];
    const faded = this.options.fade && view.fadesNow ? `Paler where ${score.unit || score.name} is below ${tick(scene.fade[1])}.` : "";
    const { words: box, reel } = this.overlays[view.number];
    reel.show(this.frame);
    box.replaceChildren(
      ...(several ? [el("p", { className: "run", textContent: scene.title || `run ${view.number + 1}` })] : []),
      title, el("p", { textContent: map.meaning }), legendOf(map, faded),
    );
  }

  // ------------------------------------------------------------------ what is shown

  showMap(number) {
    const count = this.views[0].scene.maps.length;
    number = ((number % count) + count) % count;
    const { name } = this.views[0].scene.maps[number];
    this.views.forEach((view, k) => {
      const same = k ? view.scene.maps.findIndex((map) => map.name === name) : number;
      if (same >= 0) view.map = same;
    });
    this.repaint();
    this.mapButtons[number].scrollIntoView({ block: "nearest", inline: "nearest" });
    this.remember();
  }

  showMapOf(view, number) {
    view.map = number;
    this.repaint();
    this.remember();
  }

  repaint() {
    this.hover(null, 0, 0);
    for (const view of this.views) {
      this.overlays[view.number].reel.show(this.frame);
      view.paint(this.options.fade, view.scene.fade[1]);
      this.caption(view);
    }
    this.mapButtons.forEach((button, number) => button.setAttribute("aria-current", String(number === this.views[0].map)));
    for (const [button, view, number] of this.furtherButtons) button.setAttribute("aria-current", String(number === view.map));
    this.draw();
  }

  // Shows image k in every map that has values for each image, and in the panel.
  showImage(k) {
    const count = Math.max(...this.overlays.map(({ reel }) => reel.count));
    if (!count) return;
    this.frame = ((k % count) + count) % count;
    this.repaint();
    const top = byId("panel").scrollTop;
    if (this.chosen.view) this.panel.vertex(this.chosen.view, this.chosen.vertex);
    else if (this.roi) this.panel.roi(this.roi.view, this.roi.number);
    byId("panel").scrollTop = top;
    this.remember();
  }

  toggle(name, value = !this.options[name]) {
    this.options[name] = value;
    byId(name).checked = value;
    if (name === "lines") this.outline();
    if (name === "fade") this.repaint();
    this.draw();
    this.remember();
  }

  // Outlines are those of one atlas, or of all: number k of `atlases`, or one beyond the last.
  setAtlas(k) {
    if (!(k >= 0 && k <= this.atlases.length)) return;
    this.options.atlas = k;
    byId("atlas").value = String(k);
    this.toggle("lines", true);
  }

  isOutlined(roi) {
    const { lines, atlas } = this.options;
    return lines && (atlas >= this.atlases.length || roi.atlas === this.atlases[atlas]);
  }

  outline() {
    for (const view of this.views) view.outline((roi) => this.isOutlined(roi));
  }

  setTheme(theme) {
    this.theme = theme;
    this.isDark = theme === null ? night.matches : theme === "dark";
    document.documentElement.classList.toggle("dark", this.isDark);
    document.documentElement.classList.toggle("light", !this.isDark);
    byId("theme").firstChild.textContent = this.isDark ? "Light" : "Dark";
    this.draw();
  }

  choose(view, vertex) {
    this.setRoi(null, -1);
    this.chosen = view && vertex >= 0 ? { view, vertex } : { view: null, vertex: -1 };
    if (this.chosen.view) this.panel.vertex(view, vertex);
    else this.panel.close();
    this.draw();
    this.remember();
  }

  chooseRoi(view, number, goes = false) {
    this.chosen = { view: null, vertex: -1 };
    this.setRoi(view, number);
    this.panel.roi(view, number);
    const anchor = anchors(view, view.scene.rois[number])[0];
    if (goes && anchor !== undefined) this.face(view, anchor);
    this.draw();
    this.remember();
  }

  // The region is chosen in every view that has one of its name.
  setRoi(view, number) {
    const roi = view && view.scene.rois[number];
    for (const one of this.views) {
      const place = roi ? one.scene.rois.findIndex((other) => other.name === roi.name && other.atlas === roi.atlas) : -1;
      if (place === one.chosenRoi) continue;
      one.chosenRoi = place;
      one.outline((other) => this.isOutlined(other));
    }
    this.roi = roi ? { view, number } : null;
  }

  visit(view, vertex) {
    this.choose(view, vertex);
    this.face(view, vertex);
  }

  // Turns the brain, or shifts the flat map, so that a vertex is seen.
  face(view, vertex) {
    const { data } = view.brain;
    if (this.camera.unfold > 1.5) {
      const { width, height } = this.rects[view.number];
      const [x, y] = this.camera.project(view.brain.point(vertex, this.camera), width, height);
      if (x > 0.05 * width && x < 0.95 * width && y > 0.05 * height && y < 0.85 * height) return; // it is in sight
      const point = data.surfaces[2].subarray(3 * vertex, 3 * vertex + 2);
      return this.moveTo({ flat: { ...this.camera.flat, x: point[0], y: point[1] } });
    }
    const normal = data.normals[1].subarray(3 * vertex, 3 * vertex + 3);
    const isLeft = vertex < data.n_left;
    const inwards = isLeft ? normal[0] > 0.3 : normal[0] < -0.3;
    this.camera.side = inwards ? (isLeft ? 1 : 2) : this.camera.side === (isLeft ? 2 : 1) ? 0 : this.camera.side;
    const turn = Math.atan2(normal[0], -normal[1]) / RADIANS;
    const tilt = Math.asin(Math.max(-1, Math.min(1, normal[2]))) / RADIANS;
    this.moveTo({ turn, tilt, folded: this.fitted({ turn, tilt }) });
  }

  // ------------------------------------------------------------------ where one looks from

  look(view) {
    this.camera.side = view.side;
    const folded = this.fitted(view);
    this.moveTo({ turn: view.turn, tilt: view.tilt, folded, unfold: Math.min(this.camera.unfold, 1) });
  }

  // The view from which most of the data is seen; from behind where several see as much.
  bestView() {
    const camera = new Camera();
    let best = null;
    for (const one of [VIEWS.back, { turn: 0, tilt: -35, side: 0 }, VIEWS.below, VIEWS.left, VIEWS.right, VIEWS.above, VIEWS.front]) {
      Object.assign(camera, { turn: one.turn, tilt: one.tilt, side: one.side, unfold: 1 });
      const [view] = this.views;
      let seen = 0;
      for (const vertex of view.scene.shown) seen += view.brain.faces(vertex, camera) ? 1 : 0;
      if (!best || seen > 1.1 * best.seen) best = { ...one, seen };
    }
    return best;
  }

  // The frame that holds the brain between caption and buttons.
  fitted({ turn, tilt }, flat = false) {
    const camera = Object.assign(new Camera(), { turn, tilt, unfold: flat ? 2 : Math.min(1, this.camera.unfold), side: flat ? 0 : this.camera.side });
    camera.folded = camera.flat = { x: 0, y: 0, half: 1 };
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    for (const view of this.views) {
      const { brain, scene } = view;
      for (let vertex = 0; vertex < brain.data.count; vertex++) {
        const isLeft = vertex < brain.data.n_left;
        if (flat ? scene.column[vertex] < 0 || !brain.isOnFlat(vertex) : (camera.side === 1 && !isLeft) || (camera.side === 2 && isLeft)) continue;
        const at = camera.project(brain.point(vertex, camera), 2, 2);
        for (const k of [0, 1]) {
          low[k] = Math.min(low[k], at[k] - 1);
          high[k] = Math.max(high[k], at[k] - 1);
        }
      }
    }
    if (low[0] === Infinity) return { x: 0, y: 0, half: 160 };
    const { width, height } = this.rects[0];
    const margin = flat ? 12 : 3;
    const [wide, tall] = [(high[0] - low[0]) / 2 + margin, (high[1] - low[1]) / 2 + margin];
    const ways = this.freeParts().map(([left, top, right, bottom]) => {
      const half = Math.max((tall * height) / Math.max(60, bottom - top), (wide * height) / Math.max(60, right - left));
      const mm = (2 * half) / height;
      return {
        x: (low[0] + high[0]) / 2 + ((width - left - right) / 2) * mm,
        y: -(low[1] + high[1]) / 2 - ((height - top - bottom) / 2) * mm,
        half,
      };
    });
    return ways.reduce((one, other) => (other.half < 1.15 * one.half ? other : one)); // in the middle, where that costs little
  }

  // Parts of the picture that nothing lies over: beside the legend, or below it.
  freeParts() {
    const { width, height } = this.rects[0];
    const edge = width < 560 ? 14 : 30;
    const floor = height - (this.rects.at(-1).top + height < this.size[1] - 1 ? 0 : byId("bar").offsetHeight + 24);
    const captions = this.overlays.map(({ caption }) => [caption.offsetLeft + caption.offsetWidth, caption.offsetTop + caption.offsetHeight]);
    const [right, bottom] = [0, 1].map((k) => Math.max(...captions.map((one) => one[k])));
    return [[right + 10, edge, width - edge, floor], [edge, bottom + 10, width - edge, floor]];
  }

  fit() {
    this.camera.isFitted = true;
    this.camera.folded = this.fitted(this.camera);
    this.camera.flat = this.fitted(this.camera, true);
    this.draw();
  }

  setUnfold(value) {
    this.camera.unfold = Math.min(2, Math.max(0, value));
    if (this.camera.unfold > 1.25) this.camera.side = 0;
    this.hover(null, 0, 0);
    this.draw(true);
    this.remember();
  }

  // Moves the camera there, at once where the reader asked for less motion.
  moveTo(goal) {
    this.stopMoving();
    const { camera } = this;
    if (goal.unfold > 1.25) camera.side = 0;
    const start = { turn: camera.turn, tilt: camera.tilt, unfold: camera.unfold, folded: { ...camera.folded }, flat: { ...camera.flat } };
    if (goal.turn !== undefined) start.turn = goal.turn + wrapped(start.turn - goal.turn);
    const step = (part) => {
      const s = part * part * (3 - 2 * part);
      const between = (a, b) => (b === undefined ? a : a + (b - a) * s);
      for (const name of ["turn", "tilt", "unfold"]) camera[name] = between(start[name], goal[name]);
      for (const name of ["folded", "flat"])
        if (goal[name]) for (const key of ["x", "y", "half"]) camera[name][key] = between(start[name][key], goal[name][key]);
    };
    this.hover(null, 0, 0);
    const from = performance.now();
    const length = calm.matches ? 0 : goal.unfold === undefined ? 450 : 700;
    const tick = () => {
      const part = length ? Math.min(1, (performance.now() - from) / length) : 1;
      step(part);
      this.render(part < 1);
      if (part < 1) this.moving = requestAnimationFrame(tick);
      else {
        this.moving = null;
        this.remember();
      }
    };
    tick();
  }

  stopMoving() {
    if (this.moving) cancelAnimationFrame(this.moving);
    this.moving = null;
  }

  // ------------------------------------------------------------------ drawing

  resize() {
    const stage = byId("stage");
    const [width, height] = [Math.max(1, stage.clientWidth), Math.max(1, stage.clientHeight)];
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    if (this.size && this.size[0] === width && this.size[1] === height && this.ratio === ratio) return;
    const first = !this.size;
    this.size = [width, height];
    this.ratio = ratio;
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height, false);
    const count = this.views.length;
    const columns = width >= height * 0.9 ? (count < 4 ? count : Math.ceil(Math.sqrt(count))) : count < 3 ? 1 : 2;
    const rows = Math.ceil(count / columns);
    this.rects = this.views.map((_, k) => {
      const [column, row] = [k % columns, Math.floor(k / columns)];
      const [left, top] = [Math.round((column * width) / columns), Math.round((row * height) / rows)];
      return { left, top, width: Math.round(((column + 1) * width) / columns) - left, height: Math.round(((row + 1) * height) / rows) - top };
    });
    this.overlays.forEach(({ box }, k) => {
      for (const name of ["left", "top", "width", "height"]) box.style[name] = `${this.rects[k][name]}px`;
    });
    if (first) return;
    if (this.camera.isFitted) this.fit();
    this.render(); // at once: a canvas of another size is blank
  }

  draw(moves = false) {
    this.waiting ??= requestAnimationFrame(() => this.render(moves));
  }

  render(moves = false) {
    if (this.waiting) cancelAnimationFrame(this.waiting);
    this.waiting = null;
    clearTimeout(this.resting);
    const ratio = moves && isSoftware ? 0.5 * this.ratio : this.ratio;
    if (moves && isSoftware) this.resting = setTimeout(() => this.render(), 160);
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    const css = getComputedStyle(document.documentElement).getPropertyValue("--stage").trim();
    this.renderer.setClearColor(parseInt(css.slice(1), 16));
    this.renderer.setScissorTest(false);
    this.renderer.clear();
    this.renderer.setScissorTest(true);
    this.views.forEach((view, k) => {
      const { left, top, width, height } = this.rects[k];
      const bottom = this.size[1] - top - height;
      this.renderer.setViewport(left, bottom, width, height);
      this.renderer.setScissor(left, bottom, width, height);
      this.camera.place(this.eye, width, height);
      view.brain.set(this.camera);
      for (const [name, value] of Object.entries(this.isDark ? DARK : LIGHT)) view.uniforms[name].value = value;
      view.uniforms.uLight.value = this.options.light ? 1 : 0;
      view.uniforms.uLine.value = this.options.lines ? 1.2 : 0;
      view.uniforms.uPixel.value = ratio;
      this.renderer.render(view.stage, this.eye);
    });
    this.drawLabels();
    byId("unfold").value = String(this.camera.unfold);
    for (const button of document.querySelectorAll("[data-unfold]"))
      button.setAttribute("aria-pressed", String(Math.abs(this.camera.unfold - Number(button.dataset.unfold)) < 0.02));
    this.frames++;
  }

  drawLabels() {
    this.views.forEach((view, k) => {
      const { width, height } = this.rects[k];
      const marked = (one) => (one.view && one.view.brain === view.brain ? one.vertex : -1);
      this.overlays[k].labels.draw(this.camera, width, height, (roi) => this.isOutlined(roi), { hovered: marked(this.hovered), chosen: marked(this.chosen) });
    });
  }

  // ------------------------------------------------------------------ asking

  viewAt(x, y) {
    const place = this.rects.findIndex(({ left, top, width, height }) => x >= left && x < left + width && y >= top && y < top + height);
    return place < 0 ? null : this.views[place];
  }

  fromMiddle(x, y) {
    const view = this.viewAt(x, y) ?? this.views[0];
    const { left, top, width, height } = this.rects[view.number];
    return [x - left - width / 2, y - top - height / 2];
  }

  // The vertex under a place of the canvas, -1 for none: one pixel is drawn in which colors are numbers of vertices.
  pick(view, x, y) {
    if (!view) return -1;
    const { left, top, width, height } = this.rects[view.number];
    this.camera.place(this.eye, width, height);
    this.eye.setViewOffset(width, height, x - left - 0.5, y - top - 0.5, 1, 1);
    view.brain.set(this.camera);
    this.renderer.setRenderTarget(this.target);
    this.renderer.setScissorTest(false);
    this.renderer.setClearColor(0x000000, 0);
    this.renderer.clear();
    this.renderer.render(view.brain.pickScene, this.eye);
    const out = new Uint8Array(4);
    this.renderer.readRenderTargetPixels(this.target, 0, 0, 1, 1, out);
    this.renderer.setRenderTarget(null);
    this.renderer.setClearColor(0x000000, 1);
    this.eye.clearViewOffset();
    return out[0] + 256 * out[1] + 65536 * out[2] - 1;
  }

  hover(view, x, y) {
    const vertex = view ? this.pick(view, x, y) : -1;
    const tip = byId("tip");
    const changed = this.hovered.vertex !== vertex || this.hovered.view !== view;
    this.hovered = vertex < 0 ? { view: null, vertex: -1 } : { view, vertex };
    tip.hidden = vertex < 0;
    if (vertex >= 0) {
      if (changed) fillTip(tip, this.views, view, vertex);
      const [right, down] = [x + 18 + tip.offsetWidth > this.size[0], y + 18 + tip.offsetHeight > this.size[1]];
      const [tx, ty] = [right ? x - 14 - tip.offsetWidth : x + 16, down ? Math.max(4, y - 12 - tip.offsetHeight) : y + 16];
      tip.style.transform = `translate(${Math.max(4, tx)}px, ${ty}px)`;
    }
    if (changed) this.drawLabels();
  }

  // ------------------------------------------------------------------ pictures, links, state

  picture() {
    this.render();
    const [width, height] = this.size;
    const out = el("canvas", { width: width * this.ratio, height: height * this.ratio });
    const pen = out.getContext("2d");
    pen.drawImage(this.canvas, 0, 0); // in the same turn as it was drawn: its pixels are not kept
    pen.scale(this.ratio, this.ratio);
    this.views.forEach((view, k) => drawWords(pen, this.overlays[k].box, byId("stage").getBoundingClientRect()));
    out.toBlob((blob) => {
      const address = URL.createObjectURL(blob);
      el("a", { href: address, download: `${(this.page.title || "brain").replace(/[^\w-]+/g, "_")}.png` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    });
    return out;
  }

  async copyLink() {
    this.remember();
    try {
      await navigator.clipboard.writeText(location.href);
      this.say("The link to this view is in the clipboard.");
    } catch {
      this.say("The address of this page leads to this view: copy it.");
    }
  }

  say(text) {
    const said = document.body.appendChild(el("div", { className: "said", role: "status", textContent: text }));
    setTimeout(() => said.remove(), 2600);
  }

  help() {
    const rows = KEYS.flatMap(([key, text]) => [el("dt", { textContent: key }), el("dd", { textContent: text })]);
    this.showDialog("Keys and gestures", el("dl", {}, ...rows));
  }

  showDialog(title, content) {
    const dialog = byId("keys");
    dialog.classList.toggle("wide", content.tagName === "IMG");
    dialog.replaceChildren(el("h2", { textContent: title }), content, el("button", { textContent: "Close", onclick: () => dialog.close() }));
    dialog.showModal();
  }

  get state() {
    const { camera } = this;
    const n = (value, digits = 1) => Number(value.toFixed(digits));
    const frame = ({ x, y, half }) => [n(x), n(y), n(half)].join(",");
    const state = { map: this.views.map((view) => view.map).join(","), unfold: n(camera.unfold, 2), turn: n(camera.turn), tilt: n(camera.tilt), side: camera.side, folded: frame(camera.folded), flat: frame(camera.flat) };
    for (const name of ["lines", "light", "fade"]) if (!this.options[name]) state[name] = 0;
    if (this.options.atlas) state.atlas = this.options.atlas;
    if (this.frame) state.image = this.frame;
    if (this.theme) state.theme = this.theme;
    if (this.chosen.view) state.vertex = `${this.chosen.view.number},${this.chosen.view.brain.data.ids[this.chosen.vertex]}`;
    if (this.roi) state.roi = `${this.roi.view.number},${this.roi.number}`;
    return state;
  }

  remember() {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      this.hash = new URLSearchParams(this.state).toString();
      try {
        history.replaceState(null, "", `#${this.hash}`);
      } catch {
        // some browsers refuse too many changes in a short time: the next one will do
      }
    }, 60);
  }

  // Takes over what the address says; what it says wrongly is passed over.
  recall() {
    const said = new URLSearchParams(location.hash.slice(1));
    const number = (name, low, high, old) => {
      const value = Number(said.get(name));
      return said.has(name) && Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : old;
    };
    const { camera } = this;
    (said.get("map") ?? "").split(",").forEach((text, k) => {
      if (/^\d+$/.test(text) && this.views[k]?.scene.maps[Number(text)]) this.views[k].map = Number(text);
    });
    this.frame = Math.round(number("image", 0, Math.max(0, ...this.overlays.map(({ reel }) => reel.count - 1)), 0));
    camera.unfold = number("unfold", 0, 2, camera.unfold);
    camera.turn = number("turn", -180, 180, camera.turn);
    camera.tilt = number("tilt", -90, 90, camera.tilt);
    camera.side = Math.round(number("side", 0, 2, camera.side));
    for (const name of ["folded", "flat"]) {
      const parts = (said.get(name) ?? "").split(",").map(Number);
      if (parts.length === 3 && parts.every(Number.isFinite) && parts[2] > 0) Object.assign(camera, { [name]: { x: parts[0], y: parts[1], half: parts[2] }, isFitted: false });
    }
    this.setAtlas(Math.round(number("atlas", 0, this.atlases.length, 0)));
    for (const name of ["lines", "light", "fade"]) this.toggle(name, said.get(name) !== "0");
    if (/^(dark|light)$/.test(said.get("theme") ?? "")) this.setTheme(said.get("theme"));
    const [a, b] = (said.get("vertex") ?? said.get("roi") ?? "").split(",").map(Number);
    const view = this.views[a];
    if (view && said.has("vertex") && view.brain.data.vertexOf.has(b)) this.choose(view, view.brain.data.vertexOf.get(b));
    else if (view && said.has("roi") && view.scene.rois[b]) this.chooseRoi(view, b);
    this.repaint();
  }
}

// Writes the words that stand over the picture, and the legend, onto a picture that is saved.
function drawWords(pen, box, origin) {
  const walk = (node) => {
    if (node.hidden) return;
    const rect = node.getBoundingClientRect();
    const [x, y] = [rect.left - origin.left, rect.top - origin.top];
    const css = getComputedStyle(node);
    if (node.tagName === "CANVAS") return void pen.drawImage(node, x, y, rect.width, rect.height);
    if (node.tagName === "IMG") return void (node.naturalWidth && drawWhole(pen, node, x, y, rect));
    if (/^(INPUT|BUTTON)$/.test(node.tagName)) return;
    if (node.tagName === "I") {
      pen.fillStyle = css.backgroundColor;
      pen.fillRect(x, y, rect.width, rect.height);
    }
    const own = node.tagName === "SELECT" ? node.selectedOptions[0].textContent : [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data).join("");
    if (own.trim()) {
      pen.font = `${css.fontWeight} ${css.fontSize} ${css.fontFamily}`;
      pen.fillStyle = css.color;
      pen.textBaseline = "top";
      const lead = node.querySelector("i") ? 17 : 0;
      const lines = wrappedLines(pen, own, Math.max(rect.width - lead, 30));
      lines.forEach((line, i) => pen.fillText(line, x + lead, y + 2 + (i * rect.height) / lines.length));
    }
    if (node.tagName !== "SELECT") for (const child of node.children) walk(child);
  };
  walk(box);
}

// An image as the page shows it: whole, in the left of its box.
function drawWhole(pen, image, x, y, box) {
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  pen.drawImage(image, x, y, image.naturalWidth * scale, image.naturalHeight * scale);
}

function wrappedLines(pen, text, width) {
  const lines = [""];
  for (const word of text.trim().split(/\s+/)) {
    const longer = lines[lines.length - 1] ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines[lines.length - 1] && pen.measureText(longer).width > width + 1) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

(async () => {
  const wait = byId("wait");
  try {
    const app = new App(await readPage());
    app.render();
    app.firstFrame = performance.now(); // ms since the page was asked for
    wait.remove();
    window.brainnet = app; // for the console, and for tests
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    wait.textContent = `This browser cannot draw the page: ${error.message}. It needs WebGL 2 and DecompressionStream, which every browser has had since 2023.`;
    console.error(error);
  }
})();
