"""The models that are compared on new tasks: what each one changes in the options, and which tables have it."""

import argparse
import functools
import math

from common.cli import refuse_unused
from common.errors import InputError
from common.hypervae.options import SCALES
from common.hypervae.runs import settings_for

WIDE = "HyperVAE's size"  # hidden units, see wide_hidden
# By the names that tables give them.
PEERS = {
    "vae": {"model": "vae"},
    "vae_wide": {"model": "vae", "hidden": WIDE},
    "cvae": {"model": "cvae"},
    "metavae": {"model": "metavae"},
    "neural_statistician": {"model": "hypervae", "generator": "concatenation"},
    **{name: {"model": "hypervae", "generate": name} for name in ("encoder", "decoder", "all_scaled")},
    # Vectors must change more from the start: chosen on MNIST's validation part, see `make ablation`.
    **{name: {"model": "hypervae", "generate": name, "change_scale": 10.0} for name in ("bias", "scale_bias")},
    "hypervae": {"model": "hypervae"},  # as in Table 1
    "hypervae_tuned": {"model": "hypervae", "vector_scale": 10.0},
}
# Peers whose tasks are found, not labelled, and one whose tasks mean nothing: {peer: (as which one it is trained, how
# its tasks are found as --tasks of 01 says it, or None for --clusters)}.
ON_FOUND_TASKS = {
    "cvae_clusters": ("cvae", None),
    "hypervae_clusters": ("hypervae", None),
    "cvae_auto_tasks": ("cvae", "auto"),
    "hypervae_auto_tasks": ("hypervae", "auto"),
    "hypervae_random_tasks": ("hypervae", "random"),
}
CLUSTERED = [peer for peer, (_, how) in ON_FOUND_TASKS.items() if how is None]
# They differ in what of theta u may change, and where that begins.
WITH_U = ("neural_statistician", "bias", "scale_bias", "hypervae", "hypervae_tuned")
TABLES = {  # of new tasks, and their peers
    "told": ("vae", "vae_wide", "cvae", "metavae", *WITH_U, *ON_FOUND_TASKS),
    "generate": ("encoder", "decoder", "all_scaled", *WITH_U),
    "unseen": ("vae", "vae_wide", "cvae", *WITH_U),
    "characters": ("vae", "vae_wide", *WITH_U),
}
ADAPTATIONS = ("none", "fitted", "adapt", "finetuned", "mixture")  # what `unseen` does with a context
OF_PEERS = ("--model", "--hidden", "--generator", "--generate")  # options that each peer sets for itself
# Options that one table alone has a use for.
OF_TABLES = {
    "told": ("--clusters", "--num-nll-images"),
    "generate": ("--ranks",),
    "unseen": ("--folds", "--adaptation"),
    "characters": ("--num-characters",),
}


def peer_settings(args, data, peer, recipe, seed, **changes):
    """The Settings of one of PEERS; `changes` of the options come on top."""
    chosen = {"hidden": 0, "generator": "layerwise", "generate": "all"} | PEERS[peer] | changes
    chosen |= {name: getattr(args, name) for name in SCALES if getattr(args, name) is not None}
    if chosen["hidden"] == WIDE:
        sizes = sizes_of_hypervae(args, data, recipe, seed)
        chosen["hidden"] = wide_hidden(data.body, tuple(data.image_shape), **sizes)
    if chosen["generator"] != "layerwise":
        chosen["vector_scale"] = None
    return settings_for(argparse.Namespace(**vars(args) | chosen), data, chosen["model"], recipe, seed)


def sizes_of_hypervae(args, data, recipe, seed):
    """What HyperVAE's number of parameters follows from, and so vae_wide's hidden units, beside networks and images."""
    like = peer_settings(args, data, "hypervae", recipe, seed)
    return {name: getattr(like, name) for name in ("latent_dim", "hyper_latent_dim", "rank", "summary")}


@functools.cache
def wide_hidden(body, image_shape, latent_dim, hyper_latent_dim, rank, summary):
    """Units of the dense layers with which a VAE has no more parameters than HyperVAE: the most, a multiple of ten."""
    from common.hypervae.bodies import BODIES
    from common.hypervae.training import build_networks

    sizes = {"latent_dim": latent_dim, "hyper_latent_dim": hyper_latent_dim, "rank": rank, "summary": summary}
    most = build_networks("hypervae", image_shape, 1, body, generator="layerwise", **sizes).count_params()

    def parameters(hidden):
        return sum(math.prod(shape) for shape in BODIES[body](image_shape, latent_dim, hidden).shapes().values())

    hidden = 10
    while parameters(hidden + 10) <= most:
        hidden += 10
    return hidden


def tables_of_peers(args):
    """The tables of new tasks that --table asks for, or all on --dataset that have one of the models of --peer.

    Raises:
        InputError: a table without any of them, options that peers have of their own, or that no table has a use for.
    """
    if args.model != ["all"]:
        raise InputError("the models of these tables have names of their own: give --peer in place of --model")
    if (args.hidden, args.generator, args.generate) != (0, "layerwise", "all"):
        raise InputError("the models have --hidden, --generator and --generate of their own: leave these out")
    having = [table for table, peers in TABLES.items() if not args.peer or set(peers) & set(args.peer)]
    for table in args.table or having:
        if table not in having:
            known = ", ".join(TABLES[table])
            raise InputError(f"table {table} has none of these models: choose --peer among {known}")
    if args.evaluate_on == "validation" and "unseen" in (args.table or having):
        raise InputError("table unseen codes test images: leave --evaluate-on out, or give --table told or generate")
    tables = args.table or [table for table in having if table != "characters"]  # which has data of its own
    _check_use(args, tables)
    return tables


def _check_use(args, tables):
    """Refuse what was given and no table has a use for."""
    for peer in args.peer or []:
        if not any(peer in TABLES[table] for table in tables):
            raise InputError(f"--peer {peer} is no model of table {' or '.join(tables)}: leave it out")
    for table, options in OF_TABLES.items():
        if table not in tables:
            refuse_unused(args, options, f"without --table {table}")
    if set(tables) == {"characters"}:
        refuse_unused(args, ("--dataset", "--binarize", "--image-size"), "with --table characters alone")
    if set(tables) == {"generate"}:
        refuse_unused(args, ("--num-importance-samples",), "with --table generate alone")
    if not args.num_importance_samples:
        refuse_unused(args, ("--num-nll-images",), "with --num-importance-samples 0")
    if args.peer and not set(args.peer) & set(CLUSTERED):
        refuse_unused(args, ("--clusters",), f"without --peer {' or '.join(CLUSTERED)}")
    if args.peer and args.ranks and "hypervae" not in args.peer:
        refuse_unused(args, ("--ranks",), "without --peer hypervae")
