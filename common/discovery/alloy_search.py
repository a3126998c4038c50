"""Search for an alloy of a class that no model has seen (Figure 3b, Table 5): targets, records, errors of finds."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.data.fingerprints import fingerprint
from common.discovery import alloying, alloys, calphad, runs, search_summary
from common.discovery.distances import cosine_distance
from common.discovery.records import (
    CALPHAD_STARTS,
    IN_CLASS,
    SEARCH_NAMES,
    SHOWN,
    STARTS,
    Discovery,
    FoundAlloys,
    Target,
    ThroughCalphad,
    columns,
    file_fingerprint,
)
from common.runs.results import put_rows

LABELS = ["alloy", "method", "seed"]
PROTOCOL = [*SHOWN, "likelihood", "objective"]
FIGURE3B = [*LABELS, "evaluation", "step", "cosine_distance", "best_so_far", "seconds", *PROTOCOL]
BOUNDS = [*LABELS, "cosine_distance", *PROTOCOL]
TABLE5 = [*LABELS, "element_error", "phase_error", "in_class", "cosine_distance", *alloying.ELEMENTS, *PROTOCOL]
TABLE5 += ["regressor", "calphad_evaluations"]
ORDER = ["dataset", "objective", *LABELS]
SEARCHED = [method for method in SEARCH_NAMES if not method.startswith("random")]
KNOWN_ALLOYS = ("nearest_known", "own_alloy")
JUDGED = (*SEARCHED, *KNOWN_ALLOYS)  # by Table 5, beside searches through CALPHAD


@dataclass(frozen=True)
class AlloyJob(runs.Job):
    """The searches for one class of alloys, and Table 5 of what they found."""

    source: Path  # of the alloys
    tdb: Path | None
    found: FoundAlloys
    through_calphad: ThroughCalphad | None

    def is_finished(self):
        through = self.through_calphad
        found = super().is_finished() and runs.is_found(self.folder, self.found, JUDGED)
        return found and (through is None or runs.is_found(self.folder, through, CALPHAD_STARTS))


def load_rest(source, likelihood, designation):
    """The training Dataset without one class."""
    return alloys.rest_as_dataset(alloys.load(source), designation, likelihood)


def target_of(data, designation, kind, seed):
    """(diagram (phases, temperatures, 1), composition, which) of a class.

    Args:
        kind: "mean" of the class, or a "sample", one alloy of it that the seed chooses.
    """
    label = data.names.index(designation)
    if kind == "mean":
        diagrams, compositions = alloys.class_means(data)
        return diagrams[label][..., None].astype(float), compositions[label], "mean"
    members = np.flatnonzero(data.y == label)
    number = int(np.random.default_rng(seed).choice(len(members)))
    one = members[number]
    return data.matrices[one][..., None].astype(float), data.compositions[one], str(number)


def job_for(source, data, designation, models, search, train, checkpoints, options):
    """The AlloyJob of one class and seed.

    Args:
        source: of the alloys; `data` is what was loaded from there.
        models: {"vae", "hypervae": the training's record}.
        search: SearchSettings.
        train: see `runs.Job`.
        options: with target ("mean" or "sample"), objective, likelihood, regressor, refine, tdb, realise, start, and
            calphad_evaluations, which count where through_calphad is true.
    """
    image, _, which = target_of(data, designation, options.target, search.seed)
    target = Target(designation, which, fingerprint(image))
    fixed = dict(target=target, target_kind=options.target, objective=options.objective, known_tasks=True)
    tdb = file_fingerprint(options.tdb)
    fixed |= {"realised": f"{options.regressor} {tdb}" if options.realise else "", "start": options.start}
    record = Discovery(data.name, data.fingerprint(), **models, **fixed, search=search)
    found = FoundAlloys(record, options.regressor, tdb, options.refine)
    through = ThroughCalphad(found, options.calphad_evaluations) if options.through_calphad else None
    load = functools.partial(load_rest, source, options.likelihood, designation)
    return AlloyJob(record, load, train, checkpoints, image, source, options.tdb, found, through)


class _Bench:
    """What the steps of one job share; each part is made when a step first needs it."""

    def __init__(self, job):
        self.job, self.designation = job, job.record.target.held_out

    @functools.cached_property
    def data(self):
        return alloys.load(self.job.source)

    @functools.cached_property
    def rest(self):
        return self.data.without(self.designation)

    @functools.cached_property
    def composition(self):
        return target_of(self.data, self.designation, self.job.record.target_kind, self.job.record.search.seed)[1]

    @functools.cached_property
    def inverse(self):
        from common.discovery.inverse_map import InverseMap

        known = self.rest.matrices, self.rest.compositions
        return InverseMap(self.job.found.regressor, *known, self.job.record.search.seed)

    @functools.cached_property
    def diagrams(self):
        return calphad.phase_diagrams(self.job.tdb) if self.job.tdb else None

    @functools.cached_property
    def _search_and_commits(self):
        labels = np.unique(self.rest.y)
        known = [self.rest.matrices[self.rest.y == label][..., None] for label in labels]
        record = self.job.record
        scale = alloys.phase_scale(self.rest.matrices) if record.objective == "scaled_cosine" else 1.0
        start = record.start
        if start == "alloy":  # the known class whose mean is the nearest
            means = np.stack([images.mean(0) for images in known])
            start = int(np.argmin(cosine_distance(means * scale, self.job.image * scale)))
        elif start not in STARTS:
            start = [self.data.names[label] for label in labels].index(start)
        realise = self.realise if record.realised else None
        return runs.target_search(self.job, known, start, scale=scale, realise=realise)

    @property
    def search(self):
        """The TargetSearch over the designs of the job's models."""
        return self._search_and_commits[0]

    @property
    def trained_at(self):
        """The commits that its models were trained at."""
        return self._search_and_commits[1]

    def composition_of(self, design):
        """wt% of a decoded diagram (phases, temperatures, 1) by the inverse map, refined as far as was asked for."""
        if not self.job.found.refinements:
            return self.inverse(design[None, ..., 0])[0]
        return self.inverse.refined(design[..., 0], self.real_diagram, self.job.found.refinements)

    def real_diagram(self, composition):
        """The diagram (phases, temperatures) of an alloy by CALPHAD."""
        return self.diagrams.real_diagram(composition, self.data.phases)

    def realise(self, design):
        """The diagram of the alloy that a decoded one would be, by the inverse map as it is: one equilibrium."""
        return self.real_diagram(self.inverse(design[None, ..., 0])[0])[..., None]

    def best_of(self, result, realised=False):
        """(diagram, composition) of a SearchResult's best design; the diagram as the search saw it, decoded or real."""
        u, z = result.codes[int(np.argmin(result.distance))]
        decoded = self.search.families["hypervae" if len(u) else "vae"].decode(u[None], z[None])[0]
        if realised or self.job.record.realised:
            return result.designs[-1], self.inverse(decoded[None, ..., 0])[0]
        return result.designs[-1], self.composition_of(decoded)


def discover(job):
    """(job, searches, errors, errors through CALPHAD or None) of one class; each is kept, and made if it is missing.

    `searches` is what `runs.explore` finds; errors are {"rows": of table5.csv, "designs": {method: diagram},
    "trained_at", "evaluated_at"}.
    """
    bench = _Bench(job)
    searches = runs.explore(job, lambda: (bench.search, bench.trained_at))

    def errors(methods, record, find):
        make = functools.partial(_errors, bench, find)
        return runs.found_by(methods, job.folder, record, make, lambda: {"trained_at": bench.trained_at})

    found = errors(JUDGED, job.found, _found_alloy)
    through = job.through_calphad
    return job, searches, found, through and errors(CALPHAD_STARTS, through, _found_through_calphad)


def _found_alloy(bench, method):
    """(diagram, composition) of what a search found, by the inverse map, or of one of KNOWN_ALLOYS."""
    search, data, rest = bench.search, bench.data, bench.rest
    if method == "nearest_known":
        return by_distance(search, rest.matrices, rest.compositions, 0)
    if method == "own_alloy":
        own = data.y == data.names.index(bench.designation)
        return by_distance(search, data.matrices[own], data.compositions[own], own.sum() // 2)
    return bench.best_of(search.run(method))


def _found_through_calphad(bench, method):
    """(diagram, composition) of a search in which no impossible diagram wins: each is a real alloy's."""
    from common.discovery.search import TargetSearch

    job, search = bench.job, bench.search
    settings = replace(job.record.search, budget="total", evaluations=job.through_calphad.evaluations)
    folder = job.folder / f"calphad-{job.through_calphad.digest}"
    real = TargetSearch(search.families, job.image, settings, folder, bench.realise, search.scale)
    member, starts = CALPHAD_STARTS[method]
    return bench.best_of(real.refined(method, member, [search.run(start) for start in starts]), realised=True)


def _errors(bench, find, methods):
    """Table 5's columns A, and B where there is a database, of what find(bench, method) gives: (rows, designs)."""
    rows, designs = [], {}
    for method in methods:
        diagram, composition = find(bench, method)
        error, phase_error = alloys.element_error(composition, bench.composition), None
        if bench.diagrams is not None:
            # An alloy far from the known ones has phases that these have not.
            real = bench.diagrams.real_diagram(composition, calphad.PHASES)
            decoded = alloys.in_all_phases(diagram[..., 0], bench.data.phases)
            phase_error = alloys.phase_error(decoded, real) if real.any() else None  # no equilibrium was found
        row = {"method": method, "element_error": error, "phase_error": phase_error, "in_class": error <= IN_CLASS}
        row["cosine_distance"] = float(bench.search.distance(diagram))
        rows.append(row | dict(zip(alloying.ELEMENTS, composition.tolist())))
        designs[method] = np.round(diagram, 4).tolist()
    return rows, designs


def by_distance(search, matrices, compositions, rank):
    """(diagram, composition) of the alloy that is number `rank` in distance to the search's target, from 0 up."""
    chosen = np.argsort(search.distance(matrices[..., None].astype(float)), kind="stable")[rank]
    return matrices[chosen][..., None], compositions[chosen]


def table_rows(discovered):
    """(rows of figure3b.csv, of bounds.csv, of table5.csv) of what `discover` gave for some jobs."""
    curves, bounds, table5 = [], [], []
    for job, searches, errors, through in discovered:
        cells = columns(job.record) | {"alloy": job.record.target.held_out, "objective": job.record.objective}
        cells["likelihood"] = {body: name for name, body in alloys.BODIES.items()}[job.record.vae.body]
        curves += runs.table_rows(searches["rows"], cells, searches)
        bounds += runs.table_rows(searches["bounds"], cells, searches)
        cells |= {"regressor": job.found.regressor, "calphad_evaluations": 0}
        table5 += runs.table_rows(errors["rows"], cells | {"run": job.found}, errors)
        if through is not None:
            own = {"run": job.through_calphad, "calphad_evaluations": job.through_calphad.evaluations}
            table5 += runs.table_rows(through["rows"], cells | own, through)
    return curves, bounds, table5


def write_tables(folder, curves, bounds, table5):
    """Add rows to the three tables, and write the summaries.

    Returns:
        every search_summary.Protocol of the tables, and all rows of table5.csv.
    """
    put_rows(folder / "figure3b.csv", curves, FIGURE3B, ["method", "evaluation"], ORDER, packed=True)
    put_rows(folder / "bounds.csv", bounds, BOUNDS, ["method"], ORDER)
    table5 = put_rows(folder / "table5.csv", table5, TABLE5, ["method"], ORDER)
    return search_summary.write_summaries(folder, "figure3b.csv", "alloy"), table5
