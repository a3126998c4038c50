"""Searches as jobs: cached, made once by whoever comes first, the same on two workers as in this process."""

import dataclasses
import functools
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from test_records import Training, discovery

from common.discovery import digits, runs
from common.discovery.records import SearchSettings
from common.discovery.search import METHODS, TargetSearch
from common.runs import storage

IMAGE = (np.arange(16).reshape(4, 4, 1) % 3 > 0).astype(float)


class Line:
    """Stands for families.Family: designs on a line between two images; nothing to train."""

    u_dim, z_dim, starts, first_u = 0, 1, None, np.zeros(0)
    u_box, z_box = np.zeros((0, 2)), np.array([[-1.0, 1.0]])

    def decode(self, u, z):
        return 0.5 + 0.4 * np.tanh(z)[:, :, None, None] * (2 * IMAGE - 1)

    def first_z(self, u, seed, budget):
        return np.random.default_rng(seed).uniform(-1, 1, (min(3, budget), 1))

    def encode(self, u, x):
        return np.zeros(1)

    def infer_u(self, x):
        return np.zeros(0)

    def draw_u(self, random, number):
        return np.zeros((number, 0))

    def descend(self, target, starts, u_is_free, scale=1.0):
        return 0.01


def load(folder):
    (folder / f"loaded-{os.getpid()}").touch()


def train(folder, settings, data):
    (folder / f"trained-{settings.digest}").touch()
    return SimpleNamespace(trained_at=f"{settings.model}1")


def target_search(job):
    """As runs.target_search, with families of this file."""
    found = [job.train(settings, job.load()) for settings in (job.record.vae, job.record.hypervae)]
    families = {"vae": Line(), "hypervae": Line()}
    return TargetSearch(families, job.image, job.record.search, job.folder), "+".join(run.trained_at for run in found)


def discover(job):
    return job, runs.explore(job, functools.partial(target_search, job))


def jobs(folder, seeds=(0, 1)):
    for seed in seeds:
        models = {name: Training("f", name, seed) for name in ("vae", "hypervae")}
        record = discovery(**models, search=SearchSettings("total", 6, 2, "EI", seed))
        where = dict(load=functools.partial(load, folder), train=functools.partial(train, folder))
        yield runs.Job(record, image=IMAGE, **where, checkpoints=folder / "checkpoints")


@pytest.fixture(autouse=True)
def importable_by_workers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.getcwd()]))


def measures(found):
    """Of `runs.search_all`, without times."""
    return [([{**row, "seconds": 0} for row in part["rows"]], part["bounds"], part["trained_at"]) for _, part in found]


@pytest.mark.slow
def test_two_workers_find_what_one_finds(tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    two = runs.search_all(discover, list(jobs(tmp_path / "two")), 2)
    one = runs.search_all(discover, list(jobs(tmp_path / "one")), 1)
    assert measures(one) == measures(two) and [job.record.search.seed for job, _ in two] == [0, 1]
    assert str(os.getpid()) not in {path.name.split("-")[1] for path in (tmp_path / "two").glob("loaded-*")}
    assert len(list((tmp_path / "two").glob("trained-*"))) == 4
    assert two[0][1]["trained_at"] == "vae1+hypervae1"


def test_what_was_found_is_not_searched_for_again(tmp_path):
    (job,) = jobs(tmp_path, [3])
    first = discover(job)[1]
    stored = storage.read_json(job.folder / f"found-{job.record.digest}.json", "")
    assert first == stored | {"designs": first["designs"]} and first["designs"].items() > stored["designs"].items()
    assert json.loads((job.folder / "settings.json").read_text()) == job.record.stored()
    again = dataclasses.replace(job, train=None, load=None)
    assert discover(again)[1] == first
    # One evaluation more is another search, with a history of its own.
    settings = dataclasses.replace(job.record.search, evaluations=7)
    longer = dataclasses.replace(job, record=dataclasses.replace(job.record, search=settings))
    assert longer.folder != job.folder and len(discover(longer)[1]["rows"]) == len(first["rows"]) + len(METHODS)


def test_finished_searches_train_nothing(tmp_path, monkeypatch):
    one, other = jobs(tmp_path)
    found = discover(one)
    for path in tmp_path.glob("trained-*"):
        path.unlink()
    assert one.is_finished() and not other.is_finished()
    assert {settings.seed for _, settings, _ in runs.trainings([one, other])} == {1}
    assert measures(runs.search_all(discover, [one], 1)) == measures([found])
    assert not list(tmp_path.glob("trained-*"))
    monkeypatch.setitem(runs.SEARCH_NAMES, "came_later", "one more search")
    assert not one.is_finished()


def test_a_search_that_came_later_is_made_beside_the_others(tmp_path, monkeypatch):
    (job,) = jobs(tmp_path, (0,))
    with monkeypatch.context() as patch:
        patch.delitem(METHODS, "vae_restarts")
        patch.delitem(runs.SEARCH_NAMES, "vae_restarts")
        _, before = discover(job)
    _, found = discover(job)
    assert set(found["designs"]) - set(before["designs"]) == {"vae_restarts"}
    assert found["rows"][: len(before["rows"])] == before["rows"] and found["bounds"] == before["bounds"]
    assert {row["method"] for row in found["rows"][len(before["rows"]) :]} == {"vae_restarts"}
    assert discover(job)[1] == found and set(runs.SEARCH_NAMES) == set(METHODS)
    # The commit of what came later is its own.
    assert {row.get("evaluated_at") for row in found["rows"]} == {None, storage.commit()}
    of_method = {
        row["method"]: row["evaluated_at"]
        for row in runs.table_rows(found["rows"], {}, {"trained_at": "", "evaluated_at": "then"})
    }
    assert of_method.pop("vae_restarts") == storage.commit() and set(of_method.values()) == {"then"}
    monkeypatch.setattr(TargetSearch, "explore", None)  # not even by a process that began before the late one was made
    assert discover(job)[1] == found


def test_a_step_more_keeps_its_design_and_distance(tmp_path):
    (job,) = jobs(tmp_path, [0])
    found = discover(job)[1]
    iterated = found["designs"]["hypervae_iterated"]
    ends = [row["best_so_far"] for row in found["rows"] if row["method"] == "hypervae_iterated"]
    assert iterated["distances"] == [ends[2], ends[5]] and np.shape(iterated["designs"]) == (2, 4, 4, 1)
    assert found["designs"]["target"]["distances"] == [0.0]


def test_models_that_targets_share_are_trained_once(tmp_path):
    (job,) = jobs(tmp_path, [0])
    target = dataclasses.replace(job.record.target, which="18")
    other = dataclasses.replace(job, record=dataclasses.replace(job.record, target=target))
    assert [settings.model for _, settings, _ in runs.trainings([job, other])] == ["vae", "hypervae"]


def test_rows_of_a_target_carry_its_record_and_commits(tmp_path):
    (job,) = jobs(tmp_path, [5])
    curves, bounds = digits.table_rows([discover(job)])
    assert len(curves) == len(METHODS) * 6 and len(bounds) == 3
    for row in (*curves, *bounds):
        assert row["run"] is job.record and row["seed"] == 5 and (row["digit"], row["target_index"]) == (4, 17)
        assert row["trained_at"] == "vae1+hypervae1" and row["evaluated_at"]
