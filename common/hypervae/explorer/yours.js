// The VAE of a user's own images.

const ROWS = [
  ["yours", "Your VAE", "theta of your u"],
  ["plain", "Plain VAE", "one theta for all, trained alone"],
  ["mean", "Mean theta", "HyperVAE's, averaged over images"],
];
let computing = 0;

async function computeYours() {
  const own = drawings(),
    turn = ++computing;
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
  const answer = await ask("draw", { images, count: own.length, z, samples: SAMPLES });
  const under = await ask("show", { z, count: SAMPLES }); // the mean theta
  if (turn !== computing) return; // something was drawn meanwhile
  state.yours = { ...answer, u: Array.from(answer.mean), images, count: own.length, meanSamples: under.images };
  drawMap();
  paintYours();
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
  const totals = Object.fromEntries(
    ROWS.map(([name]) => [name, Object.values(yours.lengths[name]).reduce((sum, x) => sum + x, 0)]),
  );
  const longest = Math.max(...Object.values(totals));
  element("lengths").tBodies[0].replaceChildren(
    ...ROWS.map(([name, title, told]) => {
      const row = made("tr"),
        head = made("th", title, { scope: "row" }),
        cell = made("td", "", { class: "bars" });
      head.append(made("small", told));
      const bar = made("div", "", { class: "bar", "aria-hidden": "true" });
      const { reconstruction, kl_z, kl_u } = yours.lengths[name];
      for (const [part, value] of [
        ["pixels", reconstruction],
        ["z", kl_z],
        ["u", kl_u],
      ]) {
        const piece = made("i", "", { class: `${part}-part` });
        piece.style.width = `${(100 * Math.max(0, value)) / longest}%`;
        bar.append(piece);
      }
      const ofU = kl_u ? ` + u ${kl_u.toFixed(1)}` : "";
      const parts = `pixels ${reconstruction.toFixed(1)} + z ${kl_z.toFixed(1)}${ofU}`;
      cell.append(bar, made("div", parts, { class: "parts" }));
      row.append(head, made("td", totals[name].toFixed(1), { class: "total" }), cell);
      return row;
    }),
  );
  const saved = totals.plain - totals.yours,
    cost = (yours.count * yours.lengths.yours.kl_u).toFixed(1);
  const payers = yours.count > 1 ? `${yours.count} images share the` : "one image pays all";
  element("verdict").textContent =
    `Your VAE takes ${Math.abs(saved).toFixed(1)} nats an image ${saved >= 0 ? "less" : "more"} ` +
    `than the plain VAE; ${payers} ${cost} nats of u.`;
  document.body.dataset.yours = Number(document.body.dataset.yours || 0) + 1;
}

element("go").addEventListener("click", () => {
  pause();
  setU(state.yours.u);
  svg.scrollIntoView({ block: "center" });
  svg.focus();
});
