"""The options that all scripts share, and how scripts end on bad input."""

import argparse
import errno
import os
import sys
from pathlib import Path

from common import quiet
from common.errors import InputError
from common.names import GENERATED

quiet.set_up()
LARGEST_SEED = LARGEST_COUNT = 2**31 - 1
LARGEST_CLASS = 9_999
LARGEST_SIDE = 4_096
MOST_MINUTES = 1_000_000
UNREADABLE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
IN_MODELS = "in the models that were asked for"  # where an option changes nothing


class Parser(argparse.ArgumentParser):
    """A parser whose result has `given` besides: the options that stood on the command line, as "--seed"."""

    def __init__(self, description, epilog):
        super().__init__(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)

    def parse_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else args
        if any(str(word) == "" or (str(word).startswith("--") and str(word).endswith("=")) for word in words):
            raise InputError("an empty word is among the options: give a value (is a shell variable not set?)")
        found = super().parse_args(args, namespace)
        # What a namespace holds already is no default to argparse: only options that are given replace it.
        marked = super().parse_args(args, argparse.Namespace(**dict.fromkeys(vars(found), self)))
        names = {}
        for action in self._actions:
            # Of two options that set the same, as --as-sets and --as-groups, the one whose value stands there.
            if action.option_strings and (action.dest not in names or action.const == vars(found).get(action.dest)):
                names[action.dest] = action.option_strings[0]
        found.given = tuple(names[dest] for dest, value in vars(marked).items() if dest in names and value is not self)
        check_report(getattr(found, "results_dir", None))
        return found


def check_report(folder):
    """Refuse a results folder whose README.md is not ours, before anything is done: it would be written over.

    Raises:
        InputError: it names the file.
    """
    path = None if folder is None else Path(folder) / "README.md"
    if path is not None and path.is_file() and GENERATED not in path.read_text(errors="replace")[:200]:
        raise InputError(f"{path} is no report of ours, and one would be written over it: give another --results-dir")


def refuse_unused(args, options, where):
    """Refuse an option that was given and would change nothing.

    Args:
        args: of a Parser; options: names such as "--jobs"; where: in words, such as "with --score".

    Raises:
        InputError: it names the first of them.
    """
    unused = [option for option in args.given if option in options]
    if unused:
        raise InputError(f"{unused[0]} changes nothing {where}: leave it out")


def refuse_unfollowed(args, names, runs):
    """Refuse an option that was given and that none of the runs follows, since their models have no use for it.

    Args:
        args: of a Parser; names: of settings that not all models have, such as "summary" of --summary.
        runs: the records of all runs that were asked for. Those that have no use for a setting do not hold its value.

    Raises:
        InputError: it names the first of them.
    """

    def is_followed(name):
        value = getattr(args, name)
        held = [getattr(run, name) for run in runs if hasattr(run, name)]
        return any(own == value or isinstance(value, list) and (own in value or own == tuple(value)) for own in held)

    options = ["--" + name.replace("_", "-") for name in names if not is_followed(name)]
    refuse_unused(args, options, IN_MODELS)


def refuse_several(where, **given):
    """Refuse several values of options of which one is taken.

    Args:
        where: the option that takes one, "--score"; given: lists of values by the options' names, "seed" of --seed.

    Raises:
        InputError: it names the first of them.
    """
    for option, values in given.items():
        if len(values) > 1:
            raise InputError(f"{where} takes one --{option}, not {len(values)}: leave the others out")


def add_image_size(group):
    size = "of a folder's pictures, which are shrunk or enlarged to it: 28, or HEIGHTxWIDTH (they have one size)"
    group.add_argument("--image-size", type=image_size, metavar="SIZE", help=size)


def add_data_dir(group):
    group.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("HYPERVAE_DATA", "data")),
        help="folder with the named data sets (default $HYPERVAE_DATA, else data/)",
    )


def add_run_options(group):
    """--results-dir and --seeds, and how independent runs are shared out: --jobs and --scheduler."""
    group.add_argument(
        "--results-dir", type=Path, default=Path("results"), help="where everything is written (results/)"
    )
    seeds = f"one or more seeds, 0 to {LARGEST_SEED} (0)"
    group.add_argument("--seed", "--seeds", dest="seeds", type=seed, nargs="+", default=[0], help=seeds)
    where = group.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=positive_int, default=1, help="runs side by side, cores shared (1)")
    scheduler = "Dask scheduler, tcp://host:8786, whose workers do everything; they share this folder's disk"
    where.add_argument("--scheduler", metavar="ADDRESS", help=scheduler)


def whole_number(text, smallest=0, largest=None):
    wanted = f"from {smallest} up" if largest is None else f"from {smallest} to {largest}"
    # A number of very many digits is refused before it is computed.
    fits = text.isdecimal() and len(text) < 20 and smallest <= int(text) and (largest is None or int(text) <= largest)
    if not fits:
        raise argparse.ArgumentTypeError(f"{text} is no whole number {wanted}")
    return int(text)


def seed(text):
    return whole_number(text, largest=LARGEST_SEED)


def positive_int(text):
    return whole_number(text, smallest=1, largest=LARGEST_COUNT)


def image_size(text):
    """ "28" to (28, 28), "28x20" to (28, 20): height and width."""
    sides = [positive_int(side) for side in text.lower().split("x")]
    if len(sides) > 2 or max(sides) > LARGEST_SIDE:
        raise argparse.ArgumentTypeError(f"{text} is no size such as 28 or 28x20, {LARGEST_SIDE} at most")
    return (sides[0], sides[-1])


def class_list(text):
    """ "0-4,7" to [0, 1, 2, 3, 4, 7]."""
    classes = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = (whole_number(end, largest=LARGEST_CLASS) for end in (first, last if dash else first))
        if high < low:
            raise argparse.ArgumentTypeError(f"{part} names no class: did you mean {high}-{low}?")
        classes += range(low, high + 1)
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


def open_fraction(text):
    return _number(text, lambda value: 0 < value < 1, "a fraction between 0 and 1")


def not_negative(text):
    return _number(text, lambda value: 0 <= value < float("inf"), "a number from 0 up")


def positive_float(text):
    return _number(text, lambda value: 0 < value < float("inf"), "a positive number")


def minutes(text):
    return _number(text, lambda value: 0 < value <= MOST_MINUTES, f"a number of minutes, {MOST_MINUTES:,} at most")


def run_script(main):
    """Call main(). Bad input, or too large a one, ends with a line on stderr and exit code 2.

    Ctrl-C ends with 130, a closed output quietly; any other error shows.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: start the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `| head`: nobody reads on, and Python's own flush at the end must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename is None:
            print("error: the output cannot be written (no space left): free some, and run again", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(2)
        if error.errno not in UNREADABLE or error.filename is None:
            raise
        print(
            f"error: {error.filename} cannot be used ({error.strerror}): give a path that you may read", file=sys.stderr
        )
        sys.exit(2)
    except Exception as error:
        # TensorFlow's is known by name: this module does not load it.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        print("error: out of memory: ask for smaller networks or batches, or fewer --jobs", file=sys.stderr)
        sys.exit(2)
