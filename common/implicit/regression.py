"""Regression by implicit hypernetworks: recipes, and a run from its options to its rows of Table 1 and Figure 2."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.cli import refuse_unused
from common.data import tabular
from common.data.fingerprints import check_unchanged
from common.errors import InputError
from common.implicit import calibration
from common.implicit.members import Members
from common.implicit.settings import METHODS, ImplicitRun, check_step
from common.runs.identity import label
from common.runs.results import COMMITS
from common.runs.storage import commit, exclusive, made_once

LARGE = 5_000  # rows; above that the paper takes the large batch
FIGURE2_POINTS = 400  # epochs that Figure 2 has use for
FIGURE2_DRAWS = 10  # of the weights, as in the paper's
ORDER = ["dataset", "method", "recipe", "setting", "epochs", "seed", "split"]
TABLE1 = [
    "dataset", "method", "split", "rmse", "log_likelihood", "coverage_90", "epochs", "seconds", "recipe", "setting",
    "seed", "rmse_held_out", "rmse_early_stopped", "sigma", "num_splits", "num_samples", "num_parameters", "num_train",
    "num_test",
]  # fmt: skip
FIGURE2 = [*ORDER, "epoch", "spread", "rmse"]


@dataclass(frozen=True)
class Recipe:
    """How tables of some size are trained; with each number of epochs, among which held-out rows choose."""

    epochs: tuple
    batch_size: int
    learning_rate: float
    schedule: str
    spread: float
    kernel_rate: float


# For tables of up to LARGE rows, and for others. The paper's settings (section 4), and ours: fewer and larger steps,
# chosen on companions' held-out rows (of boston and kin8nm). Small tables want from 30 epochs (wine-red) to 1,000
# (energy). Of the large ones kin8nm and naval want this learning rate, power and protein a smaller one.
RECIPES = {
    "paper": (
        Recipe((2000,), 1, 1e-3, "constant", 0.1, 1.0),
        Recipe((2000,), 512, 1e-3, "constant", 0.1, 1.0),
    ),
    "ours": (
        Recipe((30, 100, 300, 1000), 16, 3e-3, "cosine", 0.1, 1.0),
        Recipe((200,), 128, 3e-2, "cosine", 0.1, 0.02),
    ),
}


def recipe_for(name, rows):
    """The recipe of that name for a table of so many rows."""
    return RECIPES[name][rows > LARGE]


def chosen(args, rows):
    """The values of the recipe for so many rows, {field of Recipe: value}, but for those given in 06's options."""
    recipe = vars(recipe_for(args.recipe, rows))
    return {name: value if getattr(args, name) is None else getattr(args, name) for name, value in recipe.items()}


def hidden_units_for(name):
    """Units of the main network for a table of that name, the paper's."""
    return 100 if name == "protein" else 50


@dataclass(frozen=True)
class RegressionRun(ImplicitRun):
    """One method, trained at once on so many splits of one table."""

    recipe: str = label()
    hidden_units: int  # of the main network
    splits: int

    @property
    def kind(self):
        return "regression"

    @property
    def setting(self):
        """The options in one cell, but for the epochs: main network, hypernetwork, batch and learning rate."""
        hyper = ""
        if self.method == "hypernet":
            hyper = f" by {self.hypernetwork_in_words()}"
            if self.weights_per_step != self.batch_size:
                hyper += f", {self.weights_per_step} draws of w a step"
        return f"{self.hidden_units}{hyper}, batch {self.batch_size}, lr {self.learning_rate:g} {self.schedule}"


def check_use(args, names):
    """End on options of reading that none of the tables, by name or path, has a use for.

    Raises:
        InputError: there is one.
    """
    endings = {Path(name).suffix.lower() for name in names if name not in ("diabetes", *tabular.NAMES)}
    if not endings:
        refuse_unused(args, ("--target",), "for sets that come by name")
    if not endings & set(tabular.DELIMITED):
        refuse_unused(args, ("--missing", "--text"), "without a .csv")


def planned_runs(args, tables):
    """The runs that 06's options ask for, as (RegressionRun, place of the table among `tables`).

    Raises:
        InputError: a batch that is too large, or that draws of the weights cannot share equally; too many splits.
    """
    methods = METHODS if args.method == "all" else (args.method,)
    runs = [
        (_run(args, table, method, epochs, seed), place)
        for place, table in enumerate(tables)
        for method in methods
        for epochs in chosen(args, len(table.y))["epochs"]
        for seed in args.seeds
    ]
    return list(dict.fromkeys(runs))  # what was asked for twice is done once


