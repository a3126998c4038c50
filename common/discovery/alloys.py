"""Data sets of alloys: classes, and errors of what was found."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.datasets import VALIDATION_FRACTION, Dataset, stratified_split, without
from common.data.fingerprints import fingerprint
from common.discovery import alloy_files
from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import PHASES, TEMPERATURES
from common.discovery.distances import cosine_distance
from common.discovery.records import STARTS, file_fingerprint
from common.errors import InputError
from common.names import name_of_file

SHIPPED = Path(__file__).resolve().parents[2] / "alloys" / "main30_100.npz"
TEST_FRACTION = 0.2  # of each class
MAIN_WT = 0.3  # wt% from which an element counts as one of an alloy's main ones
NUM_HARDEST = 10  # classes that are held out where none is named
LEAST_SHARE = 1e-3  # mole fraction below which a phase is none
PAPER = "paper"  # stands for these:
PAPER_TABLE_5 = {  # percent: (element error, phase error) of the alloys that the paper's HyperVAE found
    "6053": (11.3, 3.0), "2219": (26.6, 3.0), "6951": (20.0, 0.4), "2024": (31.5, 3.5),
    "2014": (18.5, 1.4), "2025": (4.4, 2.9), "7076": (31.8, 2.5), "2618": (23.9, 3.6),
}  # fmt: skip
PAPER_CLASSES = (*PAPER_TABLE_5, "6463")  # the last one is of its text
FRACTION_ERROR = 0.01  # of a decoded phase fraction; where a phase is present, root mean square (known alloys: 0.008)
BODIES = {  # by likelihood: of 100 atoms, or of more; with splines a diagram's logits are smooth over temperature
    "multinomial": "matrix", "multinomial_1000": "matrix_1000", "multinomial_10000": "matrix_10000",
    "multinomial_splines": "matrix_splines", "continuous_bernoulli": "matrix_continuous_bernoulli",
}  # fmt: skip


@dataclass(frozen=True)
class AlloyData:
    """Phase matrices of alloys whose equilibria were found, by class.

    matrices: (N, phases, temperatures) float32, columns sum to 1; only phases that occur in some alloy.
    compositions: (N, len(ELEMENTS)) wt%; y: (N,) index into names, the classes' designations.
    """

    name: str  # what tables call it
    matrices: np.ndarray
    compositions: np.ndarray
    y: np.ndarray
    names: tuple
    phases: tuple
    temperatures: np.ndarray
    failed: tuple  # (designation, number) of alloys left out because their equilibrium was not found
    database: str = ""  # fingerprint of the database that they were computed by, where that is known

    def fingerprint(self):
        """Short digest of fractions, compositions, classes and phases: what the data set is, whatever it is called."""
        return fingerprint(self.matrices, self.compositions, self.y, np.array(self.names), np.array(self.phases))

    def without(self, designation):
        """The same alloys less those of one class."""
        kept = self.y != self.names.index(designation)
        parts = {name: getattr(self, name)[kept] for name in ("matrices", "compositions", "y")}
        return dataclasses.replace(self, **parts)


def load(path, tdb=None, least=1):
    """Read a data set: a packed .npz, or a folder with one .npz a class.

    Args:
        tdb: path of a database that these alloys are judged by; it must be the one that they were computed by, where
            that is known.

    Raises:
        InputError: missing, damaged or inconsistent files, or another database.
    """
    path = Path(path)
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no .npz: compute the alloys with --make-data")
    parts = [alloy_files.read_classes(file) for file in files]
    if any(part["phases"] != PHASES or part["elements"] != ELEMENTS for part in parts):
        raise InputError(f"{path} has other phases or elements than this version computes: compute it again")
    if any(not np.array_equal(part["temperatures"], TEMPERATURES) for part in parts):
        ours = f"the {len(TEMPERATURES)} from {TEMPERATURES[0]:g} to {TEMPERATURES[-1]:g} K of this version"
        raise InputError(f"{path} has other temperatures than {ours}: compute it again")
    database = alloy_files.database_of(path, parts)
    matrices, compositions = (np.concatenate([part[key] for part in parts]) for key in ("matrices", "compositions"))
    designations = np.concatenate([part["designations"] for part in parts])
    found = ~np.isnan(matrices).any((1, 2))
    off = np.abs(matrices[found].astype(np.float64).sum(1) - 1)
    if not found.any() or off.max() > 0.02 or matrices[found].min() < 0:
        raise InputError(f"{path}: the columns of a phase matrix must sum to 1, none below 0: compute it again")
    failed = tuple(zip(*(part.tolist() for part in np.unique(designations[~found], return_counts=True))))
    names, y = np.unique(designations[found], return_inverse=True)
    matrices = matrices[found].astype(np.float32)
    occurs = matrices.max((0, 2)) > 0
    matrices = matrices[:, occurs] / matrices.sum(1, keepdims=True)  # float16 rounds
    phases = tuple(np.array(PHASES)[occurs].tolist())
    name = SHIPPED.stem if path.resolve() == SHIPPED else name_of_file(path)
    if tdb and database and database != file_fingerprint(tdb):
        raise InputError(f"{name} was computed by another database than {tdb}: give that one by --tdb")
    names = tuple(names.tolist())
    if len(names) < least:
        raise InputError(f"{name} has one class, {names[0]}, and none to learn from: compute others, too")
    return AlloyData(name, matrices, compositions[found], y, names, phases, TEMPERATURES, failed, database)


def as_dataset(data, likelihood="multinomial"):
    """The alloys as a Dataset of "images" (phases, temperatures, 1).

    A fifth of each class is for test, a tenth of the rest for validation.
    """
    x, y, x_test, y_test = stratified_split(data.matrices[..., None], data.y, TEST_FRACTION)
    x, y, x_validation, y_validation = stratified_split(x, y, VALIDATION_FRACTION)
    return Dataset("alloys", x, y, x_test, y_test, data.names, x_validation, y_validation, BODIES[likelihood])


def in_all_phases(diagram, phases):
    """A diagram (phases, temperatures) of a data set's phases as one of all that CALPHAD knows (len(PHASES), ...)."""
    whole = np.zeros((len(PHASES), diagram.shape[-1]))
    whole[[PHASES.index(phase) for phase in phases]] = diagram
    return whole


