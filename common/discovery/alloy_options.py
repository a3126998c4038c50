"""The options of the script that searches for alloys."""

from pathlib import Path

from common.cli import positive_int, refuse_several, refuse_unused, whole_number
from common.discovery.alloying import ELEMENTS
from common.discovery.alloys import BODIES
from common.discovery.calphad import phase_diagrams
from common.discovery.designs import METHODS
from common.discovery.records import STARTS
from common.errors import InputError

# The keys of inverse_map's, without scikit-learn.
REGRESSORS = ("ridge", "kernel_ridge", "ridge_features", "lasso", "gaussian_process", "extra_trees", "mlp")

# What the script does, by the options that ask for it; without one it searches for classes.
MAKING, SPEC = "--make-data", "--spec"
OF_REGRESSORS, OF_LIKELIHOODS = "--compare regressors", "--compare likelihoods"
SEARCHES = ""
TRAINING = {SPEC, OF_LIKELIHOODS, SEARCHES}
# What uses an option. Those that are not named are of models and their training, and TRAINING uses them.
USED_BY = {
    "--alloys": TRAINING | {OF_REGRESSORS},
    "--results-dir": TRAINING | {OF_REGRESSORS},
    "--seed": TRAINING | {OF_REGRESSORS, MAKING},
    "--jobs": TRAINING | {OF_REGRESSORS, MAKING},
    "--scheduler": TRAINING | {OF_REGRESSORS, MAKING},
    "--data-dir": {MAKING},
    "--binarize": TRAINING,  # which check_alloys refuses, in words of its own
    "--image-size": TRAINING,  # likewise
    "--evaluations": {SPEC, SEARCHES},
    "--budget": {SEARCHES},
    "--steps": {SEARCHES},
    "--acquisition": {SEARCHES},
    "--fit-u": {SEARCHES},
    "--held-out": {MAKING, SEARCHES},
    "--target": {SEARCHES},
    "--objective": {SEARCHES},
    "--likelihood": TRAINING,
    "--regressor": {SPEC, OF_REGRESSORS, SEARCHES},
    "--refine": {OF_REGRESSORS, SEARCHES},
    "--start": {SEARCHES},
    "--tdb": {MAKING, SPEC, OF_REGRESSORS, SEARCHES},
    "--through-calphad": {SEARCHES},
    "--realise": {SEARCHES},
    "--calphad-evaluations": {SEARCHES},
    "--compare": {OF_REGRESSORS, OF_LIKELIHOODS},
    "--spec": {SPEC},
    "--search-by": {SPEC},
    "--make-data": {MAKING},
    "--alloys-per-class": {MAKING},
    "--limits": {MAKING},
    "--pack": {MAKING},
}
REFUSED = ("--binarize", "--image-size")  # by check_alloys: diagrams are no pictures
SPEC_EVALUATIONS = 100  # of each search by specification, which take seconds each


def add_alloy_options(p, search):
    """The options of searches for alloys, into the group `search`, and of computing alloys."""
    search.add_argument(
        "--held-out",
        nargs="+",
        metavar="ALLOY",
        help="classes held out, one at a time; paper: its nine (the ten hardest)",
    )
    search.add_argument(
        "--target", choices=("mean", "sample"), default="mean", help="a class's mean diagram (default) or one alloy's"
    )
    search.add_argument(
        "--objective",
        choices=("cosine", "scaled_cosine"),
        default="cosine",
        help="of diagrams: the paper's (default), or with each phase relative to its largest share in known alloys",
    )
    search.add_argument(
        "--likelihood",
        choices=tuple(BODIES),
        default="multinomial",
        help="of phase matrices: a multinomial of 100 atoms at each temperature (default), or of more, which count "
        "smaller shares; splines: its logits are cubic splines over temperature",
    )
    search.add_argument("--regressor", choices=REGRESSORS, default="ridge", help="phase matrix to composition (ridge)")
    search.add_argument(
        "--refine",
        type=whole_number,
        default=0,
        metavar="STEPS",
        help="correct a composition that was read off a design by its real diagram, that often (0); needs --tdb",
    )
    search.add_argument(
        "--start",
        default="classes",
        metavar="{" + ",".join(STARTS) + ",CLASS}",
        help="codes with which searches begin: the known classes' (default), u = 0 and draws of z, the nearest class's "
        "(alloy), or those of a class that you name",
    )
    search.add_argument("--tdb", type=Path, help="thermodynamic database (mc_al); without it Table 5 has no column B")
    search.add_argument(
        "--through-calphad", action="store_true", help="also search with the real diagrams of the alloys as objective"
    )
    search.add_argument(
        "--realise",
        action="store_true",
        help="judge every design of every search by the real diagram of the alloy that it would be; seconds each",
    )
    search.add_argument(
        "--calphad-evaluations", type=positive_int, default=100, help="of each such search, seconds each (100)"
    )
    search.add_argument(
        "--compare",
        choices=("regressors", "likelihoods"),
        help="compare these on known alloys instead (all likelihoods, or the one of --likelihood)",
    )
    wanted = p.add_argument_group("alloys by specification")
    wanted.add_argument(
        "--spec", type=Path, nargs="+", metavar="FILE", help="what an alloy must keep, .toml: its limits are the target"
    )
    wanted.add_argument(
        "--search-by", choices=tuple(METHODS), nargs="+", default=list(METHODS), help="which searches with --spec (all)"
    )
    compute = p.add_argument_group("computing alloys")
    compute.add_argument("--make-data", action="store_true", help="compute phase diagrams instead")
    compute.add_argument("--alloys-per-class", type=positive_int, default=100, help="alloys drawn in each class (100)")
    compute.add_argument("--limits", type=Path, help="composition limits (DATA_DIR/alloys/alloy_limits.csv)")
    compute.add_argument("--pack", type=Path, metavar="FILE", help="also write all classes into one .npz")


