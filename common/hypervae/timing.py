"""What the models cost: trainable parameters (Table 2), and the time to generate and to infer (Table 3)."""

import statistics
import time
from dataclasses import dataclass

import tensorflow as tf

from common.hypervae.training import build_networks
from common.layers.kernels import dense_theta, single_theta
from common.runs.identity import Record, added

BATCH = 100  # images, the paper's
SIZES = ("latent_dim", "hyper_latent_dim", "hidden", "generate", "rank")  # options of `variants`
VARIANTS = (("vae", "none"), ("metavae", "none"), ("hypervae", "layerwise"), ("hypervae", "block"))


@dataclass(frozen=True)
class Networks(Record):
    """What a row of Table 2 is: all that decides how many parameters a model has."""

    model: str
    generator: str
    body: str
    image_shape: tuple
    latent_dim: int
    hyper_latent_dim: int
    num_tasks: int
    hidden: int = added(0)
    generate: str = added("all")
    rank: int = added(20)

    def __post_init__(self):
        """What a model does not use is no part of it: the number of tasks is MetaVAE's, u and generator HyperVAE's."""
        super().__post_init__()
        plain = {"hyper_latent_dim": 0, "generator": "none", "generate": "all", "rank": 20}
        unused = {"vae": plain | {"num_tasks": 0}, "hypervae": {"num_tasks": 0}}
        for name, value in unused.get(self.model, plain).items():
            object.__setattr__(self, name, value)

    def build(self, summary="draw"):
        """The untrained model."""
        options = dict(latent_dim=self.latent_dim, hyper_latent_dim=self.hyper_latent_dim, summary=summary)
        options |= dict(hidden=self.hidden, generate=self.generate, rank=self.rank)
        shape = (self.image_shape, self.num_tasks, self.body)
        return build_networks(self.model, *shape, generator=self.generator, **options)


@dataclass(frozen=True)
class Timing(Record):
    """What a row of Table 3 is."""

    networks: Networks
    summary: str  # from which HyperVAE infers u
    batch: int = BATCH

    def __post_init__(self):
        super().__post_init__()
        if self.networks.model != "hypervae":
            object.__setattr__(self, "summary", "none")


def variants(data, latent_dim, hyper_latent_dim, hidden=0, generate="all", rank=20):
    """The Networks of Tables 2 and 3 for a Dataset: VAE, MetaVAE, and HyperVAE with each generator."""
    sizes = (data.body, data.image_shape, latent_dim, hyper_latent_dim, data.num_classes, hidden)
    return [
        Networks(model, generator, *sizes, generate if generator == "layerwise" else "all", rank)
        for model, generator in VARIANTS
    ]


def table2(networks):
    """Trainable parameters {"inference": n, "generative": n, "total": n}."""
    counts = networks.build().parameter_counts()
    return {**counts, "total": sum(counts.values())}


def median_milliseconds(function, *arguments, repeats=200, warm_up=10):
    """Median wall time of one call, after warm-up (TensorFlow's calls on a CPU return when they are done)."""
    for _ in range(warm_up):
        function(*arguments)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def table3(timing, repeats=200):
    """Milliseconds for a batch of images, {quantity: time}; theta and u are HyperVAE's alone.

    x: decode a batch of codes with given weights. z: q(z|x) of the batch with given weights. u: q(u|d) of one task.
    theta: from u to all weights of the main VAE. total: their sum, as the paper has it. All are compiled by XLA;
    theta_uncompiled is the plain TensorFlow graph of theta, where the depth of layer-by-layer generation shows.
    """
    networks = timing.networks
    model = networks.build(timing.summary)
    body = model.body
    images = tf.cast(tf.random.stateless_uniform((1, timing.batch) + body.image_shape, (0, 1)) < 0.2, tf.float32)
    codes = tf.random.stateless_normal((1, timing.batch, body.latent_dim), (0, 2))
    labels = tf.zeros(1, tf.int32)
    theta = single_theta(model.weights_for(images, labels)[0], body.shapes())
    compiled = tf.function(jit_compile=True, autograph=False)

    def measure(function, *arguments):
        return median_milliseconds(function, *arguments, repeats=repeats)

    times = {
        "x": measure(compiled(lambda z, weights: body.decode(weights, z)), codes, theta),
        "z": measure(compiled(lambda x, weights: body.encode(weights, x)), images, theta),
    }
    if networks.model != "hypervae":
        return {**times, "total": sum(times.values())}
    u = model.infer_u(images).mean()

    def generate(code):
        return dense_theta(model.generate(code))

    times["theta"] = measure(compiled(generate), u)
    uncompiled = measure(tf.function(generate), u)
    times["u"] = measure(compiled(lambda x: model.infer_u(x).mean()), images)
    return {**times, "total": sum(times.values()), "theta_uncompiled": uncompiled}
