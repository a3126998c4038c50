"""Independent jobs on a Dask cluster: a worker that dies takes no result with it."""

import os
import signal
import time

import pytest
from distributed import LocalCluster

from common.errors import InputError
from common.runs.jobs import run_jobs


def work(item):
    time.sleep(0.5)
    return item, os.getpid()


def test_nothing_is_lost_when_a_worker_is_killed(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.getcwd()]))  # the workers' imports
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        done, killed = [], None
        for item, worker in run_jobs(work, range(10), 1, cluster.scheduler_address):
            if killed is None:
                killed = worker
                os.kill(worker, signal.SIGKILL)
            done.append((item, worker))
    assert sorted(item for item, _ in done) == list(range(10))
    assert {worker for _, worker in done[1:]} - {killed}


def test_a_missing_scheduler_is_a_one_line_error():
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127.0.0.1:9: start one|no Dask scheduler"):
        list(run_jobs(work, [1], 1, "tcp://127.0.0.1:9"))
