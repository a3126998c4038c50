"""Tasks for images that nobody has labelled.

Clusters of a plain VAE's codes; or these, their number chosen by what held-out images cost, and then sorted anew: each
image goes to the task whose VAE codes it shortest, and the next HyperVAE is trained on that.
"""

import argparse
import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from common.data.blocks import spread
from common.errors import InputError
from common.hypervae import task_mixture
from common.hypervae.options import NAMES_OF_TASKS
from common.hypervae.runs import load_data, settings_for, trained
from common.runs import storage
from common.runs.identity import Record

PARTS = ("", "_validation", "_test")  # of a Dataset's x and y
NUMBERS = (5, 10, 20, 50, 100)  # of tasks that are tried, as long as held-out images get cheaper
FEWEST_IMAGES = 20  # of a task, on average
ROUNDS = 3  # of sorting anew, at most
# A training that only finds tasks is so many times shorter than one that uses them, but has so many steps.
SHORT, FEWEST_STEPS = 5, 1_000
RESTARTS = 4  # of k-means
CODED_ALIKE = 5  # clusters nearest to an image's code: only these are asked what the image costs
BLOCK = 1_000  # images that are encoded together
TASK_SEED = 0  # of what finds tasks: they belong to the data, and models of all seeds have the same


class _Found(Record):
    """How tasks were found by a `vae`; a subclass finds labels {"y": (N,), "y_validation": ..., "y_test": ...}."""

    def stored_labels(self, args, data):
        """The labels, kept beside the VAE that they come from, and whatever else was found on the way."""
        path = self.vae.folder(args.results_dir / "checkpoints") / f"tasks-{self.digest}.json"
        return storage.made_once(path, lambda: self.find(args, data))


@dataclasses.dataclass(frozen=True)
class FoundTasks(_Found):
    """So many clusters of the codes that a VAE, so trained, gives the training images."""

    vae: Record
    number: int
    restarts: int = RESTARTS

    way = "clusters"

    def name_of(self, data):
        return f"{data.name}-{self.number}{NAMES_OF_TASKS['clusters']}"

    def find(self, args, data):
        of_part = _codes_of_parts(args, self.vae, data)
        means = _clusters(of_part, self.number, self.restarts, self.vae.seed)
        return {f"y{part}": means.predict(own).tolist() for part, own in of_part.items()}


class _Trial(NamedTuple):
    """Tasks that were tried: nats an image of held-out images, {part: labels}, and the mixture that coded them."""

    nats: float
    labels: dict
    mixture: task_mixture.TaskMixture


@dataclasses.dataclass(frozen=True)
class AutoTasks(_Found):
    """Clusters whose number and borders are chosen by held-out code length.

    Short trainings of a HyperVAE on NUMBERS clusters, few first, until the validation part costs no less under their
    mixture of tasks; then rounds of sorting and training on the best, until that costs no less. Labels are not used.
    """

    vae: Record  # the short training of the VAE whose codes are clustered
    hypervae: Record  # the short trainings of HyperVAEs but for their tasks
    numbers: tuple
    rounds: int = ROUNDS
    restarts: int = RESTARTS
    nearest: int = CODED_ALIKE
    images: int = task_mixture.MIXTURE_IMAGES  # of a task, that its u comes from
    held_out: int = 2_000  # images of the validation part, at most

    way = "auto_tasks"

    def name_of(self, data):
        return data.name + NAMES_OF_TASKS["auto"]

    def find(self, args, data):
        """Labels, and `trials`: [{number, round, held_out_nats}], all that was tried."""
        of_part = _codes_of_parts(args, self.vae, data)
        x, trials, best = spread(data.x_validation, self.held_out), [], None

        def tried(labels, sorted_anew):
            tasks = _relabelled(data, labels, self.name_of(data))
            own = {"dataset": tasks.name, "fingerprint": tasks.fingerprint()}
            model = trained(args, dataclasses.replace(self.hypervae, **own), tasks).model
            mixture = task_mixture.of_dataset(model, tasks, self.images)
            nats = float(mixture.mixed(mixture.code_lengths(x, TASK_SEED)).mean())
            trials.append({"number": tasks.num_classes, "round": sorted_anew, "held_out_nats": nats})
            print(f"{data.name}: {tasks.num_classes} tasks, sorted anew {sorted_anew} times: {nats:.2f} nats held out")
            return _Trial(nats, labels, mixture)

        for number in self.numbers:
            means = _clusters(of_part, number, self.restarts, TASK_SEED)
            now = tried({part: means.predict(own) for part, own in of_part.items()}, 0)
            if best and now.nats >= best.nats:
                break
            best = now
        for sorted_anew in range(1, self.rounds + 1):
            now = tried(_sorted_anew(best.mixture, data, of_part, best.labels[""], self.nearest), sorted_anew)
            if now.nats >= best.nats:
                break
            best = now
        return {f"y{part}": best.labels[part].tolist() for part in PARTS} | {"trials": trials}


