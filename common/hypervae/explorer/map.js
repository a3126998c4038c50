// The map of u: tasks, pins, and the marker that is dragged.

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
  const box = svg.getBoundingClientRect(),
    [w, h] = [box.width, box.height];
  if (!w) return;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
  const points = tasks.map(({ c, deviation }) => [c, ellipse(deviation).rx]);
  if (state.yours) points.push([coordinates(state.yours.u), 0]);
  const ends = (i) => [
    Math.min(...points.map(([c, r]) => (c[i] || 0) - r)),
    Math.max(...points.map(([c, r]) => (c[i] || 0) + r)),
  ];
  const [[left, right], [low, high]] = [ends(0), ends(1)],
    margin = 34;
  const scale = Math.min((w - 2 * margin) / Math.max(right - left, 0.5), (h - 2 * margin) / Math.max(high - low, 0.5));
  view = { scale, x: w / 2 - (scale * (left + right)) / 2, y: h / 2 + (scale * (low + high)) / 2 };
  drawRules(w, h);
  const areas = drawn(svg, "g");
  for (const task of tasks) {
    const [x, y] = onMap(task.c),
      { rx, ry, angle } = ellipse(task.deviation);
    task.node = drawn(areas, "g");
    const turned = `rotate(${(-angle * 180) / Math.PI} ${x} ${y})`;
    drawn(task.node, "ellipse", {
      class: "task-area",
      cx: x,
      cy: y,
      rx: rx * scale,
      ry: ry * scale,
      transform: turned,
    });
    drawn(task.node, "circle", { class: "task-dot", cx: x, cy: y, r: 2.5 });
    drawn(task.node, "title", {}, `${task.name}: q(u|D), 2 standard deviations`);
  }
  drawNames(w);
  markers.track = drawn(svg, "line", { class: "track" });
  markers.area = drawn(svg, "ellipse", { class: "yours-area" });
  for (const [name, letter] of [
    ["yours", "D"],
    ["b", "B"],
    ["a", "A"],
    ["u", "u"],
  ]) {
    markers[name] = drawn(svg, "g", { class: `marker ${name}` });
    if (name === "u") drawn(markers[name], "circle", { r: 12 });
    // A pin, its head above its point.
    else drawn(markers[name], "path", { d: `M0 0 L-9 ${8 - HEAD} A12 12 0 1 1 9 ${8 - HEAD} Z` });
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
    const [x, y] = onMap(task.c),
      name = task.name.length > 16 ? `${task.name.slice(0, 15)}…` : task.name;
    const half = 4 * name.length + 3,
      middle = Math.min(Math.max(x, half), w - half);
    for (const below of [22, -12]) {
      // clear of u's circle
      const box = [middle - half, y + below - 11, middle + half, y + below + 4];
      if (placed.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]))
        continue;
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
    const [x, y] = onMap(coordinates(state.yours.u)),
      { rx, ry, angle } = ellipse(state.yours.deviation);
    const shape = {
      cx: x,
      cy: y,
      rx: rx * view.scale,
      ry: ry * view.scale,
      transform: `rotate(${(-angle * 180) / Math.PI} ${x} ${y})`,
    };
    for (const [name, value] of Object.entries(shape)) markers.area.setAttribute(name, value);
  }
}

let held = null; // what the pointer drags: "u", "a" or "b"

function dragTo(event) {
  const box = svg.getBoundingClientRect();
  const inside = (value, size) => Math.min(Math.max(value, 0), size);
  const above = held.name === "u" ? 0 : HEAD;
  const [x, y] = fromMap(
    inside(event.clientX - box.left, box.width),
    inside(event.clientY + above - box.top, box.height),
  );
  const u = held.name === "u" ? state.u : state.pins[held.name];
  const moved = pointOf(movedTo(coordinates(u), x, y));
  if (held.name === "u") return setU(moved);
  state.pins[held.name] = moved;
  return walkTo(state.step);
}

svg.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const box = svg.getBoundingClientRect(),
    place = [event.clientX - box.left, event.clientY - box.top];
  const close = (u, above = 0) => distance(onMap(coordinates(u)), [place[0], place[1] + above]);
  // A pin is held by its head; whatever else is touched moves u.
  const name = close(state.u) <= NEAR ? "u" : ["a", "b"].find((pin) => close(state.pins[pin], HEAD) <= NEAR) || "u";
  held = { name, place, click: name === "u" };
  pause();
  svg.setPointerCapture(event.pointerId);
  svg.classList.add("dragging");
  if (name === "u" && close(state.u) > NEAR) dragTo(event);
});
svg.addEventListener("pointermove", (event) => {
  if (!held) return;
  const box = svg.getBoundingClientRect(),
    place = [event.clientX - box.left, event.clientY - box.top];
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
svg.addEventListener("pointercancel", () => {
  if (held) held.click = false;
  release();
});
svg.addEventListener("keydown", (event) => {
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] || [0, 0];
  if (!x && !y) return;
  event.preventDefault();
  pause();
  const c = coordinates(state.u),
    step = event.shiftKey ? 5 * STEP : STEP;
  setU(pointOf(movedTo(c, c[0] + step * x, (c[1] || 0) + step * y)));
});
