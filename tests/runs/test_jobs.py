"""Independent jobs side by side: a worker that dies takes no result with it."""

import os
import signal
import time
from pathlib import Path

import pytest

from common.errors import InputError
from common.runs.jobs import run_jobs
from common.runs.storage import made_once


def work(item):
    time.sleep(0.3)
    return item, os.getpid()


def keep(job):
    """A job as the scripts have them: its result stays on the disk. The one of number 3 is killed the first time."""
    folder, number = job

    def made():
        marker = Path(folder, "killed")
        if number == 3 and not marker.exists():
            time.sleep(1)
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"number": number, "worker": os.getpid()}

    return made_once(Path(folder, f"{number}.json"), made)


@pytest.fixture(autouse=True)
def importable_by_workers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.getcwd()]))


def test_one_of_two_local_workers_killed_loses_nothing(tmp_path):
    jobs, done = [(str(tmp_path), number) for number in range(6)], []
    with pytest.raises(InputError, match="killed.*same command again"):
        for result in run_jobs(keep, jobs, 2):
            done.append(result)
    before = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    assert len(before) >= len(done)
    done = list(run_jobs(keep, jobs, 2))
    assert sorted(result["number"] for result in done) == list(range(6))
    assert before.items() <= {path.name: path.read_text() for path in tmp_path.glob("*.json")}.items()


@pytest.mark.slow
def test_a_cluster_does_a_killed_workers_jobs_again():
    distributed = pytest.importorskip("distributed")
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with distributed.LocalCluster(**options) as cluster:
        done, killed = [], None
        for item, worker in run_jobs(work, range(8), 1, cluster.scheduler_address):
            if killed is None:
                killed = worker
                os.kill(worker, signal.SIGKILL)
            done.append((item, worker))
    assert sorted(item for item, _ in done) == list(range(8))
    after = [worker for _, worker in done[2:]]  # what had ended before the kill may still come
    assert killed not in after[2:] and after


def overlap(folder):
    """Whether another job of this process runs at the same time."""
    path = Path(folder) / str(os.getpid())
    alone = not path.exists()
    path.touch()
    time.sleep(0.2)
    path.unlink(missing_ok=True)
    return alone


@pytest.mark.slow
def test_threads_of_a_clusters_worker_run_one_job_at_a_time(tmp_path):
    """Initial weights come from the process's random state."""
    distributed = pytest.importorskip("distributed")
    options = dict(n_workers=1, threads_per_worker=3, processes=True, dashboard_address=None)
    with distributed.LocalCluster(**options) as cluster:
        assert all(run_jobs(overlap, [str(tmp_path)] * 6, 1, cluster.scheduler_address))


def test_no_more_workers_than_jobs_and_one_job_in_this_process():
    assert list(run_jobs(work, ["a"], 999)) == [("a", os.getpid())]
    assert list(run_jobs(work, [], 4)) == []
    assert len({worker for _, worker in run_jobs(work, range(2), 999)}) <= 2


@pytest.mark.slow
def test_a_missing_scheduler_is_a_one_line_error():
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(run_jobs(work, [1], 1, "tcp://127.0.0.1:9"))
