// The drawing pad: one to five images, drawn by pointer or keys, or loaded from a file.

const blank = () => new Float32Array(pixels);
const slots = range(SLOTS, () => ({ ink: blank(), history: [] }));
const pad = element("pad"),
  CELL = Math.max(4, Math.round(420 / Math.max(height, width)));
let active = 0,
  cursor = [Math.floor(width / 2), Math.floor(height / 2)],
  penDown = false,
  stroke = null;

const inked = (slot) => slot.ink.some((value) => value > 0);
const drawings = () => slots.filter(inked).map(({ ink }) => ink);

function remember() {
  slots[active].history.push(Float32Array.from(slots[active].ink));
  if (slots[active].history.length > 100) slots[active].history.shift();
}

/** Sets (pen) or clears (eraser) the pixels whose middle is within the pen's radius of a line. */
function drawLine([x1, y1], [x2, y2]) {
  const value = chosen("tool") === "pen" ? 1 : 0,
    length = Math.hypot(x2 - x1, y2 - y1),
    radius = PEN * (value ? 1 : 1.5);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const along = length ? ((x + 0.5 - x1) * (x2 - x1) + (y + 0.5 - y1) * (y2 - y1)) / length ** 2 : 0;
      const t = Math.min(1, Math.max(0, along));
      if (Math.hypot(x + 0.5 - x1 - t * (x2 - x1), y + 0.5 - y1 - t * (y2 - y1)) <= radius)
        slots[active].ink[y * width + x] = value;
    }
}

function paintPad() {
  pad.width = width * CELL;
  pad.height = height * CELL;
  const context = pad.getContext("2d"),
    style = getComputedStyle(document.documentElement);
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
    paint(button.firstChild, slot.ink, 1, tone, height, width, 120);
    button.setAttribute("aria-pressed", i === active);
    button.setAttribute("aria-label", `Image ${i + 1}${inked(slot) ? "" : ", empty"}`);
  });
  element("undo").disabled = !slots[active].history.length;
  element("clear").disabled = !inked(slots[active]);
}

function say(text = "") {
  const number = drawings().length;
  const size = `Pixels are black or white, ${width} × ${height}.`;
  const hint = `Draw in the dashed frame, where the training images have their ink. ${size}`;
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
  const box = pad.getBoundingClientRect(),
    edge = pad.clientLeft;
  return [
    ((event.clientX - box.left - edge) / pad.clientWidth) * width,
    ((event.clientY - box.top - edge) / pad.clientHeight) * height,
  ];
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
for (const end of ["pointerup", "pointercancel"])
  pad.addEventListener(end, () => {
    stroke = null;
  });
pad.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step && event.key !== " ") return;
  event.preventDefault();
  const middle = ([x, y]) => [x + 0.5, y + 0.5],
    before = middle(cursor);
  if (step)
    cursor = [
      Math.min(width - 1, Math.max(0, cursor[0] + step[0])),
      Math.min(height - 1, Math.max(0, cursor[1] + step[1])),
    ];
  else {
    penDown = !penDown;
    if (penDown) remember();
  }
  if (!penDown) return paintPad();
  drawLine(before, middle(cursor));
  return changed();
});
pad.addEventListener("focus", paintPad);
pad.addEventListener("blur", () => {
  penDown = false;
  paintPad();
});
element("undo").addEventListener("click", () => {
  slots[active].ink = slots[active].history.pop();
  changed();
});
element("clear").addEventListener("click", () => {
  remember();
  slots[active].ink = blank();
  changed();
});
element("invert").addEventListener("click", () => {
  remember();
  slots[active].ink = slots[active].ink.map((value) => 1 - value);
  changed();
});

/** A picture of any size, shrunk or enlarged to fit, as ink and no ink. */
element("file").addEventListener("change", async () => {
  const [file] = element("file").files;
  if (!file) return;
  try {
    const picture = await createImageBitmap(file);
    const canvas = document.createElement("canvas"),
      context = canvas.getContext("2d", { willReadFrequently: true });
    [canvas.width, canvas.height] = [width, height];
    context.fillStyle = data.ink ? "#fff" : "#000"; // where the picture is transparent, or does not reach
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    const scale = Math.min(width / picture.width, height / picture.height),
      [w, h] = [picture.width * scale, picture.height * scale];
    context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
    const { data: rgba } = context.getImageData(0, 0, width, height);
    const light = range(pixels, (i) => (0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2]) / 255);
    remember();
    slots[active].ink = Float32Array.from(light, (value) => Number(data.ink ? value < 0.5 : value >= 0.5));
    const share = slots[active].ink.reduce((sum, value) => sum + value, 0) / pixels;
    const size = `${picture.width} × ${picture.height} pixels, fitted to ${width} × ${height} and cut at one half.`;
    const doubt =
      share > 0.5
        ? ` ${Math.round(100 * share)} % of it is ${data.ink ? "ink" : "white"}: if it is a negative, press Invert.`
        : "";
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
    button.addEventListener("click", () => {
      active = i;
      paintPad();
      say();
    });
    element("slots").append(button);
  });
}
