"""Search for an image of a class that no model has seen (Figures 2 and 3a): targets and records."""

import functools

import numpy as np

from common.data import datasets
from common.data.fingerprints import fingerprint
from common.discovery import runs, search_summary
from common.discovery.records import SHOWN, Discovery, Target, columns
from common.errors import InputError
from common.runs.results import put_rows

TARGET_SEED = 1
LABELS = ["digit", "target_index", "method", "seed"]
FIGURE3A = [*LABELS, "evaluation", "step", "cosine_distance", "best_so_far", "seconds", *SHOWN]
BOUNDS = [*LABELS, "cosine_distance", *SHOWN]
ORDER = ["dataset", "target_kind", *LABELS]


def load_rest(name, data_dir, binarize, size, digit):
    """The data set of a name or path without one class."""
    return datasets.without(datasets.load(name, data_dir, binarize, size), digit)


def load_targets(name, data_dir, binarize, size, digit, number, chosen=None):
    """The targets among the test images of a class.

    Args:
        binarize: as of the images that the models train on, or "none" for grey targets; size: see datasets.load.
        number: how many are drawn.
        chosen: numbers of these test images of the class instead.

    Returns:
        {number of the test image: image (H, W, 1) in [0, 1]}.

    Raises:
        InputError: a class or an image that the data set does not have, or an empty image.
    """
    data = datasets.load(name, data_dir, binarize, size)
    x = data.x_test[data.y_test == digit] / (255 if binarize == "none" else 1)
    if not len(x):
        known = f"classes 0 to {data.num_classes - 1}"
        raise InputError(f"{data.name} has {known}, not {digit}: choose --held-out among them")
    drawn = np.random.default_rng([TARGET_SEED, digit]).permutation(len(x))[:number].tolist()
    for index in chosen or drawn:
        if index >= len(x):
            known = f"test images 0 to {len(x) - 1}"
            raise InputError(f"class {digit} of {data.name} has {known}, not {index}: choose --target-index among them")
        if not x[index].any():
            raise InputError(f"test image {index} of class {digit} is empty: choose another --target-index")
    return {index: x[index] for index in dict.fromkeys(chosen or drawn)}


def record(data, digit, index, image, kind, models, search):
    """The Discovery of one target.

    Args:
        data: the whole Dataset, the held-out class among it.
        kind: "binary" or "grey".
        models: {"vae", "hypervae": the training's record}.
        search: SearchSettings.
    """
    target = Target(str(digit), str(index), fingerprint(image))
    fixed = dict(target=target, target_kind=kind, objective="cosine", known_tasks=False, search=search)
    return Discovery(data.name, data.fingerprint(), **models, **fixed)


def discover(job):
    """(job, what `runs.explore` finds) for one target."""
    return job, runs.explore(job, functools.partial(runs.target_search, job))


def table_rows(discovered):
    """(rows of figure3a.csv, rows of bounds.csv) of what `discover` gave for some jobs."""
    curves, bounds = [], []
    for job, found in discovered:
        target = job.record.target
        cells = columns(job.record) | {"digit": int(target.held_out), "target_index": int(target.which)}
        curves += runs.table_rows(found["rows"], cells, found)
        bounds += runs.table_rows(found["bounds"], cells, found)
    return curves, bounds


def write_tables(folder, curves, bounds):
    """Add rows to figure3a.csv and bounds.csv, and write the summaries; returns a Protocol for each one."""
    put_rows(folder / "figure3a.csv", curves, FIGURE3A, ["method", "evaluation"], ORDER, packed=True)
    put_rows(folder / "bounds.csv", bounds, BOUNDS, ["method"], ORDER)
    return search_summary.write_summaries(folder, "figure3a.csv", "digit")