def _asked_for(args):
    """Which of MAKING, SPEC, OF_REGRESSORS, OF_LIKELIHOODS and SEARCHES the options ask for."""
    if args.make_data:
        return MAKING
    if args.spec:
        return SPEC
    return {"regressors": OF_REGRESSORS, "likelihoods": OF_LIKELIHOODS, None: SEARCHES}[args.compare]


def _of_alone(what):
    """The options that nothing but this uses."""
    return {option for option, used_by in USED_BY.items() if used_by == {what}}


def check_use(args):
    """End on options that what is asked for, a computation, a comparison or searches, has no use for.

    Raises:
        InputError: there is one, or several of what takes one, or --spec without a database.
    """
    asked = _asked_for(args)
    unused = {option for option in args.given if asked not in USED_BY.get(option, TRAINING)}
    if asked == MAKING:
        refuse_unused(args, unused, "with --make-data")
        refuse_several("--make-data", seed=args.seeds)
        return
    if asked == SPEC:
        refuse_unused(args, unused - _of_alone(MAKING), "with --spec")
        refuse_several("--spec", recipe=args.recipe, alloys=args.dataset)
        if not args.tdb:
            raise InputError("--spec needs a thermodynamic database: name it with --tdb")
        if "--evaluations" not in args.given:
            args.evaluations = SPEC_EVALUATIONS
        if not {"vae", "hypervae"} & set(args.search_by):
            of_models = set(args.given) - USED_BY.keys() | {"--likelihood", "--regressor"}
            refuse_unused(args, of_models, "in searches without a model")
    else:
        refuse_unused(args, _of_alone(SPEC), "without --spec")
    refuse_unused(args, _of_alone(MAKING), "without --make-data")
    if asked in (OF_REGRESSORS, OF_LIKELIHOODS):
        refuse_unused(args, unused, f"with {asked}")
    if asked == OF_REGRESSORS and not args.refine:
        refuse_unused(args, ("--regressor", "--tdb"), "with --compare regressors and no --refine")
    if asked == OF_LIKELIHOODS and not {"all", "vae", "hypervae"}.issuperset(args.model):
        raise InputError("--compare likelihoods trains VAE and HyperVAE: leave --model out, or name one of these")
    if not args.through_calphad:
        refuse_unused(args, ("--calphad-evaluations",), "without --through-calphad")


def check_alloys(args):
    """End on options that no search for alloys can follow, and say what goes without a database.

    Raises:
        InputError: a binarization, --through-calphad without a database, or a database that lacks an element.
    """
    if args.binarize != "none":
        raise InputError("phase matrices are not binarized: leave --binarize out")
    if args.image_size:
        raise InputError("phase matrices are no pictures: leave --image-size out")
    for option in ("through_calphad", "refine", "realise"):
        if getattr(args, option) and not args.tdb:
            name = option.replace("_", "-")
            raise InputError(f"--{name} needs a thermodynamic database: name it with --tdb")
    if args.realise and args.refine:
        raise InputError("with --realise every design is judged as the inverse map reads it: leave --refine out")
    if args.tdb:  # a specification names its elements
        phase_diagrams(args.tdb).check([] if args.spec else [ELEMENTS])
    elif not args.compare and not args.spec:
        print("no --tdb: Table 5's column B (do the phases that CALPHAD finds agree?) stays empty")
