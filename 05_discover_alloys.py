"""Alloy discovery (section 4.5, Figure 3b and Table 5): search for an unseen aluminium alloy among phase diagrams."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from common import cli, report
from common.data import datasets
from common.discovery import alloys, calphad
from common.discovery import report as report_discovery
from common.errors import InputError
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 05_discover_alloys.py --held-out 2219                  one class of the alloys that ship with the repository
  python 05_discover_alloys.py --tdb FILE.tdb --jobs 2          the ten hardest classes; Table 5 with column B
  python 05_discover_alloys.py --make-data --alloys-per-class 500 --tdb FILE.tdb --jobs 2
  python 05_discover_alloys.py --alloys DATA/alloys/computed --tdb FILE.tdb --through-calphad --held-out 2219

--make-data computes phase diagrams with pycalphad into DATA/alloys/computed, one file a class; it goes on where it was.
For each held-out class a VAE and a HyperVAE train on the other classes; then every method searches their designs for that
class's mean diagram. Writes RESULTS_DIR/05_discover_alloys/figure3b.csv (and .csv.gz), table5.csv, bounds.csv, inverse_map.csv,
summary.csv, figures, and RESULTS_DIR/README.md. The alloys were made from mc_al v2.032 (MatCalc, TU Wien), ODbL 1.0."""

SHIPPED = Path(__file__).resolve().parent / "alloys" / "main30_100.npz"
PROTOCOL = report_discovery.ALLOY_PROTOCOL
FIGURE3B = [
    "alloy",
    "method",
    "seed",
    "evaluation",
    "step",
    "cosine_distance",
    "best_so_far",
    "seconds",
    *PROTOCOL,
    "commit",
]
BOUNDS = ["alloy", "method", "seed", "cosine_distance", *PROTOCOL, "commit"]
TABLE5 = ["alloy", "method", "seed", "element_error", "phase_error", "in_class", "cosine_distance", *calphad.ELEMENTS]
TABLE5 += [*PROTOCOL, "commit"]
INVERSE_MAP = ["regressor", "held_out", "r2", "element_error", "num_alloys", "commit"]
LIKELIHOODS = [
    "likelihood",
    "model",
    "neg_elbo",
    "absolute_error",
    "column_sum_error",
    "seed",
    "iterations",
    "recipe",
    "commit",
]


@dataclasses.dataclass(frozen=True)
class Target:
    """One held-out class with what decides the models and the search. Light: jobs travel to other machines."""

    alloy: str
    seed: int
    settings: dict  # {"vae": Settings, "hypervae": Settings}


def load_rest(args, data, alloy):
    """(AlloyData, Dataset) without one class."""
    label = data.names.index(alloy)
    kept = data.y != label
    rest = dataclasses.replace(data, matrices=data.matrices[kept], compositions=data.compositions[kept], y=data.y[kept])
    whole = alloys.as_dataset(data, args.likelihood)
    return rest, datasets.restrict(whole, [c for c in range(len(data.names)) if c != label])


def train_missing(job):
    """Train one model if it is missing; the model stays where it was trained."""
    args, settings, alloy = job
    cli.trained(args, settings, load_rest(args, alloys.load(args.dataset[0]), alloy)[1])


