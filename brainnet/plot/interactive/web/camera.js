// Where one looks from. All runs of a page share one camera: turning one brain turns them all.
// Angles in degrees: turn 0 is from behind, 90 from the right; tilt 90 is from above, which is how flat maps are seen.

const VIEWS = {
  left: { turn: -90, tilt: 0, side: 1 },
  right: { turn: 90, tilt: 0, side: 2 },
  "inside left": { turn: 90, tilt: 0, side: 1 },
  "inside right": { turn: -90, tilt: 0, side: 2 },
  back: { turn: 0, tilt: 10, side: 0 },
  front: { turn: 180, tilt: 10, side: 0 },
  above: { turn: 0, tilt: 90, side: 0 },
  below: { turn: 0, tilt: -90, side: 0 },
};
const RADIANS = Math.PI / 180;

class Camera {
  constructor() {
    this.unfold = 1; // 0 pial, 1 inflated, 2 flat
    this.turn = 0;
    this.tilt = 10;
    this.side = 0; // 0 both hemispheres, 1 left, 2 right
    this.folded = { x: 0, y: 0, half: 120 }; // middle of the picture, and half its height, in mm
    this.flat = { x: 0, y: 0, half: 160 };
    this.isFitted = true; // until the reader zooms or shifts: then the picture stays as it is
  }

  get flatness() {
    const t = Math.min(1, Math.max(0, this.unfold - 1));
    return t * t * (3 - 2 * t);
  }

  // The frame that dragging and zooming change.
  get frame() {
    return this.unfold > 1.5 ? this.flat : this.folded;
  }

  // Angles and frame as they are now, between those of the folded brain and those of the flat map.
  now() {
    const s = this.flatness;
    const mixed = (a, b) => a + (b - a) * s;
    return {
      turn: mixed(wrapped(this.turn), 0),
      tilt: mixed(this.tilt, 90),
      x: mixed(this.folded.x, this.flat.x),
      y: mixed(this.folded.y, this.flat.y),
      half: this.folded.half ** (1 - s) * this.flat.half ** s,
    };
  }

  // Right, up and towards the viewer, as unit vectors of the brain's space.
  axes() {
    const { turn, tilt } = this.now();
    const [ct, st, cp, sp] = [
      Math.cos(turn * RADIANS), Math.sin(turn * RADIANS), Math.cos(tilt * RADIANS), Math.sin(tilt * RADIANS),
    ];
    return { right: [ct, st, 0], up: [-st * sp, ct * sp, cp], near: [st * cp, -ct * cp, sp] };
  }

  // Sets a camera of three.js for a picture of this width and height.
  place(camera, width, height) {
    const { x, y, half } = this.now();
    const { right, up, near } = this.axes();
    const wide = (half * width) / height;
    camera.left = -wide;
    camera.right = wide;
    camera.top = half;
    camera.bottom = -half;
    camera.near = 1;
    camera.far = 2000;
    const at = [0, 1, 2].map((k) => x * right[k] + y * up[k] + 1000 * near[k]);
    camera.matrixAutoUpdate = false;
    camera.matrix.set(
      right[0], up[0], near[0], at[0], right[1], up[1], near[1], at[1], right[2], up[2], near[2], at[2], 0, 0, 0, 1,
    );
    camera.matrixWorld.copy(camera.matrix);
    camera.matrixWorldInverse.copy(camera.matrix).invert();
    camera.updateProjectionMatrix();
  }

  // A point in mm -> pixels from the upper left corner, and how near it is.
  project(point, width, height) {
    const { x, y, half } = this.now();
    const { right, up, near } = this.axes();
    const along = (axis) => axis[0] * point[0] + axis[1] * point[1] + axis[2] * point[2];
    const scale = height / 2 / half;
    return [width / 2 + (along(right) - x) * scale, height / 2 - (along(up) - y) * scale, along(near)];
  }

  drag(dx, dy, height, pans) {
    if (pans || this.unfold > 1.5) {
      const mm = (2 * this.frame.half) / height;
      this.isFitted = false;
      this.frame.x -= dx * mm;
      this.frame.y += dy * mm;
      return;
    }
    this.turn = wrapped(this.turn - dx * 0.4);
    this.tilt = Math.min(90, Math.max(-90, this.tilt + dy * 0.4));
  }

  // Zooms so that what lies under a place (in pixels from the middle) stays there.
  zoom(factor, dx, dy, height) {
    const frame = this.frame;
    const half = Math.min(400, Math.max(4, frame.half * factor));
    const shift = (2 * (frame.half - half)) / height;
    frame.x += dx * shift;
    frame.y -= dy * shift;
    frame.half = half;
    this.isFitted = false;
  }
}

function wrapped(angle) {
  return ((((angle + 180) % 360) + 360) % 360) - 180;
}
