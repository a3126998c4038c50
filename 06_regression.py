"""Regression by implicit hypernetworks (Sheikh et al. 2017): Table 1 and Figure 2."""

import argparse

import numpy as np
import pandas as pd

from common import cli, report
from common.data import tabular
from common.errors import InputError
from common.implicit import calibration
from common.implicit import report as report_systems
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 06_regression.py                                       scikit-learn's diabetes set, two minutes
  python 06_regression.py --dataset boston --data-dir ../shared/data
  python 06_regression.py --dataset all --jobs 2                Table 1
  python 06_regression.py --dataset my_measurements.csv --target price
  python 06_regression.py --dataset yacht --recipe paper        batch 1, 2,000 epochs: an hour

All splits of a set are trained at once. Beside each split's model a companion is trained on nine tenths of the same training
rows; the rest of them gives sigma of the predictive distribution, and what settings may be chosen by.
Writes RESULTS_DIR/06_regression/; what was interrupted goes on where it was, and a finished run is not repeated."""

# The paper's settings (section 4), and ours: fewer and larger steps, chosen on companions' held-out rows (of boston and kin8nm).
# Pairs: tables of fewer rows than LARGE, and others. There kin8nm and naval want this learning rate, power and protein a smaller one.
RECIPES = {
    "paper": {
        "batch_size": (1, 512),
        "learning_rate": (1e-3, 1e-3),
        "schedule": "constant",
        "spread": 0.1,
        "kernel_rate": 1.0,
    },
    "ours": {
        "batch_size": (16, 128),
        "learning_rate": (3e-3, 3e-2),
        "schedule": "cosine",
        "spread": 0.1,
        "kernel_rate": (1.0, 0.02),
    },
}
# Small tables want from 30 epochs (wine-red) to 1,000 (energy): each method is trained for all, and held-out rows choose.
EPOCHS = {"paper": ((2000,), (2000,)), "ours": ((30, 100, 300, 1000), (200,))}
LARGE = 5_000  # rows; from there up the paper takes the large batch
METHODS = ("sgd", "hypernet")
KEYS = ["dataset", "method", "recipe", "setting", "epochs", "seed", "split"]
TABLE1 = [
    "dataset", "method", "split", "rmse", "log_likelihood", "coverage_90", "epochs", "seconds", "commit", "recipe", "setting", "seed",
    "rmse_held_out", "rmse_early_stopped", "sigma", "num_splits", "num_samples", "num_parameters",
]  # fmt: skip
FIGURE2 = [*KEYS, "epoch", "spread", "rmse", "commit"]


def epochs_for(args, table):
    """How long to train: each of these."""
    return args.epochs or EPOCHS[args.recipe][len(table.y) > LARGE]


def options_for(args, table, method, epochs):
    """What decides a run's numbers: the recipe's values, but for those given on the command line."""
    large = len(table.y) > LARGE
    chosen = {name: value[large] if isinstance(value, tuple) else value for name, value in RECIPES[args.recipe].items()}
    chosen |= {name: getattr(args, name) for name in chosen if getattr(args, name) is not None}
    chosen["epochs"] = epochs
    chosen["hidden_units"] = args.hidden_units or (100 if table.name == "protein" else 50)
    chosen["splits"] = min(
        args.splits or (tabular.NUM_SPLITS if table.name in tabular.NAMES else 5), len(table.train_index)
    )
    if method == "hypernet":
        chosen |= {"hyper_units": args.hyper_units, "noise_dim": args.noise_dim}
        if args.weights_per_step is not None:
            chosen["weights_per_step"] = args.weights_per_step
            if chosen["batch_size"] % args.weights_per_step:
                raise InputError(
                    f"--weights-per-step {args.weights_per_step} must divide the batch size {chosen['batch_size']}"
                )
    else:
        del chosen["spread"], chosen["kernel_rate"]
    room = table.train_index.shape[1] - table.test_index.shape[1]
    if chosen["batch_size"] > room:
        raise InputError(f"--batch-size {chosen['batch_size']} is more than the {room} rows to train on: lower it")
    return chosen


def in_words(options):
    """The options in one cell, but for the epochs: main network, hypernetwork, batch and learning rate."""
    hyper = ""
    if "hyper_units" in options:
        net = (options["noise_dim"], options["hyper_units"], options["spread"], options["kernel_rate"])
        hyper = " by " + report_systems.hypernetwork_in_words(*net)
        hyper += f", {options['weights_per_step']} draws of w a step" if "weights_per_step" in options else ""
    return f"{options['hidden_units']}{hyper}, batch {options['batch_size']}, lr {options['learning_rate']:g} {options['schedule']}"


def run(job):
    """Train one method on all splits of one table: rows of Table 1 and of Figure 2."""
    args, table, method, total, seed = job
    from common.implicit import model as implicit_hypernet

    options = options_for(args, table, method, total)
    members = tabular.Members(table, options["splits"])
    hyper = {
        name: options[name] for name in ("noise_dim", "spread", "kernel_rate", "weights_per_step") if name in options
    }
    sizes = (table.x.shape[1], options["hidden_units"], 1)
    model = implicit_hypernet.ImplicitHypernet(
        sizes,
        "regression",
        method,
        members.statistics,
        members.streams,
        options.get("hyper_units", ()),
        seed=seed,
        **hyper,
    )
    key = results.digest(options | {"fingerprint": table.fingerprint()})
    folder = args.results_dir / "checkpoints" / "implicit_hypernet" / table.name / f"{method}-{key}" / f"seed{seed}"
    settled = implicit_hypernet.settled_after(total)

    def measure(epoch):
        """Each member's error on the rows that it has not seen, and the spread of its weights (10 draws, as in Figure 2)."""
        last = epoch > settled
        if not last and epoch % max(1, total // 400):  # Figure 2 has no use for more points
            return None
        samples = model.predict_samples(members.x, args.num_samples if last else 10)
        rmse = np.sqrt(np.mean((samples.mean(0) - members.y) ** 2, 1))
        spread = model.sample_weights(10).std(0).mean(1)
        return {
            "rmse": [float(f"{value:.6g}") for value in rmse],
            "spread": [float(f"{value:.6g}") for value in spread],
        }

    training = {name: options[name] for name in ("epochs", "batch_size", "learning_rate", "schedule")}
    record = implicit_hypernet.train(model, table.x, table.y, members.rows, folder, measure=measure, **training)
    rmse = np.array([point["rmse"] for point in record["rows"]])
    held_out, tested = rmse[:, members.splits :], rmse[:, : members.splits]
    last = np.array([point["epoch"] > settled for point in record["rows"]])
    stopped = np.argmin(
        pd.DataFrame(held_out).rolling(implicit_hypernet.LAST_EPOCHS, min_periods=1, center=True).mean().to_numpy(), 0
    )
    samples = model.predict_samples(members.x, args.num_samples)
    shared = {
        "dataset": table.name,
        "method": method,
        "recipe": args.recipe,
        "setting": in_words(options),
        "seed": seed,
    }
    shared |= {"commit": record["commit"], "epochs": total, "seconds": record["seconds"], "num_splits": members.splits}
    shared |= {"num_samples": len(samples), "num_parameters": model.num_parameters}
    table1, figure2 = [], []
    for k in range(members.splits):
        companion = members.splits + k
        sigma = calibration.best_sigma(samples[:, companion], members.y[companion])
        measures = {
            "split": k,
            "rmse": tested[last, k].mean(),
            "rmse_held_out": held_out[last, k].mean(),
            "rmse_early_stopped": tested[stopped[k], k],
            "sigma": sigma,
            "log_likelihood": calibration.log_likelihood(samples[:, k], members.y[k], sigma).mean(),
            "coverage_90": calibration.coverage(samples[:, k], members.y[k], sigma),
        }
        table1.append(shared | measures)
        for point in record["rows"]:
            figure2.append(
                shared | {"split": k, "epoch": point["epoch"], "spread": point["spread"][k], "rmse": point["rmse"][k]}
            )
    return table1, figure2


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group("data")
    names = f"diabetes (default), {', '.join(tabular.NAMES)}, all (of these nine), or the path of a .csv or .npz"
    data.add_argument("--dataset", nargs="+", default=["diabetes"], metavar="NAME", help=names)
    data.add_argument(
        "--target", metavar="COLUMN", help="what to predict of a .csv (its column) or .npz (its array; y)"
    )
    cli.add_data_dir(data)
    data.add_argument(
        "--splits", type=cli.positive_int, help="train/test splits, the first so many (named sets 20, others 5)"
    )
    runs = parser.add_argument_group("runs")
    cli.add_run_options(runs)
    runs.add_argument("--method", choices=(*METHODS, "all"), default="all", help="(all)")
    runs.add_argument(
        "--num-samples", type=cli.positive_int, default=100, help="weights drawn for a prediction, Eq. 4 (100)"
    )
    train = parser.add_argument_group("training (defaults come from the recipe)")
    train.add_argument("--recipe", choices=tuple(RECIPES), default="ours", help="paper or ours (default)")
    train.add_argument(
        "--epochs",
        type=cli.positive_int,
        nargs="+",
        help="several: all are trained, held-out rows choose (paper 2000; ours 30 100 300 1000, from 5,000 rows up 200)",
    )
    train.add_argument(
        "--batch-size",
        type=cli.positive_int,
        help="rows a step, one draw of the weights each (paper 1, from 5,000 rows up 512; ours 16 and 128)",
    )
    train.add_argument("--learning-rate", type=cli.positive_float, help="Adam's (paper 0.001; ours 0.003 and 0.03)")
    train.add_argument("--schedule", choices=("constant", "cosine"), help="of the learning rate")
    train.add_argument("--hidden-units", type=cli.positive_int, help="of the main network (50; protein 100)")
    train.add_argument(
        "--hyper-units", type=cli.positive_int, nargs="+", default=[100, 50], help="of the hypernetwork (100 50)"
    )
    train.add_argument("--noise-dim", type=cli.positive_int, default=50, help="dimensions of eps (50)")
    train.add_argument(
        "--weights-per-step", type=cli.positive_int, help="draws of the weights in a step (one a row, Eq. 3)"
    )
    train.add_argument(
        "--spread", type=cli.fraction, help="share of the initial weights' variance that comes from eps (0.1)"
    )
    train.add_argument(
        "--kernel-rate",
        type=cli.positive_float,
        help="learning rate of the kernel that makes the weights, as a share (1; ours from 5,000 rows up 0.02)",
    )
    args = parser.parse_args()
    chosen = [name for asked in args.dataset for name in (tabular.NAMES if asked == "all" else (asked,))]
    tables = [tabular.load(name, args.data_dir, args.target) for name in dict.fromkeys(chosen)]
    methods = METHODS if args.method == "all" else (args.method,)
    for table in tables:
        options_for(args, table, methods[-1], 1)
    folder = args.results_dir / "06_regression"
    found = []
    jobs = [
        (args, table, method, epochs, seed)
        for table in tables for method in methods for epochs in epochs_for(args, table) for seed in args.seeds
    ]  # fmt: skip
    for table1, figure2 in run_jobs(run, jobs, args.jobs):
        every = results.put_rows(folder / "table1.csv", table1, TABLE1, KEYS)
        found += figure2
    curves = results.put_rows_packed(folder / "figure2.csv", found, FIGURE2, [*KEYS, "epoch"])
    summary = report_systems.summarise_regression(every)
    results.write_table(folder / "summary.csv", summary)
    from common.implicit import figures as figures_systems

    own = summary[summary["dataset"].isin([table.name for table in tables])]
    drawn = (
        own[own["chosen"] & (own["method"] == "hypernet")]
        .sort_values("num_splits")
        .groupby(["dataset", "recipe"])
        .last()
        .reset_index()
    )
    drawn = curves.merge(drawn[["dataset", "method", "recipe", "setting", "epochs"]])
    for (name, recipe), points in drawn.groupby(["dataset", "recipe"]):
        figures_systems.weight_spread(points, folder / f"figure2_{name}{'_paper' if recipe == 'paper' else ''}.png")
    report.write_report(args.results_dir)
    shown = [
        "dataset",
        "method",
        "epochs",
        "chosen",
        "rmse_mean",
        "rmse_standard_error",
        "log_likelihood_mean",
        "coverage_90_mean",
        "num_splits",
        "seconds",
    ]
    print(own[shown].to_string(index=False, float_format="%.4g"))
    print(f"tables and figures: {folder}; report: {args.results_dir / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
