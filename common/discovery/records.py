"""What a search is: the records that name its folder, its cached scores and the rows of its tables."""

from dataclasses import dataclass

from common.runs.identity import SEED, Record, added, digest, label, settings_of
from common.runs.storage import sha256_of

IN_CLASS = 20.0  # percent of element error within which a found alloy belongs to the class (section 4.5)
# Searches (search.METHODS), and alloys to compare with, in the order of tables and figures.
SEARCH_NAMES = {
    "vae": "VAE + BO",
    "vae_restarts": "VAE + BO, restarted",
    "hypervae_once": "HyperVAE + BO, once",
    "hypervae_iterated": "HyperVAE + BO, iterated",
    "hypervae_iterated_vae_init": "HyperVAE + BO, iterated from the VAE's best",
    "hypervae_joint": "HyperVAE + BO, joint over (u, z)",
    "random_vae": "VAE, random search",
    "random_hypervae": "HyperVAE, random search",
}
METHOD_NAMES = SEARCH_NAMES | {
    "vae_calphad": "VAE + BO, through CALPHAD",
    "hypervae_calphad": "HyperVAE + BO, through CALPHAD",
    "nearest_known": "nearest known alloy",
    "own_alloy": "the class's own alloy of median distance",
}
STARTS = ("classes", "nothing", "alloy")  # codes of all known classes, none of them, those of the nearest one
ITERATED = ("vae_restarts", "hypervae_iterated", "hypervae_iterated_vae_init")  # searches of several steps
# Of the searches through CALPHAD: the family, and the searches whose best codes they begin with.
CALPHAD_STARTS = {
    "vae_calphad": ("vae", ["vae"]),
    "hypervae_calphad": (
        "hypervae",
        ["hypervae_once", "hypervae_iterated", "hypervae_iterated_vae_init", "hypervae_joint"],
    ),
}
# What searches of one protocol may differ in, beside their seeds: what is looked for, and with it the images that
# training left out.
VARYING = ("target", "fingerprint")
# Columns that show a protocol to the reader; rows are grouped by `protocol`, never by these.
SHOWN = ("dataset", "target_kind", "budget", "evaluations", "steps", "acquisition", "recipe", "iterations", "binarize")


@dataclass(frozen=True)
class Target(Record):
    """A design to look for, of a class that no model has seen."""

    held_out: str  # the class
    which: str  # number of a test image or of an alloy, or "mean" of the class
    fingerprint: str  # of its pixels or fractions


@dataclass(frozen=True)
class SearchSettings(Record):
    """How a search spends its evaluations (section 4.5)."""

    budget: str  # "total": the outer steps share the evaluations; "per-step": they have that many each
    evaluations: int  # designs compared with the target
    steps: int  # outer steps of the iterated search, T of Eq. 10
    acquisition: str  # of the Bayesian optimization
    seed: int  # of the first designs and of the search
    fit_u: int = added(0)  # steps of Adam that move u of a design, where one is read off it

    def __post_init__(self):
        """A single step has nothing to share."""
        super().__post_init__()
        if self.steps == 1:
            object.__setattr__(self, "budget", "total")


@dataclass(frozen=True)
class Discovery(Record):
    """Every search for one target in the designs of a VAE and a HyperVAE, and what gradients find there."""

    dataset: str = label()
    data: str  # fingerprint of the whole data set, the held-out class among it
    vae: Record  # the training of the VAE ...
    hypervae: Record  # ... and of the HyperVAE
    target: Target
    target_kind: str  # "binary" or "grey" image, "mean" of a class's diagrams or a "sample" of them
    objective: str  # "cosine", or "scaled_cosine": each phase relative to its largest share in known alloys
    known_tasks: (
        bool  # whether the box covers the codes of known tasks and the searches begin with them, or with the prior's
    )
    search: SearchSettings
    realised: str = added("")  # regressor and database by which every design is judged; "": designs as decoded
    start: str = added("classes")  # with which codes searches begin: one of STARTS, or the name of a known class


@dataclass(frozen=True)
class FoundAlloys(Record):
    """What the searches for an alloy found, as compositions (Table 5)."""

    discovery: Discovery
    regressor: str  # of phase matrix to composition
    tdb: str  # fingerprint of the thermodynamic database that column B asks; "" without
    refinements: int = added(0)  # steps in which a composition is corrected by its real diagram


@dataclass(frozen=True)
class ThroughCalphad(Record):
    """Searches that begin with what those of `found` ended with, and see the real diagrams of alloys alone."""

    found: FoundAlloys
    evaluations: int  # of each, on top of the others'


@dataclass(frozen=True)
class InverseMapTrial(Record):
    """How well one regressor maps phase matrices of a data set to compositions."""

    dataset: str = label()
    data: str
    regressor: str
    seed: int
    refinements: int = added(0)  # at most
    tdb: str = added("")  # fingerprint of the database that refinements ask


def file_fingerprint(path):
    """Twelve hex digits that stand for a file's bytes; "" without a file."""
    return "" if path is None else sha256_of(path)[:12]


def shared_settings(stored):
    """What a stored record has in common with those of the same protocol: all but seeds and VARYING, at every level.

    A ThroughCalphad counts as the searches that it went on from, so that both stand in one Table 5.
    """

    def without(part):
        if isinstance(part, dict):
            return {name: without(value) for name, value in part.items() if name not in (SEED, *VARYING)}
        return part

    return without(settings_of(stored.get("found", stored)))


def with_protocol(rows, records):
    """Rows with the columns `protocol`, the digest of `shared_settings`, and `target`, that of what was looked for."""
    runs = rows["run"].unique()
    protocols = {run: digest(shared_settings(records[run])) for run in runs}
    targets = {run: digest(_target(records[run])) for run in runs}
    return rows.assign(protocol=rows["run"].map(protocols), target=rows["run"].map(targets))


def _target(stored):
    for name in ("found", "discovery"):
        stored = stored.get(name, stored)
    return stored["target"]


def evaluations_before(method, budget, evaluations, steps):
    """Designs that the searches judged which one of CALPHAD_STARTS begins with."""
    times = [steps if budget == "per-step" and start in ITERATED else 1 for start in CALPHAD_STARTS[method][1]]
    return evaluations * sum(times)


def columns(discovery):
    """A row's cells that show a Discovery: its run, its seed and SHOWN."""
    training, search = discovery.hypervae, discovery.search
    return {
        "run": discovery,
        "seed": search.seed,
        "dataset": discovery.dataset,
        "target_kind": discovery.target_kind,
        "budget": search.budget,
        "evaluations": search.evaluations,
        "steps": search.steps,
        "acquisition": search.acquisition,
        "recipe": training.recipe,
        "iterations": training.iterations,
        "binarize": training.binarize,
    }
