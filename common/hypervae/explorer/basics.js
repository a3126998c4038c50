// What all scripts of the page share: its contents, small helpers, and the worker that computes.
// Text from the data set is only ever set as text, never read as HTML.

const contents = JSON.parse(document.getElementById("contents").textContent);
const { model: config, map, data, about } = contents;
const [height, width] = config.image,
  pixels = height * width,
  dimensions = config.hyper_latent_dim;
const GRID = 6,
  SAMPLES = 12,
  SLOTS = 5,
  STEP = 0.1,
  CLICK = 4,
  NEAR = 16,
  HEAD = 24,
  TILE = 58,
  WALK_MS = 5000,
  PAUSE_MS = 250;
const PEN = Math.max(0.6, (1.15 * Math.min(height, width)) / 28); // radius in pixels: strokes as thick as MNIST's

const element = (id) => document.getElementById(id);
const range = (count, make = (i) => i) => Array.from({ length: count }, (_, i) => make(i));
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const distance = (a, b) => Math.hypot(...a.map((value, i) => value - b[i]));
const signed = (value, digits = 2) =>
  value
    .toFixed(digits)
    .replace(/^-(?=.*[1-9])/, "−")
    .replace("-", "");

/** A new element of HTML, with text in it. */
function made(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

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
addEventListener("unhandledrejection", ({ reason }) => failed(reason.message));

function failed(error) {
  document.body.dataset.state = "failed";
  element("status").hidden = false;
  element("status").textContent = `This page cannot compute: ${error}. It needs a browser of 2023 or later.`;
}
