// Words, and the start.

function fillWords() {
  document.title = `A space of VAEs: ${data.name}`;
  element("name").textContent = data.name;
  document.body.classList.toggle("own", !data.ink);
  for (const node of document.querySelectorAll("[data-fill]"))
    node.textContent = config[node.dataset.fill].toLocaleString("en");
  element("coin").textContent =
    `A coin's toss for each of the ${pixels} pixels costs ${(pixels * Math.LN2).toFixed(0)} nats.`;
  element("jump").append(
    made("option", "a task …", { value: "" }),
    ...tasks.map(({ name }, i) => made("option", name, { value: i })),
  );
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

start();
