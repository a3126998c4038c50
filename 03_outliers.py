"""Outlier detection (section 4.4, Table 4): models see normal images only, and score a mixture."""

from pathlib import Path

from common import cli, report
from common.hypervae import options, outlier_jobs, outlier_records, outlier_sets, piles
from common.hypervae.outlier_report import table4
from common.hypervae.outlier_rows import MEASURES
from common.names import name_of_file
from common.runs import results, summaries
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 03_outliers.py                                           digits: 0 to 4 normal, 5 to 9 outliers
  python 03_outliers.py --normal mnist --outlier omniglot --data-dir DATA
  python 03_outliers.py --normal mnist fashion_mnist omniglot --outlier all --data-dir DATA --seeds 0 1 2 --jobs 2
  python 03_outliers.py --normal mine.npz --normal-classes 0-2,4
  python 03_outliers.py --normal mine.npz --outlier theirs.npz --outlier-fraction 0.1
  python 03_outliers.py --normal mnist --outlier rotated flip_vertical --likelihood logistic_mixture --data-dir DATA
  python 03_outliers.py --normal mnist --outlier held_out_class --data-dir DATA
  python 03_outliers.py --normal good/ --score pile/ --image-size 28           which pictures of a pile are odd?

The mixture is the normal set's whole test part and outliers drawn from the other set's test part. Scores are larger
for outliers. Writes RESULTS_DIR/03_outliers/table4.csv, summary.csv and figures, and RESULTS_DIR/README.md.

