// Elements, and the legend of a map. Text from data only ever becomes textContent.

function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function pixels(width, height, rgb, className = "") {
  const canvas = el("canvas", { width, height, className });
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function legendOf(map, fadeNote) {
  const box = el("div", { className: "legend" });
  if (map.kind === "scalar") box.append(...ramp(map));
  else if (map.kind === "categorical") box.append(patches(map));
  else if (map.kind === "position") box.append(wheel(map));
  if (fadeNote) box.append(el("p", { className: "note", textContent: fadeNote }));
  return box;
}

function ramp(map) {
  if (!map.n_known) return [el("p", { className: "note", textContent: "No voxel has a value." })];
  const middle = (map.vmin + map.vmax) / 2;
  const ends = [
    (map.low < map.vmin - 1e-9 ? "≤ " : "") + tick(map.vmin),
    (map.high > map.vmax + 1e-9 ? "≥ " : "") + tick(map.vmax),
  ];
  const ticks = map.vmin === map.vmax ? [tick(map.vmin)] : [ends[0], tick(middle), ends[1]];
  return [
    pixels(256, 1, map.lut, "ramp"),
    el("div", { className: "ticks" }, ...ticks.map((textContent) => el("span", { textContent }))),
    map.unit ? el("p", { className: "note", textContent: map.unit }) : "",
  ];
}

function patches(map) {
  if (!map.present.length) return el("p", { className: "note", textContent: "No voxel has a value." });
  const longest = Math.max(...map.present.map((one) => map.labels[one].length));
  const box = el("div", { className: `patches${longest > 16 ? " few" : ""}`, tabIndex: -1 });
  for (const one of map.present) {
    const color = el("i");
    color.style.background = map.palette[one];
    box.append(el("span", { title: map.labels[one] }, color, map.labels[one]));
  }
  return box;
}

function wheel(map) {
  const side = Math.round(Math.sqrt(map.wheel.length / 3));
  const at = (textContent, area) => {
    const word = el("span", { textContent });
    word.style.gridArea = area;
    return word;
  };
  return el(
    "div", { className: "wheel" }, at("top of the image", "1 / 1 / 2 / 4"), at("left", "2 / 1"),
    pixels(side, side, map.wheel), at("right", "2 / 3"), at("bottom", "3 / 1 / 4 / 4"),
  );
}

// A few colors of a map, for the list of maps.
function swatch(map) {
  const made = el("span", { className: "swatch" });
  const hex = (rgb) => `rgb(${rgb.join(" ")})`;
  const stops = [];
  if (map.kind === "scalar") for (let i = 0; i < 8; i++) stops.push(hex([...map.lut.subarray(108 * i, 108 * i + 3)]));
  else if (map.kind === "position") for (const i of [512, 544, 560, 576, 1072]) stops.push(hex([...map.wheel.subarray(3 * i, 3 * i + 3)]));
  else if (map.kind === "categorical") stops.push(...map.present.slice(0, 4).flatMap((one) => [map.palette[one], map.palette[one]]));
  else stops.push("#888", "#ccc");
  made.style.background = stops.length > 1 ? `linear-gradient(90deg, ${stops.join(", ")})` : stops[0] ?? "#8884";
  return made;
}
