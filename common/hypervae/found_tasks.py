"""Tasks for images that nobody has labelled: k-means of a plain VAE's codes."""

import dataclasses

import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

from common.hypervae.options import trained
from common.runs import storage
from common.runs.identity import Record

PARTS = ("", "_validation", "_test")  # of a Dataset's x and y


@dataclasses.dataclass(frozen=True)
class FoundTasks(Record):
    """How tasks were found: that many clusters of the codes that a VAE, so trained, gives the training images."""

    vae: Record
    number: int
    restarts: int = 4


def codes(vae, x, block=1_000):
    """Means of q(z|x), (N, latent_dim), of images (N, H, W, 1)."""
    parts = [vae.encode(tf.cast(x[i : i + block], tf.float32)).mean().numpy() for i in range(0, len(x), block)]
    return np.concatenate(parts)


def with_found_tasks(args, found, data):
    """The Dataset with clusters in place of its labels, which are not looked at; other parts get the nearest cluster.

    The VAE is trained if it is missing. The clusters are kept beside it.

    Args:
        args: the script's options; found: a FoundTasks.
    """

    def make():
        vae = trained(args, found.vae, data).model
        of_part = {part: codes(vae, getattr(data, f"x{part}")) for part in PARTS}
        number = min(found.number, len(np.unique(of_part[""], axis=0)))  # a cluster of none would be no task
        means = KMeans(number, n_init=found.restarts, random_state=found.vae.seed)
        means.fit(of_part[""])
        return {f"y{part}": means.predict(own).tolist() for part, own in of_part.items()}

    path = found.vae.folder(args.results_dir / "checkpoints") / f"tasks-{found.digest}.json"
    labels = {name: np.asarray(own) for name, own in storage.stored(path, make).items()}
    return dataclasses.replace(data, **labels, class_names=(), name=f"{data.name}-{found.number}-clusters")
