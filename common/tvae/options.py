"""The options of a script that stand for a Recipe's fields."""

import dataclasses

from common import cli
from common.tvae import bars
from common.tvae.recipe import MUTATIONS, SELECTIONS, Recipe


def add_recipe_options(model):
    """Add them to a group of an argument parser; one that is not given is None."""

    def add(option, of, kind=cli.positive_int, **more):
        name = option[2:].replace("-", "_")
        ours, for_bars = (_in_words(getattr(recipe, name)) for recipe in (Recipe(), bars.RECIPE))
        default = ours if ours == for_bars else f"{ours}; bars: {for_bars}"
        model.add_argument(option, type=kind, help=f"{of} ({default})", **more)

    add("--latent-dim", "binary units H")
    add("--hidden", "units of the decoder's hidden layers", nargs="+")
    model.add_argument("--leaky", action="store_true", default=None, help="LeakyReLU in place of ReLU")
    add("--states", "states S kept for each patch")
    add("--gradient-states", "how many of them, the best, the gradient takes; as many: all")
    add("--parents", "states chosen as parents in an evolutionary step")
    add("--children", "states made of each parent")
    add("--generations", "of children in an evolutionary step")
    add("--selection", "how parents are chosen", str, choices=SELECTIONS)
    add("--mutation", "floyd_flip: one bit; flip: the same by sorting", str, choices=MUTATIONS)
    add("--epochs", "passes over all patches")
    add("--batch-size", "patches a step")
    add("--min-learning-rate", "least learning rate of the triangular schedule", cli.positive_float)
    add("--max-learning-rate", "largest learning rate of the triangular schedule", cli.positive_float)
    add("--half-cycle", "epochs in which the learning rate rises")


def _in_words(value):
    if value is None:
        return "all"
    return (
        " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
    )


def chosen(args, default):
    """The recipe `default` with the options that were given."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return dataclasses.replace(default, **given)
