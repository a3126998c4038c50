"""Classification by implicit hypernetworks (Sheikh et al. 2017): Table 2, calibration, and images of another kind."""

import argparse

import numpy as np
import pandas as pd

from common import cli, report
from common.data import datasets
from common.errors import InputError
from common.implicit import calibration
from common.implicit import report as report_systems
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 07_classification.py                                        scikit-learn's digits
  python 07_classification.py --dataset mnist --data-dir ../shared/data --seeds 0 1 2 --jobs 2
  python 07_classification.py --dataset mnist --architecture 2x400 --generator dense matrix
  python 07_classification.py --dataset photos.npz --architecture 1x100 --ood other_photos.npz

--generator matrix makes each weight U H V + B: few parameters, and one draw of all weights for each image (Eq. 3) costs
little more than a plain network. --generator dense is the paper's: millions of parameters, so that by default one draw serves
a whole step. Writes RESULTS_DIR/07_classification/; what was interrupted goes on where it was."""

HYPER_UNITS = {"3x150": [100, 20]}  # the paper's; all others 100 and 50
LARGE = 10_000  # images
EPOCHS = (300, 40)  # on smaller and on larger sets: an epoch of the digits is five steps
# Chosen on validation images of MNIST with 3x150, as --spread was; results/07_classification/table2.csv has those runs.
LEARNING_RATE = {"none": 3e-3, "matrix": 1e-3, "dense": 3e-3}
KERNEL_RATE = {"matrix": 1.0, "dense": 0.02}
OUTLIERS = {"mnist": "fashion_mnist", "fashion_mnist": "mnist"}
METHODS = ("sgd", "hypernet")
KEYS = ["dataset", "architecture", "method", "generator", "weights_per_step", "setting", "evaluated_on", "seed"]
TABLE2 = [
    "dataset", "architecture", "method", "generator", "seed", "error_percent", "nll", "ece", "ood_auc", "epochs", "seconds", "commit",
    "weights_per_step", "setting", "num_parameters", "num_samples", "ood_dataset", "evaluated_on", "num_train",
]  # fmt: skip
CURVES = [*KEYS, "epoch", "error_percent", "spread", "commit"]
RELIABILITY = [*KEYS, "confidence", "accuracy", "number", "commit"]
REJECTION = [*KEYS, "rejected_percent", "accuracy", "commit"]


def architecture(text):
    """ "2x400": two hidden layers of 400 units."""
    layers, cross, units = text.partition("x")
    if not cross:
        raise argparse.ArgumentTypeError(f"{text} is not of the form 2x400 (layers x units)")
    return f"{cli.positive_int(layers)}x{cli.positive_int(units)}"


def grey(args, name):
    """A data set with its grey levels."""
    return datasets.load(name, args.data_dir, "none")


def flat(images):
    """Images (N, H, W, 1) of bytes as rows of numbers from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def parts(args, data):
    """Images and labels to train on, and to measure on: the test part, or the validation part, which then is not trained on."""
    if args.evaluate_on == "validation":
        return data.x, data.y, data.x_validation, data.y_validation
    x, y = np.concatenate([data.x, data.x_validation]), np.concatenate([data.y, data.y_validation])
    return x, y, data.x_test, data.y_test


def hyper_options(args, shape, generator, batch):
    """What a hypernetwork is built with; of SGD's "none" nothing."""
    if generator == "none":
        return {}
    draws = args.weights_per_step or (1 if generator == "dense" else batch)
    if batch % draws:
        raise InputError(f"--weights-per-step {draws} must divide --batch-size {batch}")
    hidden = args.hyper_units or HYPER_UNITS.get(shape, [100, 50])
    shared = {"hidden": hidden, "generator": generator, "noise_dim": args.noise_dim, "spread": args.spread}
    return shared | {"kernel_rate": args.kernel_rate or KERNEL_RATE[generator], "weights_per_step": draws}


