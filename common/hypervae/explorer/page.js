"use strict";
// What the page shows and what its controls do. All numbers come from explorer.js, which runs in a worker.
// Text from the data set is only ever set as text, never read as HTML.
(() => {
  const contents = JSON.parse(document.getElementById("contents").textContent);
  const { model: config, map, data, about } = contents;
  const [height, width] = config.image, pixels = height * width, dimensions = config.hyper_latent_dim;
  const GRID = 6, SAMPLES = 12, SLOTS = 5, STEP = 0.1, CLICK = 4, NEAR = 16, HEAD = 24, TILE = 58, WALK_MS = 5000, PAUSE_MS = 250;
  const PEN = Math.max(0.6, 1.15 * Math.min(height, width) / 28); // radius in pixels: strokes as thick as MNIST's

  const element = (id) => document.getElementById(id);
  const range = (count, make = (i) => i) => Array.from({ length: count }, (_, i) => make(i));
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
  const distance = (a, b) => Math.hypot(...a.map((value, i) => value - b[i]));
  const signed = (value, digits = 2) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace("-", "");

  /** A new element of HTML, with text in it. */
  function made(tag, text = "", attributes = {}) {
    const node = document.createElement(tag);
    node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }

  // ---- the worker

  const source = `${element("explorer").textContent}\nserve(self);`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const waiting = new Map();
  let requests = 0;

  function ask(kind, request) {
    const id = requests++;
    worker.postMessage({ id, kind, ...request });
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  }

  worker.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  };
  worker.onerror = (event) => failed(event.message || "the worker did not start");

  function failed(error) {
    document.body.dataset.state = "failed";
    element("status").hidden = false;
    element("status").textContent = `This page cannot compute: ${error}. It needs a browser of 2023 or later.`;
  }

  // ---- u, and its coordinates on the map's axes: u = center + sum c_i axes[i]

  const coordinates = (u) => map.axes.map((axis) => axis.reduce((sum, a, d) => sum + a * (u[d] - map.center[d]), 0));
  const pointOf = (c) => map.center.map((middle, d) => middle + c.reduce((sum, value, i) => sum + value * map.axes[i][d], 0));
  const tasks = data.tasks.map((name, i) => ({ name, u: map.means[i], deviation: map.deviations[i], c: coordinates(map.means[i]) }));

  /** Covariance of a diagonal Gaussian in the map's plane, as half axes (2 standard deviations) and an angle. */
  function ellipse(deviation) {
    const [first, second] = [map.axes[0], map.axes[1] || map.axes[0].map(() => 0)];
    const along = (p, q) => deviation.reduce((sum, s, d) => sum + p[d] * q[d] * s * s, 0);
    const [xx, xy, yy] = [along(first, first), along(first, second), along(second, second)];
    const middle = (xx + yy) / 2, half = Math.hypot((xx - yy) / 2, xy);
    return { rx: 2 * Math.sqrt(middle + half), ry: 2 * Math.sqrt(Math.max(0, middle - half)), angle: Math.atan2(2 * xy, xx - yy) / 2 };
  }

  /** The coordinates of the axes that are not on the map, as the tasks nearby have them (weights 1 / distance^4). */
  function followed(x, y) {
    const weights = tasks.map(({ c }) => 1 / (((c[0] - x) ** 2 + ((c[1] || 0) - y) ** 2) ** 2 + 1e-9));
    const total = weights.reduce((sum, w) => sum + w, 0);
    const rest = range(Math.max(0, dimensions - 2), (i) => tasks.reduce((sum, { c }, k) => sum + weights[k] * c[i + 2], 0) / total);
    return dimensions > 1 ? [x, y, ...rest] : [x];
  }

  function farthestPair() {
    let best = [0, 0, -1];
    tasks.forEach((first, i) => tasks.slice(i + 1).forEach((second, j) => {
      const apart = distance(first.u, second.u);
      if (apart > best[2]) best = [i, i + 1 + j, apart];
    }));
    return best;
  }

  const [first, second] = farthestPair();
  const state = { u: tasks[first].u, pins: { a: tasks[first].u, b: tasks[second].u }, step: 0, playing: false, seed: 1, yours: null };

  /** Coordinates c with new places on the map's two axes; the others follow the tasks nearby where that is asked for. */
  function movedTo(c, x, y) {
    if (element("follow").checked) return followed(x, y);
    return c.map((value, i) => (i === 0 ? x : i === 1 ? y : value));
  }

  function setU(u) {
    state.u = u;
    placeMarkers();
    sayWhere();
    setSliders();
    show();
  }

  function sayWhere() {
    const [nearest, apart] = tasks.map((task) => [task, distance(task.u, state.u)]).sort((p, q) => p[1] - q[1])[0];
    const place = coordinates(state.u).slice(0, 2).map((value) => signed(value)).join(", ");
    element("where").textContent = `u at (${place}); nearest task ${nearest.name}, ${apart.toFixed(2)} prior sd away.`;
    tasks.forEach((task) => task.node.classList.toggle("near", task === nearest));
  }

  // ---- the map

  const SVG = "http://www.w3.org/2000/svg";
  const svg = element("map");
  let view = null; // {x, y, scale}: pixels of the map's middle, pixels a standard deviation
  const markers = {};

  function drawn(parent, tag, attributes = {}, text = "") {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    return parent.appendChild(node);
  }

  const onMap = (c) => [view.x + view.scale * c[0], view.y - view.scale * (c[1] || 0)];
  const fromMap = (x, y) => [(x - view.x) / view.scale, dimensions > 1 ? (view.y - y) / view.scale : 0];

  function drawMap() {
    const box = svg.getBoundingClientRect(), [w, h] = [box.width, box.height];
    if (!w) return;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    const points = tasks.map(({ c, deviation }) => [c, ellipse(deviation).rx]);
    if (state.yours) points.push([coordinates(state.yours.u), 0]);
    const ends = (i) => [Math.min(...points.map(([c, r]) => (c[i] || 0) - r)), Math.max(...points.map(([c, r]) => (c[i] || 0) + r))];
    const [[left, right], [low, high]] = [ends(0), ends(1)], margin = 34;
    const scale = Math.min((w - 2 * margin) / Math.max(right - left, 0.5), (h - 2 * margin) / Math.max(high - low, 0.5));
    view = { scale, x: w / 2 - (scale * (left + right)) / 2, y: h / 2 + (scale * (low + high)) / 2 };
    drawRules(w, h);
    const areas = drawn(svg, "g");
    for (const task of tasks) {
      const [x, y] = onMap(task.c), { rx, ry, angle } = ellipse(task.deviation);
      task.node = drawn(areas, "g");
      const turned = `rotate(${(-angle * 180) / Math.PI} ${x} ${y})`;
      drawn(task.node, "ellipse", { class: "task-area", cx: x, cy: y, rx: rx * scale, ry: ry * scale, transform: turned });
      drawn(task.node, "circle", { class: "task-dot", cx: x, cy: y, r: 2.5 });
      drawn(task.node, "title", {}, `${task.name}: q(u|D), 2 standard deviations`);
    }
    drawNames(w);
    markers.track = drawn(svg, "line", { class: "track" });
    markers.area = drawn(svg, "ellipse", { class: "yours-area" });
    for (const [name, letter] of [["yours", "D"], ["b", "B"], ["a", "A"], ["u", "u"]]) {
      markers[name] = drawn(svg, "g", { class: `marker ${name}` });
      if (name === "u") drawn(markers[name], "circle", { r: 12 });
      else drawn(markers[name], "path", { d: `M0 0 L-9 ${8 - HEAD} A12 12 0 1 1 9 ${8 - HEAD} Z` }); // a pin, its head above its point
      drawn(markers[name], "text", { y: name === "u" ? 0 : -HEAD }, letter);
    }
    if (!state.moved) drawn(markers.u, "text", { class: "hint", x: 0, y: 30 }, "drag me");
    placeMarkers();
    sayWhere();
  }

  /** A line at each whole standard deviation, and the axes' names. */
  function drawRules(w, h) {
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((size) => size * view.scale >= 44) || 100;
    const digits = step < 1 ? 1 : 0;
    for (let i = Math.ceil(-view.x / view.scale / step); i * step * view.scale + view.x < w; i++) {
      const x = view.x + i * step * view.scale;
      drawn(svg, "line", { class: "rule", x1: x, x2: x, y1: 0, y2: h });
      if (x > 40 && x < w - 12) drawn(svg, "text", { x, y: h - 6, "text-anchor": "middle" }, signed(i * step, digits));
    }
    for (let i = Math.ceil((view.y - h) / view.scale / step); view.y - i * step * view.scale > 0; i++) {
      const y = view.y - i * step * view.scale;
      drawn(svg, "line", { class: "rule", x1: 0, x2: w, y1: y, y2: y });
      if (dimensions > 1 && y > 30 && y < h - 24) drawn(svg, "text", { x: 6, y: y + 4 }, signed(i * step, digits));
    }
    drawn(svg, "text", { x: w - 8, y: h - 22, "text-anchor": "end" }, `axis 1 (${map.shares[0].toFixed(0)} %) →`);
    if (dimensions > 1) drawn(svg, "text", { x: 6, y: 18 }, `↑ axis 2 (${map.shares[1].toFixed(0)} %), prior sd`);
  }

  /** Names of tasks where there is room for them; the others have a tool tip, and a place in "Jump to". */
  function drawNames(w) {
    const placed = [];
    for (const task of tasks) {
      const [x, y] = onMap(task.c), name = task.name.length > 16 ? `${task.name.slice(0, 15)}…` : task.name;
      const half = 4 * name.length + 3, middle = Math.min(Math.max(x, half), w - half);
      for (const below of [22, -12]) { // clear of u's circle
        const box = [middle - half, y + below - 11, middle + half, y + below + 4];
        if (placed.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
        placed.push(box);
        drawn(task.node, "text", { class: "task", x: middle, y: y + below }, name);
        break;
      }
    }
  }

  function placeMarkers() {
    if (!view) return;
    const at = { u: state.u, a: state.pins.a, b: state.pins.b, yours: state.yours?.u };
    for (const [name, u] of Object.entries(at)) {
      markers[name].toggleAttribute("hidden", !u);
      if (u) markers[name].setAttribute("transform", `translate(${onMap(coordinates(u)).join(" ")})`);
    }
    const [[x1, y1], [x2, y2]] = [onMap(coordinates(state.pins.a)), onMap(coordinates(state.pins.b))];
    for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) markers.track.setAttribute(name, value);
    markers.area.toggleAttribute("hidden", !state.yours);
    if (state.yours) {
      const [x, y] = onMap(coordinates(state.yours.u)), { rx, ry, angle } = ellipse(state.yours.deviation);
      const shape = { cx: x, cy: y, rx: rx * view.scale, ry: ry * view.scale, transform: `rotate(${(-angle * 180) / Math.PI} ${x} ${y})` };
      for (const [name, value] of Object.entries(shape)) markers.area.setAttribute(name, value);
    }
  }

  let held = null; // what the pointer drags: "u", "a" or "b"

  function dragTo(event) {
    const box = svg.getBoundingClientRect();
    const inside = (value, size) => Math.min(Math.max(value, 0), size);
    const above = held.name === "u" ? 0 : HEAD;
    const [x, y] = fromMap(inside(event.clientX - box.left, box.width), inside(event.clientY + above - box.top, box.height));
    const u = held.name === "u" ? state.u : state.pins[held.name];
    const moved = pointOf(movedTo(coordinates(u), x, y));
    if (held.name === "u") return setU(moved);
    state.pins[held.name] = moved;
    return walkTo(state.step);
  }

  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const box = svg.getBoundingClientRect(), place = [event.clientX - box.left, event.clientY - box.top];
    const close = (u, above = 0) => distance(onMap(coordinates(u)), [place[0], place[1] + above]);
    // A pin is held by its head; whatever else is touched moves u.
    const name = close(state.u) <= NEAR ? "u" : ["a", "b"].find((pin) => close(state.pins[pin], HEAD) <= NEAR) || "u";
    held = { name, place, click: name === "u" };
    state.moved = true;
    markers.u.querySelector(".hint")?.remove();
    stop();
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("dragging");
    if (name === "u" && close(state.u) > NEAR) dragTo(event);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    const box = svg.getBoundingClientRect(), place = [event.clientX - box.left, event.clientY - box.top];
    if (held.click && distance(held.place, place) > CLICK) held.click = false;
    if (!held.click) dragTo(event);
  });
  const release = () => {
    // A click on a task's dot or name is meant for the task itself.
    const task = held?.click && tasks.find(({ c }) => distance(onMap(c), held.place) <= NEAR);
    held = null;
    svg.classList.remove("dragging");
    if (task) setU(task.u);
  };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", () => { if (held) held.click = false; release(); });
  svg.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] || [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    stop();
    const c = coordinates(state.u), step = event.shiftKey ? 5 * STEP : STEP;
    setU(pointOf(movedTo(c, c[0] + step * x, (c[1] || 0) + step * y)));
  });

  // ---- the other axes

  const sliders = [];
  const largest = Math.max(2, ...tasks.flatMap(({ c }) => c.slice(2).map(Math.abs)).map((value) => 1.3 * value));

  function makeSliders() {
    element("others").hidden = dimensions <= 2;
    range(Math.max(0, dimensions - 2), (i) => i + 2).forEach((i) => {
      const label = made("label"), output = made("output", "", { class: "number" });
      const limit = largest.toFixed(1);
      const input = made("input", "", { type: "range", min: -limit, max: limit, step: 0.01 });
      label.append(made("span", `axis ${i + 1} (${map.shares[i].toFixed(0)} %)`), input, output);
      input.addEventListener("input", () => {
        stop();
        element("follow").checked = false;
        const c = coordinates(state.u);
        c[i] = Number(input.value);
        setU(pointOf(c));
      });
      sliders.push({ i, input, output });
      element("sliders").append(label);
    });
  }

  function setSliders() {
    const c = coordinates(state.u);
    for (const { i, input, output } of sliders) {
      if (document.activeElement !== input) input.value = c[i];
      output.textContent = signed(c[i]);
    }
  }

  // ---- the walk

  function walkTo(step) {
    state.step = step;
    element("step").value = 100 * step;
    element("step-text").textContent = `u is ${Math.round(100 * step)} % of the way from A to B.`;
    setU(state.pins.a.map((value, d) => value + step * (state.pins.b[d] - value)));
  }

  function stop() {
    state.playing = false;
    element("play").textContent = "Play";
    element("play").setAttribute("aria-pressed", "false");
  }

  function play() {
    state.playing = true;
    element("play").textContent = "Pause";
    element("play").setAttribute("aria-pressed", "true");
    let before = null, phase = state.step >= 1 ? 1 : state.step; // from 0 to 1 there, from 1 to 2 back
    const frame = (now) => {
      if (!state.playing) return;
      phase = (phase + (before === null ? 0 : (now - before) / WALK_MS)) % 2;
      before = now;
      walkTo(phase <= 1 ? phase : 2 - phase);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  element("play").addEventListener("click", () => (state.playing ? stop() : play()));
  element("step").addEventListener("input", () => { stop(); walkTo(element("step").value / 100); });
  for (const pin of ["a", "b"])
    element(`pin-${pin}`).addEventListener("click", () => {
      stop();
      state.pins[pin] = state.u;
      state.step = pin === "a" ? 0 : 1;
      walkTo(state.step);
    });
  element("jump").addEventListener("change", () => {
    const task = tasks[element("jump").value];
    stop();
    if (task) setU(task.u);
    element("jump").value = "";
  });

  // ---- pictures

  let colours = {};

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => [1, 3, 5].map((i) => parseInt(style.getPropertyValue(name).trim().slice(i, i + 2), 16));
    colours = { paper: read("--paper"), image: read("--image"), more: read("--more"), less: read("--less"), line: read("--line") };
    // Ink on paper; a user's own pictures are shown as they are.
    colours.zero = data.ink ? colours.paper : [0, 0, 0];
    colours.one = data.ink ? colours.image : [255, 255, 255];
  }

  const css = (rgb) => `rgb(${rgb.map(Math.round).join(" ")})`;
  const mixed = (from, to, share) => from.map((value, i) => value + share * (to[i] - value));
  const tone = (probability) => mixed(colours.zero, colours.one, probability);
  const change = (value) => mixed(colours.paper, value > 0 ? colours.more : colours.less, Math.min(1, Math.abs(value)));

  /** Pictures [count, h, w] of numbers side by side in a canvas, `columns` in a row; enlarged, so that pixels stay sharp. */
  function paint(canvas, numbers, columns, colour, h = height, w = width) {
    const count = numbers.length / (h * w), gap = Math.max(1, Math.round(w / 20)), rows = Math.ceil(count / columns);
    const small = document.createElement("canvas");
    [small.width, small.height] = [columns * (w + gap) + gap, rows * (h + gap) + gap];
    const context = small.getContext("2d"), image = context.createImageData(w, h);
    context.fillStyle = css(colours.line);
    context.fillRect(0, 0, small.width, small.height);
    for (let n = 0; n < count; n++) {
      for (let i = 0; i < h * w; i++) {
        const [red, green, blue] = colour(numbers[n * h * w + i]);
        image.data.set([red, green, blue, 255], 4 * i);
      }
      context.putImageData(image, gap + (n % columns) * (w + gap), gap + Math.floor(n / columns) * (h + gap));
    }
    const zoom = Math.max(1, Math.round(1000 / small.width));
    [canvas.width, canvas.height] = [zoom * small.width, zoom * small.height];
    const large = canvas.getContext("2d");
    large.imageSmoothingEnabled = false;
    large.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  /** Images, or what is different from those of the mean theta. */
  function paintImages(canvas, images, meanImages, columns) {
    if (chosen("view") === "images") paint(canvas, images, columns, tone);
    else paint(canvas, images.map((value, i) => value - meanImages[i]), columns, change);
  }

  // ---- the VAE at u

  let codes = null, shown = null, showing = false, outdated = false;

  /** 36 codes z: draws, or a grid over the first two of z's axes. */
  function chosenCodes() {
    const count = GRID * GRID, size = config.latent_dim;
    if (element("codes").value === "draws") return normals(count * size, state.seed);
    const z = new Float32Array(count * size), place = (i) => -2 + (4 * i) / (GRID - 1);
    range(count).forEach((n) => {
      z[n * size] = place(n % GRID);
      if (size > 1) z[n * size + 1] = place(Math.floor(n / GRID));
    });
    return z;
  }

  async function newCodes() {
    const z = chosenCodes(), count = GRID * GRID;
    element("redraw").disabled = element("codes").value !== "draws";
    const { images, filters } = await ask("show", { z, count });
    codes = { z, count, meanImages: images };
    state.filterScale = Math.max(...filters.map(Math.abs));
    state.filterCount = filters.length / 9;
    show();
  }

  /** Decode under theta(u); while that is computed, later u wait, and only the last of them is shown. */
  async function show() {
    outdated = true;
    if (showing || !codes) return;
    showing = true;
    try {
      while (outdated) {
        outdated = false;
        const own = codes;
        shown = { ...(await ask("show", { u: Float32Array.from(state.u), z: own.z, count: own.count })), meanImages: own.meanImages };
        paintShown();
      }
    } catch (error) {
      failed(error.message);
    } finally {
      showing = false;
    }
  }

  function paintShown() {
    if (!shown) return;
    paintImages(element("grid"), shown.images, shown.meanImages, GRID);
    paint(element("filters"), shown.filters.map((value) => value / state.filterScale), Math.min(8, state.filterCount), change, 3, 3);
    element("change").textContent = `theta differs from the mean theta by ${(100 * shown.change).toFixed(1)} % ` +
      `(root mean square over ${config.theta_size.toLocaleString("en")} weights).`;
    document.body.dataset.shown = Number(document.body.dataset.shown || 0) + 1;
  }

  function describe() {
    const difference = chosen("view") === "difference";
    for (const legend of document.querySelectorAll(".legend")) legend.hidden = (legend.dataset.legend === "difference") !== difference;
    const what = difference ? "What the VAE at u changes against the mean theta" : "Images of the VAE at u";
    element("grid").setAttribute("aria-label", `${what}: 36 codes z, the same for every u.`);
  }

  for (const input of document.querySelectorAll('input[name="view"]'))
    input.addEventListener("change", () => { describe(); paintShown(); paintYours(); });
  element("codes").addEventListener("change", newCodes);
  element("redraw").addEventListener("click", () => { state.seed++; newCodes(); });

  // ---- the drawing pad

  const blank = () => new Float32Array(pixels);
  const slots = range(SLOTS, () => ({ ink: blank(), history: [] }));
  const pad = element("pad"), CELL = Math.max(4, Math.round(420 / Math.max(height, width)));
  let active = 0, cursor = [Math.floor(width / 2), Math.floor(height / 2)], penDown = false, stroke = null;

  const inked = (slot) => slot.ink.some((value) => value > 0);
  const drawings = () => slots.filter(inked).map(({ ink }) => ink);

  function remember() {
    slots[active].history.push(Float32Array.from(slots[active].ink));
    if (slots[active].history.length > 100) slots[active].history.shift();
  }

  /** Sets (pen) or clears (eraser) the pixels whose middle is within the pen's radius of a line. */
  function drawLine([x1, y1], [x2, y2]) {
    const value = chosen("tool") === "pen" ? 1 : 0, length = Math.hypot(x2 - x1, y2 - y1), radius = PEN * (value ? 1 : 1.5);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const along = length ? ((x + 0.5 - x1) * (x2 - x1) + (y + 0.5 - y1) * (y2 - y1)) / length ** 2 : 0;
        const t = Math.min(1, Math.max(0, along));
        if (Math.hypot(x + 0.5 - x1 - t * (x2 - x1), y + 0.5 - y1 - t * (y2 - y1)) <= radius) slots[active].ink[y * width + x] = value;
      }
  }

  function paintPad() {
    pad.width = width * CELL;
    pad.height = height * CELL;
    const context = pad.getContext("2d"), style = getComputedStyle(document.documentElement);
    context.fillStyle = css(colours.zero);
    context.fillRect(0, 0, pad.width, pad.height);
    context.fillStyle = css(colours.one);
    slots[active].ink.forEach((value, i) => {
      if (value) context.fillRect((i % width) * CELL, Math.floor(i / width) * CELL, CELL, CELL);
    });
    const [top, left, bottom, right] = data.frame;
    context.strokeStyle = css(mixed(colours.zero, colours.one, 0.45));
    context.setLineDash([6, 6]);
    context.strokeRect(left * CELL, top * CELL, (right - left) * CELL, (bottom - top) * CELL);
    if (document.activeElement === pad && pad.matches(":focus-visible")) {
      context.setLineDash([]);
      context.lineWidth = 3;
      context.strokeStyle = style.getPropertyValue(penDown ? "--b" : "--accent");
      context.strokeRect(cursor[0] * CELL, cursor[1] * CELL, CELL, CELL);
    }
    slots.forEach((slot, i) => {
      const button = element("slots").children[i];
      paint(button.firstChild, slot.ink, 1, tone);
      button.setAttribute("aria-pressed", i === active);
      button.setAttribute("aria-label", `Image ${i + 1}${inked(slot) ? "" : ", empty"}`);
    });
    element("undo").disabled = !slots[active].history.length;
    element("clear").disabled = !inked(slots[active]);
  }

  function say(text = "") {
    const number = drawings().length;
    const hint = `Draw in the dashed frame, where the training images have their ink. Pixels are black or white, ${width} × ${height}.`;
    const more = number < SLOTS ? "Another image of the same kind, in the next field, tells more about u." : "";
    element("pad-note").textContent = text || (number ? `${number} of ${SLOTS} images. ${more}` : hint);
  }

  let timer = null;
  function changed(text) {
    paintPad();
    say(text);
    clearTimeout(timer);
    timer = setTimeout(computeYours, PAUSE_MS);
  }

  const padPoint = (event) => {
    const box = pad.getBoundingClientRect(), edge = pad.clientLeft;
    return [((event.clientX - box.left - edge) / pad.clientWidth) * width, ((event.clientY - box.top - edge) / pad.clientHeight) * height];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    remember();
    stroke = padPoint(event);
    pad.setPointerCapture(event.pointerId);
    drawLine(stroke, stroke);
    changed();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    for (const part of event.getCoalescedEvents?.().concat(event) || [event]) {
      const next = padPoint(part);
      drawLine(stroke, next);
      stroke = next;
    }
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { stroke = null; });
  pad.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    const middle = ([x, y]) => [x + 0.5, y + 0.5], before = middle(cursor);
    if (step) cursor = [Math.min(width - 1, Math.max(0, cursor[0] + step[0])), Math.min(height - 1, Math.max(0, cursor[1] + step[1]))];
    else {
      penDown = !penDown;
      if (penDown) remember();
    }
    if (!penDown) return paintPad();
    drawLine(before, middle(cursor));
    return changed();
  });
  pad.addEventListener("focus", paintPad);
  pad.addEventListener("blur", () => { penDown = false; paintPad(); });
  element("undo").addEventListener("click", () => { slots[active].ink = slots[active].history.pop(); changed(); });
  element("clear").addEventListener("click", () => { remember(); slots[active].ink = blank(); changed(); });
  element("invert").addEventListener("click", () => { remember(); slots[active].ink = slots[active].ink.map((value) => 1 - value); changed(); });

  /** A picture of any size, shrunk or enlarged to fit, as ink and no ink. */
  element("file").addEventListener("change", async () => {
    const [file] = element("file").files;
    if (!file) return;
    try {
      const picture = await createImageBitmap(file);
      const canvas = document.createElement("canvas"), context = canvas.getContext("2d", { willReadFrequently: true });
      [canvas.width, canvas.height] = [width, height];
      context.fillStyle = data.ink ? "#fff" : "#000"; // where the picture is transparent, or does not reach
      context.fillRect(0, 0, width, height);
      context.imageSmoothingQuality = "high";
      const scale = Math.min(width / picture.width, height / picture.height), [w, h] = [picture.width * scale, picture.height * scale];
      context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
      const { data: rgba } = context.getImageData(0, 0, width, height);
      const light = range(pixels, (i) => (0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2]) / 255);
      remember();
      slots[active].ink = Float32Array.from(light, (value) => Number(data.ink ? value < 0.5 : value >= 0.5));
      const share = slots[active].ink.reduce((sum, value) => sum + value, 0) / pixels;
      const size = `${picture.width} × ${picture.height} pixels, fitted to ${width} × ${height} and cut at one half.`;
      const doubt = share > 0.5 ? ` ${Math.round(100 * share)} % of it is ${data.ink ? "ink" : "white"}: if it is a negative, press Invert.` : "";
      changed(`${file.name}: ${size}${doubt}`);
    } catch {
      say(`${file.name} is no picture that this browser reads: choose a PNG or JPEG file.`);
    }
    element("file").value = "";
  });

  function makeSlots() {
    slots.forEach((_, i) => {
      const button = made("button", "", { type: "button" });
      const canvas = button.appendChild(made("canvas"));
      canvas.style.width = `${44 * Math.min(1, width / height)}px`;
      button.addEventListener("click", () => { active = i; paintPad(); say(); });
      element("slots").append(button);
    });
  }

  // ---- your VAE

  const ROWS = [
    ["yours", "Your VAE", "theta of your u"],
    ["plain", "Plain VAE", "one theta for all, trained alone"],
    ["mean", "Mean theta", "HyperVAE's, averaged over images"],
  ];
  let computing = 0;

  async function computeYours() {
    const own = drawings(), turn = ++computing;
    element("yours").hidden = !own.length;
    element("yours-empty").hidden = Boolean(own.length);
    if (!own.length) {
      state.yours = null;
      drawMap();
      return;
    }
    const images = new Float32Array(own.length * pixels);
    own.forEach((ink, n) => images.set(ink, n * pixels));
    const z = normals(SAMPLES * config.latent_dim, 7);
    try {
      const answer = await ask("draw", { images, count: own.length, z, samples: SAMPLES });
      const under = await ask("show", { z, count: SAMPLES }); // the mean theta
      if (turn !== computing) return; // something was drawn meanwhile
      state.yours = { ...answer, u: Array.from(answer.mean), images, count: own.length, meanSamples: under.images };
      drawMap();
      paintYours();
    } catch (error) {
      failed(error.message);
    }
  }

  function paintYours() {
    const yours = state.yours;
    if (!yours) return;
    element("yours-what").textContent = yours.count > 1 ? "images" : "image";
    element("yours-it").textContent = yours.count > 1 ? "them" : "it";
    const both = new Float32Array(2 * yours.count * pixels);
    both.set(yours.images);
    both.set(yours.reconstructions, yours.count * pixels);
    paint(element("reconstructions"), both, yours.count, tone);
    element("reconstructions").style.width = `${TILE * yours.count}px`;
    paintImages(element("samples"), yours.samples, yours.meanSamples, 4);
    element("samples").style.width = `${4 * TILE}px`;
    const totals = Object.fromEntries(ROWS.map(([name]) => [name, Object.values(yours.lengths[name]).reduce((sum, x) => sum + x, 0)]));
    const longest = Math.max(...Object.values(totals));
    element("lengths").tBodies[0].replaceChildren(...ROWS.map(([name, title, told]) => {
      const row = made("tr"), head = made("th", title, { scope: "row" }), cell = made("td", "", { class: "bars" });
      head.append(made("small", told));
      const bar = made("div", "", { class: "bar", "aria-hidden": "true" });
      const { reconstruction, kl_z, kl_u } = yours.lengths[name];
      for (const [part, value] of [["pixels", reconstruction], ["z", kl_z], ["u", kl_u]]) {
        const piece = made("i", "", { class: `${part}-part` });
        piece.style.width = `${(100 * Math.max(0, value)) / longest}%`;
        bar.append(piece);
      }
      const parts = `pixels ${reconstruction.toFixed(1)} + z ${kl_z.toFixed(1)}${kl_u ? ` + u ${kl_u.toFixed(1)}` : ""}`;
      cell.append(bar, made("div", parts, { class: "parts" }));
      row.append(head, made("td", totals[name].toFixed(1), { class: "total" }), cell);
      return row;
    }));
    const saved = totals.plain - totals.yours, cost = (yours.count * yours.lengths.yours.kl_u).toFixed(1);
    const payers = yours.count > 1 ? `${yours.count} images share the` : "one image pays all";
    element("verdict").textContent = `Your VAE takes ${Math.abs(saved).toFixed(1)} nats an image ${saved >= 0 ? "less" : "more"} ` +
      `than the plain VAE; ${payers} ${cost} nats of u.`;
    document.body.dataset.yours = Number(document.body.dataset.yours || 0) + 1;
  }

  element("go").addEventListener("click", () => {
    stop();
    setU(state.yours.u);
    svg.scrollIntoView({ block: "center" });
    svg.focus();
  });

  // ---- the start

  function fillWords() {
    document.title = `A space of VAEs: ${data.name}`;
    document.body.classList.toggle("own", !data.ink);
    for (const node of document.querySelectorAll("[data-fill]")) node.textContent = config[node.dataset.fill].toLocaleString("en");
    element("coin").textContent = `A coin's toss for each of the ${pixels} pixels costs ${(pixels * Math.LN2).toFixed(0)} nats.`;
    element("jump").append(made("option", "a task …", { value: "" }), ...tasks.map(({ name }, i) => made("option", name, { value: i })));
    for (const [term, text] of Object.entries(about)) element("about").append(made("dt", term), made("dd", text));
  }

  function repaint() {
    readColours();
    paintShown();
    paintPad();
    paintYours();
  }

  async function start() {
    fillWords();
    makeSliders();
    makeSlots();
    readColours();
    describe();
    say();
    paintPad();
    drawMap();
    setSliders();
    new ResizeObserver(drawMap).observe(svg);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    if (typeof DecompressionStream === "undefined") throw new Error("it has no DecompressionStream");
    await ask("open", { config, base64: element("weights").textContent });
    await newCodes();
    element("filter-count").textContent = state.filterCount;
    element("filter-scale").textContent = `${signed(-state.filterScale)} (blue) to ${signed(state.filterScale)} (red)`;
    element("status").hidden = true;
    document.body.dataset.state = "ready";
  }

  start().catch((error) => failed(error.message));
})();
