"""Outlier detection (section 4.4, Table 4): models see normal images only, and score a mixture."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from common import cli, report
from common.data import datasets
from common.errors import InputError
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 03_outliers.py                                           digits: 0 to 4 normal, 5 to 9 outliers
  python 03_outliers.py --normal mnist --outlier omniglot --data-dir DATA
  python 03_outliers.py --normal mnist fashion_mnist omniglot --outlier all --data-dir DATA --seeds 0 1 2 --jobs 2
  python 03_outliers.py --normal mine.npz --normal-classes 0-2,4
  python 03_outliers.py --normal mine.npz --outlier theirs.npz --outlier-fraction 0.1

The mixture is the normal set's whole test part and outliers drawn from the other set's test part. Scores are larger
for outliers. Writes RESULTS_DIR/03_outliers/table4.csv, summary.csv and figures, and RESULTS_DIR/README.md."""

IMAGE_SETS = ("mnist", "fashion_mnist", "omniglot")
COLUMNS = ["normal", "outlier", "model", "score", "seed", "auc", "fpr", "fnr", "average_precision", "ci_low", "ci_high"]
COLUMNS += [
    "num_normal",
    "num_outlier",
    "num_samples",
    "commit",
    "fpr_equal_error",
    "fnr_equal_error",
    "fpr_percentile_80",
]
COLUMNS += ["fnr_percentile_80", "recipe", "iterations", "binarize"]
KEYS = ["normal", "outlier", "model", "score", "recipe", "iterations", "binarize", "num_samples", "num_outlier", "seed"]
EVALUATION_SEED = 1


def load_normal(args, name):
    data = cli.load_data(args, name)
    return data if args.normal_classes is None else datasets.restrict(data, args.normal_classes)


def outlier_names(args, normal):
    """The outlier sets of one normal set."""
    if args.outlier == ["all"]:
        return [name for name in IMAGE_SETS if name != normal]
    return [name for name in args.outlier if name != normal] or ["other classes"]


def mixture_parts(args, normal):
    """The normal set, test images {outlier set: (M, H, W, 1)} to draw outliers from, and how many are wanted.

    Raises:
        InputError: nothing to draw from, images of another size, or too few of them.
    """
    data = load_normal(args, normal)
    pool = {}
    for name in outlier_names(args, normal):
        if name != "other classes":
            other = cli.load_data(args, name)
            pool[other.name] = other.x_test
        elif args.normal_classes is None:
            raise InputError(
                "no outliers: give --outlier another set, or --normal-classes to hold out the other classes"
            )
        else:
            whole = cli.load_data(args, normal)
            pool[f"{whole.name}-others"] = whole.x_test[~np.isin(whole.y_test, args.normal_classes)]
    wanted = round(args.outlier_fraction * len(data.x_test))
    for name, x in pool.items():
        if x.shape[1:] != data.image_shape:
            sizes = f"{x.shape[1]}x{x.shape[2]}, those of {data.name} {data.image_shape[0]}x{data.image_shape[1]}"
            raise InputError(
                f"images of {name} are {sizes}: resize one set, e.g. with PIL.Image.resize, and save it as .npz"
            )
        if len(x) < wanted or wanted < 1:
            raise InputError(
                f"{name} has {len(x)} test images, {wanted} outliers are wanted: change --outlier-fraction"
            )
    return data, pool, wanted


def image_sets(args, normal, seed):
    """The normal set, and {"validation": ..., "test": ..., outlier set: its drawn images}."""
    data, pool, wanted = mixture_parts(args, normal)
    sets = {"validation": data.x_validation, "test": data.x_test}
    for name, x in pool.items():
        sets[name] = x[np.random.default_rng([EVALUATION_SEED, seed]).permutation(len(x))[:wanted]]
    return data, sets


def stored_record(args, folder, set_names, shared, score):
    """{"rows": Table 4's rows, "scores": {score: {set: [...]}}} of one model, from its folder or else by score().

    score() gives {score: {image set: scores (N,)}}; `shared` are the columns that all rows have in common.
    """
    from common.hypervae import outliers

    options = [args.num_samples, args.outlier_fraction, sorted(set_names), args.num_bootstrap]

    def scored():
        rows, by_score = [], score()
        for name, by_set in by_score.items():
            for outlier in [n for n in by_set if n != "test"]:
                row = shared | {"outlier": outlier, "score": name, "num_outlier": len(by_set[outlier])}
                row["num_normal"] = len(by_set["test"])
                rows.append(
                    row | outliers.measures(by_set["test"], by_set[outlier], EVALUATION_SEED, args.num_bootstrap)
                )
        scores = {name: {n: values.tolist() for n, values in by_set.items()} for name, by_set in by_score.items()}
        return {"rows": rows, "scores": scores}

    return results.stored(folder / f"outliers-{results.digest(options)}.json", scored)


