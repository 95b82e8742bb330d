// Lines of one voxel, or the means of a region, over delays, time or runs.

const CHART = { width: 284, height: 132, left: 40, right: 8, top: 8, bottom: 30 };

function readCourse(course, read) {
  const n = course.x.length;
  const lines = course.lines.map((line) => {
    const values = read(line.values);
    const step = (line.high - line.low) / (NONE - 1);
    const number = (at) => (values[at] === NONE ? NaN : line.low + values[at] * step);
    return { name: line.name, at: (voxel) => course.x.map((_, k) => number(voxel * n + k)) };
  });
  return { ...course, lines };
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The mean of each point over voxels that have one.
function meanLine(line, voxels) {
  const each = voxels.map((voxel) => line.at(voxel));
  return each[0].map((_, k) => {
    const known = each.map((values) => values[k]).filter((value) => !Number.isNaN(value));
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
  });
}

function courseChart(course, voxels) {
  if (!voxels.length) return [];
  const lines = course.lines.map((line) => ({ name: line.name, values: meanLine(line, voxels) }));
  const known = lines.flatMap((line) => line.values).filter((value) => !Number.isNaN(value));
  if (!known.length) return [el("h3", { textContent: course.heading }), el("p", { textContent: "no values" })];
  const { width, height, left, right, top, bottom } = CHART;
  const [first, last] = [course.x[0], course.x[course.x.length - 1]];
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known) || 1];
  const pad = course.dots ? 8 : 0;
  const px = (x) => left + pad + ((x - first) / (last - first)) * (width - left - right - 2 * pad);
  const py = (y) => top + ((high - y) / (high - low || 1)) * (height - top - bottom);
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": course.heading });
  chart.append(svg("line", { class: "zero", x1: left, x2: width - right, y1: py(0), y2: py(0) }));
  const text = (x, y, anchor, content) => {
    const made = svg("text", { x, y, "text-anchor": anchor });
    made.textContent = content;
    chart.append(made);
  };
  for (const y of new Set([low, 0, high])) if (y === 0 || Math.abs(py(y) - py(0)) > 9) text(left - 5, py(y) + 3, "end", tick(y));
  for (const [x, name] of ticksOf(course, px)) text(Math.min(px(x), width - 3.2 * name.length), height - bottom + 13, "middle", name);
  text((left + width - right) / 2, height - 3, "middle", course.x_name);
  let blue = 0;
  lines.forEach((line) => {
    line.className = line.name === "measured" ? "line soft" : `line line${blue++ % 3}`;
    let path = "";
    line.values.forEach((value, k) => {
      if (Number.isNaN(value)) return;
      const starts = !path || Number.isNaN(line.values[k - 1]) || course.gaps.includes(k);
      path += `${starts ? "M" : "L"}${px(course.x[k]).toFixed(1)},${py(value).toFixed(1)}`;
      if (course.dots) chart.append(svg("circle", { class: line.className, cx: px(course.x[k]), cy: py(value), r: 2.6 }));
    });
    chart.append(svg("path", { class: line.className, d: path }));
  });
  const legend = el("p", { className: "legend" }, ...lines.map((line) => el("span", { className: line.className, textContent: line.name })));
  const said = el("p", { className: "reading", textContent: course.unit });
  // Under the pointer: the numbers of the nearest point.
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    const k = course.x.reduce((best, place, i) => (Math.abs(px(place) - x) < Math.abs(px(course.x[best]) - x) ? i : best), 0);
    said.textContent = `${course.ticks[k] ?? `${course.x_name} ${tick(course.x[k] + shiftAt(course, k))}`}: ${lines.map((line) => `${lines.length > 1 ? `${line.name} ` : ""}${short(line.values[k])}`).join(", ")}`;
  });
  chart.addEventListener("pointerleave", () => (said.textContent = course.unit));
  return [el("h3", { textContent: course.heading }), ...(lines.length > 1 ? [legend] : []), chart, said];
}

// What is added to x at point k to give the number on the axis, which may begin anew where a line is broken.
function shiftAt(course, k) {
  if (!course.starts.length) return 0;
  const part = course.gaps.filter((gap) => gap <= k).length;
  return course.starts[part] - course.x[part ? course.gaps[part - 1] : 0];
}

// Places of the axis that are named, with their names: every point where there is room, else some; round numbers of a line.
function ticksOf(course, px) {
  const n = course.x.length;
  if (!course.ticks.length && !course.dots) {
    const firsts = course.starts.length ? [0, ...course.gaps] : [0];
    const parts = firsts.map((first, part) => [course.x[first], course.x[(firsts[part + 1] ?? n) - 1], shiftAt(course, first)]);
    const step = roundStep(Math.max(...parts.map(([from, to]) => to - from)) / Math.max(2, 4 / parts.length));
    const found = [];
    for (const [from, to, shift] of parts) {
      for (const number of roundNumbers(from + shift, to + shift, step)) {
        const before = found[found.length - 1];
        const room = before ? 3 * (before[1].length + tick(number).length) + 5 : 0;
        if (!before || px(number - shift) - px(before[0]) >= room) found.push([number - shift, tick(number)]);
      }
    }
    return found;
  }
  const names = course.x.map((x, k) => course.ticks[k] ?? tick(x));
  const room = Math.max(2, Math.floor((CHART.width - CHART.left) / (6 * Math.max(...names.map((text) => text.length)) + 10)));
  const every = Math.ceil(n / room);
  return course.x.map((x, k) => [x, names[k]]).filter((_, k) => k % every === 0);
}

function roundStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
}

function roundNumbers(first, last, step) {
  const found = [];
  for (let k = Math.ceil(first / step - 1e-6); k * step <= last + 1e-6 * step; k++) found.push(k * step);
  return found;
}
