"""The settings that regressions and classifications share: a main network, and what makes its weights."""

from dataclasses import dataclass

from common.errors import InputError
from common.runs.identity import Record, label

METHODS = ("sgd", "hypernet")
# What plain weights ("sgd") do not use must not split their runs; all their predictions are one.
OF_HYPERNETWORKS = {
    "hyper_units": (), "noise_dim": 0, "spread": 0.0, "kernel_rate": 0.0, "weights_per_step": 0, "num_samples": 1,
}  # fmt: skip


def check_step(batch, room, draws, method, what="rows"):
    """Raise InputError where a step's batch is larger than the `room` to train on, or not shared equally by its draws.

    Args:
        draws: of the weights in a step; what: that is trained on, in words.
    """
    if batch > room:
        raise InputError(f"--batch-size {batch} is more than the {room} {what} to train on: lower it")
    if method == "hypernet" and batch % draws:
        raise InputError(f"--weights-per-step {draws} must divide the batch size {batch}: change one of them")


@dataclass(frozen=True)
class ImplicitRun(Record):
    """A training with its measurements: test errors are taken in its last epochs, so a prediction's draws count."""

    dataset: str = label()
    fingerprint: str
    method: str  # one of METHODS
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float  # Adam's
    schedule: str  # "constant" or "cosine"
    hyper_units: tuple  # hidden units of the hypernetwork
    noise_dim: int  # dimensions of eps
    spread: float  # share of the initial weights' variance that comes from eps
    kernel_rate: float  # learning rate of the kernel that makes the weights, as a share
    weights_per_step: int  # draws of w in a step; as many as the batch has rows is one for each (Eq. 3)
    num_samples: int  # draws of w for a prediction (Eq. 4)

    def __post_init__(self):
        super().__post_init__()
        if self.method == "sgd":
            for name, value in OF_HYPERNETWORKS.items():
                object.__setattr__(self, name, value)

    def of_hypernetwork(self):
        """What `ImplicitHypernet` is built with beside sizes, method and seed; of "sgd" nothing."""
        if self.method == "sgd":
            return {}
        names = ("noise_dim", "spread", "kernel_rate", "weights_per_step")
        return {"hidden": self.hyper_units} | {name: getattr(self, name) for name in names}

    def hypernetwork_in_words(self):
        """Sizes, and what its start and its training depend on: "50-100-50 spread 0.1 kernel rate 0.02"."""
        rate = f" kernel rate {self.kernel_rate:g}" if self.kernel_rate != 1 else ""
        return f"{'-'.join(map(str, [self.noise_dim, *self.hyper_units]))} spread {self.spread:g}{rate}"
