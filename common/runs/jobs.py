"""Independent jobs (seeds, data sets, models, targets) side by side, the cores shared among them."""

import contextlib
import threading

import joblib

from common import quiet
from common.errors import InputError

ALONE = threading.Lock()  # a Dask worker with several threads runs one job at a time: they share random states
GO_ON = "what was finished is kept; start the same command again to go on"


def run_jobs(function, items, jobs, scheduler=None):
    """Yield function(item) for each item, as they finish.

    Args:
        jobs: processes side by side; 1 runs in this one. No more are started than there are items.
        scheduler: address of a Dask scheduler (tcp://host:8786) whose workers run the jobs instead, one core each; a
            job whose worker dies is run again on another.

    Raises:
        InputError: there is no scheduler at that address, or a worker was killed.
    """
    items = list(items)
    if scheduler is not None:
        with _dask(scheduler):
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
            yield from _unless_killed(parallel(joblib.delayed(_alone)(function, item) for item in items))
        return
    jobs = max(1, min(jobs, len(items)))
    threads = max(1, joblib.cpu_count() // jobs)  # the cores this process may use, not all of the machine
    if jobs == 1:
        for item in items:
            yield _with_threads(function, item, threads)
        return
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)
    yield from _unless_killed(parallel(joblib.delayed(_with_threads)(function, item, threads) for item in items))


def _unless_killed(results):
    """The results; a worker's death ends them with one line that says so."""
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield from results
    except BrokenProcessPool as error:  # loky's TerminatedWorkerError among them
        raise InputError(
            f"a worker process was killed (out of memory?): {GO_ON}, with fewer --jobs if memory is short"
        ) from error
    except Exception as error:
        if type(error).__name__ not in ("KilledWorker", "CommClosedError", "CancelledError", "FutureCancelledError"):
            raise
        raise InputError(f"the Dask workers were killed or left: {GO_ON}") from error


@contextlib.contextmanager
def _dask(scheduler):
    from distributed import Client

    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with 'dask scheduler'"
        ) from error
    with client, joblib.parallel_config("dask", n_jobs=-1):
        yield


def _alone(function, item):
    with ALONE:
        return _with_threads(function, item, 1)


def _with_threads(function, item, threads):
    limit_threads(threads)
    return function(item)


def limit_threads(threads):
    """Give this process `threads` cores; must come before TensorFlow's first operation."""
    quiet.set_up()
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # a reused worker has its threads already
        pass
