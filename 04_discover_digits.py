"""Novelty discovery (section 4.5, Figures 2 and 3a): search for an unseen class in the designs of models that never saw it."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from common import cli, report
from common.data import datasets
from common.discovery import report as report_discovery
from common.errors import InputError
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 04_discover_digits.py                                    digits, three classes held out, minutes
  python 04_discover_digits.py --dataset mnist --data-dir DATA --jobs 2
  python 04_discover_digits.py --dataset mnist --data-dir DATA --held-out 4 --target-index 0 17
  python 04_discover_digits.py --dataset mnist --data-dir DATA --scheduler tcp://host:8786

For each held-out class a VAE and a HyperVAE train on the other classes; then every method searches their designs for
images of that class from the test part. The workers of a --scheduler are started in this folder and share its disk.
Writes RESULTS_DIR/04_discover_digits/figure3a.csv (and .csv.gz), bounds.csv, summary.csv, figures, and RESULTS_DIR/README.md."""

# What --help calls the defaults: for the data set that ships with the install, what takes minutes.
QUICK = {"held_out": [1, 4, 8], "num_targets": 1, "iterations": 1000}
WHOLE = {"held_out": None, "num_targets": 5, "iterations": 10_000}
PROTOCOL = report_discovery.PROTOCOL
FIGURE3A = [
    "digit",
    "target_index",
    "method",
    "seed",
    "evaluation",
    "step",
    "cosine_distance",
    "best_so_far",
    "seconds",
]
FIGURE3A += [*PROTOCOL, "commit"]
BOUNDS = ["digit", "target_index", "seed", "method", "cosine_distance", *PROTOCOL, "commit"]
TARGET_SEED = 1


@dataclasses.dataclass(frozen=True)
class Target:
    """One image to look for, with what decides the models and the search. Light: jobs travel to other machines."""

    dataset: str
    source: str  # where it is loaded from: a name or a path
    digit: int
    index: int
    seed: int
    settings: dict  # {"vae": Settings, "hypervae": Settings}


def load_rest(args, name, digit):
    """The data set without one class."""
    data = cli.load_data(args, name)
    return datasets.restrict(data, [c for c in range(data.num_classes) if c != digit])


def targets(args, name, digit):
    """{index: image (H, W, 1) in [0, 1]}: the targets among the test images of a class.

    Raises:
        InputError: a class or an index that the data set does not have, or an empty image.
    """
    how = "none" if args.target_pixels == "grey" else args.binarize
    data = datasets.load(name, args.data_dir, how)
    x = data.x_test[data.y_test == digit] / (255 if how == "none" else 1)
    if not len(x):
        raise InputError(
            f"{data.name} has classes 0 to {data.num_classes - 1}, not {digit}: choose --held-out among them"
        )
    drawn = np.random.default_rng([TARGET_SEED, digit]).permutation(len(x))[: args.num_targets].tolist()
    chosen = args.target_index or drawn
    for index in chosen:
        if index >= len(x):
            raise InputError(
                f"class {digit} of {data.name} has test images 0 to {len(x) - 1}, not {index}: choose --target-index among them"
            )
        if not x[index].any():
            raise InputError(f"test image {index} of class {digit} is empty: choose another --target-index")
    return {index: x[index] for index in chosen}


def train_missing(job):
    """Train one model if it is missing; the model stays where it was trained."""
    args, settings, name, digit = job
    cli.trained(args, settings, load_rest(args, name, digit))


def discover(job):
    """All searches for one target: {"rows": of figure3a.csv, "bounds": of bounds.csv, "designs": {method: images}}."""
    from common.discovery import search as discovery
    from common.discovery.families import Family
    from common.runs.results import commit

    args, target = job
    settings = target.settings["vae"]
    shared = {"target_pixels": args.target_pixels} | cli.search_protocol(args)
    digest = results.digest([shared, [s.folder("").as_posix() for s in target.settings.values()]])
    folder = args.results_dir / "checkpoints" / settings.dataset / "discovery" / f"{digest}/target{target.index}"

    def found():
        columns = shared | {
            "dataset": target.dataset,
            "digit": target.digit,
            "target_index": target.index,
            "seed": target.seed,
        }
        columns |= {
            "recipe": settings.recipe,
            "iterations": settings.iterations,
            "binarize": settings.binarize,
            "commit": commit(),
        }
        rest = load_rest(args, target.source, target.digit)
        families = {model: Family(cli.trained(args, s, rest).model) for model, s in target.settings.items()}
        image = targets(args, target.source, target.digit)[target.index]
        hunt = discovery.Hunt(
            families, image, args.evaluations, args.steps, args.budget == "total", target.seed, folder, args.acquisition
        )
        rows, bounds, designs = hunt.explore(columns)
        designs = {method: np.round(images, 3).tolist() for method, images in ({"target": [image]} | designs).items()}
        return {"rows": rows, "bounds": bounds, "designs": designs}

    return results.stored(folder / "found.json", found)


