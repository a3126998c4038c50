"""A pile of images to score (03's --score): the normal set that it is held against, refused where that is too small."""

import numpy as np

from common.cli import refuse_several
from common.data.readers import check_size, in_channels_of
from common.errors import InputError
from common.hypervae.options import chosen_models
from common.hypervae.outlier_records import MOST_CALIBRATING, UNTOLD
from common.hypervae.outlier_sets import FEWEST_VALIDATION, load_normal
from common.hypervae.runs import refuse_unfollowed, settings_for
from common.hypervae.task_sources import with_tasks


def fewest_calibrating(rate):
    """How many normal images must calibrate for a false-positive rate: with fewer no p-value is so small."""
    return int(min(np.ceil(1 / rate), 1e18)) - 1


def check_pile(args, data, pile):
    """Refuse what cannot be scored, before anything is trained.

    Raises:
        InputError: options of the other mode, images of another size, or too few normal images to calibrate by.
    """
    if args.outlier:
        raise InputError("--score needs no outliers: leave --outlier out")
    check_size("images to score and normal ones", in_channels_of(data.image_shape, pile).shape[1:], data.image_shape)
    rate = args.max_false_positive_rate
    needed, have = fewest_calibrating(rate), min(len(data.x_test), MOST_CALIBRATING)
    if have < needed or len(data.x_validation) < FEWEST_VALIDATION:
        raise InputError(
            f"{have} and {len(data.x_validation)} held-out normal images can calibrate, {needed:g} and "
            f"{FEWEST_VALIDATION} are needed for a false-positive rate of {rate:g}: give more normal images (of more "
            f"than {MOST_CALIBRATING:,} no more are used) or raise --max-false-positive-rate"
        )


def normal_of_pile(args, pile):
    """The normal Dataset of --score, and the Settings of its one model; where there are no classes, tasks are found.

    Raises:
        InputError: more than one set, model, seed or recipe; options of another model; as `check_pile`.
    """
    models = chosen_models(args, ["hypervae"])
    refuse_several("--score", normal=args.dataset, model=models, seed=args.seeds, recipe=args.recipe)
    if models[0] not in UNTOLD:
        raise InputError(f"--score needs a model that is not told the class, not {models[0]}: --model vae or hypervae")
    data = load_normal(args, args.dataset[0])
    check_pile(args, data, pile)
    refuse_unfollowed(args, [settings_for(args, data, models[0], args.recipe[0], args.seeds[0])])
    data = with_tasks(args, data, "auto" if models[0] == "hypervae" and data.num_classes == 1 else "labels")
    return data, settings_for(args, data, models[0], args.recipe[0], args.seeds[0])
