// Reads what Python wrote into the page: one JSON header and one compressed block of planes.

const NONE = 65535; // no value, in 16 bits

async function readPage() {
  const header = JSON.parse(document.getElementById("header").textContent);
  const text = document.getElementById("planes").textContent.trim();
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const read = (number) => readPlane(bytes, header.planes[number]);
  const brains = header.brains.map((brain) => readBrain(brain, read));
  return { ...header, brains, scenes: header.scenes.map((scene) => readScene(scene, brains[scene.brain], read)) };
}

// A plane is stored byte by byte and column by column; it is returned row by row.
function readPlane(bytes, { bytes: size, rows, columns, at }) {
  const count = rows * columns;
  const out = size === 1 ? new Uint8Array(count) : size === 2 ? new Uint16Array(count) : new Uint32Array(count);
  for (let part = 0; part < size; part++)
    for (let column = 0; column < columns; column++) {
      const from = at + (part * columns + column) * rows;
      const weight = 256 ** part;
      for (let row = 0; row < rows; row++) out[row * columns + column] += bytes[from + row] * weight;
    }
  return out;
}

function readBrain(brain, read) {
  const surfaces = brain.surfaces.map(({ plane, low, span }) => {
    const steps = read(plane);
    const points = new Float32Array(steps.length);
    for (let i = 0; i < steps.length; i++) points[i] = low[i % 3] + (steps[i] / 65535) * span[i % 3];
    return points;
  });
  const ids = read(brain.ids);
  const faces = read(brain.faces);
  const normals = surfaces.map((points) => normalsOf(points, faces));
  const vertexOf = new Map(); // number in the mesh -> place in the page
  ids.forEach((id, vertex) => vertexOf.set(id, vertex));
  return { ...brain, surfaces, normals, ids, faces, depth: read(brain.depth), vertexOf, count: ids.length };
}

function normalsOf(points, faces) {
  const normals = new Float32Array(points.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const ux = points[b] - points[a], uy = points[b + 1] - points[a + 1], uz = points[b + 2] - points[a + 2];
    const vx = points[c] - points[a], vy = points[c + 1] - points[a + 1], vz = points[c + 2] - points[a + 2];
    const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
    for (const at of [a, b, c]) {
      normals[at] += x;
      normals[at + 1] += y;
      normals[at + 2] += z;
    }
  }
  for (let i = 0; i < normals.length; i += 3) {
    const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
    for (let k = 0; k < 3; k++) normals[i + k] /= length;
  }
  return normals;
}

function readScene(scene, brain, read) {
  const column = Int32Array.from(read(scene.column), (place) => place - 1); // voxel of each vertex, -1 for none
  const shown = new Int32Array(scene.n_shown).fill(-1); // a vertex of each voxel
  column.forEach((voxel, vertex) => voxel >= 0 && shown[voxel] < 0 && (shown[voxel] = vertex));
  const maps = scene.maps.map((map) => readMap(map, read));
  const rois = scene.rois.map((roi) => {
    const bits = read(roi.mask);
    const voxels = [];
    for (let v = 0; v < scene.n_shown; v++) if ((bits[v >> 3] >> (v & 7)) & 1) voxels.push(v);
    return { ...roi, voxels, has: (v) => v >= 0 && ((bits[v >> 3] >> (v & 7)) & 1) === 1 };
  });
  const best = scene.best === undefined ? null : read(scene.best);
  const courses = (scene.courses ?? []).map((course) => readCourse(course, read));
  return { ...scene, column, shown, maps, rois, best, courses, voxels: read(scene.voxels) };
}

function readMap(map, read) {
  const values = map.values === undefined ? null : read(map.values);
  const read255 = (number) => (number === undefined ? null : read(number));
  const decoded = { ...map, frame: 0, values, colors: read255(map.colors), wheel: read255(map.wheel), lut: read255(map.lut) };
  const step = (map.high - map.low) / (NONE - 1);
  const number = (at) => (values[at] === NONE ? NaN : map.low + values[at] * step);
  decoded.at = {
    scalar: map.frames ? (voxel) => number(map.frames * voxel + decoded.frame) : number,
    categorical: (voxel) => (values[voxel] === NONE ? -1 : values[voxel]),
    position: (voxel) => [number(2 * voxel), number(2 * voxel + 1)],
    rgba: (voxel) => [...decoded.colors.subarray(4 * voxel, 4 * voxel + 4)],
  }[map.kind];
  return decoded;
}

// What a map says of a voxel, as text.
function valueText(map, voxel) {
  if (voxel < 0) return "no data";
  const value = map.at(voxel);
  if (map.kind === "categorical") return value < 0 ? "none" : map.labels[value];
  if (map.kind === "scalar") return short(value);
  if (map.kind === "rgba") return value[3] ? `rgb ${value.slice(0, 3).join(" ")}` : "none";
  return Number.isNaN(value[0]) ? "none" : `x ${short(value[0])}, y ${short(value[1])}`;
}

// A number at a color bar, without zeros at its end.
function tick(value) {
  const text = short(value);
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

function short(value) {
  if (Number.isNaN(value)) return "no value";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(2).replace("-", "−");
  return String(Number(value.toPrecision(size < 1 ? 3 : 4)).toFixed(size >= 100 ? 1 : 3)).replace("-", "−");
}
