"""The options of scripts that train VAE, MetaVAE and HyperVAE, and the runs that they ask for."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from common import cli
from common.cli import add_data_dir, add_run_options, fraction, positive_float, positive_int, whole_number
from common.data import datasets, image_sets
from common.data.fingerprints import check_unchanged
from common.errors import InputError

ALL_MODELS = ("vae", "metavae", "hypervae")  # the paper's
MODELS = (*ALL_MODELS, "cvae")
NAMES = {"vae": "VAE", "cvae": "class-told VAE", "metavae": "MetaVAE", "hypervae": "HyperVAE"}
# SUMMARIES and TARGETS of hypervae.py, the keys of layers.generators.GENERATORS, and GENERATED there, without loading
# TensorFlow.
SUMMARIES = ("draw", "mean", "set")
TARGETS = ("all", "others")
GENERATORS = ("layerwise", "block", "concatenation")
GENERATED = ("all", "all_scaled", "decoder", "encoder", "scale_bias", "bias")

# Networks of images, and {--likelihood: the ending of their names in bodies.BODIES with such a p(x|z)}.
NETWORKS = ("conv", "resnet")
LIKELIHOODS = {"bernoulli": "", "discretized_logistic": "_logistic", "logistic_mixture": "_logistic_mixture"}
LEVELS = {1: "-grey", 3: "-colour"}  # endings of a data set's name, by its channels: its pixels have 256 levels
# Endings of the name of data whose tasks are not its labels, see found_tasks.
NAMES_OF_TASKS = {"auto": "-auto-tasks", "random": "-random-tasks", "clusters": "-clusters"}
SCALES = ("change_scale", "vector_scale")  # options that a peer (peers.py) may have a value of its own for
# Settings that some models have no use for: theirs hold a value that says so.
OF_SOME_MODELS = ("tasks_per_step", "hyper_latent_dim", "summary", "generator", "generate", "rank", *SCALES, "targets")

# The paper's recipe (section 4.2), and ours: chosen on the validation parts, the same schedule and number of images
# for every model (`make ablation` shows what each change brings).
RECIPES = {
    "paper": {"learning_rate": 3e-4, "schedule": "constant", "kl_warmup": 0, "tasks_per_step": 1, "summary": "draw"},
    "ours": {"learning_rate": 2e-3, "schedule": "cosine", "kl_warmup": 0.2, "tasks_per_step": 20, "summary": "mean"},
}


DATA_HELP = (
    "digits (default; ships with scikit-learn), photographs (squares of pictures that ship with scikit-image and "
    "scikit-learn), mnist, fashion_mnist, omniglot, the path of an .npz with x (N, H, W) or (N, H, W, 3) and y (N,), "
    "optionally x_test and y_test, or a folder of pictures (a sub-folder is a class)"
)


def parser(
    description,
    epilog,
    data_option="--dataset",
    data_help=DATA_HELP,
    models="which models (all: the paper's three)",
    iterations="10000",
    hidden=(),
):
    """An argument parser with the shared options; `epilog` holds examples.

    `data_option` is the name under which this script's users give the data sets to train on (args.dataset);
    `data_help`, `models` and `iterations` (the default) are what its --help says. `hidden`: options ("--model") that
    its --help leaves out, since the script refuses them. Its groups `runs` and `training` take further options.
    """
    p = cli.Parser(description, epilog)
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
    cli.add_image_size(data)
    p.runs = run = p.add_argument_group("runs")
    run.add_argument("--model", choices=(*MODELS, "all"), nargs="+", default=["all"], help=models)
    add_run_options(run)
    run.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs beside the checkpoints")
    p.training = train = p.add_argument_group("training (defaults come from the recipe)")
    recipes = "the paper's settings, or ours, chosen on validation images (default)"
    train.add_argument("--recipe", choices=tuple(RECIPES), nargs="+", default=["ours"], help=recipes)
    train.add_argument("--iterations", type=positive_int, default=10_000, help=f"gradient steps ({iterations})")
    train.add_argument("--batch-size", type=positive_int, default=100, help="images a step, over all its tasks (100)")
    train.add_argument("--learning-rate", type=positive_float, help="Adam's (paper 0.0003, ours 0.002)")
    schedule = "of the learning rate: constant, or cosine decay to 0 (paper constant, ours cosine)"
    train.add_argument("--schedule", choices=("constant", "cosine"), help=schedule)
    train.add_argument(
        "--kl-warmup",
        type=fraction,
        help="fraction of the iterations in which the KL terms' weight rises to 1 (paper 0, ours 0.2)",
    )
    train.add_argument("--tasks-per-step", type=positive_int, help="tasks a step (paper 1, ours 20)")
    train.add_argument("--latent-dim", type=positive_int, default=10, help="dimensions of z (10)")
    train.add_argument("--hyper-latent-dim", type=positive_int, default=10, help="dimensions of u (10)")
    train.add_argument(
        "--summary",
        choices=SUMMARIES,
        help="HyperVAE's s(D): one random image (paper), mean of the encoder's outputs, or a set encoder",
    )
    train.add_argument(
        "--generator",
        choices=GENERATORS,
        default="layerwise",
        help="how theta is generated (layerwise); concatenation: the Neural Statistician's form",
    )
    generate = "which weights of the main VAE u generates; the others are shared (all)"
    train.add_argument("--generate", choices=GENERATED, default="all", help=generate)
    rank = "rank of what u changes in a weight: side of H in B + U H V (20)"
    train.add_argument("--rank", type=positive_int, default=20, help=rank)
    scale = "size of what u changes in theta at the start of training (0.1; 10 in 09's models bias and scale_bias)"
    train.add_argument("--change-scale", type=positive_float, help=scale)
    scale = "the same of biases and factors of outputs (as --change-scale)"
    train.add_argument("--vector-scale", type=positive_float, help=scale)
    words = "images of a task that a step codes: all (paper), or the others, from which u is not made"
    train.add_argument("--targets", choices=TARGETS, default="all", help=words)
    train.add_argument("--hidden", type=whole_number, default=0, help="units of dense layers; 0: the paper's 100 (0)")
    p.set_defaults(likelihood="bernoulli", body="conv", tasks=None, fit_u=0)  # where a script has no such options
    for action in p._actions:
        if not set(hidden).isdisjoint(action.option_strings):
            action.help = argparse.SUPPRESS
    return p


def add_likelihood(group):
    """--likelihood: of binary pixels, or of grey levels and colours as they are."""
    words = "p(x|z) of binarized pixels (bernoulli, default; colours become grey), or of 256 levels, grey or "
    words += "coloured: a discretized logistic, or a mixture of five"
    group.add_argument("--likelihood", choices=tuple(LIKELIHOODS), help=words)


def add_body(group):
    """--body: the main networks, and the hyper-encoder's."""
    words = "networks: conv, the paper's (default), or resnet, with residual blocks, 6.7 times the products"
    group.add_argument("--body", choices=NETWORKS, help=words)


