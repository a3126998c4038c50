"""Searches as jobs: light enough to travel to other machines, cached and resumed in their record's folder."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.discovery.records import SEARCH_NAMES, Discovery
from common.runs.identity import Record
from common.runs.jobs import run_jobs
from common.runs.results import COMMITS
from common.runs.storage import REMEDY, commit, locked, made_once, read_json, write_json, write_settings


@dataclass(frozen=True)
class Work:
    """What a worker searches, and how it gets at what its record names; `models` are the trainings that it needs."""

    record: Record
    load: Callable  # load() gives the Dataset that the models train on
    train: Callable  # train(settings, data) gives its TrainedModel; where it was trained before, it is loaded
    checkpoints: Path

    @property
    def folder(self):
        return self.record.folder(self.checkpoints)

    def is_finished(self):
        """Whether all that a worker would find is kept, so that no model is needed."""
        return is_found(self.folder, self.record)


@dataclass(frozen=True)
class Job(Work):
    """The searches for one target; the held-out class is left out of what the models train on."""

    record: Discovery
    image: np.ndarray  # the target (H, W, 1) in [0, 1]

    @property
    def models(self):
        """Settings of the trainings that it needs."""
        return [self.record.vae, self.record.hypervae]

    def is_finished(self):
        return is_found(self.folder, self.record, SEARCH_NAMES)


def trainings(jobs):
    """The distinct trainings that unfinished jobs need, for `train_missing`: [(train, settings, load)]."""
    needed = {}
    for job in jobs:
        for settings in () if job.is_finished() else job.models:
            needed.setdefault(settings.digest, (job.train, settings, job.load))
    return list(needed.values())


def train_missing(training):
    """Train one model if it is missing; the model stays where it was trained."""
    train, settings, load = training
    train(settings, load())


def search_all(discover, jobs, processes, scheduler=None):
    """Train what is missing, then call discover(job) for each job.

    Args:
        discover: a function that gives a tuple which begins with the job.
        processes, scheduler: see `run_jobs`.

    Returns:
        a list in the order of the jobs, whichever was finished first.
    """
    needed = trainings(jobs)
    for _ in tqdm(run_jobs(train_missing, needed, processes, scheduler), "trainings", len(needed)):
        pass
    found = list(tqdm(run_jobs(discover, jobs, processes, scheduler), "searches", len(jobs)))
    order = {job.record.digest: number for number, job in enumerate(jobs)}
    return sorted(found, key=lambda part: order[part[0].record.digest])


def target_search(job, known=None, start="classes", **options):
    """(TargetSearch, trained_at) of a job's models.

    Args:
        known, start: images of the known tasks and what searches begin with, see `families.Family`.
        options: `scale` and `realise` of `search.TargetSearch`.
    """
    from common.discovery.families import Family
    from common.discovery.search import TargetSearch

    data, families, commits = job.load(), {}, set()
    for name in ("vae", "hypervae"):
        run = job.train(getattr(job.record, name), data)
        families[name] = Family(run.model, known, start, job.record.search.fit_u)
        commits |= set(run.trained_at.split("+"))
    search = TargetSearch(families, job.image, job.record.search, job.folder, **options)
    return search, "+".join(sorted(commits))


def found(folder, record, make):
    """What make() finds, once: {**make(), "evaluated_at"}, kept in a record's folder under the record's digest.

    Another process that searches for the same target is waited for.
    """
    with locked(folder):
        return _stored(folder, record, make)


def found_by(methods, folder, record, make, once=dict):
    """As `found`, of several methods; those that were none when the others were found are added.

    Args:
        make: make(methods) gives (rows, each with its "method", and {method: design}).
        once: once() gives what goes beside them, with "trained_at".

    Returns:
        {"rows", "designs", **once(), "evaluated_at"}; rows that were added have an "evaluated_at" of their own.
    """

    def first():
        rows, designs = make(methods)
        return {"rows": rows, "designs": designs} | once()

    with locked(folder):
        made = _stored(folder, record, first)
        missing = [method for method in methods if method not in made["designs"]]
        if missing:
            rows, designs = make(missing)
            made["rows"] += [{**row, "evaluated_at": commit()} for row in rows]
            made["designs"] |= designs
            write_json(_path(folder, record), made)
    return made


def is_found(folder, record, methods=()):
    """Whether `found` keeps what a record names, or `found_by` keeps it of all these methods.

    Raises:
        InputError: the file is damaged.
    """
    path = _path(folder, record)
    return path.exists() and (not methods or set(methods) <= read_json(path, REMEDY)["designs"].keys())


def _path(folder, record):
    return Path(folder) / f"found-{record.digest}.json"


def _stored(folder, record, make):
    return made_once(_path(folder, record), lambda: make() | {"evaluated_at": commit()})


def explore(job, make_search):
    """All searches for one target.

    Args:
        make_search: make_search() gives (TargetSearch, trained_at), where something is missing.

    Returns:
        {"rows": one an evaluation, "bounds": one a space of designs, "designs": {"target" or method: {"designs": of its
        steps, "distances": theirs}}, "trained_at", "evaluated_at"}.
    """

    make_search = functools.cache(make_search)

    def searches(methods):
        write_settings(job.folder / "settings.json", job.record.stored())
        rows, designs = make_search()[0].explore(methods)
        return rows, _rounded(designs)

    def bounds():
        search, trained_at = make_search()
        least = [{"method": name, "cosine_distance": value} for name, value in search.by_gradients().items()]
        return {"bounds": least, "trained_at": trained_at}

    made = found_by(SEARCH_NAMES, job.folder, job.record, searches, bounds)
    target = {"designs": [job.image], "distances": [0.0]}
    return made | {"designs": _rounded({"target": target}) | made["designs"]}


def _rounded(designs):
    """Designs {method: {"designs", "distances"}} as lists of few digits."""
    return {name: own | {"designs": np.round(own["designs"], 4).tolist()} for name, own in designs.items()}


def table_rows(rows, cells, made):
    """Rows with the cells that all of them share and the commits of what was `made`; a row's own cells come first."""
    cells = cells | {name: made[name] for name in COMMITS}
    return [cells | row for row in rows]
