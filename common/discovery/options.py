"""The options of scripts that search for designs."""

from common.cli import positive_int
from common.errors import InputError


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
    search.add_argument(
        "--acquisition", choices=("EI", "LCB", "MPI"), default="EI", help="of the Bayesian optimization (EI)"
    )
    return search


def search_protocol(args):
    """The search options that decide its numbers, as columns of the tables.

    Raises:
        InputError: too few evaluations to share.
    """
    if args.evaluations < max(2, args.steps):
        raise InputError(f"{args.evaluations} evaluations are too few for {args.steps} steps: raise --evaluations")
    return {name: getattr(args, name) for name in ("budget", "evaluations", "steps", "acquisition")}
