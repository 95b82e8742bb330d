// One run in its part of the picture: the brain it lies on, and the colors of the map that is shown.

class View {
  constructor(scene, brain, number) {
    this.scene = scene;
    this.brain = brain;
    this.number = number;
    this.map = 0;
    this.chosenRoi = -1;
    const count = brain.data.count;
    this.data = new Float32Array(4 * count);
    for (let v = 0; v < count; v++) this.data[4 * v + 3] = brain.data.depth[v] / 255;
    this.colors = new Uint8Array(4 * count);
    this.dataTexture = texture(this.data, true);
    this.colorTexture = texture(this.colors, false);
    this.uniforms = {
      uData: { value: this.dataTexture },
      uColors: { value: this.colorTexture },
      uLut: { value: null },
      uKind: { value: 0 },
      uLight: { value: 1 },
      uLine: { value: 1.2 },
      uPixel: { value: 1 },
      uGyrus: { value: [1, 1, 1] },
      uSulcus: { value: [0, 0, 0] },
      uInk: { value: [0, 0, 0] },
      uHalo: { value: [1, 1, 1] },
      uAccent: { value: [1, 0, 0] },
    };
    this.luts = new Map();
    this.stage = new THREE.Scene();
    this.stage.add(brain.mesh(FRAGMENT, this.uniforms));
  }

  get shown() {
    return this.scene.maps[this.map];
  }

  voxelOf(vertex) {
    return vertex < 0 ? -1 : this.scene.column[vertex];
  }

  // Colors of the map that is shown; `fade` is whether the score sets the opacity, up to `full`.
  paint(fade, full) {
    const { scene, data, colors } = this;
    const map = this.shown;
    const rgb = (map.palette ?? []).map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const span = map.vmax - map.vmin || 1;
    const score = fade && map.fades && scene.score !== null && scene.score !== this.map ? scene.maps[scene.score] : null;
    for (let vertex = 0; vertex < scene.column.length; vertex++) {
      const voxel = scene.column[vertex];
      let known = voxel >= 0;
      let opacity = 1;
      data[4 * vertex] = 0;
      if (known && map.kind === "scalar") {
        const value = map.at(voxel);
        known = !Number.isNaN(value);
        data[4 * vertex] = known ? (value - map.vmin) / span : 0;
      } else if (known && map.kind === "categorical") {
        const value = map.at(voxel);
        known = value >= 0;
        if (known) colors.set(rgb[value], 4 * vertex);
      } else if (known) {
        colors.set(map.colors.subarray(4 * voxel, 4 * voxel + 4), 4 * vertex);
        opacity = colors[4 * vertex + 3] / 255;
        known = opacity > 0;
      }
      if (known && score) {
        const value = score.at(voxel);
        known = !Number.isNaN(value);
        opacity *= Math.min(1, Math.max(0.12, value / full));
      }
      data[4 * vertex + 1] = known ? opacity : -1;
    }
    this.uniforms.uKind.value = { scalar: 0, categorical: 1, position: 2, rgba: 2 }[map.kind];
    this.uniforms.uLut.value = this.lutOf(map);
    this.colorTexture.image.data.set(colors);
    this.colorTexture.needsUpdate = true;
    this.upload();
  }

  get fadesNow() {
    return this.shown.fades && this.scene.score !== null && this.scene.score !== this.map;
  }

  // Vertices of the same outlined regions share a number: where it changes, a line is drawn. Its last bit is the chosen
  // region.
  outline(isShown) {
    const { rois, column } = this.scene;
    const key = new Array(this.scene.n_shown).fill("");
    const inside = new Uint8Array(this.scene.n_shown);
    rois.forEach((roi, number) => {
      if (number === this.chosenRoi) for (const voxel of roi.voxels) inside[voxel] = 1;
      if (isShown(roi)) for (const voxel of roi.voxels) key[voxel] += `${number},`;
    });
    const numbers = new Map([["", 0]]);
    for (let vertex = 0; vertex < column.length; vertex++) {
      const voxel = column[vertex];
      const name = voxel < 0 ? "" : key[voxel];
      if (!numbers.has(name)) numbers.set(name, numbers.size);
      this.data[4 * vertex + 2] = 2 * numbers.get(name) + (voxel < 0 ? 0 : inside[voxel]);
    }
    this.upload();
  }

  upload() {
    this.dataTexture.image.data.set(this.data);
    this.dataTexture.needsUpdate = true;
  }

  lutOf(map) {
    if (!map.lut) return this.colorTexture;
    if (!this.luts.has(map)) {
      const rgba = new Uint8Array(4 * 256);
      for (let i = 0; i < 256; i++) rgba.set([map.lut[3 * i], map.lut[3 * i + 1], map.lut[3 * i + 2], 255], 4 * i);
      this.luts.set(map, texture(rgba, false));
    }
    return this.luts.get(map);
  }
}
