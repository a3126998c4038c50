"""The trainings that a command line asks for: their data and tasks, their settings, their models."""

import dataclasses
from pathlib import Path

import numpy as np

from common import cli
from common.data import datasets, image_sets
from common.data.fingerprints import check_unchanged
from common.errors import InputError
from common.hypervae.options import (
    OF_SOME_MODELS,
    RECIPES,
    SCALES,
    binarization,
    body_of,
    chosen_models,
    has_levels,
)

LEVELS = {1: "-grey", 3: "-colour"}  # endings of a data set's name, by its channels: its pixels have 256 levels


def load_data(args, name):
    """The data set of a name or path, as the options ask for it."""
    size = args.image_size if name not in image_sets.NAMES and Path(name).is_dir() else None
    given = [getattr(args, "adapt", None), getattr(args, "score", None), *getattr(args, "files", [])]
    given = [name, *(args.dataset or []), *(getattr(args, "outlier", None) or []), *filter(None, given)]
    if args.image_size and not any(path not in image_sets.NAMES and Path(path).is_dir() for path in given):
        raise InputError(f"--image-size is of folders of pictures, {name} is none: leave it out")
    if has_levels(args):
        cli.refuse_unused(args, ["--binarize"], f"with --likelihood {args.likelihood}")
    data = datasets.load(name, args.data_dir, binarization(args), size, colour=has_levels(args))
    name = data.name + (LEVELS[data.x.shape[-1]] if has_levels(args) else "")
    return dataclasses.replace(data, name=name, body=body_of(args.likelihood, args.body))


def settings_for(args, data, model, recipe, seed):
    """The Settings of one run; a recipe of which a value that the model uses was overridden is labelled "custom".

    Raises:
        InputError: a batch that the tasks of a step cannot share equally.
    """
    from common.hypervae.training import Settings

    given = {name: getattr(args, name) for name in RECIPES[recipe] if getattr(args, name) is not None}
    own = ("iterations", "batch_size", "latent_dim", "hyper_latent_dim", "generator")
    own += ("generate", "rank", "hidden", "targets")
    if (args.generate != "all" or args.vector_scale is not None) and args.generator != "layerwise":
        raise InputError("--generate and --vector-scale are of the layerwise generator: leave --generator out")
    shared = {name: getattr(args, name) for name in own}
    shared |= {name: getattr(args, name) for name in SCALES if getattr(args, name) is not None}
    shared["binarize"] = binarization(args)
    shared |= {"dataset": data.name, "fingerprint": data.fingerprint(), "body": data.body, "model": model, "seed": seed}
    # Told the class, a VAE learns best from batches of all classes (validation part, MNIST: 101.5 against 102.5).
    by_recipe = RECIPES[recipe] | ({"tasks_per_step": args.batch_size} if model == "cvae" else {})
    plain = Settings(**shared, recipe=recipe, **by_recipe)
    chosen = dataclasses.replace(plain, **given)
    if chosen.batch_size % chosen.tasks_per_step:
        wanted = f"--tasks-per-step {chosen.tasks_per_step}"
        raise InputError(f"--batch-size {chosen.batch_size} is no multiple of {wanted}: change one of them")
    if chosen.targets == "others":
        images = chosen.batch_size // chosen.tasks_per_step
        if images < 2:
            raise InputError("--targets others needs two images of a task a step: raise --batch-size")
        if (fewest := np.unique(data.y, return_counts=True)[1].min()) < images:
            raise InputError(
                f"--targets others needs {images} images of each class to learn from, of one there are {fewest}: raise "
                "--tasks-per-step"
            )
    return chosen if chosen.digest == plain.digest else dataclasses.replace(chosen, recipe="custom")


def refuse_unfollowed(args, runs):
    """Refuse options of models that none of the runs has, see cli.refuse_unfollowed."""
    cli.refuse_unfollowed(args, OF_SOME_MODELS, runs)


def planned_runs(args, load=load_data):
    """The data sets asked for, {name or path: Dataset}, and the jobs [(args, Settings, name or path)] on them."""
    models = chosen_models(args)
    if "hypervae" not in models:
        cli.refuse_unused(args, ["--fit-u"], cli.IN_MODELS)
    loaded = {name: load(args, name) for name in args.dataset}
    jobs = [
        (args, settings_for(args, data, model, recipe, seed), name)
        for seed in args.seeds
        for recipe in args.recipe
        for name, data in loaded.items()
        for model in models
    ]
    return loaded, jobs


def trained(args, settings, data):
    """The TrainedModel of one run, trained if it is missing.

    Raises:
        InputError: the data, which jobs read anew, are not those that were planned with; as `fit_or_load`.
    """
    from common.hypervae.training import fit_or_load

    check_unchanged(settings.dataset, data.fingerprint(), settings.fingerprint)
    return fit_or_load(settings, data, args.results_dir / "checkpoints", args.tensorboard)
