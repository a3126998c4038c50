"""What each model is told of a test image, and what it then costs (an honest Table 1).

Table 1's test batches are sorted by label: a model that sees a whole batch learns from it what it holds. Here each
model stands beside itself with less: smaller batches, unsorted ones, no batch at all.
"""

import functools
from dataclasses import dataclass

import numpy as np

from common.hypervae import found_tasks, task_mixture
from common.hypervae.density import Evaluator, ImportanceSampling, nll_subset
from common.hypervae.grouping import ROUNDS, Heap
from common.hypervae.runs import load_data, trained
from common.hypervae.task_mixture import MIXTURE_IMAGES, MIXTURE_SAMPLES, Coder
from common.hypervae.training import measured_once
from common.runs.identity import Record, added

NOTHING = "nothing"
# {way: what is told}; a way that a model has not is left out.
TOLD = {
    "alone": NOTHING,
    "class": "the image's class",
    "by_class": "the image's class",  # theta comes from training images of it
    "by_label": "up to 100 test images of its class",
    "by_label_20": "up to 20 test images of its class",
    "by_label_5": "up to 5 test images of its class",
    "by_label_1": "nothing but itself",
    "by_label_drawn": "up to 100 test images of its class; u is drawn",
    "unsorted": "up to 100 test images of all classes",
    "mixture": NOTHING,
    # Mixtures of tasks that nobody labelled, and of tasks that mean nothing.
    **dict.fromkeys(found_tasks.WAYS, NOTHING),
    "heap": "some 2,000 test images, which it sorts itself",
}
WAYS = {
    "vae": ("alone",),
    "cvae": ("class", "mixture", *found_tasks.WAYS),
    "metavae": ("class", "mixture", *found_tasks.WAYS),
    "hypervae": (
        *(way for way in TOLD if way.startswith("by_")),
        "unsorted",
        "mixture",
        *found_tasks.WAYS,
        "heap",
    ),
}
MIXTURES = ("mixture", *found_tasks.WAYS)
NUM_SAMPLES = 4  # draws of z, as in Table 1
COLUMNS = ["dataset", "method", "told", "part", "seed", "parameters", "neg_elbo", "nll_is", "reconstruction", "kl_z"]
COLUMNS += ["kl_u", "num_images", "nll_num_images", "num_tasks", "rand_index", "recipe", "iterations"]


@dataclass(frozen=True)
class Told(Record):
    """What a row of told.csv is: a training, in what way theta is found for a test image, and how that is measured."""

    training: Record
    way: str  # one of TOLD
    part: str  # "test" or "validation"
    likelihood: ImportanceSampling
    num_samples: int  # draws of z for -ELBO
    evaluation_seed: int = 1
    mixture_images: int = MIXTURE_IMAGES  # training images of a task that its u in a mixture comes from
    heap_images: int = 2_000  # test images that a model sorts by itself, ...
    heap_groups: int = 10  # ... into at most so many groups
    heap_rounds: int = ROUNDS
    tasks: Record | None = added(None)  # FoundTasks and others, that the training had in place of classes


def family(settings):
    """What tables call a model: a row of theirs is this and the way."""
    if settings.model != "hypervae":
        return settings.model + ("_wide" if settings.hidden else "")
    if settings.generator == "concatenation":
        return "neural_statistician"
    if settings.generate != "all":
        return settings.generate
    return "hypervae" + ("_tuned" if settings.vector_scale else "")


def method(settings, way):
    """The name of a row: "hypervae_by_label", "cvae", "cvae_mixture"."""
    return family(settings) if way in ("alone", "class") else f"{family(settings)}_{way}"


def measure(told, model, data, tasks=None, compiled=True):
    """Nats an image: {neg_elbo, nll_is, ...}, columns of told.csv; both lengths hold KL(u)/n where u is paid for.

    Args:
        told: a Told; model: its training's; data: the Dataset, whose labels say what is told; tasks: the same with the
            tasks of the training as labels, where these are others.
    """
    x, y = data.part(told.part)
    if told.way == "by_class":
        return _by_class(told, model, data, x, y, compiled)
    if told.way in MIXTURES:
        return _mixture(told, model, tasks or data, x, y, compiled)
    if told.way == "heap":
        return _heap(told, model, x, y, compiled)
    size = int(told.way.rpartition("_")[2]) if told.way[-1].isdecimal() else 100
    labels = np.zeros_like(y) if told.way == "unsorted" else y
    options = dict(num_samples=told.num_samples, num_importance_samples=told.likelihood.num_importance_samples)
    evaluator = Evaluator(model, size, draw_u=told.way == "by_label_drawn", compiled=compiled, **options)
    found = evaluator(x, labels, told.evaluation_seed, told.likelihood.num_images)
    return found | {"nll_is": found["nll_is"] + found["kl_u"], "num_images": len(x)}


