"""The options of scripts that train VAE, MetaVAE and HyperVAE; `runs` makes trainings of them."""

import argparse

from common import cli
from common.cli import add_data_dir, add_run_options, fraction, positive_float, positive_int, whole_number

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


def defaults(**changes):
    """The scripts' options as they are where nothing is given on the command line, with some values of one's own."""
    return argparse.Namespace(**vars(parser("", "").parse_args([])) | changes)


def chosen_models(args, meant=ALL_MODELS):
    """The models of --model, each once; `meant`: those that "all" stands for."""
    return tuple(meant if "all" in args.model else dict.fromkeys(args.model))
