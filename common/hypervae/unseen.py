"""Tasks that no training saw: what a model makes of a few images of a held-out class (section 1, "a new task").

Classes are held out fold by fold. Of each, some training images are the context, its test images are what is coded. The
receiver has the context, too, so no KL(u) is paid.
"""

import functools
import itertools
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common.data.datasets import without
from common.errors import InputError
from common.hypervae.adaptation import FIT_RATE, FIT_STEPS, STEPS_BY_IMAGES, TUNING_RATE, tuning_steps_for
from common.hypervae.adapter import KNOWN_IMAGES, Adapter, beside_known
from common.hypervae.density import ImportanceSampling
from common.hypervae.peers import ADAPTATIONS
from common.hypervae.runs import load_data, trained
from common.hypervae.task_mixture import FEW, MIXTURE_SAMPLES
from common.hypervae.told import family
from common.hypervae.training import measured_once
from common.runs.identity import Record, added
from common.runs.results import COMMITS

NUM_FOLDS = 5
CONTEXTS = (0, 1, 2, 5, 10, 20, 100)  # images
# What tuning is chosen among, by what is best for the next fold's classes and the model that has not seen these:
# contexts are their training images, targets their validation images.
TUNING_STEPS = (0, 5, 10, 20, 40, 80, 160, 320)
TUNING_RATES = (3e-4, 1e-3)
# Of a mixture: the adapted VAE's share, the others' those of the tasks of training; chosen in the same way.
ADAPTED_SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
COLUMNS = ["dataset", "fold", "method", "num_context", "seed", "class", "neg_elbo", "nll_is", "adapt_milliseconds"]
COLUMNS += ["tuning_steps", "tuning_rate", "adapted_share", "parameters", "num_images", "nll_num_images"]
COLUMNS += ["iterations", "recipe"]
KEYS = ["class"]
TUNED = ("finetuned", "mixture")  # by steps and a rate that are chosen on classes which a model has not seen
CELLS = ("seed", "iterations", "recipe")  # of the training
SHOWN_CONTEXT, SHOWN_SAMPLES = 5, 6  # images of a class in the figure of samples


@dataclass(frozen=True)
class Unseen(Record):
    """What a row of unseen.csv is: a training without the held-out classes, and what is done with a context."""

    training: Record
    chooser: Record | None  # the training without the next fold's classes: by these, new to it, tuning is chosen
    whole: str  # fingerprint of the data with all classes
    # "none" (the model as it is, q(u)'s mean), "fitted", "adapt" (what HyperVAE.adapt does, nothing chosen),
    # "finetuned", or "mixture": what is fitted and tuned beside the VAEs of the tasks of training.
    adaptation: str
    num_context: int
    likelihood: ImportanceSampling
    tuning_steps: tuple
    tuning_rates: tuple
    num_samples: int = 4
    repeats: int = 3  # contexts drawn for each class and size
    targets: int = 300  # images coded of each class, at most
    nll_targets: int = 100  # of these the likelihood has, at most
    fit_steps: int = FIT_STEPS
    fit_rate: float = FIT_RATE  # u is always fitted by it
    draw_seed: int = 2021  # of contexts: the same for every model and seed
    evaluation_seed: int = 1
    adapted_shares: tuple = added(())  # of a mixture
    known_images: int = added(0)
    steps_by_images: tuple = added(())  # of "adapt": ((images, steps), ...), at one rate

    def __post_init__(self):
        """What is not tuned does not depend on how it would be."""
        super().__post_init__()
        if self.adaptation != "mixture":
            object.__setattr__(self, "known_images", 0)
            object.__setattr__(self, "adapted_shares", ())
        if self.adaptation != "adapt":
            object.__setattr__(self, "steps_by_images", ())
        if self.adaptation not in TUNED:
            object.__setattr__(self, "tuning_steps", ())
            object.__setattr__(self, "chooser", None)
            if self.adaptation != "adapt":
                object.__setattr__(self, "tuning_rates", ())


def folds(num_classes):
    """The held-out classes of each of NUM_FOLDS folds: every class in one.

    Raises:
        InputError: no class is left to train on.
    """
    if num_classes < 2:
        raise InputError("the data have one class, and a held-out one leaves nothing to train on: give more classes")
    return [tuple(range(fold, num_classes, NUM_FOLDS)) for fold in range(min(NUM_FOLDS, num_classes))]


def check_folds(chosen, name, num_classes):
    """Refuse folds that a data set has not.

    Raises:
        InputError: the number of a fold that is too large, or no class left to train on.
    """
    number = len(folds(num_classes))
    if max(chosen or [0]) >= number:
        raise InputError(f"{name} has {num_classes} classes, and so folds 0 to {number - 1}: choose --folds")