def _mixture(told, model, tasks, x, y, compiled):
    mixture = task_mixture.of_dataset(model, tasks, told.mixture_images, Coder(model.body, compiled))
    lengths = mixture.mixed(mixture.code_lengths(x, told.evaluation_seed, told.num_samples))
    nll, num_importance_samples = (), told.likelihood.num_importance_samples
    if num_importance_samples:
        chosen = nll_subset(y, told.likelihood.num_images, told.evaluation_seed)
        nll = mixture.mixed(mixture.neg_log_likelihoods(x[chosen], told.evaluation_seed, num_importance_samples))
    return _means(lengths, nll)


def _by_class(told, model, data, x, y, compiled):
    """Each image under the VAE of its class, whose u comes from training images: nothing of the test set is seen."""
    known = task_mixture.of_dataset(model, data, told.mixture_images, Coder(model.body, compiled))
    matters = y == np.arange(data.num_classes)[:, None]
    lengths = known.code_lengths_where(x, matters, told.evaluation_seed, told.num_samples)[y, np.arange(len(y))]
    nll, num_importance_samples = (), told.likelihood.num_importance_samples
    if num_importance_samples:
        chosen = nll_subset(y, told.likelihood.num_images, told.evaluation_seed)
        by_class = {label: x[chosen][y[chosen] == label] for label in np.unique(y[chosen])}
        options = told.evaluation_seed, num_importance_samples
        nll = np.concatenate([known.neg_log_likelihoods_of(label, own, *options) for label, own in by_class.items()])
    return _means(lengths, nll)


def _means(lengths, nll):
    """Columns of told.csv, of what each image takes, and of the images whose likelihood was estimated; or of none."""
    nll_is = np.mean(nll) if len(nll) else np.nan
    return {"neg_elbo": lengths.mean(), "nll_is": nll_is, "num_images": len(lengths), "nll_num_images": len(nll)}


def _heap(told, model, x, y, compiled):
    chosen = nll_subset(y, told.heap_images, told.evaluation_seed)
    heap = Heap(model, x[chosen], told.evaluation_seed, told.num_samples, compiled)
    heap.group(told.heap_groups, told.heap_rounds)
    return {"neg_elbo": heap.nats(), "nll_is": np.nan, "num_images": len(chosen), "nll_num_images": 0}


def plan(settings, part, likelihood, ways=None, tasks=None):
    """The Told records of one training: in all ways that it has, or those of `ways`.

    Args:
        tasks: what it had in place of classes, FoundTasks and others; then nothing can be told, and there is one way.
    """
    possible = ways or ([tasks.way] if tasks else [way for way in TOLD if way not in found_tasks.WAYS])
    own = [way for way in WAYS[settings.model] if way in possible]
    mixed = dict.fromkeys((*MIXTURES, "heap"), MIXTURE_SAMPLES)
    return [Told(settings, way, part, likelihood, mixed.get(way, NUM_SAMPLES), tasks=tasks) for way in own]


def measured(job):
    """Train one run if it is missing and measure it in each way; its rows of told.csv.

    Args:
        job: (options, Settings, the data set's name or path, Told records of that training).
    """
    args, settings, name, records = job
    data, rows, found = load_data(args, name), [], records[0].tasks
    tasks = found_tasks.with_found_tasks(args, found, data) if found else data
    # Of tasks that were found: how many, and how near to the classes.
    about = {"num_tasks": tasks.num_classes, "rand_index": found_tasks.agreement(data, tasks)} if found else {}
    run = functools.cache(lambda: trained(args, settings, tasks))
    for record in records:
        row = {"run": record, "dataset": data.name, "method": method(settings, record.way), "told": TOLD[record.way]}
        row |= {key: getattr(settings, key) for key in ("seed", "recipe", "iterations")} | {"part": record.part} | about
        rows.append(row | measured_once(args, record, run, lambda r: measure(r, run().model, data, tasks)))
    return rows
