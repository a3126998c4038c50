"""Independent jobs (seeds, data sets, models, targets) side by side, the cores shared among them."""

import contextlib

import joblib

from common.errors import InputError


def run_jobs(function, items, jobs, scheduler=None):
    """Yield function(item) for each item, as they finish.

    Args:
        jobs: processes side by side; 1 runs in this one.
        scheduler: address of a Dask scheduler (tcp://host:8786) whose workers run the jobs instead, one core each; a
            job whose worker dies is run again on another.

    Raises:
        InputError: there is no scheduler at that address.
    """
    if scheduler is not None:
        with _dask(scheduler):
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
            yield from parallel(joblib.delayed(_with_threads)(function, item, 1) for item in items)
        return
    threads = max(1, joblib.cpu_count() // jobs)  # the cores this process may use, not all of the machine
    if jobs == 1:
        for item in items:
            yield _with_threads(function, item, threads)
        return
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)
    yield from parallel(joblib.delayed(_with_threads)(function, item, threads) for item in items)


@contextlib.contextmanager
def _dask(scheduler):
    from distributed import Client

    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {scheduler} ({error}): start one with 'dask scheduler'") from error
    with client, joblib.parallel_config("dask", n_jobs=-1):
        yield


def _with_threads(function, item, threads):
    from common.training import limit_threads

    limit_threads(threads)
    return function(item)
