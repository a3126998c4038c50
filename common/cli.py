"""The options that all scripts share, and how scripts end on bad input."""

import argparse
import os
import sys
from pathlib import Path

from common import datasets
from common.errors import InputError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up notes; errors still show

MODELS = ("vae", "metavae", "hypervae")

# The paper's recipe (section 4.2), and ours: chosen on the validation parts, the same schedule and number of images
# for every model (`make ablation` shows what each change brings).
RECIPES = {
    "paper": {"learning_rate": 3e-4, "schedule": "constant", "kl_warmup": 0, "tasks_per_step": 1, "summary": "draw"},
    "ours": {"learning_rate": 2e-3, "schedule": "cosine", "kl_warmup": 0.2, "tasks_per_step": 20, "summary": "mean"},
}


DATA_HELP = (
    "digits (default; ships with scikit-learn), mnist, fashion_mnist, omniglot, or the path of an .npz with x (N, H, W) and "
    "y (N,), optionally x_test and y_test"
)


def parser(description, epilog, data_option="--dataset", data_help=DATA_HELP):
    """An argument parser with the shared options; `epilog` holds examples.

    `data_option` is the name under which this script's users give the data sets to train on (args.dataset).
    """
    p = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = p.add_argument_group("data")
    data.add_argument(
        data_option,
        dest="dataset",
        nargs="+",
        default=["digits"],
        metavar="NAME",
        help=data_help,
    )
    add_data_dir(data)
    data.add_argument(
        "--binarize",
        choices=("bernoulli", "threshold"),
        default="bernoulli",
        help="draw each pixel once with its grey level as probability (default), or cut at one half",
    )
    run = p.add_argument_group("runs")
    run.add_argument("--model", choices=(*MODELS, "all"), default="all", help="which model (all)")
    add_run_options(run)
    run.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs beside the checkpoints")
    train = p.add_argument_group("training (defaults come from the recipe)")
    train.add_argument("--recipe", choices=tuple(RECIPES), nargs="+", default=["ours"], help="paper or ours (default)")
    train.add_argument("--iterations", type=positive_int, default=10_000, help="gradient steps (10000)")
    train.add_argument("--batch-size", type=positive_int, default=100, help="images a step, over all its tasks (100)")
    train.add_argument("--learning-rate", type=positive_float, help="Adam's (paper 0.0003, ours 0.002)")
    train.add_argument("--schedule", choices=("constant", "cosine"), help="of the learning rate")
    train.add_argument(
        "--kl-warmup", type=fraction, help="fraction of the iterations in which the KL terms' weight rises to 1 (paper 0, ours 0.2)"
    )
    train.add_argument("--tasks-per-step", type=positive_int, help="tasks a step (paper 1, ours 20)")
    train.add_argument("--latent-dim", type=positive_int, default=10, help="dimensions of z (10)")
    train.add_argument("--hyper-latent-dim", type=positive_int, default=10, help="dimensions of u (10)")
    train.add_argument(
        "--summary",
        choices=("draw", "mean", "set"),
        help="HyperVAE's s(D): one random image (paper), mean of the encoder's outputs, or a set encoder",
    )
    train.add_argument(
        "--generator", choices=("layerwise", "block"), default="layerwise", help="how theta is generated (layerwise)"
    )
    return p


def add_data_dir(group):
    group.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("HYPERVAE_DATA", "data")),
        help="folder with the named data sets (default $HYPERVAE_DATA, else data/)",
    )


def add_run_options(group, jobs=True):
    """--results-dir and --seeds, and --jobs where runs can stand side by side."""
    group.add_argument("--results-dir", type=Path, default=Path("results"), help="where everything is written (results/)")
    group.add_argument("--seed", "--seeds", dest="seeds", type=whole_number, nargs="+", default=[0], help="one or more seeds (0)")
    if jobs:
        group.add_argument("--jobs", type=positive_int, default=1, help="runs side by side, cores shared (1)")


def add_search_options(p):
    """The options of the scripts that search for designs; returns their group."""
    search = p.add_argument_group("search")
    search.add_argument("--evaluations", type=positive_int, default=300, help="designs compared with a target (300)")
    search.add_argument(
        "--budget",
        choices=("total", "per-step"),
        default="total",
        help="the outer steps of a search share the evaluations (default), or have that many each",
    )
    search.add_argument("--steps", type=positive_int, default=3, help="outer steps of the iterated search, Eq. 10 (3)")
    search.add_argument("--acquisition", choices=("EI", "LCB", "MPI"), default="EI", help="of the Bayesian optimization (EI)")
    search.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler, tcp://host:8786, whose workers do everything")
    return search


def search_protocol(args):
    """The search options that decide its numbers, as columns of the tables.

    Raises:
        InputError: too few evaluations to share.
    """
    if args.evaluations < max(2, args.steps):
        raise InputError(f"{args.evaluations} evaluations are too few for {args.steps} steps: raise --evaluations")
    return {name: getattr(args, name) for name in ("budget", "evaluations", "steps", "acquisition")}


def whole_number(text, smallest=0):
    if not text.isdecimal() or int(text) < smallest:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from {smallest} up")
    return int(text)


def positive_int(text):
    return whole_number(text, smallest=1)


def class_list(text):
    """"0-4,7" to [0, 1, 2, 3, 4, 7]."""
    classes = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        classes += range(whole_number(first), whole_number(last or first) + 1)
    return classes


def _number(text, fits, wanted):
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
    return value


def fraction(text):
    return _number(text, lambda value: 0 <= value <= 1, "a fraction from 0 to 1")


def not_negative(text):
    return _number(text, lambda value: 0 <= value < float("inf"), "a number from 0 up")


def positive_float(text):
    return _number(text, lambda value: 0 < value < float("inf"), "a positive number")


def settings_for(args, data, model, recipe, seed):
    """The Settings of one run; a recipe whose values were overridden on the command line is "custom"."""
    from common.training import Settings

    given = {name: getattr(args, name) for name in RECIPES[recipe] if getattr(args, name) is not None}
    chosen = RECIPES[recipe] | given
    return Settings(
        dataset=data.name,
        fingerprint=data.fingerprint(),
        model=model,
        recipe=recipe if chosen == RECIPES[recipe] else "custom",
        seed=seed,
        iterations=args.iterations,
        batch_size=args.batch_size,
        latent_dim=args.latent_dim,
        hyper_latent_dim=args.hyper_latent_dim,
        generator=args.generator,
        binarize=args.binarize,
        **chosen,
    )


def load_data(args, name):
    """The data set of a name or path, as the options ask for it."""
    return datasets.load(name, args.data_dir, args.binarize)


def trained(args, settings, data):
    """The Run of one model, trained if it is missing; a job among others logs lines, not bars."""
    from common.training import fit_or_load

    alone = args.jobs == 1 and getattr(args, "scheduler", None) is None
    return fit_or_load(settings, data, args.results_dir / "checkpoints", "auto" if alone else 2, args.tensorboard)


def planned_runs(args, load=load_data):
    """The data sets asked for, {name or path: Dataset}, and the jobs [(args, Settings, name or path)] on them."""
    models = MODELS if args.model == "all" else (args.model,)
    loaded = {name: load(args, name) for name in args.dataset}
    jobs = [
        (args, settings_for(args, data, model, recipe, seed), name)
        for seed in args.seeds
        for recipe in args.recipe
        for name, data in loaded.items()
        for model in models
    ]
    return loaded, jobs


def run_script(main):
    """Call main(); bad input ends with one line on stderr and exit code 2, Ctrl-C with 130."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: start the same command again to continue", file=sys.stderr)
        sys.exit(130)