With --score no label is needed, and no outlier: HyperVAE (or --model vae) learns from normal images, a part of which is
held out and says how often normal images score as high; where they have no classes, it finds tasks in them. Writes
scores.csv and ranked.png, the oddest images first."""

COLUMNS = ["normal", "outlier", "model", "score", "seed", "auc", "fpr", "fnr", "average_precision", "ci_low", "ci_high"]
COLUMNS += ["num_normal", "num_outlier", "num_samples", "fpr_equal_error", "fnr_equal_error", "fpr_percentile_80"]
COLUMNS += ["fnr_percentile_80", "fpr_at_95_tpr", "fpr_held_out", "fnr_held_out", "likelihood", "recipe", "iterations"]
COLUMNS += ["binarize"]
ORDER = ["likelihood", "normal", "outlier", "model", "score", "recipe", "iterations", "binarize", "num_samples"]
ORDER += ["num_outlier", "seed"]


def score(jobs_of_models, jobs_of_baselines, args):
    """Score all mixtures and write Table 4; yields (Scoring, scores) as they come."""
    table = args.results_dir / "03_outliers" / "table4.csv"
    for function, jobs in (
        (outlier_jobs.score_model, jobs_of_models),
        (outlier_jobs.score_baseline, jobs_of_baselines),
    ):
        for mixture in run_jobs(function, jobs, args.jobs, args.scheduler):
            for record, rows, scores in mixture:
                results.put_rows(table, rows, COLUMNS, ["score"], ORDER)
                for row in rows:
                    line = (
                        "{normal} / {outlier}: {model} {score} seed {seed}: AUC {auc:.1f} FPR {fpr:.1f} FNR {fnr:.1f}"
                    )
                    print(line.format(**row), flush=True)
                yield record, scores


def score_pile(args):
    """Which images of a pile are odd, and where: scores.csv and ranked.png."""
    from common.data import readers
    from common.hypervae import outlier_figures, scoring

    pile, names = readers.unlabelled(args.score, args.image_size, options.has_levels(args))
    data, settings = piles.normal_of_pile(args, pile)
    found = scoring.answer(args, settings, data, pile, names)
    folder = args.results_dir / "03_outliers" / f"{data.name}_{name_of_file(args.score)}-{found.digest}"
    rate = f"{args.max_false_positive_rate:g}"
    header = {
        "image": "image",
        "score": "score (nats)",
        "p_value": "p-value",
        "outlier": f"outlier (p-value <= {rate})",
    }
    results.write_table(folder / "scores.csv", found.table[list(header)].rename(columns=header))
    shown = found.table.head(len(found.images))
    titles = [f"{row.image[-14:]}\np {row.p_value:.2g}" for row in shown.itertuples()]
    few = f"{1 - args.max_false_positive_rate:.0%} of normal images"
    shown_as = (titles, found.anchor, few, found.words, data.name)
    outlier_figures.ranked(found.images / options.white(args), found.maps, *shown_as, folder / "ranked.png")
    print(f"{found.words}\n{shown[list(header)].head(10).to_string(index=False)}\nscores and picture: {folder}")


def parsed():
    """The options; those that change nothing are refused, and of digits alone classes 0 to 4 are normal."""
    parser = options.parser(__doc__, EXAMPLES, data_option="--normal")
    group = parser.add_argument_group("outliers")
    sets = "sets that outliers are drawn from, or 'all' (the other named sets); flip_horizontal, flip_vertical, "
    sets += "rotated: normal test images so changed; held_out_class: each class in turn, left out of the normal set"
    group.add_argument("--outlier", nargs="+", default=[], metavar="NAME", help=sets)
    classes = "normal classes, e.g. 0-4 or 0,2,5-7; without --outlier the others are outliers"
    group.add_argument("--normal-classes", type=cli.class_list, help=classes)
    fraction = "outliers for each normal test image (0.2)"
    group.add_argument("--outlier-fraction", type=cli.positive_float, default=0.2, help=fraction)
    group.add_argument("--num-samples", type=cli.positive_int, default=16, help="draws of z for each image (16)")
    resamples = "resamples for the AUC's interval (500)"
    group.add_argument("--num-bootstrap", type=cli.positive_int, default=500, help=resamples)
    pile = "folder of pictures, or .npz, to score; for normal images that --normal names, with or without classes"
    group.add_argument("--score", type=Path, metavar="PATH", help=pile)
    rate = "of --score: the share of normal images that may be called outliers (0.05)"
    group.add_argument("--max-false-positive-rate", type=cli.open_fraction, default=0.05, help=rate)
    kinds = "usual (default); likelihood_regret: q(z|x) is fitted to each image, in 9 to 15 times the time; "
    kinds += "combined: Fisher's sum of both densities, adjusted length and local outlier factor, and of three; "
    kinds += "task_mixture: length under the mixture of the training's tasks (hypervae, metavae, cvae)"
    group.add_argument(
        "--scores", nargs="+", choices=tuple(outlier_records.OF_MODELS), default=[outlier_records.USUAL], help=kinds
    )
    options.add_fit_u(group)
    options.add_likelihood(parser.training)
    options.add_tasks(parser.training)
    args = parser.parse_args()
    if args.score:
        of_mixtures = ["--outlier-fraction", "--num-bootstrap", "--scores", "--fit-u", "--jobs", "--scheduler"]
        cli.refuse_unused(args, of_mixtures, "with --score")
        return args
    cli.refuse_unused(args, ["--max-false-positive-rate"], "without --score")
    if args.dataset == ["digits"] and not args.outlier and args.normal_classes is None:
        args.normal_classes = [0, 1, 2, 3, 4]
    return args


def draw(every, found):
    """The figures of all mixtures; `found`: as of outlier_figures.of_mixtures."""
    from common.hypervae import outlier_figures

    for args in every:
        held_out_classes = args.outlier == [outlier_sets.HELD_OUT_CLASS]
        if not held_out_classes and outlier_records.USUAL in args.scores:  # else there is nothing to draw
            for name in args.dataset:
                outlier_figures.of_mixtures(args, name, found)


def main():
    args = parsed()
    if args.score:
        score_pile(args)
        return
    every, jobs, baselines = outlier_jobs.planned(args)
    shown = {}  # by figures: the first seed and recipe
    for _, scored, _ in [*jobs, *baselines]:
        shown.setdefault((scored.fingerprint, scored.model), scored.digest)
    found = {}
    for record, scores in score(jobs, baselines, args):
        if record.scored.digest in shown.values() and record.scores == outlier_records.USUAL:
            pair = found.setdefault((record.scored.fingerprint, record.outlier_fingerprint), {})
            pair[record.scored.model] = (record, scores)
    folder = args.results_dir / "03_outliers"
    table = folder / "table4.csv"
    rows, records = results.read_rows(table), results.read_records(table)
    results.write_summary(
        folder / "summary.csv", table, lambda rows, _: summaries.over_seeds(rows, MEASURES, by=["score"])
    )
    print(table4(rows, records))
    draw(every, found)
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
