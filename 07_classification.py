"""Classification by implicit hypernetworks (Sheikh et al. 2017): Table 2, calibration, and images of another kind."""

from pathlib import Path

from common import cli, report
from common.implicit import classification, classification_report
from common.implicit.settings import METHODS, OF_HYPERNETWORKS
from common.names import name_of_file
from common.runs import results, storage
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 07_classification.py                                        scikit-learn's digits
  python 07_classification.py --dataset mnist --data-dir ../shared/data --seeds 0 1 2 --jobs 2
  python 07_classification.py --dataset mnist --architecture 2x400 --generator dense matrix
  python 07_classification.py --dataset photos.npz --architecture 1x100 --ood other_photos.npz
  python 07_classification.py --dataset photos/ --image-size 28 --architecture 1x100 --predict new/ --max-error 0.02

--generator matrix makes each weight U H V + B: few parameters, and one draw of all weights for each image (Eq. 3) costs
little more than a plain network. --generator dense is the paper's: millions of parameters, so that by default one draw
serves a whole step. Writes RESULTS_DIR/07_classification/; what was interrupted goes on where it was.

With --predict predictions.csv says of each new image its class, how likely that is, and whether it is known: of images
that are as sure no more than --max-error are wrong, with 90 % confidence. A second call trains nothing."""
SHOWN = [
    "dataset", "architecture", "method", "generator", "seed", "error_percent", "nll", "ece", "ood_auc",
    "num_parameters", "seconds",
]  # fmt: skip


def parse():
    parser = cli.Parser(__doc__, EXAMPLES)
    data = parser.add_argument_group("data")
    names = (
        "digits (default; ships with scikit-learn), mnist, fashion_mnist, omniglot, or the path of an .npz with x and y"
    )
    data.add_argument("--dataset", nargs="+", default=["digits"], metavar="NAME", help=names)
    other = "data set whose images are of another kind, or none (mnist: fashion_mnist, and the reverse)"
    data.add_argument("--ood", metavar="NAME", help=other)
    cli.add_data_dir(data)
    cli.add_image_size(data)
    part = "validation: a tenth of the training images"
    data.add_argument("--evaluate-on", choices=("test", "validation"), default="test", help=part)
    runs = parser.add_argument_group("runs")
    cli.add_run_options(runs)
    shapes = ["2x400", "2x800", "3x150"]
    text = f"hidden layers x units ({' '.join(shapes)})"
    runs.add_argument("--architecture", type=classification.architecture, nargs="+", default=shapes, help=text)
    text = "sgd: plain weights; hypernet: drawn weights (all)"
    runs.add_argument("--method", choices=(*METHODS, "all"), default="all", help=text)
    text = "of the weights (matrix)"
    runs.add_argument("--generator", choices=("dense", "matrix"), nargs="+", default=["matrix"], help=text)
    text = "weights drawn for a prediction, Eq. 4 (10)"
    runs.add_argument("--num-samples", type=cli.positive_int, default=10, help=text)
    new = "images to classify, a folder or .npz; nothing is measured then"
    runs.add_argument("--predict", type=Path, metavar="PATH", help=new)
    rate = "of --predict: the share of known images that may be wrong (0.05)"
    runs.add_argument("--max-error", type=cli.open_fraction, default=0.05, help=rate)
    add_training_options(parser.add_argument_group("training"))
    return parser.parse_args()


MEASURED = ["--ood", "--evaluate-on", "--jobs", "--scheduler"]  # options of what is measured


def predict(args, pair):
    """The answer for new images: predictions.csv and .png, and in words what it rests on."""
    from common.data import readers
    from common.implicit import answers, figures

    pile, names = readers.unlabelled(args.predict, args.image_size)
    found = answers.of_images(args, pair, pile, names)
    folder = args.results_dir / "07_classification" / f"{pair.data.name}_{name_of_file(args.predict)}-{found.digest}"
    results.write_table(folder / "predictions.csv", found.table)
    path = folder / "predictions.png"
    figures.predicted_images(pile, found.table, pair.data.name, name_of_file(args.predict), path)
    print(f"{found.words}\n{found.table.head(10).to_string(index=False, float_format='%.3g')}")
    print(f"predictions and picture: {folder}")


def add_training_options(train):
    def add(name, kind, text, **options):
        train.add_argument(name, type=kind, help=text, **options)

    add("--epochs", cli.positive_int, "passes over the images (40, below 10,000 images 300; the paper trains 2000)")
    add("--batch-size", cli.positive_int, "images a step (256, or all where there are fewer)")
    add("--learning-rate", cli.positive_float, "Adam's (0.003, matrix 0.001)")
    schedule = "of the learning rate (cosine)"
    train.add_argument("--schedule", choices=("constant", "cosine"), default="cosine", help=schedule)
    add("--weights-per-step", cli.positive_int, "draws of the weights in a step (matrix: one an image; dense: 1)")
    add("--hyper-units", cli.positive_int, "of the hypernetwork (100 50; for 3x150 100 20)", nargs="+")
    add("--noise-dim", cli.positive_int, "dimensions of eps (50)", default=50)
    add("--spread", cli.fraction, "share of the initial weights' variance that comes from eps (0.001)", default=0.001)
    kernel = "learning rate of the kernel that makes the weights, as a share (matrix 1, dense 0.02)"
    add("--kernel-rate", cli.positive_float, kernel)


def main():
    args = parse()
    if not args.predict:
        cli.refuse_unused(args, ["--max-error"], "without --predict")
    else:
        cli.refuse_unused(args, MEASURED, "with --predict")
        args.ood = classification.NO_OUTLIERS
    loaded = classification.with_outliers(dict.fromkeys(args.dataset), args.ood, args.data_dir, args.image_size)
    planned = classification.planned_runs(args, loaded)
    cli.refuse_unfollowed(args, ["generator", *OF_HYPERNETWORKS], [evaluation.training for evaluation, _ in planned])
    if args.predict:
        predict(args, loaded[0])
        return
    checkpoints, folder = args.results_dir / "checkpoints", args.results_dir / "07_classification"
    jobs = [
        (evaluation, loaded[place].name, loaded[place].other_name, args.data_dir, checkpoints, args.image_size)
        for evaluation, place in planned
    ]
    fingerprints = [pair.data.fingerprint() for pair in loaded]
    del loaded
    storage.make_folder(folder)
    order = classification.LABELS
    for table2, curves, reliability, rejection in run_jobs(classification.measured, jobs, args.jobs, args.scheduler):
        rows = results.put_rows(folder / "table2.csv", table2, classification.TABLE2, order=order)
        curves = results.put_rows(folder / "curves.csv", curves, classification.CURVES, ["epoch"], [*order, "epoch"])
        bins = (reliability, classification.RELIABILITY, ["bin"], [*order, "bin"])
        bins = results.put_rows(folder / "reliability.csv", *bins)
        rejected = (rejection, classification.REJECTION, ["rejected_percent"], [*order, "rejected_percent"])
        rejected = results.put_rows(folder / "rejection.csv", *rejected)
    records = results.read_records(folder / "table2.csv")

    def summarise(rows, records):
        summary = classification_report.summarise_classification(rows, records)
        return summary[summary["evaluated_on"] == "test"]

    results.write_summary(folder / "summary.csv", folder / "table2.csv", summarise)
    from common.implicit import figures

    for fingerprint in fingerprints:
        figures.of_data_set(fingerprint, records, bins, rejected, curves, folder)
    own = [records[run]["training"]["fingerprint"] in fingerprints for run in rows["run"]]
    print(rows[own][SHOWN].to_string(index=False, float_format="%.4g"))
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
