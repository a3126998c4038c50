"""Omniglot by characters, each one a task of twenty drawings: the published split of a few-shot comparison.

(Bartunov & Vetrov 2018; drawings of Lake, Salakhutdinov & Tenenbaum 2015.) 964 characters of 30 alphabets to learn
from, 659 of 20 other alphabets that are new.
"""

from pathlib import Path

import numpy as np

from common.data.datasets import Dataset
from common.data.readers import read_arrays
from common.errors import InputError

FOLDER, FILES = "omniglot_characters", ("train_small.npz", "test_small.npz")
SIDE, INK, PAPER = 28, 0, 255
HELD_OUT_ALPHABETS = 3  # of those to learn from: their characters are new ones, too, on which settings are chosen
REMEDY = "fetch the two files of few-shot Omniglot that S. Bartunov published, see docs/inputs.md"


def load(data_dir, turned=True):
    """The Dataset of which every part has other characters: to learn from, of held-out alphabets, and unseen ones.

    Images are 28 x 28, ink 1. Labels count all characters of all parts, so that none is in two.

    Args:
        data_dir: folder with omniglot_characters/.
        turned: each character to learn from also stands as seven more, in quarter turns and mirrored.

    Raises:
        InputError: a file is missing, damaged, or holds something else.
    """
    known, unseen = (_read(Path(data_dir) / FOLDER / file) for file in FILES)
    alphabets = sorted({name.split("/")[1] for name in known})
    held_out = {name for name in known if name.split("/")[1] in alphabets[-HELD_OUT_ALPHABETS:]}
    parts = [
        [
            form
            for name in sorted(known.keys() - held_out)
            for form in (forms(known[name]) if turned else [known[name]])
        ],
        [known[name] for name in sorted(held_out)],
        [unseen[name] for name in sorted(unseen)],
    ]
    arrays, first = [], 0
    for part in parts:
        arrays += [np.concatenate(part), first + np.repeat(np.arange(len(part)), [len(images) for images in part])]
        first += len(part)
    x, y, x_validation, y_validation, x_test, y_test = arrays
    return Dataset(FOLDER, x, y, x_test, y_test, (), x_validation, y_validation)


def forms(images):
    """A character's images (N, S, S, 1) in eight forms: four quarter turns, each also mirrored. The first is itself."""
    return [np.rot90(own, turns, (1, 2)) for own in (images, images[:, :, ::-1]) for turns in range(4)]


def _read(path):
    """{"<part>/<alphabet>/<character>": images (N, 28, 28, 1) uint8, ink 1}"""
    arrays = read_arrays(path, REMEDY, f"cannot be read ({{}}): {REMEDY}")
    for name, array in arrays.items():
        right = array.ndim == 2 and array.shape[1] == SIDE**2 and len(array) > 1 and np.isin(array, (INK, PAPER)).all()
        if not right or name.count("/") != 2:
            raise InputError(f"{path}: {name} is no (drawings, {SIDE**2}) of {INK} and {PAPER}: {REMEDY}")
    if len({name.split("/")[1] for name in arrays}) <= HELD_OUT_ALPHABETS:
        raise InputError(f"{path} has {HELD_OUT_ALPHABETS} alphabets or fewer: {REMEDY}")
    return {name: (array == INK).astype(np.uint8).reshape(-1, SIDE, SIDE, 1) for name, array in arrays.items()}
