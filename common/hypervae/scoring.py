"""How odd each image of a pile is, told nothing but normal ones: a score, and how often normal images have such a one.

The score is outlier_records.OWN_RULE, three rules of Table 4 combined. Normal images that no model was trained on
calibrate it: the validation part fits the rule, the test part says how large scores of normal images are.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.data.blocks import spread
from common.data.datasets import binarize_each
from common.data.fingerprints import fingerprint
from common.data.readers import in_channels_of
from common.hypervae import outliers
from common.hypervae.options import has_levels
from common.hypervae.outlier_records import MOST_CALIBRATING, OWN_RULE
from common.hypervae.outlier_sets import EVALUATION_SEED
from common.hypervae.rules import own_rule, tail_share
from common.hypervae.runs import trained
from common.runs import identity, storage
from common.runs.identity import Record

SHOWN = 24  # of the oddest images, those that an Answer holds


@dataclass(frozen=True)
class Calibration(Record):
    """What normal images that calibrate scores are measured by."""

    training: Record
    num_samples: int  # draws of z for each image
    most: int = MOST_CALIBRATING
    evaluation_seed: int = EVALUATION_SEED
    noise: str = "alike"  # of all images: a score depends on its image alone


def statistics(model, x_validation, seed, num_samples):
    """A function from images (N, H, W, channels), as the model takes them, to a table of all that scores are made of.

    It has a row an image, which depends on that image alone.

    Args:
        model: a VAE or HyperVAE.
        x_validation: normal images that it was not trained on: their average VAE is what regret is measured by.
        seed: of the draws of z; num_samples: of them for each image.
    """
    table = outliers.statistics_table(model, x_validation, seed, num_samples, shared_noise=True)
    return lambda x: table("validation", x).astype(float)  # all images by the noise of one part, whichever they are of


class Scorer:
    """Scores of images by one trained model; an image's score depends on nothing beside it.

    Args:
        table_of: the `statistics` of a model.
        rule: a function from such a table to scores (N,), fitted to normal images.
        normal: a table of other ones, which say how large scores of normal images are; no model was trained on either.

    Attributes:
        normal: scores of the calibrating normal images, sorted, (n,).
    """

    def __init__(self, table_of, rule, normal):
        self._table_of, self._rule = table_of, rule
        self.normal = np.sort(np.asarray(rule(normal), np.float64))

    def __call__(self, x):
        """A table with one row an image of x (N, H, W, channels): score (nats, larger is odder) and p_value.

        p_value is the `tail_share` of normal images: of these no more than a share a have a p_value of at most a.
        """
        scores = np.asarray(self._rule(self._table_of(x)), np.float64)
        return pd.DataFrame({"score": scores, "p_value": tail_share(self.normal, scores)})


def calibrated(record, model, data, folder):
    """The Scorer of a Calibration: its training's model and the normal Dataset; its tables are kept in `folder`."""
    parts = {"validation": spread(data.x_validation, record.most), "normal": spread(data.x_test, record.most)}
    table_of = statistics(model, parts["validation"], record.evaluation_seed, record.num_samples)

    def made():
        tables = {part: table_of(x) for part, x in parts.items()}
        return {part: {name: column.tolist() for name, column in table.items()} for part, table in tables.items()}

    path = record.training.folder(folder) / f"calibration-{record.digest}.json"
    tables = {part: pd.DataFrame(columns) for part, columns in storage.made_once(path, made).items()}
    return Scorer(table_of, own_rule(tables["validation"], record.training.seed), tables["normal"])


@dataclass(frozen=True)
class Answer:
    """What is said of a pile: a table (image, score, p_value, outlier), oddest first; images of its first rows.

    `maps` are the nats of these images' pixels, `anchor` is where the maps' colours turn, `words` say what was used.
    """

    table: pd.DataFrame
    images: np.ndarray
    maps: np.ndarray
    anchor: float
    words: str
    digest: str


def answer(args, settings, data, pile, names):
    """Score a pile of images by one model, trained if it is missing.

    Args:
        args: options of 03, with max_false_positive_rate; settings: of the training; data: its Dataset, normal images.
        pile: images (N, H, W, 1) uint8, 0 to 255; names: of each.
    """
    rate = args.max_false_positive_rate
    x = in_channels_of(data.image_shape, pile) if has_levels(args) else binarize_each(pile, args.binarize)
    record = Calibration(settings, args.num_samples)
    run = trained(args, settings, data)
    scorer = calibrated(record, run.model, data, args.results_dir / "checkpoints")
    table = scorer(x).assign(image=names)
    table = table.assign(outlier=table["p_value"] <= rate)
    order = np.argsort(-table["score"].to_numpy(), kind="stable")
    most = order[:SHOWN]
    normal = spread(data.x_test, record.most)
    called = f"{data.name}, {len(data.x):,} images to learn from, {len(scorer.normal):,} held out to calibrate"
    words = (
        f"{int(table['outlier'].sum())} of {len(x):,} called outliers at a false-positive rate of {rate:g}; {called}"
    )
    made_by = {"calibration": record.stored(), "pile": fingerprint(x), "rate": rate, "rule": OWN_RULE}
    digest = identity.digest(made_by)
    maps, anchor = outliers.pixel_nats(run.model, x[most]), outliers.dearest_pixel(run.model, normal, rate)
    return Answer(table.iloc[order], x[most], maps, anchor, words, digest)
