// Pictures of numbers, and those of the VAE at u.

let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => {
    const hex = style.getPropertyValue(name).trim(); // "#rrggbb"
    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  };
  colours = {
    paper: read("--paper"),
    image: read("--image"),
    more: read("--more"),
    less: read("--less"),
    line: read("--line"),
  };
  // Ink on paper; a user's own pictures are shown as they are.
  colours.zero = data.ink ? colours.paper : [0, 0, 0];
  colours.one = data.ink ? colours.image : [255, 255, 255];
}

const css = (rgb) => `rgb(${rgb.map(Math.round).join(" ")})`;
const mixed = (from, to, share) => from.map((value, i) => value + share * (to[i] - value));
const tone = (probability) => mixed(colours.zero, colours.one, probability);
const change = (value) => mixed(colours.paper, value > 0 ? colours.more : colours.less, Math.min(1, Math.abs(value)));

/**
 * Pictures [count, h, w] of numbers side by side in a canvas, `columns` in a row; enlarged to about `size` pixels, so
 * that theirs stay sharp.
 */
function paint(canvas, numbers, columns, colour, h = height, w = width, size = 1000) {
  const count = numbers.length / (h * w),
    gap = Math.max(1, Math.round(w / 20)),
    rows = Math.ceil(count / columns);
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns * (w + gap) + gap, rows * (h + gap) + gap];
  const context = small.getContext("2d"),
    image = context.createImageData(w, h);
  context.fillStyle = css(colours.line);
  context.fillRect(0, 0, small.width, small.height);
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < h * w; i++) {
      const [red, green, blue] = colour(numbers[n * h * w + i]);
      image.data.set([red, green, blue, 255], 4 * i);
    }
    context.putImageData(image, gap + (n % columns) * (w + gap), gap + Math.floor(n / columns) * (h + gap));
  }
  const zoom = Math.max(1, Math.round(size / small.width));
  [canvas.width, canvas.height] = [zoom * small.width, zoom * small.height];
  const large = canvas.getContext("2d");
  large.imageSmoothingEnabled = false;
  large.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Images, or what is different from those of the mean theta. */
function paintImages(canvas, images, meanImages, columns) {
  if (chosen("view") === "images") paint(canvas, images, columns, tone);
  else
    paint(
      canvas,
      images.map((value, i) => value - meanImages[i]),
      columns,
      change,
    );
}

let codes = null,
  shown = null,
  showing = false,
  outdated = false;

/** 36 codes z: draws, or a grid over the first two of z's axes. */
function chosenCodes() {
  const count = GRID * GRID,
    size = config.latent_dim;
  if (element("codes").value === "draws") return normals(count * size, state.seed);
  const z = new Float32Array(count * size),
    place = (i) => -2 + (4 * i) / (GRID - 1);
  range(count).forEach((n) => {
    z[n * size] = place(n % GRID);
    if (size > 1) z[n * size + 1] = place(Math.floor(n / GRID));
  });
  return z;
}

async function newCodes() {
  const z = chosenCodes(),
    count = GRID * GRID;
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
  while (outdated) {
    outdated = false;
    const { z, count, meanImages } = codes;
    shown = { ...(await ask("show", { u: Float32Array.from(state.u), z, count })), meanImages };
    paintShown();
  }
  showing = false;
}

function paintShown() {
  if (!shown) return;
  paintImages(element("grid"), shown.images, shown.meanImages, GRID);
  paint(
    element("filters"),
    shown.filters.map((value) => value / state.filterScale),
    Math.min(8, state.filterCount),
    change,
    3,
    3,
  );
  element("change").textContent =
    `theta differs from the mean theta by ${(100 * shown.change).toFixed(1)} % ` +
    `(root mean square over ${config.theta_size.toLocaleString("en")} weights).`;
  document.body.dataset.shown = Number(document.body.dataset.shown || 0) + 1;
}

function describe() {
  const difference = chosen("view") === "difference";
  for (const legend of document.querySelectorAll(".legend"))
    legend.hidden = (legend.dataset.legend === "difference") !== difference;
  const what = difference ? "What the VAE at u changes against the mean theta" : "Images of the VAE at u";
  element("grid").setAttribute("aria-label", `${what}: 36 codes z, the same for every u.`);
}

for (const input of document.querySelectorAll('input[name="view"]'))
  input.addEventListener("change", () => {
    describe();
    paintShown();
    paintYours();
  });
element("codes").addEventListener("change", newCodes);
element("redraw").addEventListener("click", () => {
  state.seed++;
  newCodes();
});
