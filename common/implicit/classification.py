"""Classification by implicit hypernetworks: a run from its options to its rows of Table 2 and of its certainty."""

import argparse
from dataclasses import dataclass

import numpy as np

from common.cli import positive_int
from common.data import datasets
from common.data.fingerprints import check_unchanged
from common.data.readers import check_size
from common.errors import InputError
from common.implicit import calibration
from common.implicit.settings import METHODS, ImplicitRun, check_step
from common.runs.identity import Record, label
from common.runs.results import COMMITS
from common.runs.storage import commit, exclusive, made_once

HYPER_UNITS = {"3x150": (100, 20)}  # the paper's; all others 100 and 50
LARGE = 10_000  # images
EPOCHS = {"small": 300, "large": 40}  # an epoch of the digits is five steps
# Chosen on validation images of MNIST with 3x150, as --spread was; results/07_classification/table2.csv has those runs.
LEARNING_RATE = {"none": 3e-3, "matrix": 1e-3, "dense": 3e-3}
KERNEL_RATE = {"none": 1.0, "matrix": 1.0, "dense": 0.02}
OUTLIERS = {"mnist": "fashion_mnist", "fashion_mnist": "mnist"}
NO_OUTLIERS = "none"
BATCH_SIZE = 256
REJECTED = np.arange(51)  # percent of the images
LABELS = ["dataset", "architecture", "method", "generator", "weights_per_step", "setting", "evaluated_on", "seed"]
TABLE2 = [
    "dataset", "architecture", "method", "generator", "seed", "error_percent", "nll", "ece", "ood_auc", "epochs",
    "seconds", "weights_per_step", "setting", "num_parameters", "num_samples", "ood_dataset", "evaluated_on",
    "num_train",
]  # fmt: skip
CURVES = [*LABELS, "epoch", "error_percent", "spread"]
RELIABILITY = [*LABELS, "bin", "confidence", "accuracy", "number"]
REJECTION = [*LABELS, "rejected_percent", "accuracy"]


@dataclass(frozen=True)
class ClassificationRun(ImplicitRun):
    """One main network, trained with one method on the images of one set."""

    evaluate_on: str  # "test" or "validation"; the validation part is trained on where the test part is measured
    architecture: str  # hidden layers x units, "2x400"
    generator: str  # of the weights: "matrix", "dense", or of sgd "none"

    def __post_init__(self):
        super().__post_init__()
        if self.method == "sgd":
            object.__setattr__(self, "generator", "none")

    @property
    def kind(self):
        return "classification"

    @property
    def setting(self):
        """The options in one cell, but for architecture, generator and draws of w, which have columns."""
        hyper = f"{self.hypernetwork_in_words()}, " if self.method == "hypernet" else ""
        return f"{hyper}lr {self.learning_rate:g} {self.schedule}, batch {self.batch_size}, {self.epochs} epochs"

    def sizes(self, inputs, classes):
        """(inputs, hidden units ..., classes) of the main network."""
        layers, units = map(int, self.architecture.split("x"))
        return (inputs, *[units] * layers, classes)

    def of_hypernetwork(self):
        options = super().of_hypernetwork()
        return options | {"generator": self.generator} if options else options


@dataclass(frozen=True)
class ClassificationEvaluation(Record):
    """A trained network beside images of another kind."""

    training: ClassificationRun
    ood_dataset: str = label()
    ood_fingerprint: str  # empty where there is no other set


def architecture(text):
    """ "2x400": two hidden layers of 400 units."""
    layers, cross, units = text.partition("x")
    if not cross:
        raise argparse.ArgumentTypeError(f"{text} is not of the form 2x400 (layers x units)")
    return f"{positive_int(layers)}x{positive_int(units)}"


def grey(name, data_dir, size=None):
    """A data set with its grey levels; `size` of a folder's pictures."""
    return datasets.load(name, data_dir, "none", size)


