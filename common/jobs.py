"""Independent jobs (seeds, data sets, models) side by side, the cores shared among them."""

import os

import joblib


def run_jobs(function, items, jobs):
    """Yield function(item) for each item, as they finish; with jobs > 1 in that many processes."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    if jobs == 1:
        for item in items:
            yield _with_threads(function, item, threads)
        return
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)
    yield from parallel(joblib.delayed(_with_threads)(function, item, threads) for item in items)


def _with_threads(function, item, threads):
    from common.training import limit_threads

    limit_threads(threads)
    return function(item)