def score_model(job):
    """Train one model if it is missing and score the mixture."""
    from common.hypervae import outliers

    args, settings, name = job
    data, sets = image_sets(args, name, settings.seed)
    run = cli.trained(args, settings, data)

    def score():
        label = f"{settings.dataset} {settings.model} seed {settings.seed}: scoring"
        options = {"seed": EVALUATION_SEED, "num_samples": args.num_samples}
        options["progress"] = lambda batches: tqdm(batches, label, mininterval=5)
        if settings.model == "metavae":
            del sets["validation"]
            tables = outliers.metavae_statistics(run.model, sets, **options)
            columns = {"kl": "kl_z", "description_length": "neg_elbo_all_decoders"}
            return {score: {n: table[c].to_numpy(float) for n, table in tables.items()} for score, c in columns.items()}
        if settings.model == "hypervae":
            options["average_vae"] = run.model.average_vae(data.x_validation)
        tables = outliers.statistics(run.model, sets, **options)
        return outliers.scores(
            {n: t.join(outliers.compressed_lengths(sets[n])) for n, t in tables.items()}, settings.seed
        )

    shared = {"normal": data.name, "model": settings.model, "seed": settings.seed, "num_samples": args.num_samples}
    shared |= {"recipe": settings.recipe, "iterations": settings.iterations, "binarize": settings.binarize}
    return stored_record(args, run.folder, list(sets), shared | {"commit": run.commit}, score)


def score_baseline(job):
    """Fit one scikit-learn baseline, or take the compressors alone, on the same images."""
    from common.hypervae import outliers
    from common.runs.results import commit

    args, model, name, seed = job
    data, sets = image_sets(args, name, seed)
    del sets["validation"]

    def score():
        if model == "compressor":
            lengths = {n: outliers.compressed_lengths(x) for n, x in sets.items()}
            return {c: {n: table[c].to_numpy() for n, table in lengths.items()} for c in outliers.COMPRESSORS}
        fitted = outliers.BASELINES[model](data.x, seed)
        return {"score": {n: np.asarray(fitted(x), float) for n, x in sets.items()}}

    shared = {"normal": data.name, "model": model, "seed": seed, "num_samples": 0, "recipe": "none", "iterations": 0}
    folder = (
        args.results_dir / "checkpoints" / data.name / model / f"{args.binarize}-{data.fingerprint()}" / f"seed{seed}"
    )
    return stored_record(args, folder, list(sets), shared | {"binarize": args.binarize, "commit": commit()}, score)


def draw(args, name, by_model, folder):
    """ROC curves, histograms and the extreme images of one normal set, for the first seed."""
    from common.hypervae import outliers
    from common.runs import figures

    data, sets = image_sets(args, name, args.seeds[0])
    for outlier in [n for n in sets if n not in ("validation", "test")]:
        own = folder / f"{data.name}_{outlier}"
        title = f"normal: {data.name}, outliers: {outlier}"
        figures.roc_curves(by_model, outlier, title, own / "roc.png")
        figures.score_histograms(by_model, outlier, title, own / "histograms.png")
        for score in ("description_length", outliers.HEADLINE):
            values = by_model.get("hypervae", {}).get(score)
            if values:
                figures.extremes(sets, values, outlier, f"{title}; HyperVAE, {score}", own / f"extremes_{score}.png")


def main():
    parser = cli.parser(__doc__, EXAMPLES, data_option="--normal")
    options = parser.add_argument_group("outliers")
    options.add_argument(
        "--outlier",
        nargs="+",
        default=[],
        metavar="NAME",
        help="sets that outliers are drawn from, or 'all' (the other named sets)",
    )
    options.add_argument(
        "--normal-classes",
        type=cli.class_list,
        help="normal classes, e.g. 0-4 or 0,2,5-7; without --outlier the others are outliers",
    )
    options.add_argument(
        "--outlier-fraction", type=cli.positive_float, default=0.2, help="outliers for each normal test image (0.2)"
    )
    options.add_argument("--num-samples", type=cli.positive_int, default=16, help="draws of z for each image (16)")
    options.add_argument(
        "--num-bootstrap", type=cli.positive_int, default=500, help="resamples for the AUC's interval (500)"
    )
    args = parser.parse_args()
    if args.dataset == ["digits"] and not args.outlier and args.normal_classes is None:
        args.normal_classes = [0, 1, 2, 3, 4]
    for name in args.dataset:
        mixture_parts(args, name)  # bad input ends here, before hours of training
    loaded, jobs = cli.planned_runs(args, load_normal)
    folder = Path(args.results_dir) / "03_outliers"
    from common.hypervae.outliers import BASELINES

    baselines = [
        (args, model, name, seed) for seed in args.seeds for name in loaded for model in ("compressor", *BASELINES)
    ]
    found = {}
    for done in (run_jobs(score_model, jobs, args.jobs), run_jobs(score_baseline, baselines, args.jobs)):
        for record in done:
            rows = results.put_rows(folder / "table4.csv", record["rows"], COLUMNS, KEYS)
            for row in record["rows"]:
                print(
                    "{normal} / {outlier}: {model} {score} seed {seed}: AUC {auc:.1f} FPR {fpr:.1f} FNR {fnr:.1f}".format(
                        **row
                    )
                )
            first = record["rows"][0]
            if first["seed"] == args.seeds[0]:
                found.setdefault(first["normal"], {})[first["model"]] = record["scores"]
    summary = report.summarise_outliers(rows)
    results.write_table(folder / "summary.csv", summary)
    print(report.table4(rows))
    for name, data in loaded.items():
        draw(args, name, found[data.name], folder)
    report.write_report(args.results_dir)
    print(f"tables and figures: {folder}; report: {Path(args.results_dir) / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