def body_of(likelihood, networks="conv"):
    """The name in bodies.BODIES of some NETWORKS with one of LIKELIHOODS."""
    return networks + LIKELIHOODS[likelihood]


def add_fit_u(group):
    """--fit-u: the amortised q(u|D) is only where u begins."""
    words = "HyperVAE: steps of Adam that move the mean of q(u|D) to where the images' codes are shorter, wherever u "
    words += "is read off images (0)"
    group.add_argument("--fit-u", type=cli.whole_number, metavar="STEPS", help=words)


def fit_u(args, model):
    """Steps of --fit-u for a model of that name: what has no u has none."""
    return args.fit_u if model == "hypervae" else 0


def has_levels(args):
    """Whether --likelihood is of levels 0 to 255, grey or coloured."""
    return args.likelihood != "bernoulli"


def binarization(args):
    """How pixels become 0 or 1; "none" where p(x|z) is of grey levels."""
    return "none" if has_levels(args) else args.binarize


def white(args):
    """The largest value of a pixel; the least is 0."""
    return 255 if has_levels(args) else 1


def add_tasks(group):
    """--tasks: what HyperVAE and MetaVAE take for tasks, None where it is not given."""
    tasks = "labels (default); auto: found without labels, their number and borders by held-out code length, in some "
    tasks += "more short trainings; a number: so many clusters of a VAE's codes; random: tasks that mean nothing"
    group.add_argument("--tasks", type=_tasks, metavar="{labels,auto,NUMBER,random}", help=tasks)


def _tasks(text):
    return text if text in ("labels", "auto", "random") else positive_int(text)


def with_tasks(args, data, default="labels"):
    """The Dataset with the tasks that --tasks asks for in place of its labels; `default` where it is not given.

    Tasks belong to the data: they are found by the first recipe.

    Raises:
        InputError: --tasks with VAEs alone, which have none, or what no training can follow.
    """
    if chosen_models(args) == ("vae",):
        cli.refuse_unused(args, ["--tasks"], "with --model vae")
    how = args.tasks or default
    if how == "labels":
        return data
    from common.hypervae import found_tasks

    # What no training can follow ends here, before those that find tasks. Its labels are not looked at.
    alike = dataclasses.replace(data, y=np.zeros_like(data.y))
    which = args.recipe[0], args.seeds[0]
    refuse_unfollowed(args, [settings_for(args, alike, model, *which) for model in chosen_models(args)])
    return found_tasks.with_found_tasks(args, found_tasks.asked_for(args, data, how, args.recipe[0]), data)


def load_with_tasks(args, name):
    """As `load_data`, with the tasks that --tasks asks for."""
    return with_tasks(args, load_data(args, name))


def defaults(**changes):
    """The scripts' options as they are where nothing is given on the command line, with some values of one's own."""
    return argparse.Namespace(**vars(parser("", "").parse_args([])) | changes)


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


def trained(args, settings, data):
    """The TrainedModel of one run, trained if it is missing.

    Raises:
        InputError: the data, which jobs read anew, are not those that were planned with; as `fit_or_load`.
    """
    from common.hypervae.training import fit_or_load

    check_unchanged(settings.dataset, data.fingerprint(), settings.fingerprint)
    return fit_or_load(settings, data, args.results_dir / "checkpoints", args.tensorboard)


def chosen_models(args, meant=ALL_MODELS):
    """The models of --model, each once; `meant`: those that "all" stands for."""
    return tuple(meant if "all" in args.model else dict.fromkeys(args.model))


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
