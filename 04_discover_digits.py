"""Novelty discovery (section 4.5, Figures 2 and 3a): search for a class in designs of models that never saw it."""

import functools
import itertools

from common import cli, report
from common.discovery import digits, runs, search_report
from common.discovery.options import add_search_options, check_search, search_settings
from common.hypervae.options import add_fit_u, parser
from common.hypervae.runs import load_data, refuse_unfollowed, settings_for, trained
from common.runs.identity import digest

EXAMPLES = """examples:
  python 04_discover_digits.py                                    digits, three classes held out, minutes
  python 04_discover_digits.py --dataset mnist --data-dir DATA --jobs 2
  python 04_discover_digits.py --dataset mnist --data-dir DATA --held-out 4 --target-index 0 17
  python 04_discover_digits.py --dataset mnist --data-dir DATA --scheduler tcp://host:8786

For each held-out class a VAE and a HyperVAE train on the other classes; then every method searches their designs for
images of that class from the test part. The workers of a --scheduler are started in this folder and share its disk.
Writes RESULTS_DIR/04_discover_digits/figure3a.csv (and .csv.gz), bounds.csv (the least distances that gradients found),
summary.csv, paired.csv, figures, and RESULTS_DIR/README.md."""

# What --help calls the defaults: for the data set that ships with the install, what takes minutes.
QUICK = {"held_out": [1, 4, 8], "num_targets": 1, "iterations": 1000}
WHOLE = {"held_out": None, "num_targets": 5, "iterations": 10_000}


def options():
    models = "searches need VAE and HyperVAE, and take no other"
    p = parser(__doc__, EXAMPLES, models=models, iterations="10000; digits: 1000")
    p.set_defaults(iterations=None)
    search = add_search_options(p)
    add_fit_u(search)
    search.add_argument(
        "--held-out", type=cli.class_list, help="classes held out, one at a time, e.g. 0-4,7 (all; digits: 1,4,8)"
    )
    search.add_argument(
        "--num-targets", type=cli.positive_int, help="targets of each class, drawn from its test images (5; digits: 1)"
    )
    search.add_argument(
        "--target-index", type=cli.whole_number, nargs="+", help="these test images of each class instead"
    )
    search.add_argument(
        "--target-pixels",
        choices=("binary", "grey"),
        default="binary",
        help="binary, as the models were trained on (default), or grey levels",
    )
    args = p.parse_args()
    if args.target_index:
        cli.refuse_unused(args, ["--num-targets"], "with --target-index")
    for option, value in (QUICK if args.dataset == ["digits"] else WHOLE).items():
        if getattr(args, option) is None:
            setattr(args, option, value)
    return args


def planned(args):
    """The jobs that the options ask for; bad input ends here, before hours of training."""
    jobs = []
    for name in args.dataset:
        data = load_data(args, name)
        held_out = args.held_out or range(data.num_classes)
        pixels = "none" if args.target_pixels == "grey" else args.binarize
        wanted = (args.num_targets, args.target_index)
        targets = {
            digit: digits.load_targets(name, args.data_dir, pixels, args.image_size, digit, *wanted)
            for digit in held_out
        }
        for digit, images in targets.items():
            if not args.target_index and len(images) < args.num_targets:
                print(f"{data.name}: class {digit} has {len(images)} test images, so {len(images)} targets")
            load = functools.partial(digits.load_rest, name, args.data_dir, args.binarize, args.image_size, digit)
            rest = load()
            for recipe, seed in itertools.product(args.recipe, args.seeds):
                models = {model: settings_for(args, rest, model, recipe, seed) for model in ("vae", "hypervae")}
                where = dict(
                    load=load, train=functools.partial(trained, args), checkpoints=args.results_dir / "checkpoints"
                )
                for index, image in images.items():
                    search = search_settings(args, seed)
                    record = digits.record(data, digit, index, image, args.target_pixels, models, search)
                    jobs.append(runs.Job(record, image=image, **where))
    refuse_unfollowed(args, [model for job in jobs for model in (job.record.vae, job.record.hypervae)])
    return jobs


def draw(protocol, discovered, folder):
    """Figure 3a of one protocol, and Figure 2 of what this call found under it."""
    from common.discovery import figures

    name = protocol.rows["dataset"].iloc[0]
    own = folder / f"{name}_{protocol.rows['target_kind'].iloc[0]}-{protocol.digest}"
    figures.discovery_curves(protocol, own / "figure3a.png", "digit")
    shown = {}  # the first target of each class
    for job, found in discovered:
        shown.setdefault(job.record.target.held_out, (job.record, found["designs"]))
    title = f"{protocol.title}: the best design so far after each step of each search, and its distance"
    path = own / f"figure2-{digest([record.digest for record, _ in shown.values()])}.png"
    figures.discovered_designs({digit: designs for digit, (_, designs) in shown.items()}, title, name, path)


def main():
    args = options()
    check_search(args)
    discovered = runs.search_all(digits.discover, planned(args), args.jobs, args.scheduler)
    folder = args.results_dir / "04_discover_digits"
    for protocol in digits.write_tables(folder, *digits.table_rows(discovered)):
        own = [found for found in discovered if found[0].record.digest in set(protocol.bounds["run"])]
        if own:
            draw(protocol, own, folder)
            print(f"{protocol.title}\n{search_report.discovery_table(protocol.summary, 'digit')}")
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