def run(job):
    """Train and measure one model: its rows of each table."""
    args, name, shape, method, generator, seed = job
    from sklearn.metrics import roc_auc_score

    from common.implicit import model as implicit_hypernet

    data = grey(args, name)
    x, y, x_test, y_test = parts(args, data)
    x, x_test = flat(x), flat(x_test)
    layers, units = map(int, shape.split("x"))
    sizes = (x.shape[1], *[units] * layers, data.num_classes)
    batch = min(args.batch_size, len(x))
    epochs = args.epochs or EPOCHS[len(x) >= LARGE]
    learning_rate = args.learning_rate or LEARNING_RATE[generator]
    options = {"epochs": epochs, "batch_size": batch, "learning_rate": learning_rate, "schedule": args.schedule}
    hyper = hyper_options(args, shape, generator, batch)
    unscaled = [np.zeros((1, x.shape[1])), np.ones((1, x.shape[1]))]
    model = implicit_hypernet.ImplicitHypernet(sizes, "classification", method, unscaled, seed=seed, **hyper)
    facts = {
        "fingerprint": data.fingerprint(),
        "architecture": shape,
        "evaluate_on": args.evaluate_on,
        "num_samples": args.num_samples,
    }
    key = results.digest(options | hyper | facts)
    folder = (
        args.results_dir / "checkpoints" / "implicit_hypernet" / data.name / f"{shape}-{method}-{key}" / f"seed{seed}"
    )

    def probabilities(images):
        return model.predict_samples(images[None], args.num_samples).mean(0)[0]

    settled = implicit_hypernet.settled_after(epochs)

    def measure(epoch):
        if epoch <= settled and epoch % max(1, epochs // 20):
            return None
        error = 100 * np.mean(probabilities(x_test).argmax(1) != y_test)
        return {"error_percent": error, "spread": float(model.sample_weights(10).std(0).mean())}

    record = implicit_hypernet.train(model, x, y, [np.arange(len(x))], folder, measure=measure, **options)
    curve = pd.DataFrame(record["rows"])
    found = probabilities(x_test)
    other = args.ood or OUTLIERS.get(data.name)
    auc = float("nan")
    if other is not None:
        entropies = [calibration.entropy(found), calibration.entropy(probabilities(flat(grey(args, other).x_test)))]
        auc = 100 * roc_auc_score(np.repeat([0, 1], [len(part) for part in entropies]), np.concatenate(entropies))
    setting = f"lr {learning_rate:g} {args.schedule}, batch {batch}, {epochs} epochs"
    if hyper:
        net = report_systems.hypernetwork_in_words(
            hyper["noise_dim"], hyper["hidden"], hyper["spread"], hyper["kernel_rate"]
        )
        setting = f"{net}, {setting}"
    shared = {
        "dataset": data.name,
        "architecture": shape,
        "method": method,
        "generator": hyper.get("generator", "none"),
        "seed": seed,
    }
    shared |= {
        "weights_per_step": hyper.get("weights_per_step", 0),
        "setting": setting,
        "evaluated_on": args.evaluate_on,
    }
    shared["commit"] = record["commit"]
    row = shared | {
        "error_percent": curve["error_percent"][curve["epoch"] > settled].mean(),
        "nll": -np.log(np.maximum(found[np.arange(len(y_test)), y_test], np.finfo(np.float32).tiny)).mean(),
        "ece": calibration.expected_calibration_error(found, y_test),
        "ood_auc": auc,
        "ood_dataset": "" if other is None else other,
        "epochs": epochs,
        "seconds": record["seconds"],
        "num_parameters": model.num_parameters,
        "num_samples": args.num_samples if hyper else 1,
        "num_train": len(x),
    }
    bins = zip(*calibration.reliability(found, y_test))
    kept = calibration.accuracy_rejection(found, y_test)
    percent = np.arange(0, 51)
    return (
        [row],
        [shared | point for point in record["rows"]],
        [shared | dict(zip(("confidence", "accuracy", "number"), point)) for point in bins],
        [shared | {"rejected_percent": p, "accuracy": kept[len(kept) * p // 100]} for p in percent],
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", nargs="+", default=["digits"], metavar="NAME", help=cli.DATA_HELP)
    data.add_argument(
        "--ood",
        metavar="NAME",
        help="data set whose images are of another kind (mnist: fashion_mnist, and the reverse)",
    )
    cli.add_data_dir(data)
    data.add_argument(
        "--evaluate-on",
        choices=("test", "validation"),
        default="test",
        help="validation: a tenth of the training images",
    )
    runs = parser.add_argument_group("runs")
    cli.add_run_options(runs)
    runs.add_argument(
        "--architecture",
        type=architecture,
        nargs="+",
        default=["2x400", "2x800", "3x150"],
        help="hidden layers x units (2x400 2x800 3x150)",
    )
    runs.add_argument("--method", choices=(*METHODS, "all"), default="all", help="(all)")
    runs.add_argument(
        "--generator", choices=("dense", "matrix"), nargs="+", default=["matrix"], help="of the weights (matrix)"
    )
    runs.add_argument(
        "--num-samples", type=cli.positive_int, default=10, help="weights drawn for a prediction, Eq. 4 (10)"
    )
    train = parser.add_argument_group("training")
    train.add_argument("--epochs", type=cli.positive_int, help="(40, below 10,000 images 300; the paper trains 2000)")
    train.add_argument("--batch-size", type=cli.positive_int, default=256, help="images a step (256)")
    train.add_argument("--learning-rate", type=cli.positive_float, help="Adam's (0.003, matrix 0.001)")
    train.add_argument(
        "--schedule", choices=("constant", "cosine"), default="cosine", help="of the learning rate (cosine)"
    )
    train.add_argument(
        "--weights-per-step",
        type=cli.positive_int,
        help="draws of the weights in a step (matrix: one an image; dense: 1)",
    )
    train.add_argument(
        "--hyper-units", type=cli.positive_int, nargs="+", help="of the hypernetwork (100 50; for 3x150 100 20)"
    )
    train.add_argument("--noise-dim", type=cli.positive_int, default=50, help="dimensions of eps (50)")
    train.add_argument(
        "--spread",
        type=cli.fraction,
        default=0.001,
        help="share of the initial weights' variance that comes from eps (0.001)",
    )
    train.add_argument(
        "--kernel-rate",
        type=cli.positive_float,
        help="learning rate of the kernel that makes the weights, as a share (matrix 1, dense 0.02)",
    )
    args = parser.parse_args()
    loaded = {name: grey(args, name) for name in args.dataset}
    if args.ood is not None and {grey(args, args.ood).image_shape} != {data.image_shape for data in loaded.values()}:
        raise InputError(f"images of {args.ood} have another size than {args.dataset}: resize them")
    generators = {"sgd": ["none"], "hypernet": args.generator}
    methods = METHODS if args.method == "all" else (args.method,)
    jobs = [
        (args, name, shape, method, generator, seed)
        for seed in args.seeds for name in loaded for shape in args.architecture for method in methods for generator in generators[method]
    ]  # fmt: skip
    batches = {name: min(args.batch_size, len(parts(args, data)[0])) for name, data in loaded.items()}
    for _, name, shape, _, generator, _ in jobs:
        hyper_options(args, shape, generator, batches[name])  # bad ones are refused before anything is trained
    folder = args.results_dir / "07_classification"
    for table2, curves, reliability, rejection in run_jobs(run, jobs, args.jobs):
        every = results.put_rows(folder / "table2.csv", table2, TABLE2, KEYS)
        results.put_rows(folder / "curves.csv", curves, CURVES, [*KEYS, "epoch"])
        every_bin = results.put_rows(folder / "reliability.csv", reliability, RELIABILITY, [*KEYS, "confidence"])
        every_rejection = results.put_rows(folder / "rejection.csv", rejection, REJECTION, [*KEYS, "rejected_percent"])
    summary = report_systems.summarise_classification(every[every["evaluated_on"] == "test"])
    results.write_table(folder / "summary.csv", summary)
    from common.implicit import figures as figures_systems

    every_curve = results.read_rows(folder / "curves.csv", CURVES)
    for name in dict.fromkeys(every["dataset"]):
        own = [part[part["dataset"] == name] for part in (every_bin, every_rejection, every_curve)]
        figures_systems.classification(*own, folder / f"calibration_{name}.png")
    report.write_report(args.results_dir)
    shown = [
        "dataset",
        "architecture",
        "method",
        "generator",
        "seed",
        "error_percent",
        "nll",
        "ece",
        "ood_auc",
        "num_parameters",
        "seconds",
    ]
    print(
        every[every["dataset"].isin([data.name for data in loaded.values()])][shown].to_string(
            index=False, float_format="%.4g"
        )
    )
    print(f"tables and figures: {folder}; report: {args.results_dir / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
