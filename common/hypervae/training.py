"""Training with Keras `fit`: settings, checkpoints, exact resume, seeds."""

import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from common.hypervae import density
from common.hypervae.body import Body
from common.hypervae.cvae import CVAE
from common.hypervae.hypervae import HyperVAE
from common.hypervae.metavae import MetaVAE
from common.hypervae.tasks import training_batches
from common.hypervae.vae import MEASURES, VAE
from common.layers.generators import CHANGE_SCALE
from common.runs import storage
from common.runs.checkpoints import Checkpoint, resume
from common.runs.identity import Record, added, label

CHECKPOINT_EVERY = 100  # iterations, at most
LEAST_ROWS = 10  # of the training log: one at each checkpoint
HELD_OUT = "held_out_neg_elbo"  # column of the log: -ELBO on validation images, by the protocol of Table 1
HELD_OUT_TIMES, HELD_OUT_IMAGES = 10, 1_000  # measured that often in a run, on at most so many images
HELD_OUT_SEED = 1
FORMER_MEASURES = {"kl_u": "kl_u_of_task"}


@dataclass(frozen=True)
class Settings(Record):
    """Everything that decides the numbers of one training run; equal settings share one checkpoint."""

    dataset: str = label()
    recipe: str = label()
    binarize: str = label()  # the fingerprint knows the binarized pixels
    fingerprint: str  # of the images and labels
    body: str  # the networks' kind, and with it the likelihood
    model: str
    seed: int
    iterations: int
    batch_size: int
    learning_rate: float
    schedule: str  # "constant" or "cosine"
    kl_warmup: float  # fraction of the iterations in which the weight of the KL terms rises to 1
    tasks_per_step: int
    latent_dim: int
    hyper_latent_dim: int
    summary: str
    generator: str
    hidden: int = added(0)  # units of the main networks' dense layers; 0: the body's own
    generate: str = added("all")  # what of theta is generated
    rank: int = added(20)  # of what u changes in a weight: the side of H
    change_scale: float = added(CHANGE_SCALE)  # of that change at the start
    vector_scale: float | None = added(None)  # the same of biases and factors; None: as all others
    targets: str = added("all")  # images of a task that a step codes: all, or the others than those that u is made from

    def __post_init__(self):
        """What a model does not use must not split its checkpoints."""
        super().__post_init__()
        unused = {}
        if self.model == "vae":
            unused |= {"tasks_per_step": 1}
        if self.model != "hypervae":
            unused |= {"summary": "none", "generator": "none", "hyper_latent_dim": 0, "targets": "all"}
        if self.model != "hypervae" or self.generator == "concatenation":
            unused |= {"generate": "all", "rank": 20, "change_scale": CHANGE_SCALE}
            unused |= {"vector_scale": None}
        if self.vector_scale == self.change_scale:
            unused |= {"vector_scale": None}  # which says the same
        if self.hidden == Body.default_hidden:
            unused |= {"hidden": 0}  # likewise
        for name, value in unused.items():
            object.__setattr__(self, name, value)

    @property
    def kind(self):
        return self.model


@dataclass(frozen=True)
class TrainedModel:
    """A trained model with the settings and the record of its training."""

    model: keras.Model
    settings: Settings
    log: (
        pd.DataFrame
    )  # a row for each checkpoint, of the iterations since the last one: iteration, seconds so far, MEASURES, HELD_OUT
    trained_at: str  # commit
    folder: Path

    @property
    def seconds(self):
        return float(self.log["seconds"].iloc[-1])


def build_networks(
    model,
    image_shape,
    num_classes,
    body="conv",
    latent_dim=10,
    hyper_latent_dim=10,
    summary="draw",
    generator="layerwise",
    seed=0,
    kl_warmup=0,
    hidden=0,
    generate="all",
    rank=20,
    change_scale=CHANGE_SCALE,
    vector_scale=None,
    targets="all",
):
    """An untrained model; the seed decides its initial weights, and later its draws in training.

    Args:
        model: one of MODELS.
        num_classes: MetaVAE's decoders, the classes that CVAE is told; hyper_latent_dim, summary, generator, generate,
            rank, change_scale, vector_scale, targets: HyperVAE's. The others ignore them.
        kl_warmup: iterations, see VAE; hidden: units of the dense layers, 0 for the body's own.
    """
    keras.utils.set_random_seed(seed)
    common = dict(image_shape=image_shape, latent_dim=latent_dim, seed=seed, kl_warmup=kl_warmup, body=body)
    common |= {"hidden": hidden}
    if model == "vae":
        return VAE(**common)
    if model in ("metavae", "cvae"):
        return {"metavae": MetaVAE, "cvae": CVAE}[model](num_tasks=num_classes, **common)
    common |= {"generate": generate, "hyper_matrix": rank, "change_scale": change_scale, "vector_scale": vector_scale}
    common |= {"targets": targets}
    return HyperVAE(hyper_latent_dim=hyper_latent_dim, summary=summary, generator=generator, **common)


def networks_of(settings, image_shape, num_classes):
    """An untrained model of a run's Settings, for images of a shape (H, W, 1); the seed decides its initial weights."""
    warmup = round(settings.kl_warmup * settings.iterations)
    own = ("latent_dim", "hyper_latent_dim", "summary", "generator", "seed", "hidden", "generate", "rank")
    own += ("change_scale", "vector_scale", "targets")
    options = {name: getattr(settings, name) for name in own}
    shape = tuple(image_shape)
    return build_networks(settings.model, shape, num_classes, settings.body, kl_warmup=warmup, **options)