def test_rows(data):
    """Which alloys `as_dataset` sets aside for test: indices."""
    return stratified_split(np.arange(len(data.y)), data.y, TEST_FRACTION)[2]


def rest_as_dataset(data, designation, likelihood):
    """The alloys without one class, each where it stands in the whole Dataset, for training or for test."""
    return without(as_dataset(data, likelihood), data.names.index(designation))


def class_means(data):
    """Mean diagram (classes, phases, temperatures) and mean composition (classes, len(ELEMENTS)) of each class."""
    members = [data.y == label for label in range(len(data.names))]
    return tuple(np.stack([array[own].mean(0) for own in members]) for array in (data.matrices, data.compositions))


def hardest_classes(data):
    """The NUM_HARDEST classes whose mean diagram lies farthest from its nearest other one."""
    means = class_means(data)[0][..., None].astype(float)
    apart = np.stack([cosine_distance(means, mean) for mean in means])
    np.fill_diagonal(apart, np.inf)
    return [data.names[label] for label in np.argsort(apart.min(1), kind="stable")[::-1][:NUM_HARDEST]]


def in_full(designations):
    """Designations with PAPER_CLASSES in the place of PAPER, none twice."""
    return list(
        dict.fromkeys(name for given in designations for name in (PAPER_CLASSES if given == PAPER else [given]))
    )


def asked_for(designations, data, start="classes"):
    """The classes that --held-out asks for: PAPER stands for the paper's nine, nothing for the ten hardest.

    Args:
        start: what searches for them begin with, one of STARTS or a class.

    Raises:
        InputError: the data set has no such class, or a search would begin with the class that it looks for.
    """
    asked = in_full(designations or hardest_classes(data))
    for name in asked:
        if name not in data.names:
            raise InputError(f"{data.name} has no alloy class {name}: choose --held-out among {', '.join(data.names)}")
    if start in asked:
        raise InputError(f"{start} is held out: searches for it cannot begin with it; name another --start")
    if start not in (*STARTS, *data.names):
        raise InputError(f"--start {start}: give one of {', '.join(STARTS)}, or a class, {', '.join(data.names)}")
    return asked


def main_elements(composition):
    """Which elements count in an alloy's error: at least MAIN_WT wt%, or its most abundant one."""
    return (composition >= MAIN_WT) | (composition == composition.max())


def element_error(found, composition):
    """Mean relative error in percent of a composition over the main elements of the target's (Table 5, column A)."""
    main = main_elements(composition)
    return 100 * float(np.mean(np.abs(found[main] - composition[main]) / composition[main]))


def phase_error(found, real):
    """Mean error in percent of a diagram (phases, temperatures), each relative to its maximum (Table 5, column B).

    Over the phases that either diagram holds at least LEAST_SHARE of somewhere.
    """
    largest = np.maximum(found, real).max(1)
    present = largest >= LEAST_SHARE
    return 100 * float(np.mean(np.abs(found - real)[present].mean(1) / largest[present]))


def phase_scale(matrices):
    """(phases, 1, 1): times this, a phase counts relative to its largest share in alloys (N, phases, temperatures).

    Cosine similarity of the fractions themselves hardly sees the minor phases, which tell an alloy's elements apart. A
    share within a decoded fraction's error is not blown up.
    """
    return 1 / np.maximum(matrices.max((0, 2)), FRACTION_ERROR)[:, None, None].astype(float)
