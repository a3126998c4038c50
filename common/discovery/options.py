"""The options of scripts that search for designs."""

from common.cli import positive_int
from common.discovery.records import SearchSettings
from common.errors import InputError


def add_search_options(p, evaluations="300"):
    """The options of scripts that search for designs; returns their group. `evaluations`: their default, in words."""
    search = p.add_argument_group("search")
    search.add_argument(
        "--evaluations", type=positive_int, default=300, help=f"designs a search judges ({evaluations})"
    )
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


def check_search(args):
    """End on options that no search can follow, before hours of training.

    Raises:
        InputError: too few evaluations to share, or one model only.
    """
    least = 2 if args.budget == "per-step" else max(2, args.steps)
    if not getattr(args, "spec", None) and args.evaluations < least:
        raise InputError(f"{args.evaluations} evaluations are too few for {args.steps} steps: raise --evaluations")
    if args.steps < 2:
        raise InputError("--steps 1 is no iterated search: give 2 or more")
    if args.model != ["all"]:
        raise InputError("the searches compare the VAE with the HyperVAE and need both: leave --model out")


def search_settings(args, seed):
    """The SearchSettings of one seed."""
    return SearchSettings(args.budget, args.evaluations, args.steps, args.acquisition, seed, args.fit_u)