def draw(args, name, rows, bounds, designs, folder):
    """Figures 3a and 2 of one data set, from this run's rows."""
    from common.runs import figures

    label = f"{name}, {args.target_pixels} targets, {args.evaluations} evaluations"
    own = folder / f"{name}_{args.target_pixels}"
    figures.discovery_curves(rows, bounds, f"{label}: median and quartiles over targets", own / "figure3a.png", "digit")
    figures.discovered_designs(
        designs, f"{label}: the best design so far after each step of each search", own / "figure2.png"
    )


def main():
    parser = cli.parser(__doc__, EXAMPLES)
    parser.set_defaults(iterations=None)
    options = cli.add_search_options(parser)
    options.add_argument(
        "--held-out", type=cli.class_list, help="classes held out, one at a time, e.g. 0-4,7 (all; digits: 1,4,8)"
    )
    options.add_argument(
        "--num-targets", type=cli.positive_int, help="targets of each class, drawn from its test images (5; digits: 1)"
    )
    options.add_argument(
        "--target-index", type=cli.whole_number, nargs="+", help="these test images of each class instead"
    )
    options.add_argument(
        "--target-pixels",
        choices=("binary", "grey"),
        default="binary",
        help="binary, as the models were trained on (default), or grey levels",
    )
    args = parser.parse_args()
    for option, value in (QUICK if args.dataset == ["digits"] else WHOLE).items():
        if getattr(args, option) is None:
            setattr(args, option, value)
    cli.search_protocol(args)  # bad input ends here, before hours of training

    trainings, searches = [], []
    for name in args.dataset:
        data = cli.load_data(args, name)
        for digit in args.held_out or range(data.num_classes):
            wanted, rest = targets(args, name, digit), load_rest(args, name, digit)
            for seed in args.seeds:
                pair = {
                    model: cli.settings_for(args, rest, model, args.recipe[0], seed) for model in ("vae", "hypervae")
                }
                trainings += [(args, settings, name, digit) for settings in pair.values()]
                searches += [(args, Target(data.name, name, digit, index, seed, pair)) for index in wanted]
    for _ in tqdm(run_jobs(train_missing, trainings, args.jobs, args.scheduler), "trainings", len(trainings)):
        pass
    folder = Path(args.results_dir) / "04_discover_digits"
    records = list(tqdm(run_jobs(discover, searches, args.jobs, args.scheduler), "targets", len(searches)))
    rows, bounds = (pd.DataFrame([row for record in records for row in record[part]]) for part in ("rows", "bounds"))
    search_keys = [*PROTOCOL, "digit", "target_index", "method", "seed"]
    every_row = results.put_rows_packed(folder / "figure3a.csv", rows, FIGURE3A, [*search_keys, "evaluation"])
    every_bound = results.put_rows(folder / "bounds.csv", bounds, BOUNDS, search_keys)
    summary = report_discovery.summarise_discovery(every_row, every_bound, "digit")
    results.write_table(folder / "summary.csv", summary)
    for name in dict.fromkeys(rows["dataset"]):
        own = rows["dataset"] == name
        designs = {}
        for record in records:
            if record["rows"][0]["dataset"] == name:
                designs.setdefault(record["rows"][0]["digit"], record["designs"])  # the first target of each class
        draw(args, name, rows[own], bounds[bounds["dataset"] == name], designs, folder)
        print(
            report_discovery.discovery_table(
                summary[(summary["dataset"] == name) & (summary["target_pixels"] == args.target_pixels)], "digit"
            )
        )
    report.write_report(args.results_dir)
    print(f"tables and figures: {folder}; report: {Path(args.results_dir) / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
