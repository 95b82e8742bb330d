"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const made = (name, text, kind) => {
    const one = document.createElement(name);
    if (text !== undefined) one.textContent = text;
    if (kind) one.className = kind;
    return one;
  };

  const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
  const state = { method: data.methods[0], control: "", sort: null, down: true, text: "", word: "", chosen: null };

  const fill = (id, values, texts) => {
    for (const [k, value] of values.entries()) {
      const option = made("option", texts ? texts[k] : value);
      option.value = value;
      at(id).append(option);
    }
  };
  fill("method", data.methods);
  fill("control", data.controls, data.controls.map((word) => word || "none: the network itself"));
  const words = [...new Set(data.models.flatMap((one) => [one.kind, one.training_set, one.method]).filter(Boolean))];
  fill("word", ["", ...words.sort()], ["all", ...words]);

  const scores = (model) => (data.scores[`${state.method}|${state.control}`] || {})[model] || {};

  const bar = (score, least, most) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("width", "74");
    svg.setAttribute("height", "12");
    svg.setAttribute("aria-hidden", "true");
    const x = (value) => 1 + (72 * (Math.min(Math.max(value, least), most) - least)) / (most - least || 1);
    const part = (name, values) => {
      const one = document.createElementNS(space, name);
      for (const [key, value] of Object.entries(values)) one.setAttribute(key, value);
      svg.append(one);
    };
    part("rect", { x: 1, y: 2, width: 72, height: 8, fill: "#efefec" });
    const zero = x(0), here = x(score.mean);
    part("rect", { x: Math.min(zero, here), y: 2, width: Math.abs(here - zero), height: 8, fill: "#4c7aa8" });
    if (score.low !== null && score.high !== null)
      part("line", { x1: x(score.low), x2: x(score.high), y1: 6, y2: 6, stroke: "#111", "stroke-width": 1.5 });
    if (score.ceiling !== null && score.ceiling !== undefined)
      part("line", { x1: x(score.ceiling), x2: x(score.ceiling), y1: 0, y2: 12, stroke: "#c0392b", "stroke-width": 2 });
    return svg;
  };

  const detail = (model) => {
    state.chosen = model.model;
    const box = at("detail");
    box.replaceChildren(made("h2", model.model));
    const list = made("dl");
    for (const key of ["kind", "task", "training_set", "method", "parameters", "image_size"]) {
      if (model[key] === null || model[key] === "") continue;
      const value = typeof model[key] === "number" ? model[key].toLocaleString("en") : model[key];
      list.append(made("dt", key.replace("_", " ")), made("dd", value));
    }
    box.append(list);
    const layers = data.layers[`${state.method}|${state.control}|${model.model}`] || {};
    const table = made("table"), names = made("tr");
    for (const name of ["region", "score", "95 % interval", "place"]) names.append(made("th", name));
    table.append(names);
    for (const [roi, one] of Object.entries(scores(model.model))) {
      const row = made("tr");
      const interval = one.low === null ? "–" : `${number(one.low)} to ${number(one.high)}`;
      for (const text of [roi, number(one.mean), interval, one.places]) row.append(made("td", text));
      table.append(row);
      if (!layers[roi]) continue;
      const below = made("tr", undefined, "layer"), cell = made("td", `best layer: ${layers[roi]}`);
      cell.colSpan = 4;
      below.append(cell);
      table.append(below);
    }
    box.append(table);
    const maps = (state.control === "" && data.maps[`${model.model}|${state.method}`]) || [];
    for (const map of maps) {
      const figure = made("figure"), image = made("img");
      image.src = map.image;
      image.alt = `${model.model}, ${map.subject}: ${map.caption}`;
      figure.append(image, made("figcaption", `${map.subject}: ${map.caption}`));
      box.append(figure);
    }
    if (!maps.length) box.append(made("p", "No map of this network, method and control is on the page."));
  };

  const draw = () => {
    const every = data.models.filter((one) => Object.keys(scores(one.model)).length);
    const rows = every.filter((one) => {
      const text = `${one.model} ${one.kind} ${one.task} ${one.training_set} ${one.method}`.toLowerCase();
      const has = !state.word || [one.kind, one.training_set, one.method].includes(state.word);
      return has && text.includes(state.text.toLowerCase());
    });
    const found = every.flatMap((one) => Object.values(scores(one.model)));
    const most = Math.max(0, ...found.flatMap((one) => [one.high ?? one.mean, one.ceiling ?? 0]));
    const least = Math.min(0, ...found.map((one) => one.low ?? one.mean));
    const sized = data.models.some((one) => one.parameters !== null);
    const columns = [["model", "network"], ...(sized ? [["parameters", "parameters"]] : []), ...data.rois.map((roi) => [roi, roi])];
    if (!state.sort || !columns.some(([key]) => key === state.sort)) state.sort = data.rois[0];
    const value = (one, key) => (data.rois.includes(key) && key !== "model" && key !== "parameters"
      ? (scores(one.model)[key] || {}).mean : one[key]);
    rows.sort((a, b) => {
      const [x, y] = [value(a, state.sort), value(b, state.sort)];
      if (x === y) return 0;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * (state.down ? -1 : 1);
    });
    const head = made("tr");
    for (const [key, name] of columns) {
      const cell = made("th"), button = made("button", name + (state.sort === key ? (state.down ? " ▼" : " ▲") : ""));
      cell.setAttribute("aria-sort", state.sort === key ? (state.down ? "descending" : "ascending") : "none");
      button.addEventListener("click", () => {
        state.down = state.sort === key ? !state.down : key !== "model";
        state.sort = key;
        draw();
        at("head").querySelectorAll("button")[columns.findIndex(([one]) => one === key)].focus();
      });
      cell.append(button);
      head.append(cell);
    }
    at("head").replaceChildren(head);
    const body = rows.map((one) => {
      const row = made("tr");
      row.tabIndex = 0;
      row.classList.toggle("chosen", one.model === state.chosen);
      row.append(made("td", one.model, "name"));
      if (sized) row.append(made("td", one.parameters === null ? "–" : one.parameters.toLocaleString("en")));
      for (const roi of data.rois) {
        const score = scores(one.model)[roi], cell = made("td", undefined, "score");
        if (!score || score.mean === null) cell.append(made("span", "–", "none"));
        else {
          cell.append(bar(score, least, most), document.createTextNode(number(score.mean)));
          cell.append(made("span", `  ${score.places}`, "none"));
          cell.classList.toggle("best", score.best);
        }
        row.append(cell);
      }
      const choose = () => {
        detail(one);
        draw();
        at("body").querySelector(".chosen").focus({ preventScroll: true });
        if (matchMedia("(max-width: 60rem)").matches) at("detail").scrollIntoView(); // it stands below the table there
      };
      row.addEventListener("click", choose);
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
      });
      return row;
    });
    at("body").replaceChildren(...body);
    at("count").textContent = `${rows.length} of ${every.length} networks`;
  };

  const again = () => {
    draw();
    const chosen = data.models.find((one) => one.model === state.chosen);
    if (chosen) detail(chosen);
  };
  at("method").addEventListener("change", (event) => { state.method = event.target.value; again(); });
  at("control").addEventListener("change", (event) => { state.control = event.target.value; again(); });
  at("word").addEventListener("change", (event) => { state.word = event.target.value; draw(); });
  at("text").addEventListener("input", (event) => { state.text = event.target.value; draw(); });
  draw();
  const first = at("body").querySelector(".name");
  if (first) {
    detail(data.models.find((one) => one.model === first.textContent));
    draw();
  }
})();
