"""Regression by implicit hypernetworks (Sheikh et al. 2017): Table 1 and Figure 2."""

from common import cli, report
from common.data import tabular
from common.implicit import regression, regression_report
from common.implicit.settings import METHODS, OF_HYPERNETWORKS
from common.names import name_of_file
from common.runs import results, storage
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 06_regression.py                                       scikit-learn's diabetes set, two minutes
  python 06_regression.py --dataset boston --data-dir ../shared/data
  python 06_regression.py --dataset all --jobs 2                Table 1
  python 06_regression.py --dataset my_measurements.csv --target price
  python 06_regression.py --dataset yacht --recipe paper        batch 1, 2,000 epochs: an hour
  python 06_regression.py --dataset my_measurements.csv --target price --predict new.csv

All splits of a set are trained at once. Beside each split's model a companion is trained on nine tenths of the same
training rows; the rest of them gives sigma of the predictive distribution, and what settings may be chosen by. Writes
RESULTS_DIR/06_regression/; what was interrupted goes on where it was, and a finished run is not repeated.

With --predict one model learns from all rows, and predictions.csv says for each new row what the target is and how sure
that is. A second call with other rows trains nothing."""
SHOWN = [
    "dataset", "method", "epochs", "chosen", "rmse_mean", "rmse_standard_error", "log_likelihood_mean",
    "coverage_90_mean", "num_splits", "num_samples", "seconds_mean",
]  # fmt: skip


def parse():
    parser = cli.Parser(__doc__, EXAMPLES)
    add_data_options(parser.add_argument_group("data"))
    runs = parser.add_argument_group("runs")
    cli.add_run_options(runs)
    methods = "sgd: plain weights; hypernet: drawn weights (all)"
    runs.add_argument("--method", choices=(*METHODS, "all"), default="all", help=methods)
    samples = "weights drawn for a prediction, Eq. 4 (100)"
    runs.add_argument("--num-samples", type=cli.positive_int, default=100, help=samples)
    new = "rows to predict, a .csv with the table's columns or an .npz with x; nothing is measured then"
    runs.add_argument("--predict", metavar="PATH", help=new)
    add_training_options(parser.add_argument_group("training (defaults come from the recipe)"))
    return parser.parse_args()


def add_data_options(data):
    names = f"diabetes (default), {', '.join(tabular.NAMES)}, all (of these nine), or the path of a .csv or .npz"
    data.add_argument("--dataset", nargs="+", default=["diabetes"], metavar="NAME", help=names)
    target = "what to predict of a .csv (its column) or .npz (its array; y)"
    data.add_argument("--target", metavar="COLUMN", help=target)
    missing = "of missing values in a .csv: refuse them (default), drop their rows, or fill in the column's median"
    data.add_argument("--missing", choices=("refuse", "drop", "median"), default="refuse", help=missing)
    text = "of words in a .csv: refuse them (default), or make a column for each word"
    data.add_argument("--text", choices=("refuse", "one-hot"), default="refuse", help=text)
    cli.add_data_dir(data)
    splits = "how many train/test splits, from the first on (named sets 20, others 5)"
    data.add_argument("--splits", type=cli.positive_int, help=splits)


def add_training_options(train):
    def add(name, kind, text, **options):
        train.add_argument(name, type=kind, help=text, **options)

    train.add_argument("--recipe", choices=tuple(regression.RECIPES), default="ours", help="paper or ours (default)")
    epochs = "several: all are trained, held-out rows choose (paper 2000; ours 30 100 300 1000, above 5,000 rows 200)"
    add("--epochs", cli.positive_int, epochs, nargs="+")
    batch = "rows a step, one draw of the weights each (paper 1, above 5,000 rows 512; ours 16 and 128)"
    add("--batch-size", cli.positive_int, batch)
    add("--learning-rate", cli.positive_float, "Adam's (paper 0.001; ours 0.003 and 0.03)")
    schedule = "of the learning rate (paper constant; ours cosine)"
    train.add_argument("--schedule", choices=("constant", "cosine"), help=schedule)
    add("--hidden-units", cli.positive_int, "of the main network (50; protein 100)")
    add("--hyper-units", cli.positive_int, "of the hypernetwork (100 50)", nargs="+", default=[100, 50])
    add("--noise-dim", cli.positive_int, "dimensions of eps (50)", default=50)
    add("--weights-per-step", cli.positive_int, "draws of the weights in a step (one a row, Eq. 3)")
    add("--spread", cli.fraction, "share of the initial weights' variance that comes from eps (0.1)")
    kernel = "learning rate of the kernel that makes the weights, as a share (1; ours above 5,000 rows 0.02)"
    add("--kernel-rate", cli.positive_float, kernel)


MEASURED = ["--splits", "--jobs", "--scheduler"]  # options of what is measured


def predict(args, table):
    """The answer for new rows: predictions.csv and .png, and in words what it rests on."""
    from common.implicit import answers, figures

    found = answers.of_rows(args, table, args.predict)
    folder = args.results_dir / "06_regression" / f"{table.name}_{name_of_file(args.predict)}-{found.digest}"
    results.write_table(folder / "predictions.csv", found.table, float_format=None)  # rounded, as it is to be read
    figures.predicted_rows(found.table, name_of_file(args.predict), folder / "predictions.png")
    print("".join(f"note: {note}\n" for note in found.notes) + f"{found.words}")
    print(f"{found.table.head(10).to_string(index=False, float_format=str)}\npredictions and picture: {folder}")


def main():
    args = parse()
    if args.predict:
        cli.refuse_unused(args, MEASURED, "with --predict")
    asked = [name for given in args.dataset for name in (tabular.NAMES if given == "all" else (given,))]
    args.dataset = list(dict.fromkeys(asked))
    regression.check_use(args, args.dataset)
    sources = [(name, args.data_dir, args.target, args.missing, args.text) for name in args.dataset]
    tables = [tabular.load(*source) for source in sources]
    for note in dict.fromkeys(note for table in tables for note in table.notes):
        print(f"note: {note}")
    planned = regression.planned_runs(args, tables)
    cli.refuse_unfollowed(args, OF_HYPERNETWORKS, [run for run, _ in planned])
    if args.predict:
        predict(args, tables[0])
        return
    checkpoints, folder = args.results_dir / "checkpoints", args.results_dir / "06_regression"
    jobs = [(run, sources[place], checkpoints) for run, place in planned]
    storage.make_folder(folder)
    curves = []
    for table1, figure2 in run_jobs(regression.measured, jobs, args.jobs, args.scheduler):
        results.put_rows(folder / "table1.csv", table1, regression.TABLE1, ["split"], regression.ORDER)
        curves += figure2
    order = [*regression.ORDER, "epoch"]
    curves = results.put_rows(
        folder / "figure2.csv", curves, regression.FIGURE2, ["split", "epoch"], order, packed=True
    )
    summarise = regression_report.summarise_regression
    summary = results.write_summary(folder / "summary.csv", folder / "table1.csv", summarise)
    own = summary[summary["fingerprint"].isin([table.fingerprint() for table in tables])]
    from common.implicit import figures

    figures.of_chosen(own, curves, folder)
    print(own[SHOWN].to_string(index=False, float_format="%.4g"))
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
