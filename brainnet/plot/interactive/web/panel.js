// What is known of one vertex, or of one region: beside the brain, and in short under the pointer.

const MANY = 14; // rows under the pointer
const LEAST_CEILING = 0.1; // a share of less is noise

function roisOf(view, voxel) {
  return view.scene.rois.filter((roi) => roi.has(voxel));
}

// A vertex by its number; of a volume that was projected also the voxel.
function placeName(view, vertex) {
  const voxel = view.voxelOf(vertex);
  const name = view.brain.vertexName(vertex);
  return view.scene.method && voxel >= 0 ? `${name}, voxel ${view.scene.voxels[voxel]}` : name;
}

function inBars(scene) {
  return new Set(scene.bars.flatMap(([, maps]) => maps));
}

// Under the pointer: where it is, and what every map says there; of several runs side by side.
function fillTip(tip, views, view, vertex) {
  const voxel = view.voxelOf(vertex);
  const rois = roisOf(view, voxel);
  tip.replaceChildren(el("b", { textContent: placeName(view, vertex) }));
  const named = rois.map((roi) => (roi.atlas ? `${roi.name} (${roi.atlas})` : roi.name)).join(", ");
  tip.append(el("div", { className: "rois", textContent: voxel < 0 ? "not recorded" : named || "in no region" }));
  if (voxel < 0) return;
  const linked = views.filter((other) => other.brain === view.brain);
  const skipped = inBars(view.scene);
  const table = el("table");
  if (linked.length > 1)
    table.append(el("tr", {}, el("td"), ...linked.map((other) => el("td", { className: "rois", textContent: other.scene.title || `run ${other.number + 1}` }))));
  let shown = 0;
  view.scene.maps.forEach((map, number) => {
    const isNow = number === view.map;
    if (!isNow && (skipped.has(number) || shown >= MANY)) return;
    shown++;
    const cells = linked.map((other) => {
      const same = other === view ? map : other.scene.maps.find((one) => one.name === map.name);
      return el("td", { textContent: same ? valueText(same, other.voxelOf(vertex)) : "" });
    });
    table.append(el("tr", { className: isNow ? "now" : "" }, el("td", { textContent: map.name }), ...cells));
  });
  tip.append(table);
  for (const [, maps] of view.scene.bars) tip.append(spark(maps.map((number) => view.scene.maps[number].at(voxel))));
}

function spark(values) {
  const box = el("div", { className: "spark" });
  const most = Math.max(...values.filter((value) => !Number.isNaN(value)), 1e-9);
  for (const value of values) {
    const bar = box.appendChild(el("i", { className: value === most ? "most" : "" }));
    bar.style.height = `${Math.max(0, (100 * (value || 0)) / most)}%`;
  }
  return box;
}

function meterRows(names, values, limit, mark = null) {
  const box = el("div", { className: "rows" });
  const top = limit ?? Math.max(...values.filter((value) => !Number.isNaN(value)), 1e-9);
  const most = Math.max(...values.filter((value) => !Number.isNaN(value)));
  names.forEach((name, i) => {
    const bar = el("i", { className: values[i] === most && values.length > 1 ? "most" : "" });
    bar.style.width = `${Math.min(100, Math.max(0, (100 * (values[i] || 0)) / top))}%`;
    const meter = el("div", { className: "meter" }, bar);
    if (mark !== null && !Number.isNaN(mark)) {
      const tick = meter.appendChild(el("u", { title: `noise ceiling ${short(mark)}` }));
      tick.style.left = `calc(${Math.min(100, Math.max(0, (100 * mark) / top))}% - 1px)`;
    }
    box.append(el("span", { textContent: name, title: name }), meter, el("span", { textContent: Math.abs(values[i]) < 0.001 * top ? "0.000" : short(values[i]) }));
  });
  return box;
}

class Panel {
  constructor(app, box) {
    this.app = app;
    this.box = box;
  }

  open(title, ...content) {
    const close = el("button", { textContent: "Close", title: "Close (Esc)", onclick: () => this.app.choose(null, -1) });
    this.box.replaceChildren(el("header", {}, el("h2", { textContent: title }), close), ...content);
    this.box.hidden = false;
    document.body.classList.add("open");
    this.box.scrollTop = 0;
    this.app.resize();
  }

  close() {
    if (this.box.hidden) return;
    this.box.hidden = true;
    document.body.classList.remove("open");
    this.app.resize();
  }