def flat(images):
    """Images (N, H, W, 1) of bytes as rows of numbers from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def parts(data, evaluate_on):
    """Images and labels to train on, and to measure on: the test part, or the validation part (then not trained on)."""
    if evaluate_on == "validation":
        return data.x, data.y, data.x_validation, data.y_validation
    x, y = np.concatenate([data.x, data.x_validation]), np.concatenate([data.y, data.y_validation])
    return x, y, data.x_test, data.y_test


@dataclass(frozen=True)
class Pair:
    """A data set, and one with images of another kind (None: there is none), with the names that they are loaded by."""

    name: str
    data: datasets.Dataset
    other_name: str
    other: datasets.Dataset | None


def with_outliers(names, asked, data_dir, size=None):
    """Read data sets, and for each the set of images of another kind: a list of `Pair`.

    Args:
        asked: name of the other set, "none", or None: what OUTLIERS says.
        size: (H, W) that folders' pictures are brought to.

    Raises:
        InputError: a set cannot be read, or its images have another size.
    """
    found = []
    for name in names:
        data, other_name, other = grey(name, data_dir, size), asked or OUTLIERS.get(name, NO_OUTLIERS), None
        if other_name != NO_OUTLIERS:
            try:
                other = grey(other_name, data_dir, size)
            except InputError as error:
                raise InputError(f"{error}; or --ood NAME or none in place of {other_name}") from error
            check_size(f"images of {name} and {other_name}", data.image_shape, other.image_shape)
            if other.fingerprint() == data.fingerprint():
                raise InputError(f"--ood {other_name} has the images of {name} itself: name another set, or none")
        found.append(Pair(name, data, other_name, other))
    return found


def planned_runs(args, pairs):
    """What 07's options ask for: [(ClassificationEvaluation, place among `pairs`)].

    Raises:
        InputError: a batch that is too large, or that draws of the weights cannot share equally.
    """
    methods = METHODS if args.method == "all" else (args.method,)
    generators = {"sgd": ["none"], "hypernet": args.generator}
    fingerprints = [(p.data.fingerprint(), p.other.fingerprint() if p.other else "") for p in pairs]
    evaluations = [
        (_evaluation(args, pair, fingerprints[place], shape, method, generator, seed), place)
        for seed in args.seeds
        for place, pair in enumerate(pairs)
        for shape in args.architecture
        for method in methods
        for generator in generators[method]
    ]
    return list(dict.fromkeys(evaluations))  # what was asked for twice is done once


def _evaluation(args, pair, fingerprints, shape, method, generator, seed):
    data = pair.data
    images = len(data.x) + (0 if args.evaluate_on == "validation" else len(data.x_validation))
    batch = args.batch_size or min(BATCH_SIZE, images)
    draws = args.weights_per_step or (1 if generator == "dense" else batch)
    check_step(batch, images, draws, method, "images")
    training = ClassificationRun(
        dataset=data.name,
        fingerprint=fingerprints[0],
        evaluate_on=args.evaluate_on,
        architecture=shape,
        method=method,
        generator=generator,
        seed=seed,
        epochs=args.epochs or EPOCHS["large" if images >= LARGE else "small"],
        batch_size=batch,
        learning_rate=args.learning_rate or LEARNING_RATE[generator],
        schedule=args.schedule,
        hyper_units=args.hyper_units or HYPER_UNITS.get(shape, (100, 50)),
        noise_dim=args.noise_dim,
        spread=args.spread,
        kernel_rate=args.kernel_rate or KERNEL_RATE[generator],
        weights_per_step=draws,
        num_samples=args.num_samples,
    )
    return ClassificationEvaluation(training, "" if pair.other is None else pair.other_name, fingerprints[1])


def measured(job):
    """Train and measure one network, or find it done: its rows of Table 2, of curves, of reliability and of rejection.

    Args:
        job: (ClassificationEvaluation, names of its data set and of the other one, data folder, folder of the
        checkpoints, size of folders' pictures).
    """
    evaluation, name, other_name, data_dir, checkpoints, size = job
    run = evaluation.training
    folder = run.folder(checkpoints)

    def make():
        data = grey(name, data_dir, size)
        other = grey(other_name, data_dir, size) if evaluation.ood_fingerprint else None
        known = [run.fingerprint, evaluation.ood_fingerprint]
        read = [data.fingerprint(), other.fingerprint() if other else ""]
        check_unchanged(f"{name} or {other_name}", read, known)
        return _train_and_measure(run, data, other, folder)

    with exclusive(folder):
        found = made_once(folder / f"measures-{evaluation.digest}.json", make)
    shared = {"dataset": run.dataset, "architecture": run.architecture, "method": run.method, "seed": run.seed}
    shared |= {"generator": run.generator, "weights_per_step": run.weights_per_step, "setting": run.setting}
    shared |= {"evaluated_on": run.evaluate_on}
    shared |= {commits: found[commits] for commits in COMMITS}
    facts = {"ood_dataset": evaluation.ood_dataset, "epochs": run.epochs, "num_samples": run.num_samples}
    table2 = [shared | {"run": evaluation} | facts | found["table2"]]
    others = [
        [shared | {"run": run} | point for point in found[part]] for part in ("curves", "reliability", "rejection")
    ]
    return table2, *others


def _train_and_measure(run, data, other, folder):
    """What is stored of an evaluation: the values of its rows in each table."""
    from common.implicit import model as implicit

    x, y, x_test, y_test = parts(data, run.evaluate_on)
    x, x_test = flat(x), flat(x_test)
    unscaled = [np.zeros((1, x.shape[1])), np.ones((1, x.shape[1]))]
    sizes, options = run.sizes(x.shape[1], data.num_classes), run.of_hypernetwork()
    model = implicit.ImplicitHypernet(sizes, "classification", run.method, unscaled, seed=run.seed, **options)
    settled = implicit.settled_after(run.epochs)

    def probabilities(images):
        return model.predict_samples(images[None], run.num_samples).mean(0)[0]

    def measure(epoch):
        if epoch <= settled and epoch % max(1, run.epochs // 20):
            return None
        error = 100 * np.mean(probabilities(x_test).argmax(1) != y_test)
        return {"error_percent": float(error), "spread": float(model.sample_weights(10).std(0).mean())}

    progress = implicit.train(model, x, y, [np.arange(len(x))], run, folder, measure)
    found = probabilities(x_test)
    found_other = None if other is None else probabilities(flat(other.x_test))
    quality, reliability, rejection = _measures(found, y_test, found_other)
    facts = {"seconds": progress["seconds"], "num_parameters": model.num_parameters, "num_train": len(x)}
    error = float(np.mean([p["error_percent"] for p in progress["rows"] if p["epoch"] > settled]))
    return {
        "table2": {"error_percent": error} | quality | facts,
        "curves": [{name: p[name] for name in ("epoch", "error_percent", "spread")} for p in progress["rows"]],
        "reliability": reliability,
        "rejection": rejection,
        "trained_at": progress["trained_at"],
        "evaluated_at": commit(),
    }


def _measures(found, y_test, other):
    """What predicted probabilities are worth: their measures in Table 2, rows of reliability and rows of rejection.

    Args:
        found: class probabilities of the test images (N, classes); y_test: their classes (N,).
        other: those of images of another kind (M, classes), or None.
    """
    from sklearn.metrics import roc_auc_score

    auc = None
    if other is not None:
        entropies = [calibration.entropy(found), calibration.entropy(other)]
        is_other = np.repeat([0, 1], [len(part) for part in entropies])
        auc = 100 * float(roc_auc_score(is_other, np.concatenate(entropies)))
    likelihood = np.maximum(found[np.arange(len(y_test)), y_test], np.finfo(np.float32).tiny)
    quality = {
        "nll": float(-np.log(likelihood).mean()),
        "ece": float(calibration.expected_calibration_error(found, y_test)),
        "ood_auc": auc,
    }
    bins = [part.tolist() for part in calibration.reliability(found, y_test)]
    kept = calibration.accuracy_rejection(found, y_test)
    reliability = [dict(zip(("bin", "confidence", "accuracy", "number"), values)) for values in zip(*bins)]
    rejection = [{"rejected_percent": int(p), "accuracy": float(kept[len(kept) * p // 100])} for p in REJECTED]
    return quality, reliability, rejection
