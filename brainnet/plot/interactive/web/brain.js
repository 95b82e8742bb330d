// One brain on the graphics card: its triangles, and textures that hold a number of floats for each vertex.

const ROW = 256; // vertices in a row of a texture

function texture(values, floats) {
  const rows = Math.ceil(values.length / 4 / ROW);
  const whole = floats ? new Float32Array(4 * ROW * rows) : new Uint8Array(4 * ROW * rows);
  whole.set(values);
  const made = new THREE.DataTexture(whole, ROW, rows, THREE.RGBAFormat, floats ? THREE.FloatType : THREE.UnsignedByteType);
  made.minFilter = made.magFilter = THREE.NearestFilter;
  made.generateMipmaps = false;
  made.needsUpdate = true;
  return made;
}

function fourColumns(triples) {
  const out = new Float32Array((triples.length / 3) * 4);
  for (let i = 0; i < triples.length / 3; i++) out.set(triples.subarray(3 * i, 3 * i + 3), 4 * i);
  return out;
}

class Brain {
  constructor(data) {
    this.data = data;
    const corners = new Float32Array(data.faces.length * 3);
    for (let face = 0; face < data.faces.length; face += 3)
      for (let corner = 0; corner < 3; corner++) corners.set(data.faces.subarray(face, face + 3), 3 * (face + corner));
    this.geometry = new THREE.BufferGeometry();
    this.geometry.setAttribute("position", new THREE.BufferAttribute(corners, 3));
    this.uniforms = {
      uPoints: { value: data.surfaces.map((points) => texture(fourColumns(points), true)) },
      uNormals: { value: [0, 1].map((k) => texture(fourColumns(data.normals[k]), true)) },
      uUnfold: { value: 1 },
      uFlatCorners: { value: 3 * data.n_flat },
      uLeft: { value: data.n_left },
      uSide: { value: 0 },
    };
    this.pickMesh = this.mesh(FRAGMENT_PICK, {}, true);
    this.pickScene = new THREE.Scene();
    this.pickScene.add(this.pickMesh);
  }

  mesh(fragmentShader, uniforms, isPick = false) {
    const material = new THREE.RawShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader,
      uniforms: { ...this.uniforms, ...uniforms },
      glslVersion: THREE.GLSL3,
      side: THREE.DoubleSide,
      blending: THREE.NoBlending,
      toneMapped: false,
    });
    const mesh = new THREE.Mesh(this.geometry, material);
    mesh.frustumCulled = false;
    mesh.matrixAutoUpdate = false;
    return mesh;
  }

  set(camera) {
    this.uniforms.uUnfold.value = camera.unfold;
    this.uniforms.uSide.value = camera.side;
    this.geometry.setDrawRange(0, 3 * (camera.unfold > 1.25 ? this.data.n_flat : this.data.faces.length / 3));
  }

  // Where a vertex is now, in mm; the same mixture as in the shader.
  point(vertex, camera) {
    return this.mixed(vertex, camera, this.data.surfaces);
  }

  mixed(vertex, camera, [pial, inflated, flat]) {
    const inflate = Math.min(1, Math.max(0, camera.unfold));
    const s = camera.flatness;
    return [0, 1, 2].map((k) => {
      const i = 3 * vertex + k;
      const folded = pial[i] + (inflated[i] - pial[i]) * inflate;
      return folded + (flat[i] - folded) * s;
    });
  }

  // Whether a vertex looks towards the viewer and belongs to a hemisphere that is shown.
  faces(vertex, camera) {
    const isLeft = vertex < this.data.n_left;
    if ((camera.side === 1 && !isLeft) || (camera.side === 2 && isLeft)) return false;
    if (camera.unfold > 1.5) return this.isOnFlat(vertex);
    const normal = this.mixed(vertex, camera, [this.data.normals[0], this.data.normals[1], this.data.normals[1]]);
    const { near } = camera.axes();
    return normal[0] * near[0] + normal[1] * near[1] + normal[2] * near[2] > 0.15;
  }

  isOnFlat(vertex) {
    if (!this.onFlat) {
      this.onFlat = new Uint8Array(this.data.count);
      for (let i = 0; i < 3 * this.data.n_flat; i++) this.onFlat[this.data.faces[i]] = 1;
    }
    return this.onFlat[vertex] === 1;
  }

  vertexName(vertex) {
    const id = this.data.ids[vertex];
    const right = id >= this.data.n_side;
    return `vertex ${right ? id - this.data.n_side : id}, ${right ? "right" : "left"}`;
  }
}