  vertex(view, vertex) {
    const voxel = view.voxelOf(vertex);
    const { scene } = view;
    const title = placeName(view, vertex);
    if (voxel < 0) return this.open(title, el("p", { textContent: "Nothing was recorded here." }));
    const chips = el("div", { className: "chips" });
    scene.rois.forEach((roi, number) => {
      if (roi.has(voxel)) chips.append(this.roiButton(view, roi, number));
    });
    const content = [scene.title ? el("p", { textContent: scene.title }) : null, chips];
    content.push(...this.scoreOf(scene, (map) => map.at(voxel), (part, ceiling) => `, ${part} of the noise ceiling ${ceiling}`));
    for (const [heading, maps] of scene.bars) {
      const listed = maps.map((number) => scene.maps[number]);
      content.push(el("h3", { textContent: heading }), meterRows(listed.map((map) => map.short || map.name), listed.map((map) => map.at(voxel))));
    }
    for (const course of scene.courses) content.push(...courseChart(course, [voxel]));
    content.push(...this.windowOf(scene, [voxel], `Window in the image`));
    content.push(...this.scaleOf(scene, (map) => map.at(voxel)));
    content.push(...this.bestOf(scene, voxel));
    content.push(el("h3", { textContent: "All maps" }), this.values(scene, (map) => valueText(map, voxel)));
    content.push(...this.about(scene));
    this.open(title, ...content);
  }

  roi(view, number) {
    const { scene } = view;
    const roi = scene.rois[number];
    const mean = (map) => {
      const known = roi.voxels.map((voxel) => map.at(voxel)).filter((value) => !Number.isNaN(value));
      return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
    };
    const part = roi.voxels.length < roi.n ? `, ${roi.voxels.length} of them on the page` : "";
    const content = [el("p", { textContent: `${roi.atlas ? `${roi.atlas}, ` : ""}${roi.n} voxels${part}. Means over the region.` })];
    content.push(...this.scoreOf(scene, mean, (part, ceiling) => `; a voxel reaches ${part} of its noise ceiling on average (mean ceiling ${ceiling})`));
    for (const [heading, maps] of scene.bars) {
      const listed = maps.map((one) => scene.maps[one]);
      content.push(el("h3", { textContent: heading }), meterRows(listed.map((map) => map.short || map.name), listed.map(mean)));
    }
    for (const course of scene.courses) content.push(...courseChart(course, roi.voxels));
    content.push(...this.windowOf(scene, roi.voxels, "Windows in the image"));
    content.push(...this.scaleOf(scene, mean));
    content.push(...this.pictureOf(roi), ...this.bestOfRoi(scene, roi));
    for (const map of scene.maps.filter((one) => one.kind === "categorical")) content.push(...this.shares(map, roi));
    const numbers = scene.maps.filter((map) => map.kind === "scalar");
    if (numbers.length) content.push(el("h3", { textContent: "Means of all maps" }), this.facts(numbers.filter((_, i) => !inBars(scene).has(scene.maps.indexOf(numbers[i]))).map((map) => [map.name, short(mean(map))])));
    this.open(roi.name, ...content, ...this.about(scene));
  }

  roiButton(view, roi, number) {
    return el("button", { textContent: roi.name, title: roi.atlas || "region", onclick: () => this.app.chooseRoi(view, number) });
  }

  scoreOf(scene, valueOf, wordsOf) {
    if (scene.score === null) return [];
    const score = scene.maps[scene.score];
    const value = valueOf(score);
    const ceiling = scene.ceiling === null ? NaN : valueOf(scene.maps[scene.ceiling]);
    const part = scene.ceiling === null ? NaN : valueOf(shareOfCeiling(score, scene.maps[scene.ceiling]));
    const share = Number.isNaN(part) ? "" : wordsOf(`${Math.round(100 * part)} %`, short(ceiling));
    return [
      el("h3", { textContent: "Score" }),
      meterRows([score.unit || score.name], [value], Math.max(1, score.vmax), ceiling),
      el("p", { textContent: `${short(value)}${share}` }),
    ];
  }

  scaleOf(scene, valueOf) {
    if (scene.scale === null) return [];
    return [el("h3", { textContent: "Scale, from local (0) to global (1)" }), meterRows(["scale"], [valueOf(scene.maps[scene.scale])], 1)];
  }

  // Where in the image the voxels look: a circle of one width around each place.
  windowOf(scene, voxels, heading) {
    if (scene.position === null) return [];
    const canvas = el("canvas", { className: "picture", width: 460, height: 460 });
    const [positions, widths] = [scene.maps[scene.position], scene.width === null ? null : scene.maps[scene.width]];
    const draw = (image) => {
      if (image) canvas.height = Math.round((460 * image.naturalHeight) / image.naturalWidth);
      drawWindows(canvas, image, voxels.map((voxel) => [...positions.at(voxel), widths ? widths.at(voxel) : NaN]));
    };
    draw(null);
    let text = image0(scene) ? `On the image ${scene.images[0][0]}.` : "The frame is the image.";
    if (voxels.length === 1) text = `${valueText(positions, voxels[0])}${widths ? `, width ${short(widths.at(voxels[0]))}` : ""}. ${text} Its borders are at −1 and 1; y grows downwards.`;
    if (image0(scene)) {
      const image = new Image();
      image.onload = () => draw(image);
      image.src = image0(scene);
    }
    return [el("h3", { textContent: heading }), canvas, el("p", { textContent: text })];
  }

