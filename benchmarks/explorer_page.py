"""The page of 11_explore.py against TensorFlow on the same work: a new theta from u, and 6 x 6 codes z decoded.

    python benchmarks/explorer_page.py [--rounds 5] [--repeats 30] [--threads 2]

The page's JavaScript runs in headless Chromium on one thread, as in the page's worker; TensorFlow runs compiled
programs on `--threads`. Both take the MNIST weights that come with the repository, in turns. Of a round's repeats the
fastest counts: other programs can only add to it. What is printed is the median over rounds of times, and of ratios
within a round, which a machine whose speed drifts does not bend. `answer` is what a user waits for once u has moved:
question to the worker, theta, images, answer.
Needs chromium.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CODES = 36
PREPARE = """async ({u, z}) => {
  const {model: config} = JSON.parse(document.getElementById("contents").textContent);
  const base64 = document.getElementById("weights").textContent;
  const model = await openModel(config, base64), codes = Float32Array.from(z), theta = thetaOf(model, u);
  const source = document.getElementById("explorer").textContent + "\\nserve(self);";
  const worker = new Worker(URL.createObjectURL(new Blob([source])));
  const ask = (request) => new Promise((done) => { worker.onmessage = done; worker.postMessage(request); });
  await ask({kind: "open", config, base64});
  window.parts = {
    theta: () => thetaOf(model, u),
    images: () => decoded(model, theta, codes, codes.length / model.latent_dim),
    answer: () => ask({kind: "show", u, z: codes, count: codes.length / model.latent_dim}),
  };
}"""
TIME = """async ({part, repeats}) => {
  const times = [];
  for (let i = 0; i < repeats + 3; i++) {
    const started = performance.now();
    await parts[part]();
    times.push(performance.now() - started);
  }
  return times.slice(3);
}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import numpy as np
    import tensorflow as tf

    from common.data.datasets import Dataset
    from common.hypervae.explorer import browser, page
    from common.hypervae.pretrained import load_pretrained, model_card
    from common.hypervae.training import Settings
    from common.layers.kernels import dense_theta
    from common.runs.jobs import limit_threads

    limit_threads(args.threads)
    stored = model_card("mnist")["settings"]
    settings = Settings(**stored.pop("labels"), **stored)
    runs = [
        SimpleNamespace(model=load_pretrained("mnist", m), settings=settings, trained_at="")
        for m in ("hypervae", "vae")
    ]
    model = runs[0].model
    noise = (np.random.default_rng(0).random((20, 28, 28, 1)) < 0.2).astype(np.uint8)
    labels = np.arange(20) % 2  # what the map shows costs no time here
    data = Dataset("mnist", noise, labels, noise, labels, (), noise, labels)
    rng = np.random.default_rng(0)
    u = rng.standard_normal((1, model.hyper_latent_dim)).astype(np.float32)
    z = rng.standard_normal((CODES, model.body.latent_dim)).astype(np.float32)

    theta_of = tf.function(lambda u: dense_theta(model.generate(u)), jit_compile=True)
    images_of = tf.function(lambda theta, z: tf.sigmoid(model.body.decode(theta, z[None])), jit_compile=True)
    theta = theta_of(u)
    parts = {
        "theta": lambda: theta_of(u)["decoder/unflatten/kernel"].numpy(),
        "images": lambda: images_of(theta, z).numpy(),
        "answer": lambda: images_of(theta_of(u), z).numpy(),
    }

    def tensorflow(part):
        times = []
        for _ in range(args.repeats + 3):
            started = time.perf_counter()
            parts[part]()
            times.append(1e3 * (time.perf_counter() - started))
        return min(times[3:])

    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        path = Path(folder) / "explorer.html"
        path.write_text(page.html(*runs, data), encoding="utf-8")
        tab = browser.open_page(chromium, path)
        tab.evaluate(PREPARE, {"u": u[0].tolist(), "z": z.ravel().tolist()})
        print(f"{'':8}{'page, ms':>10}{'TensorFlow, ms':>16}{'ratio':>8}")
        for part in parts:
            rounds = []
            for _ in range(args.rounds):
                ours = min(tab.evaluate(TIME, {"part": part, "repeats": args.repeats}))
                rounds.append((ours, tensorflow(part)))
            ours, theirs, ratio = (statistics.median(own) for own in zip(*((o, t, o / t) for o, t in rounds)))
            print(f"{part:8}{ours:10.1f}{theirs:16.1f}{ratio:8.1f}", flush=True)


if __name__ == "__main__":
    main()
