// Words and marks over the picture: names of regions, L and R, the vertex that is pointed at and the chosen one.

class Labels {
  constructor(view, layer) {
    this.view = view;
    this.layer = layer;
    this.words = view.scene.rois.flatMap((roi, number) =>
      anchors(view, roi).map((vertex) => ({ roi, number, vertex, made: el("span", { className: "region", textContent: roi.name }) })),
    );
    this.words.sort((one, other) => other.roi.n - one.roi.n);
    for (const word of this.words) {
      word.made.hidden = true;
      layer.append(word.made);
    }
    const mark = (kind) => layer.appendChild(el("span", { className: `mark ${kind}`, hidden: true }));
    this.marks = { hovered: mark("passing"), chosen: mark("") };
    this.sides = ["L", "R"].map((textContent) => layer.appendChild(el("span", { className: "side", textContent, hidden: true })));
  }

  draw(camera, width, height, isShown, marked) {
    const { view } = this;
    const taken = [];
    for (const { roi, number, vertex, made } of this.words) {
      const chosen = number === view.chosenRoi;
      const wanted = (isShown(roi) || chosen) && view.brain.faces(vertex, camera);
      made.hidden = true;
      if (!wanted) continue;
      const [x, y] = camera.project(view.brain.point(vertex, camera), width, height);
      const half = roi.name.length * 3.3 + 3;
      if (!chosen && 2.5 * this.radius(roi) * (height / 2 / camera.now().half) < half) continue; // smaller than its name
      const box = [x - half, y - 8, x + half, y + 8];
      const meets = taken.some((one) => one[0] < box[2] && box[0] < one[2] && one[1] < box[3] && box[1] < one[3]);
      if ((meets && !chosen) || x < 0 || y < 0 || x > width || y > height) continue;
      taken.push(box);
      made.hidden = false;
      made.classList.toggle("chosen", chosen);
      made.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
    }
    this.taken = taken;
    for (const [name, vertex] of Object.entries(marked)) {
      const made = this.marks[name];
      made.hidden = vertex < 0 || !view.brain.faces(vertex, camera);
      if (made.hidden) continue;
      const [x, y] = camera.project(view.brain.point(vertex, camera), width, height);
      made.style.transform = `translate(${x}px, ${y}px)`;
    }
    this.drawSides(camera, width, height);
  }

  // About how far a region reaches in one hemisphere, in mm: a vertex of fsaverage5 has some 8 square mm.
  radius(roi) {
    const area = (8 * 10242) / this.view.brain.data.n_side;
    return Math.sqrt((area * roi.voxels.length) / 2 / Math.PI);
  }

  // L and R stand outside of their hemispheres, where these can be seen apart.
  drawSides(camera, width, height) {
    const across = Math.abs(camera.axes().right[0]) > 0.5;
    this.sides.forEach((made, side) => {
      made.hidden = !across || camera.side === 2 - side;
      if (made.hidden) return;
      const { brain } = this.view;
      const [from, to] = side ? [brain.data.n_left, brain.data.count] : [0, brain.data.n_left];
      let best = null;
      const out = (side ? 1 : -1) * Math.sign(camera.axes().right[0]);
      for (let vertex = from; vertex < to; vertex += 37) {
        const at = camera.project(brain.point(vertex, camera), width, height);
        if (best === null || out * at[0] > out * best[0]) best = at;
      }
      const x = Math.min(width - 18, Math.max(8, best[0] + out * 10 - (out < 0 ? 8 : 0)));
      made.style.transform = `translate(${x}px, ${best[1] - 9}px)`;
    });
  }
}

// For each hemisphere the vertex of a region that lies nearest to its middle.
function anchors(view, roi) {
  const { data } = view.brain;
  const points = data.surfaces[1];
  const found = [];
  const vertices = roi.voxels.map((voxel) => view.scene.shown[voxel]);
  for (const part of [vertices.filter((v) => v < data.n_left), vertices.filter((v) => v >= data.n_left)]) {
    if (!part.length) continue;
    const middle = [0, 1, 2].map((k) => part.reduce((sum, v) => sum + points[3 * v + k], 0) / part.length);
    const distance = (v) => [0, 1, 2].reduce((sum, k) => sum + (points[3 * v + k] - middle[k]) ** 2, 0);
    found.push(part.reduce((best, v) => (distance(v) < distance(best) ? v : best)));
  }
  return found;
}