  bestOf(scene, voxel) {
    const numbers = this.bestImages(scene, voxel);
    return this.thumbnails(scene, numbers, "Images of the highest predicted response");
  }

  // Numbers of the images that drive a voxel most.
  bestImages(scene, voxel) {
    if (!scene.best) return [];
    const k = scene.best.length / scene.n_shown;
    return [...scene.best.subarray(k * voxel, k * voxel + k)].filter((number) => number !== NONE);
  }

  // The images that are among the best of the most voxels of a region.
  bestOfRoi(scene, roi) {
    const counts = new Map();
    for (const voxel of roi.voxels) for (const number of this.bestImages(scene, voxel)) counts.set(number, (counts.get(number) ?? 0) + 1);
    const most = [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]).slice(0, 4);
    return this.thumbnails(scene, most.map(([number]) => number), "Images that are among the best of most voxels");
  }

  // What was drawn of the channels of a region; a click shows it large.
  pictureOf(roi) {
    if (!roi.picture) return [];
    const picture = () => el("img", { src: roi.picture, alt: `Top channels of ${roi.name}` });
    const open = el("button", { className: "enlarge", title: "Show it large", onclick: () => this.app.showDialog(`Top channels of ${roi.name}`, picture()) }, picture());
    return [el("h3", { textContent: "Top channels, in images" }), open];
  }

  thumbnails(scene, numbers, heading) {
    const thumbs = numbers.map((number) => el("img", { src: scene.images[number][1], alt: scene.images[number][0], title: scene.images[number][0] }));
    return numbers.length ? [el("h3", { textContent: heading }), el("div", { className: "thumbs" }, ...thumbs)] : [];
  }

  shares(map, roi) {
    const counts = new Map();
    for (const voxel of roi.voxels) if (map.at(voxel) >= 0) counts.set(map.at(voxel), (counts.get(map.at(voxel)) ?? 0) + 1);
    const most = [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]).slice(0, 6);
    if (!most.length) return [];
    return [
      el("h3", { textContent: `${map.name}: share of voxels` }),
      meterRows(most.map(([one]) => map.labels[one]), most.map(([, count]) => count / roi.voxels.length), 1),
    ];
  }

  values(scene, textOf) {
    const skipped = inBars(scene);
    return this.facts(scene.maps.filter((_, number) => !skipped.has(number)).map((map) => [map.name, textOf(map)]));
  }

  facts(rows) {
    return el("dl", { className: "facts" }, ...rows.flatMap(([name, text]) => [el("dt", { textContent: name }), el("dd", { textContent: text })]));
  }

  about(scene) {
    const rows = scene.facts.length ? [el("h3", { textContent: "The run" }), this.facts(scene.facts)] : [];
    return scene.method ? [...rows, el("p", { textContent: scene.method })] : rows;
  }
}

// Voxel by voxel, as the tables have it (scores.normalise): the share of a region is the mean over its voxels.
function shareOfCeiling(score, ceiling) {
  return { at: (voxel) => (ceiling.at(voxel) >= LEAST_CEILING ? score.at(voxel) / ceiling.at(voxel) : NaN) };
}

function image0(scene) {
  return scene.images?.[0]?.[1];
}

function drawWindows(canvas, image, windows) {
  const pen = canvas.getContext("2d");
  const [w, h] = [canvas.width, canvas.height];
  const css = getComputedStyle(document.documentElement);
  pen.clearRect(0, 0, w, h);
  if (image) pen.drawImage(image, 0, 0, w, h);
  else {
    pen.strokeStyle = css.getPropertyValue("--line");
    pen.lineWidth = 2;
    for (const part of [0.25, 0.5, 0.75]) {
      pen.strokeRect(w * part, -4, 0, h + 8);
      pen.strokeRect(-4, h * part, w + 8, 0);
    }
  }
  const alone = windows.length === 1;
  pen.globalAlpha = alone ? 1 : Math.max(0.2, Math.min(0.6, 60 / windows.length));
  for (const [x, y, width] of windows) {
    if (Number.isNaN(x)) continue;
    const [cx, cy] = [((x + 1) * w) / 2, ((y + 1) * h) / 2];
    for (const [color, line] of alone ? [["#fff", 8], ["#d9480f", 4]] : [["#d9480f", 3]]) {
      pen.strokeStyle = pen.fillStyle = color;
      pen.lineWidth = line;
      pen.beginPath();
      pen.arc(cx, cy, alone ? line : 4, 0, 7);
      pen.fill();
      if (Number.isNaN(width)) continue;
      pen.beginPath();
      pen.ellipse(cx, cy, (width * w) / 2, (width * h) / 2, 0, 0, 7);
      pen.stroke();
    }
  }
  pen.globalAlpha = 1;
}
