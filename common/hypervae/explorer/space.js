// u, where it is on the axes of the map, and how sliders and the walk move it.

const coordinates = (u) => map.axes.map((axis) => axis.reduce((sum, a, d) => sum + a * (u[d] - map.center[d]), 0));
const pointOf = (c) =>
  map.center.map((middle, d) => middle + c.reduce((sum, value, i) => sum + value * map.axes[i][d], 0));
const tasks = data.tasks.map((name, i) => ({
  name,
  u: map.means[i],
  deviation: map.deviations[i],
  c: coordinates(map.means[i]),
}));

/** Covariance of a diagonal Gaussian in the map's plane, as half axes (2 standard deviations) and an angle. */
function ellipse(deviation) {
  const [first, second] = [map.axes[0], map.axes[1] || map.axes[0].map(() => 0)];
  const along = (p, q) => deviation.reduce((sum, s, d) => sum + p[d] * q[d] * s * s, 0);
  const [xx, xy, yy] = [along(first, first), along(first, second), along(second, second)];
  const middle = (xx + yy) / 2,
    half = Math.hypot((xx - yy) / 2, xy);
  return {
    rx: 2 * Math.sqrt(middle + half),
    ry: 2 * Math.sqrt(Math.max(0, middle - half)),
    angle: Math.atan2(2 * xy, xx - yy) / 2,
  };
}

/** The coordinates of the axes that are not on the map, as the tasks nearby have them (weights 1 / distance^4). */
function followed(x, y) {
  const weights = tasks.map(({ c }) => 1 / (((c[0] - x) ** 2 + ((c[1] || 0) - y) ** 2) ** 2 + 1e-9));
  const total = weights.reduce((sum, w) => sum + w, 0);
  const rest = range(
    Math.max(0, dimensions - 2),
    (i) => tasks.reduce((sum, { c }, k) => sum + weights[k] * c[i + 2], 0) / total,
  );
  return dimensions > 1 ? [x, y, ...rest] : [x];
}

const farthestFrom = (u) => tasks.reduce((best, task) => (distance(task.u, u) > distance(best.u, u) ? task : best));
const first = farthestFrom(map.center);
const second = farthestFrom(first.u);
const state = {
  u: first.u,
  pins: { a: first.u, b: second.u },
  step: 0,
  playing: false,
  seed: 1,
  yours: null,
};

/** Coordinates c with new places on the map's two axes; the others follow the tasks nearby where that is asked for. */
function movedTo(c, x, y) {
  if (element("follow").checked) return followed(x, y);
  return c.map((value, i) => (i === 0 ? x : i === 1 ? y : value));
}

function setU(u) {
  state.u = u;
  state.moved = true;
  svg.querySelector(".hint")?.remove();
  placeMarkers();
  sayWhere();
  setSliders();
  show();
}

function sayWhere() {
  const [nearest, apart] = tasks.map((task) => [task, distance(task.u, state.u)]).sort((p, q) => p[1] - q[1])[0];
  const place = coordinates(state.u)
    .slice(0, 2)
    .map((value) => signed(value))
    .join(", ");
  element("where").textContent = `u at (${place}); nearest task ${nearest.name}, ${apart.toFixed(2)} prior sd away.`;
  tasks.forEach((task) => task.node?.classList.toggle("near", task === nearest));
}

const sliders = [];
const largest = tasks.reduce((most, { c }) => Math.max(most, ...c.slice(2).map((value) => 1.3 * Math.abs(value))), 2);

function makeSliders() {
  element("others").hidden = dimensions <= 2;
  range(Math.max(0, dimensions - 2), (i) => i + 2).forEach((i) => {
    const label = made("label"),
      output = made("span", "", { class: "number" });
    const limit = largest.toFixed(1);
    const input = made("input", "", { type: "range", min: -limit, max: limit, step: 0.01 });
    label.append(made("span", `axis ${i + 1} (${map.shares[i].toFixed(0)} %)`), input, output);
    input.addEventListener("input", () => {
      pause();
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

function walkTo(step) {
  state.step = step;
  element("step").value = 100 * step;
  element("step-text").textContent = `u is ${Math.round(100 * step)} % of the way from A to B.`;
  setU(state.pins.a.map((value, d) => value + step * (state.pins.b[d] - value)));
}

function pause() {
  state.playing = false;
  element("play").textContent = "Play";
  element("play").setAttribute("aria-pressed", "false");
}

function play() {
  state.playing = true;
  element("play").textContent = "Pause";
  element("play").setAttribute("aria-pressed", "true");
  let before = null,
    phase = state.step >= 1 ? 1 : state.step; // from 0 to 1 there, from 1 to 2 back
  const frame = (now) => {
    if (!state.playing) return;
    phase = (phase + (before === null ? 0 : (now - before) / WALK_MS)) % 2;
    before = now;
    walkTo(phase <= 1 ? phase : 2 - phase);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

element("play").addEventListener("click", () => (state.playing ? pause() : play()));
element("step").addEventListener("input", () => {
  pause();
  walkTo(element("step").value / 100);
});
for (const pin of ["a", "b"])
  element(`pin-${pin}`).addEventListener("click", () => {
    pause();
    state.pins[pin] = state.u;
    state.step = pin === "a" ? 0 : 1;
    walkTo(state.step);
  });
element("jump").addEventListener("change", () => {
  const task = tasks[element("jump").value];
  pause();
  if (task) setU(task.u);
  element("jump").value = "";
});