def discover(job):
    """All searches for one class: {"rows": of figure3b.csv, "bounds", "table5": rows, "designs": {method: diagram}}."""
    from common.discovery import search as discovery
    from common.discovery.families import Family
    from common.runs.results import commit

    args, target = job
    settings = target.settings["vae"]
    shared = {
        "target_pixels": args.target,
        "likelihood": args.likelihood,
        "objective": args.objective,
    } | cli.search_protocol(args)
    options = [shared, [s.folder("").as_posix() for s in target.settings.values()], str(args.tdb), args.regressor]
    folder = (
        args.results_dir
        / "checkpoints"
        / settings.dataset
        / "discovery"
        / results.digest(options)
        / f"seed{target.seed}"
    )
    calphad_folder = folder / f"calphad-{args.calphad_evaluations}"

    def found():
        columns = shared | {
            "dataset": Path(args.dataset[0]).stem,
            "alloy": target.alloy,
            "seed": target.seed,
            "recipe": settings.recipe,
        }
        columns |= {"iterations": settings.iterations, "binarize": "none", "commit": commit()}
        data = alloys.load(args.dataset[0])
        rest, dataset = load_rest(args, data, target.alloy)
        image, composition = wanted(args, data, target)
        inverse = alloys.InverseMap(args.regressor, rest.matrices, rest.compositions, target.seed)
        diagrams = calphad.phase_diagrams(args.tdb) if args.tdb else None
        known = [rest.matrices[rest.y == label][..., None] for label in np.unique(rest.y)]
        families = {model: Family(cli.trained(args, s, dataset).model, known) for model, s in target.settings.items()}
        scale = alloys.phase_scale(rest.matrices) if args.objective == "scaled_cosine" else 1.0
        hunt = discovery.Hunt(
            families,
            image,
            args.evaluations,
            args.steps,
            args.budget == "total",
            target.seed,
            folder,
            args.acquisition,
            scale=scale,
        )
        rows, bounds, designs = hunt.explore(columns)
        # (diagram, composition): by the inverse map, or an alloy's own.
        found_alloys = {
            m: (images[-1], inverse(images[-1][None, ..., 0])[0])
            for m, images in designs.items()
            if not m.startswith("random")
        }
        found_alloys["nearest_known"] = by_distance(hunt, rest.matrices, rest.compositions, 0)
        own = data.y == data.names.index(target.alloy)
        found_alloys["own_alloy"] = by_distance(hunt, data.matrices[own], data.compositions[own], own.sum() // 2)
        if args.through_calphad:
            # The objective sees what an alloy of the decoded diagram's composition really is: no impossible diagram wins.
            real = discovery.Hunt(
                families, image, args.calphad_evaluations, args.steps, True, target.seed, calphad_folder, args.acquisition,
                realise=lambda design: diagrams.matrix_of(inverse(design[None, ..., 0])[0], data.phases)[..., None], scale=scale,
            )  # fmt: skip
            plain = [hunt.search(method) for method in discovery.METHODS if method.startswith("hypervae")]
            search = real.refined("hypervae_calphad", plain)
            u, z = search.codes[int(np.argmin(search.distance))]
            found_alloys["hypervae_calphad"] = (
                search.designs[-1],
                inverse(families["hypervae"].decode(u[None], z[None])[..., 0])[0],
            )
        table5 = [columns | row for row in table5_rows(hunt, found_alloys, composition, diagrams, data.phases)]
        shown = {"target": image} | {method: diagram for method, (diagram, _) in found_alloys.items()}
        shown = {method: np.round(diagram, 4).tolist() for method, diagram in shown.items()}
        return {"rows": rows, "bounds": bounds, "table5": table5, "designs": shown}

    return results.stored((calphad_folder if args.through_calphad else folder) / "found.json", found)


def by_distance(hunt, matrices, compositions, rank):
    """(diagram, composition) of the alloy that is number `rank` in distance to the hunt's target, from 0 up."""
    chosen = np.argsort(hunt.distance(matrices[..., None].astype(float)), kind="stable")[rank]
    return matrices[chosen][..., None], compositions[chosen]


def table5_rows(hunt, found_alloys, composition, diagrams, phases):
    """Errors of what each method found, {method: (diagram, composition)}: column A, and B, against CALPHAD's word on the composition."""
    for method, (diagram, own) in found_alloys.items():
        error = alloys.element_error(own, composition)
        row = {
            "method": method,
            "element_error": error,
            "in_class": error <= report_discovery.IN_CLASS,
            "phase_error": np.nan,
        }
        row["cosine_distance"] = float(hunt.distance(diagram))
        if diagrams is not None:
            row["phase_error"] = alloys.phase_error(diagram[..., 0], diagrams.matrix_of(own, phases))
        yield row | dict(zip(calphad.ELEMENTS, own.tolist()))


def wanted(args, data, target):
    """The target diagram (phases, temperatures, 1) and its composition: of the class's mean, or of one alloy of it."""
    label = data.names.index(target.alloy)
    if args.target == "mean":
        diagrams, compositions = alloys.class_means(data)
        return diagrams[label][..., None].astype(float), compositions[label]
    one = np.random.default_rng(target.seed).choice(np.flatnonzero(data.y == label))
    return data.matrices[one][..., None].astype(float), data.compositions[one]


def hardest_classes(data, number=10):
    """The classes whose mean diagram lies farthest from its nearest other one."""
    from common.discovery.search import cosine_distance

    means = alloys.class_means(data)[0][..., None].astype(float)
    apart = np.stack([cosine_distance(means, mean) for mean in means])
    np.fill_diagonal(apart, np.inf)
    return [data.names[label] for label in np.argsort(apart.min(1), kind="stable")[::-1][:number]]


def compute(job):
    """Compute one class's alloys; (designation, how many failed)."""
    tdb, designation, *rest = job
    return designation, alloys.compute_class(tdb, designation, *rest)


def make_data(args):
    """Compute the data set, list what failed, and compare melting ranges with handbooks."""
    if not args.tdb:
        raise InputError("--make-data needs a thermodynamic database: name it with --tdb")
    limits = calphad.read_limits(args.limits or args.data_dir / "alloys" / "alloy_limits.csv")
    unknown = [name for name in args.held_out or [] if name not in limits]
    if unknown:
        raise InputError(f"no composition limits for {unknown[0]}: known are {', '.join(limits)}")
    chosen = args.held_out or list(limits)
    diagrams = calphad.phase_diagrams(args.tdb)
    diagrams.check(limits[name] for name in chosen)
    folder = args.data_dir / "alloys" / "computed"
    jobs = [(args.tdb, d, limits[d], args.alloys_per_class, args.seeds[0], folder / f"{d}.npz") for d in chosen]
    bar = tqdm(total=args.alloys_per_class * len(jobs), desc="alloys")
    for designation, failed in run_jobs(compute, jobs, args.jobs, args.scheduler):
        bar.update(args.alloys_per_class)
        tqdm.write(f"{designation}: {args.alloys_per_class - failed} of {args.alloys_per_class} equilibria found")
    bar.close()
    data = alloys.load(folder)
    print(
        f"{len(data.matrices)} alloys of {len(data.names)} classes, {len(data.phases)} phases, in {folder}; failed: {data.failed or 'none'}"
    )
    compositions = alloys.class_means(data)[1]
    for name in [n for n in calphad.TEXTBOOK if n in data.names]:
        found, known = diagrams.melting_range(compositions[data.names.index(name)]), calphad.TEXTBOOK[name]
        print(f"{name}: liquidus {found[0]:.0f} K (handbooks {known[0]}), solidus {found[1]:.0f} K ({known[1]})")
    if args.pack:
        alloys.pack(folder, args.pack, args.alloys_per_class)
        print(f"packed: {args.pack}")


def compare(args, data):
    """Write inverse_map.csv, on rows and classes not seen, or likelihoods.csv, on test alloys of known classes."""
    from common.hypervae import density
    from common.runs.results import commit

    folder = args.results_dir / "05_discover_alloys"
    if args.compare == "regressors":
        rows = [
            row | {"num_alloys": len(data.y), "commit": commit()}
            for row in alloys.compare_inverse_maps(data, args.seeds[0])
        ]
        print(
            results.put_rows(
                folder / "inverse_map.csv", rows, INVERSE_MAP, ["regressor", "held_out", "num_alloys"]
            ).to_string()
        )
        return
    for likelihood in ("multinomial", "continuous_bernoulli"):
        dataset = alloys.as_dataset(data, likelihood)
        for model in ("vae", "hypervae"):
            settings = cli.settings_for(args, dataset, model, args.recipe[0], args.seeds[0])
            run = cli.trained(args, settings, dataset)
            measures = density.evaluate(run.model, dataset.x_test, dataset.y_test, seed=1, num_importance_samples=0)
            found = np.concatenate([run.model(dataset.x_test[dataset.y_test == c]) for c in range(len(data.names))])
            real = np.concatenate([dataset.x_test[dataset.y_test == c] for c in range(len(data.names))])
            row = {"likelihood": likelihood, "model": model, "neg_elbo": float(measures["neg_elbo"])}
            row |= {
                "column_sum_error": float(np.abs(found.sum(1) - 1).mean()),
                "absolute_error": float(np.abs(found - real).mean()),
            }
            row |= {
                "seed": settings.seed,
                "iterations": settings.iterations,
                "recipe": settings.recipe,
                "commit": run.commit,
            }
            rows = results.put_rows(
                folder / "likelihoods.csv", [row], LIKELIHOODS, ["likelihood", "model", "seed", "iterations", "recipe"]
            )
    print(rows.to_string())


def draw(args, data, rows, bounds, designs, folder):
    """Figure 3b, and the diagrams found beside their targets."""
    from common.runs import figures

    folder = folder / "figures" / args.objective
    label = (
        f"{args.target} diagram of an unseen alloy, {args.evaluations} evaluations, {args.objective.replace('_', ' ')}"
    )
    figures.discovery_curves(
        rows, bounds, f"{label}: median and quartiles over seeds", folder / "figure3b.png", "alloy"
    )
    for alloy, found in designs.items():
        columns = {"target": found["target"], "nearest known alloy": found["nearest_known"]}
        columns |= {figures.METHOD_NAMES[m]: found[m] for m in ("vae", "hypervae_iterated", "hypervae_joint")}
        columns |= {"HyperVAE + BO, through CALPHAD": found[m] for m in found if m == "hypervae_calphad"}
        figures.phase_diagrams(columns, data.phases, data.temperatures, f"alloy {alloy}", folder / f"{alloy}.png")


def main():
    data_help = "an .npz of phase matrices, or a folder of them as --make-data writes (those that ship: 30 classes, 100 alloys each)"
    parser = cli.parser(__doc__, EXAMPLES, data_option="--alloys", data_help=data_help)
    parser.set_defaults(dataset=[SHIPPED], iterations=1500)
    options = cli.add_search_options(parser)
    options.add_argument(
        "--held-out", nargs="+", metavar="ALLOY", help="classes held out, one at a time (the ten hardest)"
    )
    options.add_argument(
        "--target", choices=("mean", "sample"), default="mean", help="a class's mean diagram (default) or one alloy's"
    )
    options.add_argument(
        "--objective", choices=("cosine", "scaled_cosine"), default="cosine",
        help="of diagrams: the paper's (default), or with each phase relative to its largest share in known alloys",
    )  # fmt: skip
    options.add_argument(
        "--likelihood", choices=("multinomial", "continuous_bernoulli"), default="multinomial", help="of phase matrices"
    )
    options.add_argument(
        "--regressor", choices=tuple(alloys.REGRESSORS), default="ridge", help="phase matrix to composition (ridge)"
    )
    options.add_argument("--tdb", type=Path, help="thermodynamic database (mc_al); without it Table 5 has no column B")
    options.add_argument(
        "--through-calphad", action="store_true", help="also search with the real diagrams of the alloys as objective"
    )
    options.add_argument(
        "--calphad-evaluations", type=cli.positive_int, default=100, help="of that search, seconds each (100)"
    )
    options.add_argument(
        "--compare", choices=("regressors", "likelihoods"), help="compare these on known alloys instead"
    )
    compute_options = parser.add_argument_group("computing alloys")
    compute_options.add_argument("--make-data", action="store_true", help="compute phase diagrams instead")
    compute_options.add_argument("--alloys-per-class", type=cli.positive_int, default=100, help="(100)")
    compute_options.add_argument("--limits", type=Path, help="composition limits (DATA_DIR/alloys/alloy_limits.csv)")
    compute_options.add_argument("--pack", type=Path, metavar="FILE", help="also write all classes into one .npz")
    args = parser.parse_args()
    if args.make_data:
        make_data(args)
        return
    cli.search_protocol(args)  # bad input ends here, before hours of training
    if args.through_calphad and not args.tdb:
        raise InputError("--through-calphad needs a thermodynamic database: name it with --tdb")
    if args.tdb:
        calphad.phase_diagrams(args.tdb).check([calphad.ELEMENTS])
    else:
        print("no --tdb: Table 5's column B (do the phases that CALPHAD finds agree?) stays empty")
    data = alloys.load(args.dataset[0])
    if args.compare:
        compare(args, data)
        report.write_report(args.results_dir)
        return
    classes = args.held_out or hardest_classes(data)
    unknown = [name for name in classes if name not in data.names]
    if unknown:
        raise InputError(f"no alloy class {unknown[0]}: choose --held-out among {', '.join(data.names)}")

    trainings, searches = [], []
    for alloy in classes:
        rest = load_rest(args, data, alloy)[1]
        for seed in args.seeds:
            pair = {model: cli.settings_for(args, rest, model, args.recipe[0], seed) for model in ("vae", "hypervae")}
            trainings += [(args, settings, alloy) for settings in pair.values()]
            searches.append((args, Target(alloy, seed, pair)))
    for _ in tqdm(run_jobs(train_missing, trainings, args.jobs, args.scheduler), "trainings", len(trainings)):
        pass
    records = list(tqdm(run_jobs(discover, searches, args.jobs, args.scheduler), "searches", len(searches)))
    folder = args.results_dir / "05_discover_alloys"
    rows, bounds, table5 = (
        pd.DataFrame([row for record in records for row in record[part]]) for part in ("rows", "bounds", "table5")
    )
    keys = [*PROTOCOL, "alloy", "method", "seed"]
    every_row = results.put_rows_packed(folder / "figure3b.csv", rows, FIGURE3B, [*keys, "evaluation"])
    every_bound = results.put_rows(folder / "bounds.csv", bounds, BOUNDS, keys)
    every_alloy = results.put_rows(folder / "table5.csv", table5, TABLE5, keys)
    summary = report_discovery.summarise_discovery(every_row, every_bound, "alloy")
    results.write_table(folder / "summary.csv", summary)
    designs = {record["rows"][0]["alloy"]: record["designs"] for record in reversed(records)}  # the first seed's
    # Seeds and classes of other calls too, where they searched alike.
    alike = [table[(table[PROTOCOL] == rows[PROTOCOL].iloc[0]).all(axis=1)] for table in (every_row, every_bound)]
    draw(args, data, *alike, designs, folder)
    print(report_discovery.discovery_table(report_discovery.summarise_discovery(rows, bounds, "alloy"), "alloy"))
    print(report_discovery.table5(every_alloy))
    report.write_report(args.results_dir)
    print(f"tables and figures: {folder}; report: {args.results_dir / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
