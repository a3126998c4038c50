"""What a command takes for tasks, by --tasks: the labels of its data, or tasks that are found without them."""

import dataclasses

import numpy as np

from common import cli
from common.hypervae.options import chosen_models
from common.hypervae.runs import load_data, refuse_unfollowed, settings_for


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
    from common.hypervae import found_tasks  # which loads TensorFlow

    # What no training can follow ends here, before those that find tasks. Its labels are not looked at.
    alike = dataclasses.replace(data, y=np.zeros_like(data.y))
    which = args.recipe[0], args.seeds[0]
    refuse_unfollowed(args, [settings_for(args, alike, model, *which) for model in chosen_models(args)])
    return found_tasks.with_found_tasks(args, found_tasks.asked_for(args, data, how, args.recipe[0]), data)


def load_with_tasks(args, name):
    """As `load_data`, with the tasks that --tasks asks for."""
    return with_tasks(args, load_data(args, name))