@dataclasses.dataclass(frozen=True)
class RandomTasks(Record):
    """Images shared out at random among so many tasks: what HyperVAE has of tasks that mean nothing."""

    fingerprint: str
    number: int
    seed: int = TASK_SEED

    way = "random_tasks"

    def name_of(self, data):
        return f"{data.name}-{self.number}{NAMES_OF_TASKS['random']}"

    def stored_labels(self, args, data):
        """Drawn, and kept nowhere."""
        number = min(self.number, len(data.x))
        draws = np.random.default_rng(self.seed)
        return {f"y{part}": draws.permutation(np.arange(len(getattr(data, f"x{part}"))) % number) for part in PARTS}


WAYS = tuple(found.way for found in (FoundTasks, AutoTasks, RandomTasks))


def automatic(args, data, recipe):
    """The AutoTasks of the script's options on a Dataset, whose labels are not looked at.

    Raises:
        InputError: --targets others, which needs many images of each task.
    """
    if args.targets == "others":
        raise InputError("found tasks are of any size, and --targets others needs many images of each: leave one out")
    steps = min(args.iterations, max(FEWEST_STEPS, args.iterations // SHORT))
    short = argparse.Namespace(**vars(args) | {"iterations": steps})
    own = (settings_for(short, data, model, recipe, TASK_SEED) for model in ("vae", "hypervae"))
    numbers = tuple(number for number in NUMBERS if number * FEWEST_IMAGES <= len(data.x)) or NUMBERS[:1]
    return AutoTasks(*own, numbers)


def asked_for(args, data, how, recipe):
    """How tasks are to be found on a Dataset, whose labels are not looked at.

    Args:
        how: as --tasks says it: "auto" (AutoTasks), "random" (RandomTasks, as many as classes), or a number of clusters
            (FoundTasks).
    """
    if how == "auto":
        return automatic(args, data, recipe)
    if how == "random":
        return RandomTasks(data.fingerprint(), data.num_classes)
    return FoundTasks(settings_for(args, data, "vae", recipe, TASK_SEED), how)


def find(job):
    """Find tasks where they are missing.

    Args:
        job: (the script's options, the data set's name or path, a FoundTasks, AutoTasks or RandomTasks).
    """
    args, name, found = job
    found.stored_labels(args, load_data(args, name))


def with_found_tasks(args, found, data):
    """The Dataset with found tasks in place of its labels, which are not looked at.

    What has to be trained for that is trained if it is missing.

    Args:
        args: the script's options; found: a FoundTasks, AutoTasks or RandomTasks.
    """
    stored = found.stored_labels(args, data)
    return _relabelled(data, {part: np.asarray(stored[f"y{part}"]) for part in PARTS}, found.name_of(data))


def agreement(data, tasks):
    """Adjusted Rand index between the labels of a Dataset's training part and found tasks: 1 alike, 0 by chance."""
    return float(adjusted_rand_score(data.y, tasks.y))


def codes(vae, x):
    """Means of q(z|x), (N, latent_dim), of images (N, H, W, 1)."""
    parts = [vae.encode(tf.cast(x[i : i + BLOCK], tf.float32)).mean().numpy() for i in range(0, len(x), BLOCK)]
    return np.concatenate(parts)


def _codes_of_parts(args, settings, data):
    vae = trained(args, settings, data).model
    return {part: codes(vae, getattr(data, f"x{part}")) for part in PARTS}


def _clusters(of_part, number, restarts, seed):
    number = min(number, len(np.unique(of_part[""], axis=0)))  # a cluster of none would be no task
    return KMeans(number, n_init=restarts, random_state=seed).fit(of_part[""])


def _relabelled(data, labels, name):
    own = {f"y{part}": labels[part] for part in PARTS}
    return dataclasses.replace(data, **own, class_names=(), name=name)


def _sorted_anew(mixture, data, of_part, y, nearest):
    """Labels of all parts: the task that codes an image shortest, the task's own bits counted.

    Of all tasks an image is tried by those whose images have codes nearest to its own, and by the one it is in. A task
    that no training image chooses is gone.
    """
    centers = np.stack([of_part[""][y == task].mean(0) for task in range(y.max() + 1)])

    def best(part, tasks, own=None):
        """Of `tasks`, for each image."""
        distances = pairwise_distances(centers[tasks], of_part[part])
        matters = np.zeros((len(centers), distances.shape[1]), bool)
        matters[tasks] = distances <= np.sort(distances, 0)[min(nearest, len(tasks)) - 1]
        if own is not None:
            matters[own, np.arange(len(own))] = True
        lengths = mixture.code_lengths_where(getattr(data, f"x{part}"), matters, TASK_SEED)
        return (lengths - mixture.log_shares[:, None]).argmin(0)

    chosen = best("", np.arange(len(centers)), y)
    kept = np.unique(chosen)
    return {part: np.searchsorted(kept, chosen if part == "" else best(part, kept)) for part in PARTS}