def contexts_of(x, label, number, repeats, draw_seed):
    """`repeats` contexts (repeats, number, H, W, 1) of a class's training images x; each a prefix of longer ones."""
    orders = [np.random.default_rng([draw_seed, label, repeat]).permutation(len(x)) for repeat in range(repeats)]
    return np.stack([x[order[:number]] for order in orders])


def adaptations(settings):
    """What can be done with a context under a training: of the models HyperVAE alone has a u to fit."""
    return {"vae": ("none", *TUNED), "cvae": TUNED}.get(settings.model, ADAPTATIONS)


def method(record):
    """The name of a row: "vae", "vae_finetuned", "hypervae_fitted"."""
    name = family(record.training)
    return name if record.adaptation == "none" else f"{name}_{record.adaptation}"


def tuning_nats(adapter, record, whole, held_out, shares=(1.0,)):
    """What classes that a model has not seen cost by each way to tune, nats an image: {(steps, rate, share): mean}.

    Classes with fewer images than the context are left out; of none the result is empty.

    Args:
        adapter: of the record's `chooser`; whole: the Dataset with all classes; held_out: those that it has not seen.
        shares: of the adapted VAE; 1 is no mixture.
    """
    nats = {}
    for label, rate in itertools.product(held_out, record.tuning_rates):
        members = whole.x[whole.y == label]
        if len(members) < record.num_context:
            continue
        contexts = contexts_of(members, label, record.num_context, 1, record.draw_seed)
        targets = whole.x_validation[whole.y_validation == label][: record.targets]
        known = adapter.known_lengths(targets, record.evaluation_seed, FEW) if min(shares) < 1 else np.inf
        theta = adapter.start(contexts, True, record.evaluation_seed)
        tuned = adapter.tuned(theta, contexts, record.tuning_steps, rate)
        for steps, weights in zip(record.tuning_steps, tuned):
            adapted = adapter.lengths(weights, targets, record.evaluation_seed, FEW)
            for share in shares:
                own = beside_known(adapted, known, share).mean()
                nats.setdefault((steps, rate, share), []).append(own)
    return {choice: np.mean(own) for choice, own in nats.items()}


def choose_tuning(nats, record):
    """The (steps, rate, share) of a record that cost least, by `tuning_nats`; None where nothing was tried."""
    allowed = record.adapted_shares or (1.0,)
    return min((choice for choice in nats if choice[-1] in allowed), key=nats.get, default=None)


def measure(record, adapter, whole, held_out, choose):
    """A row of unseen.csv for each held-out class, without its labels; none where a class has too few images.

    Nor is there one where none of the classes by which tuning is chosen has as many.

    Args:
        adapter: of the record's training; whole: the Dataset with all classes, from which contexts and targets come.
        choose: gives (steps, rate, share) of tuning; called where there is something to tune to.
    """
    mixed = record.adaptation == "mixture"
    chosen = (0, 0.0, float(not mixed))
    if record.adaptation == "adapt":
        chosen = (tuning_steps_for(record.num_context, record.steps_by_images), record.tuning_rates[0], 1.0)
    elif record.adaptation in TUNED and record.num_context > 0:
        chosen = choose()
    if chosen is None:
        return []
    (steps, rate, share), rows, seed = chosen, [], record.evaluation_seed
    for label in held_out:
        members = whole.x[whole.y == label]
        if len(members) < record.num_context:
            continue
        contexts = contexts_of(members, label, record.num_context, record.repeats, record.draw_seed)
        targets = whole.x_test[whole.y_test == label][: record.targets]
        for _ in range(1 if rows else 2):  # the first class twice: then all programs are compiled
            started = time.perf_counter()
            # Where the adapted VAE has no share there is none: without a context nothing is adapted.
            theta = adapter.start(contexts, record.adaptation != "none", seed) if share else None
            if share and steps:
                (theta,) = adapter.tuned(theta, contexts, [steps], rate)
            milliseconds = 1e3 * (time.perf_counter() - started) / record.repeats
        number, few = record.likelihood.num_importance_samples, targets[: record.nll_targets]
        rows.append(
            {
                "class": int(label),
                "neg_elbo": adapter.lengths(theta, targets, seed, record.num_samples, share).mean(),
                "nll_is": adapter.nll(theta, few, seed, number, share).mean() if number else float("nan"),
                "adapt_milliseconds": milliseconds,
                "tuning_steps": steps,
                "tuning_rate": rate,
                "adapted_share": share,
                "num_images": len(targets),
                "nll_num_images": len(few) if number else 0,
            }
        )
    return rows


