"""What a user asks: what is the target of these new rows, which class are these new images of, and how sure is that?"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.cli import refuse_several
from common.data import tabular
from common.data.fingerprints import fingerprint
from common.data.readers import check_size
from common.errors import InputError
from common.implicit import calibration, classification, regression
from common.implicit.estimators import ImplicitHypernetClassifier, ImplicitHypernetRegressor
from common.runs import identity

COVERAGE = 0.9
SIGNIFICANT = 4  # digits of the least standard deviation that 06 --predict writes


@dataclass(frozen=True)
class Answer:
    """A table with one row for each that was asked, notes on the file, what was used in words, and a digest."""

    table: pd.DataFrame
    notes: tuple
    words: str
    digest: str


def _method(args):
    return "hypernet" if args.method == "all" else args.method


def of_rows(args, table, path):
    """The predictive distributions of new rows, by a model of all rows of a Table.

    Args:
        args: options of 06.

    Raises:
        InputError: several tables or seeds; rows that do not fit the table.
    """
    refuse_several("--predict", dataset=args.dataset, seed=args.seeds)
    x, names, notes = tabular.load_new(path, table)
    own = regression.chosen(args, len(table.y)) | {"weights_per_step": args.weights_per_step}
    units = args.hidden_units or regression.hidden_units_for(table.name)
    fitted = ImplicitHypernetRegressor(
        (units,), method=_method(args), hyper_units=tuple(args.hyper_units), noise_dim=args.noise_dim,
        num_samples=args.num_samples, folder=str(args.results_dir / "checkpoints"), random_state=args.seeds[0], **own,
    ).fit(table.x, table.y)  # fmt: skip
    mean, deviation = fitted.predict(x, return_std=True)
    low, high = fitted.predict_interval(x, COVERAGE).T
    # The noise is a part of every deviation.
    digits = max(0, SIGNIFICANT - 1 - math.floor(math.log10(fitted.sigma_)))
    mean, deviation, low, high = (np.round(part, digits) for part in (mean, deviation, low, high))
    what = args.target or "target"
    level = f"{COVERAGE:.0%} interval"
    found = pd.DataFrame(
        {
            "row": names,
            f"{what} (mean)": mean,
            f"{what} (standard deviation)": deviation,
            f"{what} ({level}, low)": low,
            f"{what} ({level}, high)": high,
        }
    )
    held = fitted.settings_["held_out"]
    words = (
        f"{table.name}: {len(table.y):,} rows to learn from, {fitted.epochs_} epochs; of {held} rows that a companion "
        f"did not see, {fitted.coverage_:.0f} % lie within their {level}, and its RMSE is {fitted.held_out_rmse_:.4g}"
    )
    return Answer(found, notes, words, _digest(fitted, x))


def of_images(args, pair, pile, names):
    """The classes of new images, by a network of a data set's training images; its test images set the threshold.

    An image is not known where its predictive entropy is above the largest at which, of the test images up to it, no
    more than --max-error are wrong.

    Args:
        args: options of 07; pair: its Pair; pile: images (N, H, W, 1) uint8; names: of each.

    Raises:
        InputError: several data sets, seeds, architectures or generators; images of another size.
    """
    if "--architecture" not in args.given and len(args.architecture) > 1:
        raise InputError("--predict takes one architecture: name it, for example --architecture 2x400")
    given = dict(dataset=args.dataset, seed=args.seeds, architecture=args.architecture, generator=args.generator)
    refuse_several("--predict", **given)
    data = pair.data
    check_size("images to predict and to learn from", pile.shape[1:], data.image_shape)
    x, y, x_test, y_test = classification.parts(data, "test")
    layers, units = map(int, args.architecture[0].split("x"))
    fitted = ImplicitHypernetClassifier(
        (units,) * layers, method=_method(args), generator=args.generator[0], epochs=args.epochs,
        batch_size=args.batch_size or classification.BATCH_SIZE, learning_rate=args.learning_rate,
        schedule=args.schedule,
        hyper_units=tuple(args.hyper_units or classification.HYPER_UNITS.get(args.architecture[0], (100, 50))),
        noise_dim=args.noise_dim, spread=args.spread, kernel_rate=args.kernel_rate,
        weights_per_step=args.weights_per_step, num_samples=args.num_samples, standardize=False,
        folder=str(args.results_dir / "checkpoints"), random_state=args.seeds[0],
    ).fit(classification.flat(x), y)  # fmt: skip
    held, found = (fitted.predict_proba(classification.flat(images)) for images in (x_test, pile))
    limit, known, wrong = _known(held, np.searchsorted(fitted.classes_, y_test), args.max_error)
    entropy = calibration.entropy(found)
    classes = [data.class_names[c] if data.class_names else str(c) for c in fitted.classes_]
    table = pd.DataFrame(
        {
            "image": names,
            "class": np.array(classes)[found.argmax(1)],
            "probability": found.max(1),
            "entropy (nats)": entropy,
            f"known (at most {args.max_error:.2%} wrong)": entropy <= limit,  # with confidence, see the words
        }
    )
    words = (
        f"{data.name}: {len(y):,} images to learn from; of {len(y_test):,} held-out ones {known:.0f} % are "
        f"known at an entropy of at most {limit:.3g} nats, {wrong:.2f} % of these wrongly (they set that limit; of new "
        f"ones like them at most {args.max_error:.2%}, with {calibration.CONFIDENCE:.0%} confidence); "
        f"of {len(pile):,} new ones {100 * np.mean(entropy <= limit):.0f} % are known"
    )
    held_out = fingerprint(x_test, y_test)  # they set the threshold
    return Answer(table, (), words, _digest(fitted, pile, rate=args.max_error, held_out=held_out))


def _known(held, y_test, max_error):
    """(largest entropy in nats of a known image, percent of held-out images that are known, percent of these wrong).

    Args:
        held: class probabilities of the held-out images (N, classes); y_test: their columns (N,).
    """
    limit = calibration.entropy_limit(held, y_test, max_error)
    kept = calibration.entropy(held) <= limit
    wrong = 100 * np.mean(held.argmax(1)[kept] != y_test[kept]) if kept.any() else 0
    return limit, 100 * kept.mean(), wrong


def _digest(fitted, asked, **more):
    return identity.digest({"fitted": fitted.settings_, "asked": fingerprint(asked), **more})
