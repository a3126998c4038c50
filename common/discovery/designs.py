"""Alloys by specification: compositions that keep every limit, each judged by CALPHAD, searched for in four ways.

All searches see the same: of each composition that they ask about, by how much it exceeds each limit, and the objective
(`Specification.objective`). Those by Bayesian optimization begin with the same known alloys, in a
model's space as it decodes them.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.discovery import alloys, calphad, runs
from common.discovery.records import file_fingerprint
from common.discovery.specification_files import read_specification
from common.discovery.specifications import Specification
from common.runs.identity import Record, label
from common.runs.storage import commit, write_settings

METHODS = {
    "random": "random compositions",
    "composition": "BO over compositions",
    "vae": "VAE + BO over z",
    "hypervae": "HyperVAE + BO over (u, z)",
}
NUM_KNOWN = 10  # known alloys with which a search begins, each of another class


@dataclass(frozen=True)
class Design(Record):
    """One search for alloys that keep a specification."""

    dataset: str = label()
    data: str  # fingerprint of the known alloys
    specification: Specification
    method: str
    training: Record | None  # of the model whose designs are searched
    regressor: str  # of phase matrix to composition; "" without a model
    tdb: str  # fingerprint of the thermodynamic database
    evaluations: int
    seed: int


@dataclass(frozen=True)
class DesignJob(runs.Work):
    """A search for alloys that keep a specification."""

    record: Design
    source: Path  # of the known alloys
    tdb: Path

    @property
    def models(self):
        return [] if self.record.training is None else [self.record.training]


def search(job):
    """(job, what was found) of a search that is kept, and resumed where it was cut off.

    What was found is {"compositions": (evaluations, len(ELEMENTS)) wt%, "excess": (evaluations, limits), "objective",
    "seconds": (evaluations,), "parameters": of the model, "trained_at", "evaluated_at"}.
    """
    return job, runs.found(job.folder, job.record, lambda: _search(job))


def _search(job):
    from common.discovery.bayesopt import BayesianOptimizer

    record, wanted = job.record, job.record.specification
    write_settings(job.folder / "settings.json", record.stored())
    diagrams, data = calphad.phase_diagrams(job.tdb), alloys.load(job.source)
    space, made = _space(job, data)
    random = record.method == "random"
    optimizer = BayesianOptimizer(
        space.box,
        record.seed,
        num_initial=record.evaluations if random else 0,
        first=() if random else space.first[: record.evaluations],
        trust_region=True,
        history=job.folder / "search.json",
        num_limits=len(wanted.limits),
    )

    def judge(point):
        composition = space.compositions(point[None])[0]
        excess = wanted.excess(diagrams, composition)
        return wanted.objective(composition, excess), excess

    optimizer.run(judge, record.evaluations, METHODS[record.method])
    found = {"excess": optimizer.excess, "objective": optimizer.y, "seconds": optimizer.seconds}
    # One by one, as they were judged: a decoder's last digits depend on the size of a batch.
    found = {"compositions": np.concatenate([space.compositions(point[None]) for point in optimizer.x])} | found
    return {name: values.tolist() for name, values in found.items()} | made


def nearest_known(wanted, data):
    """Rows of the NUM_KNOWN alloys that come nearest to a specification by their diagrams, at most one of a class."""
    order = np.argsort(wanted.estimated_excess(data), kind="stable")
    best_of_class = {}
    for row in order:
        best_of_class.setdefault(int(data.y[row]), int(row))
    return list(best_of_class.values())[:NUM_KNOWN]


def _space(job, data):
    """Where a search looks, and {"trained_at", "parameters"} of its model."""
    wanted, near = job.record.specification, nearest_known(job.record.specification, data)
    if job.record.training is None:
        return _Compositions(wanted, data.compositions[near]), {"trained_at": commit(), "parameters": 0}
    from common.discovery.families import Family
    from common.discovery.inverse_map import InverseMap

    run = job.train(job.record.training, job.load())
    family = Family(run.model, [data.matrices[data.y == own][..., None] for own in range(len(data.names))])
    inverse = InverseMap(job.record.regressor, data.matrices, data.compositions, job.record.seed)
    made = {"trained_at": run.trained_at, "parameters": run.model.count_params()}
    return _Decoded(wanted, family, inverse, data, near), made


class _Compositions:
    """Points are wt% of the elements that may vary.

    Args:
        known: compositions (n, len(ELEMENTS)) with which a search begins, each element moved into its range.
    """

    def __init__(self, wanted, known):
        self.least, most = wanted.box.T
        self.free = most > self.least
        self.box = wanted.box[self.free]
        self.first = wanted.clipped(known)[:, self.free]

    def compositions(self, points):
        found = np.tile(self.least, (len(points), 1))
        found[:, self.free] = points
        return found


class _Decoded:
    """Points are codes (u, z) of a model; a decoded diagram's composition is each element's, moved into its range."""

    def __init__(self, wanted, family, inverse, data, near):
        self.wanted, self.family, self.inverse = wanted, family, inverse
        self.box = np.concatenate([family.u_box, family.z_box])
        codes = [(family.known_u[data.y[row]], data.matrices[row][..., None]) for row in near]
        self.first = np.stack([np.concatenate([u, family.encode(u, image)]) for u, image in codes])

    def compositions(self, points):
        u, z = np.split(points, [self.family.u_dim], axis=1)
        return self.wanted.clipped(self.inverse(self.family.decode(u, z)[..., 0]))


def read_specifications(paths, tdb):
    """The Specifications of some files, whose phases the database knows; of two files with the same limits the first.

    Raises:
        InputError: a file that cannot be read, or a phase of it that the database lacks.
    """
    asked = list({own.digest: own for own in map(read_specification, paths[::-1])}.values())[::-1]
    for wanted in asked:
        calphad.phase_diagrams(tdb).check([wanted.present], wanted.phases)
    return asked


def jobs_for(source, data, wanted, methods, models, options, seed, train, checkpoints):
    """The DesignJobs of one specification and seed.

    Args:
        models: {"vae", "hypervae": a training's record}.
        options: with likelihood, regressor, tdb and evaluations.
    """
    load = functools.partial(_load, source, options.likelihood)
    for method in methods:
        training = models.get(method)
        regressor = options.regressor if training else ""
        of = (wanted, method, training, regressor, file_fingerprint(options.tdb), options.evaluations, seed)
        record = Design(data.name, data.fingerprint(), *of)
        yield DesignJob(record, load, train, checkpoints, source, options.tdb)


def _load(source, likelihood):
    return alloys.as_dataset(alloys.load(source), likelihood)


def known_alloy(composition, data):
    """(class, distance in wt%) of the known alloy that is nearest to a composition (len(ELEMENTS),)."""
    distances = np.sqrt(np.sum((data.compositions - composition) ** 2, 1))
    nearest = int(np.argmin(distances))
    return data.names[data.y[nearest]], float(distances[nearest])