def _adapter(args, settings, whole, held_out, fit_steps):
    """The Adapter of a training without the held-out classes."""
    seen = without(whole, *held_out)
    return Adapter(trained(args, settings, seen).model, seen, fit_steps)


def measured(job):
    """Train one run without a fold's classes if it is missing, and measure what it makes of them; rows of unseen.csv.

    Args:
        job: (options, Settings, the data set's name or path, fold, Unseen records of that training as of `plan`).
    """
    args, settings, name, fold, records = job
    whole = load_data(args, name)
    all_folds = folds(whole.num_classes)
    held_out, following = all_folds[fold], all_folds[(fold + 1) % len(all_folds)]
    run = functools.cache(lambda: trained(args, settings, without(whole, *held_out)))
    adapter = functools.cache(lambda: Adapter(run().model, without(whole, *held_out), records[0].fit_steps))

    @functools.cache
    def chooser():
        return _adapter(args, records[-1].chooser, whole, following, records[0].fit_steps)

    @functools.cache
    def nats(number):  # tuned once for what is a mixture and what is none
        own = [record for record in records if record.adaptation in TUNED and record.num_context == number]
        shares = max((record.adapted_shares for record in own), key=len) or (1.0,)
        return tuning_nats(chooser(), own[0], whole, following, shares)

    def measures(record):
        def choose():
            return choose_tuning(nats(record.num_context), record)

        return {"rows": measure(record, adapter(), whole, held_out, choose)}

    rows = []
    for record in records:
        found = measured_once(args, record, run, measures)
        cells = {"run": record, "dataset": whole.name, "fold": fold, "method": method(record)}
        cells |= {"num_context": record.num_context} | {key: getattr(settings, key) for key in CELLS}
        cells |= {key: found[key] for key in ("parameters", *COMMITS)}
        rows += [cells | row for row in found["rows"]]
    return rows


def plan(settings, chooser, whole, likelihood, wanted=ADAPTATIONS):
    """The Unseen records of one training: every adaptation that is wanted, and number of context images.

    Where there is no context there is the model as it is, and the mixture of its known tasks; a VAE as it is has no use
    for one.

    Args:
        chooser: the Settings of the same model without the next fold's classes; whole: the data's fingerprint.
    """
    vae = settings.model == "vae"
    without_context = ("none",) if vae else ("none", "mixture")
    chosen_among = {"tuning_steps": TUNING_STEPS, "tuning_rates": TUNING_RATES}
    own = {
        "mixture": chosen_among
        | {"num_samples": MIXTURE_SAMPLES, "adapted_shares": ADAPTED_SHARES, "known_images": KNOWN_IMAGES},
        "adapt": {
            "tuning_steps": (),
            "tuning_rates": (TUNING_RATE,),
            "steps_by_images": tuple(STEPS_BY_IMAGES.items()),
        },
    }
    return [
        Unseen(settings, chooser, whole, adaptation, number, likelihood, **own.get(adaptation, chosen_among))
        for adaptation in adaptations(settings)
        if adaptation in wanted
        for number in CONTEXTS
        if (adaptation in without_context if number == 0 else not (vae and adaptation == "none"))
    ]


def samples(job, table):
    """What HyperVAE makes of a few images of each class that it has not seen, as pictures.

    Args:
        job: of `measured`, of a HyperVAE; table: rows of unseen.csv, which say how its weights were tuned.

    Returns:
        {class: (SHOWN_CONTEXT context images, and SHOWN_SAMPLES samples each of the VAE of the fitted u and of the
        tuned one, (images, H, W, 1))}; without the classes of which there are too few images, none if nothing is tuned.
    """
    args, settings, name, fold, records = job
    shown = [r for r in records if (r.adaptation, r.num_context) == ("finetuned", SHOWN_CONTEXT)]
    if not shown:
        return {}
    (record,) = shown
    whole = load_data(args, name)
    held_out = folds(whole.num_classes)[fold]
    adapter = _adapter(args, settings, whole, held_out, record.fit_steps)
    z = tf.random.stateless_normal((1, SHOWN_SAMPLES, settings.latent_dim), (record.evaluation_seed, 0))
    found = {}
    for row in table[table["run"] == record.digest].to_dict("records"):
        members = whole.x[whole.y == row["class"]]
        contexts = contexts_of(members, row["class"], SHOWN_CONTEXT, 1, record.draw_seed)
        fitted = adapter.start(contexts, True, record.evaluation_seed)
        (tuned,) = adapter.tuned(fitted, contexts, [row["tuning_steps"]], row["tuning_rate"])
        drawn = [adapter.model.decode(z, theta).mean()[0] for theta in (fitted, tuned)]
        found[row["class"]] = np.concatenate([contexts[0].astype(np.float32), *drawn])
    return found
