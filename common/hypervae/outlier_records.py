"""What the rows of Table 4 are of (section 4.4): kinds of scores, rules, and the record of a model's or baseline's."""

from dataclasses import dataclass

from common.hypervae.outlier_sets import EVALUATION_SEED
from common.runs.identity import Record, added, label

MOST_CALIBRATING = 2_000  # images of each part that calibrate scores: more take longer and change little
HELD_OUT_RATE = 0.05  # share of held-out normal images above the threshold that no outlier is needed for

# The first rules that were tried, in the order of what they are made of; reports show them all. "density_of_states" was
# written down first as the rule for every pair; the last one took its place 25 minutes later, in the commit that
# brought the context code, and before any result was committed.
RULES = ("complexity_adjusted_context", "density_of_states", "density_of_states_and_codes")
HEADLINE = RULES[-1]
UNTOLD = ("vae", "hypervae")  # models that an image is given to without its class
USUAL, COMBINED, TASK_MIXTURE = "usual", "combined", "task_mixture"
# The rule of --score and of the estimator: the combined one, of what a model and compressors say alone.
OWN_RULE = f"{COMBINED}_without_local_outlier_factor"
OF_MODELS = {  # kinds of scores, and the models that have them; baselines have the first alone
    USUAL: ("vae", "metavae", "hypervae"),
    "likelihood_regret": UNTOLD,
    COMBINED: UNTOLD,
    TASK_MIXTURE: ("metavae", "cvae", "hypervae"),
}


@dataclass(frozen=True)
class Baseline(Record):
    """A baseline without training of ours: a detector fitted to pixels, or the compressors."""

    dataset: str = label()
    binarize: str = label()  # the fingerprint knows the binarized pixels
    fingerprint: str
    model: str
    seed: int

    @property
    def kind(self):
        return self.model


@dataclass(frozen=True)
class Scoring(Record):
    """What the rows of one model and one outlier set are: whatever changes a score or its measures."""

    outlier: str = label()
    scored: Record  # the training's Settings, or a Baseline
    outlier_fingerprint: str
    outlier_fraction: float
    num_samples: int
    num_bootstrap: int
    evaluation_seed: int = EVALUATION_SEED
    # "per set": the draws of an image set depend on that set alone; "one pass": batches were numbered through all sets.
    draws: str = "per set"
    held_out_rate: float = HELD_OUT_RATE
    scores: str = added(USUAL)  # one of OF_MODELS
    fit_u: int = added(0)  # steps on the mean of q(u|x); HyperVAE's alone
    # Of the images that rules are fitted to: drawn, or as they come, where a fold may lack a class.
    folds: str | None = added("shuffled", before=None)
    mixture_images: int = added(0)  # training images of a task that its u comes from; of the mixture of tasks alone

    def __post_init__(self):
        """Baselines draw no z, and no rule is fitted to their scores."""
        super().__post_init__()
        if isinstance(self.scored, Baseline):
            for name, value in (("num_samples", 0), ("draws", "none"), ("folds", None)):
                object.__setattr__(self, name, value)