def _run(args, table, method, epochs, seed):
    """One run: the recipe's values, but for those given on the command line."""
    settings = chosen(args, len(table.y)) | {"epochs": epochs}
    batch = settings["batch_size"]
    room = table.train_index.shape[1] - table.test_index.shape[1]
    draws = args.weights_per_step or batch
    check_step(batch, room, draws, method)
    splits, there_are = args.splits or 0, len(table.train_index)
    if splits > there_are:
        raise InputError(f"--splits {splits} is more than the {there_are} of {table.name}: lower it")
    return RegressionRun(
        dataset=table.name,
        fingerprint=table.fingerprint(),
        recipe=args.recipe,
        method=method,
        seed=seed,
        splits=splits or min(tabular.NUM_SPLITS if table.name in tabular.NAMES else 5, there_are),
        hidden_units=args.hidden_units or hidden_units_for(table.name),
        hyper_units=args.hyper_units,
        noise_dim=args.noise_dim,
        weights_per_step=draws,
        num_samples=args.num_samples,
        **settings,
    )


def measured(job):
    """Train and measure one run, or find it done: its rows of Table 1 and of Figure 2.

    Args:
        job: (RegressionRun, arguments of `tabular.load`, folder of the checkpoints).
    """
    run, source, checkpoints = job
    folder = run.folder(checkpoints)
    with exclusive(folder):
        found = made_once(folder / f"measures-{run.digest}.json", lambda: _train_and_measure(run, source, folder))
    shared = {"run": run, "dataset": run.dataset, "method": run.method, "recipe": run.recipe, "setting": run.setting}
    shared |= {"epochs": run.epochs, "seed": run.seed}
    shared |= {name: found[name] for name in COMMITS}
    facts = {name: found[name] for name in ("seconds", "num_parameters", "num_train", "num_test")}
    facts |= {"num_splits": run.splits, "num_samples": run.num_samples}
    table1 = [shared | facts | {"split": k} | measures for k, measures in enumerate(found["splits"])]
    figure2 = [
        shared | {"split": k, "epoch": point["epoch"], "spread": point["spread"][k], "rmse": point["rmse"][k]}
        for k in range(run.splits)
        for point in found["curve"]
    ]
    return table1, figure2


def _train_and_measure(run, source, folder):
    """What is stored of a run: facts, the measures of each split, and the curves of Figure 2."""
    from common.implicit import model as implicit

    table = tabular.load(*source)
    check_unchanged(source[0], table.fingerprint(), run.fingerprint)
    table = tabular.centred(table)
    members = Members(table, run.splits)
    sizes, options = (table.x.shape[1], run.hidden_units, 1), run.of_hypernetwork()
    model = implicit.ImplicitHypernet(
        sizes, "regression", run.method, members.statistics, members.streams, seed=run.seed, **options
    )
    settled = implicit.settled_after(run.epochs)

    def measure(epoch):
        """Each member's error on the rows that it has not seen, and the spread of its weights over draws."""
        last = epoch > settled
        if not last and epoch % max(1, run.epochs // FIGURE2_POINTS):
            return None
        samples = model.predict_samples(members.x, run.num_samples if last else FIGURE2_DRAWS)
        rmse = np.sqrt(np.mean((samples.mean(0) - members.y) ** 2, 1))
        point = {"rmse": rmse, "spread": model.sample_weights(FIGURE2_DRAWS).std(0).mean(1)}
        return {name: [float(f"{value:.6g}") for value in values] for name, values in point.items()}

    progress = implicit.train(model, table.x, table.y, members.rows, run, folder, measure)
    samples = model.predict_samples(members.x, run.num_samples)
    return {
        "splits": _measures(samples, members, progress["rows"], settled),
        "curve": progress["rows"],
        "seconds": progress["seconds"],
        "num_parameters": model.num_parameters,
        "num_train": len(members.rows[0]),
        "num_test": members.x.shape[1],
        "trained_at": progress["trained_at"],
        "evaluated_at": commit(),
    }


def _measures(samples, members, curve, settled):
    """Table 1's measures of each split, from predictions (samples, members, rows) and errors over the epochs.

    A split's companion gives sigma and the epoch of early stopping, by rows held out of its training.
    """
    from common.implicit.model import LAST_EPOCHS

    rmse = np.array([point["rmse"] for point in curve])
    tested, held_out = rmse[:, : members.splits], rmse[:, members.splits :]
    last = np.array([point["epoch"] > settled for point in curve])
    smooth = pd.DataFrame(held_out).rolling(LAST_EPOCHS, min_periods=1, center=True).mean().to_numpy()
    stopped = np.argmin(smooth, 0)
    found = []
    for k in range(members.splits):
        companion = members.splits + k
        sigma = calibration.best_sigma(samples[:, companion], members.y[companion])
        measures = {
            "rmse": tested[last, k].mean(),
            "rmse_held_out": held_out[last, k].mean(),
            "rmse_early_stopped": tested[stopped[k], k],
            "sigma": sigma,
            "log_likelihood": calibration.log_likelihood(samples[:, k], members.y[k], sigma).mean(),
            "coverage_90": calibration.coverage(samples[:, k], members.y[k], sigma),
        }
        found.append({name: float(value) for name, value in measures.items()})
    return found
