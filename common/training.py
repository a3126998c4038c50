"""Training with Keras `fit`: settings, checkpoints, exact resume, seeds."""

import dataclasses
import json
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from common.errors import InputError
from common.hypervae import HyperVAE
from common.metavae import MetaVAE
from common.results import digest, make_folder, write_atomically, write_json
from common.tasks import training_batches
from common.vae import VAE

CHECKPOINT_EVERY = 100  # iterations; also one row of the training log


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of one training run; equal settings share one checkpoint."""

    dataset: str
    fingerprint: str  # of the images and labels
    model: str
    recipe: str
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
    binarize: str

    def __post_init__(self):
        """What a model does not use must not split its checkpoints."""
        if self.model == "vae":
            object.__setattr__(self, "tasks_per_step", 1)
        if self.model != "hypervae":
            for name, value in (("summary", "none"), ("generator", "none"), ("hyper_latent_dim", 0)):
                object.__setattr__(self, name, value)

    def folder(self, checkpoints):
        """<checkpoints>/<dataset>/<model>/<recipe>-<digest of the settings>/seed<k>"""
        shared = {k: v for k, v in dataclasses.asdict(self).items() if k != "seed"}
        return Path(checkpoints) / self.dataset / self.model / f"{self.recipe}-{digest(shared)}" / f"seed{self.seed}"


@dataclass(frozen=True)
class Run:
    """A trained model with the settings and the record of its training."""

    model: keras.Model
    settings: Settings
    log: pd.DataFrame  # one row for each CHECKPOINT_EVERY iterations
    commit: str
    folder: Path

    @property
    def seconds(self):
        return float(self.log["seconds"].sum())


def limit_threads(threads):
    """Give this process `threads` cores; must come before TensorFlow's first operation."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # a reused worker has its threads already
        pass


def commit():
    """Short hash of the code's commit, "-dirty" where a source file differs from it, "unknown" outside git."""
    top = Path(__file__).resolve().parent.parent

    def git(*arguments):
        return subprocess.run(["git", "-C", os.fspath(top), *arguments], capture_output=True, text=True)

    try:
        head = git("rev-parse", "--short=10", "HEAD")
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    if head.returncode:
        return "unknown"
    changed = git("status", "--porcelain", "--", "*.py", "requirements.txt").stdout.strip()
    return head.stdout.strip() + ("-dirty" if changed else "")


def build_model(settings, data):
    """An untrained, compiled model for a Dataset's shapes and kind; the seed decides its initial weights."""
    keras.utils.set_random_seed(settings.seed)
    warmup = round(settings.kl_warmup * settings.iterations)
    common = dict(image_shape=data.image_shape, latent_dim=settings.latent_dim, seed=settings.seed, kl_warmup=warmup)
    common["body"] = data.body
    if settings.model == "vae":
        model = VAE(**common)
    elif settings.model == "metavae":
        model = MetaVAE(num_tasks=data.num_classes, **common)
    else:
        model = HyperVAE(
            hyper_latent_dim=settings.hyper_latent_dim,
            summary=settings.summary,
            generator=settings.generator,
            **common,
        )
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, settings.iterations)
    model.compile(
        optimizer=keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.999),
        jit_compile=True,
        # An epoch must be a whole number of executions, or Keras runs past its end.
        steps_per_execution=math.gcd(50, CHECKPOINT_EVERY, settings.iterations),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def fit_or_load(settings, data, checkpoints, verbose="auto", tensorboard=False):
    """Train, continue a run that was cut off, or load a finished one.

    Batches and noise are functions of the seed and the iteration, and weights, optimiser state and
    log are saved together every CHECKPOINT_EVERY iterations, so a run killed at any moment and
    started again ends with the weights of an uninterrupted one.

    Raises:
        InputError: settings that do not fit, a damaged checkpoint, a folder that cannot be written, a
            training that diverged.
    """
    if settings.batch_size % settings.tasks_per_step:
        raise InputError(
            f"--batch-size {settings.batch_size} is no multiple of --tasks-per-step {settings.tasks_per_step}"
        )
    folder = settings.folder(checkpoints)
    make_folder(folder)
    saved = _read_or_write_settings(settings, folder)
    model = build_model(settings, data)
    done = _restore(model, folder)
    log_file = folder / "training_log.csv"
    if done < settings.iterations:
        _trim_log(log_file, done)
        callbacks = [_LogColumns(), keras.callbacks.CSVLogger(log_file, append=True), _SaveState(folder)]
        if tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
        whole = settings.iterations - settings.iterations % CHECKPOINT_EVERY
        for stop, steps in ((whole, CHECKPOINT_EVERY), (settings.iterations, settings.iterations - whole)):
            if done < stop:
                images_per_task = settings.batch_size // settings.tasks_per_step
                batches = training_batches(
                    data.x, data.y, settings.tasks_per_step, images_per_task, settings.seed, done, stop, model.mixed_batches
                )
                model.fit(
                    batches,
                    initial_epoch=done // CHECKPOINT_EVERY,
                    epochs=-(-stop // CHECKPOINT_EVERY),
                    steps_per_epoch=steps,
                    callbacks=callbacks,
                    verbose=verbose,
                    shuffle=False,
                )
                done = stop
    return Run(model, settings, pd.read_csv(log_file), saved["commit"], folder)


def _read_or_write_settings(settings, folder):
    path = folder / "settings.json"
    if not path.exists():
        record = {**dataclasses.asdict(settings), "commit": commit()}
        write_json(path, record)
        return record
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged: delete the folder {folder} and train again") from error
    if {k: v for k, v in record.items() if k != "commit"} != dataclasses.asdict(settings):
        raise InputError(f"{folder} holds a run with other settings: delete it or choose another --results-dir")
    return record


def _restore(model, folder):
    """Load the newest saved state into the model; the number of iterations it has seen."""
    path = folder / "state.weights.h5"
    if not path.exists():
        return 0
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds; all mean the same here
        raise InputError(f"{path} is damaged ({type(error).__name__}): delete the folder {folder} and train again") from error
    return int(model.optimizer.iterations)


def _trim_log(path, done):
    """Drop log rows written after the last saved state: those iterations are run again."""
    if path.exists():
        log = pd.read_csv(path, on_bad_lines="skip")
        # CSVLogger has columns for validation too, always empty here; the others are whole in a whole row.
        kept = log[log["iteration"] <= done].dropna(subset=["seconds"]) if "iteration" in log else log.iloc[:0]
        if len(kept):
            write_atomically(path, lambda temporary: kept.to_csv(temporary, index=False))
        else:
            path.unlink()


class _LogColumns(keras.callbacks.Callback):
    """Adds `iteration` and `seconds` to an epoch's log; stands before CSVLogger, which then writes them."""

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["iteration"] = int(self.model.optimizer.iterations)
        logs["seconds"] = round(time.perf_counter() - self.started, 3)
        if not np.isfinite(logs["neg_elbo"]):
            raise InputError(f"training diverged before iteration {logs['iteration']}: lower --learning-rate")


class _SaveState(keras.callbacks.Callback):
    """Saves weights and optimiser state at the end of each epoch; stands after CSVLogger.

    The row comes first and the state last: a kill between the two leaves a row that the next start trims.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        # Keras wants the suffix .weights.h5, so the temporary name keeps it.
        write_atomically(self.folder / "state.weights.h5", self.model.save_weights)