def build_model(settings, data):
    """An untrained, compiled model for a Dataset."""
    model = networks_of(settings, data.image_shape, data.num_classes)
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, max(1, settings.iterations))
    model.compile(
        optimizer=keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.999),
        jit_compile=True,
        # An epoch must be a whole number of executions, or Keras runs past its end.
        steps_per_execution=math.gcd(50, checkpoint_every(settings), settings.iterations),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def held_out_part(data):
    """At most HELD_OUT_IMAGES validation images and their labels, equally many of each class where it has so many."""
    labels = np.unique(data.y_validation)
    each = max(1, HELD_OUT_IMAGES // max(1, len(labels)))
    chosen = [np.flatnonzero(data.y_validation == label)[:each] for label in labels[:HELD_OUT_IMAGES]]
    index = np.concatenate(chosen) if chosen else np.zeros(0, int)
    return data.x_validation[index], data.y_validation[index]


def held_out_curve(model, data, total):
    """A function from an epoch to {HELD_OUT: -ELBO} after every tenth of `total` epochs, to {} in between.

    Its draws have a seed of their own and the model's weights are only read: the training does not notice.
    """
    x, y = held_out_part(data)
    if not len(y):
        return lambda epoch: {}
    largest = min(100, int(np.bincount(y).max()))  # no task is larger: where classes are small, nothing is filled up
    evaluator = density.Evaluator(model, largest, num_importance_samples=0, compiled=False)

    def measure(epoch):
        due = HELD_OUT_TIMES * epoch // total > HELD_OUT_TIMES * (epoch - 1) // total
        return {HELD_OUT: float(evaluator(x, y, HELD_OUT_SEED)["neg_elbo"])} if due else {}

    return measure


def checkpoint_every(settings):
    """Iterations between two checkpoints."""
    return min(CHECKPOINT_EVERY, max(1, settings.iterations // LEAST_ROWS))


def fit_or_load(settings, data, checkpoints, tensorboard=False):
    """Train, continue a run that was cut off, or load a finished one.

    Batches and noise are functions of the seed and the iteration, and weights, optimiser state and log are saved
    together at each checkpoint, so a run killed at any moment and started again ends with the weights of
    an uninterrupted one, given as many threads (--jobs shares the cores out): other numbers of them add floats in
    another order. Another process that trains the same run is waited for.

    Raises:
        InputError: a damaged checkpoint, a folder that cannot be written, a training that diverged.
    """
    folder = settings.folder(checkpoints)
    with storage.exclusive(folder):
        model = build_model(settings, data)
        progress, every = resume(folder, settings, model), checkpoint_every(settings)
        total = -(-settings.iterations // every)
        held_out = held_out_curve(model, data, total)

        def measure(_, epoch, logs):
            done = min(epoch * every, settings.iterations)
            return {"iteration": done, **{name: float(logs[name]) for name in MEASURES}, **held_out(epoch)}

        unit = ("iterations", every, settings.iterations)
        options = dict(
            measure=measure, monitor="neg_elbo", remedy="lower --learning-rate", shown=MEASURES[1:], unit=unit
        )
        callbacks = [Checkpoint(folder, progress, total, 1, **options)] if progress["epoch"] < total else []
        if tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
        images_per_task = settings.batch_size // settings.tasks_per_step
        whole, rest = divmod(settings.iterations, every)
        # Whole epochs, and a shorter last one.
        for last, steps in ((whole, every), (total, rest)):
            first = progress["epoch"]
            if first < last:
                start = first * every
                stop = min(last * every, settings.iterations)
                shape = (settings.tasks_per_step, images_per_task)
                which = {"mixed": model.mixed_batches, "distinct": settings.targets == "others"}
                batches = training_batches(data.x, data.y, *shape, settings.seed, start, stop, **which)
                options = dict(initial_epoch=first, epochs=last, steps_per_epoch=steps, callbacks=callbacks)
                model.fit(batches, verbose=0, shuffle=False, **options)
    # Logs of before call KL(u) otherwise; a training that was begun then may have gone on since.
    rows = [{FORMER_MEASURES.get(name, name): value for name, value in row.items()} for row in progress["rows"]]
    log = pd.DataFrame(rows).reindex(columns=["iteration", "seconds", *MEASURES, HELD_OUT])
    return TrainedModel(model, settings, log, progress["trained_at"], folder)


def measured_once(args, record, run, measure):
    """What is measured of a training, and kept beside it: {column: value}, with parameters and commits.

    Args:
        record: of the measurement; its `training` is the Settings.
        run: gives the TrainedModel, measure(record) what is found; both are called where it has not been measured yet.
    """

    def made():
        found = {name: value.item() if hasattr(value, "item") else value for name, value in measure(record).items()}
        found |= {"parameters": run().model.count_params(), "trained_at": run().trained_at}
        return found | {"evaluated_at": storage.commit()}

    folder = record.training.folder(args.results_dir / "checkpoints")
    return storage.made_once(folder / f"{record.kind}-{record.digest}.json", made)
