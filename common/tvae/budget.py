"""What a denoising run should be for a given time: stride, states and epochs, chosen by a short measurement.

A finer stride and more states restore better where there are epochs enough for them. So of the rungs, from the cheapest
up, the last one is taken for which the time holds MIN_CYCLES learning-rate cycles.
"""

import dataclasses
import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from common.errors import InputError
from common.runs.identity import Record
from common.runs.storage import exclusive, made_once, write_settings
from common.tvae.patches import corners
from common.tvae.recipe import Recipe
from common.tvae.training import build

RUNGS = (  # (parts of a patch's side that the stride is, states, batch size)
    (1, 32, 32),
    (2, 32, 32),
    (2, 64, 32),
    (3, 64, 64),
    (6, 64, 128),
)
MIN_CYCLES = 3
MAX_CYCLES = 20  # longer trainings of one rung bring little
STARTUP = 10.0  # seconds: compilation, the rivals and the pictures
SLACK = 0.9  # of the time is planned: machines are not equally fast all the time
STEPS = 12  # measured of each kind


@dataclass(frozen=True)
class Budget(Record):
    """What is asked for: the settings chosen for it are stored under its digest."""

    fingerprint: str  # of the image
    minutes: float
    patch: int
    misses_pixels: bool  # a mask makes a step longer
    recipe: Recipe  # its states, epochs and batch size are what is chosen

    @property
    def kind(self):
        return "budget"


def choose(budget, image):
    """The settings {stride, states, batch_size, epochs, seconds (expected)} for a Budget and its image.

    Raises:
        InputError: the time does not suffice for the cheapest ones.
    """
    seconds, took = SLACK * 60 * budget.minutes, {}
    started, found = time.perf_counter(), None
    for parts, states, batch_size in RUNGS:
        stride = max(1, budget.patch // parts)
        if (states, batch_size) not in took:
            took[states, batch_size] = _seconds_a_step(budget, image, states, batch_size)
        number = np.prod([len(corners(side, budget.patch, stride)) for side in image.shape[:2]])
        epoch = took[states, batch_size] * -(-number // batch_size)
        cycle = 2 * budget.recipe.half_cycle * epoch
        left = seconds - STARTUP - (time.perf_counter() - started)
        cycles = min(MAX_CYCLES, int(left // cycle))
        if cycles < MIN_CYCLES:
            if found is None:
                least = (MIN_CYCLES * cycle + seconds - left) / SLACK / 60
                raise InputError(f"--minutes {budget.minutes:g} is too short: this image needs {least:.1f} at least")
            break
        epochs = cycles * 2 * budget.recipe.half_cycle
        settings = {"stride": stride, "states": states, "batch_size": batch_size, "epochs": epochs}
        found = settings | {"seconds": float(round(epochs * epoch))}
    return found


def chosen(budget, image, checkpoints):
    """What `choose` gives, or gave before: the same command goes on with the same settings."""
    folder = budget.folder(checkpoints)
    with exclusive(folder):
        write_settings(folder / "settings.json", budget.stored())
        return made_once(folder / "chosen.json", lambda: choose(budget, image))


def runs_for(minutes, runs, image, checkpoints):
    """DenoisingRuns of one image with the settings chosen for `minutes` each, and a line on these."""
    first = runs[0]
    budget = Budget(first.fingerprint, minutes, first.patch, first.misses_pixels, first.recipe)
    settings = chosen(budget, image, checkpoints)
    changes = dict(stride=settings["stride"], recipe=apply(settings, first.recipe))
    return [dataclasses.replace(run, **changes) for run in runs], in_words(settings)


def in_words(settings):
    """One line on the settings of `choose`."""
    names = {"stride": "stride", "states": "states", "batch_size": "batch size", "epochs": "epochs"}
    listed = ", ".join(f"{words} {settings[name]}" for name, words in names.items())
    return f"{listed}: about {settings['seconds'] / 60:.1f} minutes"


def apply(settings, recipe):
    """The recipe with the settings of `choose`."""
    return dataclasses.replace(recipe, **{name: settings[name] for name in ("states", "batch_size", "epochs")})


def _seconds_a_step(budget, image, states, batch_size):
    """Seconds of one training step, the median of a few on noise; whatever it learns of it is thrown away."""
    import tensorflow as tf

    dim = budget.patch**2 * (image.shape[2] if image.ndim == 3 else 1)
    recipe = dataclasses.replace(budget.recipe, states=states, batch_size=batch_size)
    data = np.random.default_rng(0).normal(128, 50, (batch_size, dim)).astype(np.float32)
    mask = np.ones_like(data) if budget.misses_pixels else None
    model = build(recipe, data.shape, 0, 2500.0)
    model.fit(data, 0, mask=mask, batch_size=batch_size, verbose=0)  # makes the optimizer
    batch, times = tuple(map(tf.constant, (np.arange(batch_size), data, *([] if mask is None else [mask])))), []
    for _ in range(STEPS + 1):  # the first one compiles
        started = time.perf_counter()
        float(model.train_step(batch)["free_energy"])
        times.append(time.perf_counter() - started)
    return median(times[1:])
