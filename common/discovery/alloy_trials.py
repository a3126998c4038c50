"""Trials beside the searches: which p(x|z) decodes alloys best, and which inverse map reads compositions best."""

import itertools

import numpy as np

from common.discovery import alloys, calphad
from common.discovery.alloy_options import REGRESSORS
from common.discovery.records import InverseMapTrial, file_fingerprint
from common.runs.storage import commit

INVERSE_MAP = ["dataset", "regressor", "held_out", "seed", "r2", "element_error", "num_alloys"]
LIKELIHOODS = ["dataset", "likelihood", "model", "neg_elbo", "absolute_error", "phase_error", "element_error"]
LIKELIHOODS += ["column_sum_error", "seed", "iterations", "recipe"]


def decoding_errors(model, data):
    """How far decoded diagrams of test alloys are from theirs, and their columns' sums from 1, on average.

    The phase error is column B's, in percent, of designs that are real alloys. The element error is column A's, of
    what the ridge reads off these designs, of classes that it has not seen. Each class is one task.

    Args:
        data: AlloyData, all of whose classes the model knows.
    """
    from common.discovery.inverse_map import read_unseen

    test, decoded = alloys.test_rows(data), data.matrices.copy()
    for label in np.unique(data.y[test]):
        task = test[data.y[test] == label]
        decoded[task] = np.asarray(model(data.matrices[task][..., None]))[..., 0]
    read = read_unseen("ridge", data, decoded)[test]
    found, real = decoded[test], data.matrices[test]
    errors = {
        "absolute_error": np.abs(found - real),
        "phase_error": [alloys.phase_error(*pair) for pair in zip(found, real)],
        "element_error": [alloys.element_error(*pair) for pair in zip(read, data.compositions[test])],
        "column_sum_error": np.abs(found.sum(1) - 1),
    }
    return {name: float(np.mean(values)) for name, values in errors.items()}


def try_regressor(job):
    """Rows of inverse_map.csv of (source of the alloys, InverseMapTrial, database of its refinements or None)."""
    from common.discovery.inverse_map import try_inverse_map, try_refinement

    source, trial, tdb = job
    data = alloys.load(source)
    cells = {"run": trial, "dataset": trial.dataset, "regressor": trial.regressor, "seed": trial.seed}
    cells |= {"trained_at": commit(), "evaluated_at": commit()}
    if not trial.refinements:
        return [cells | row for row in try_inverse_map(trial.regressor, data, trial.seed)]
    diagrams = calphad.phase_diagrams(tdb)

    def realise(composition):
        return diagrams.real_diagram(composition, data.phases)

    rows = try_refinement(trial.regressor, data, realise, trial.refinements, trial.seed)
    return [cells | row for row in rows]


def regressor_jobs(args, loaded):
    """What `try_regressor` makes rows of: each regressor, and --regressor refined where --refine asks for it.

    Args:
        loaded: {source: AlloyData}.
    """
    jobs = []
    for (source, data), seed in itertools.product(loaded.items(), args.seeds):
        of = (data.name, data.fingerprint())
        jobs += [(source, InverseMapTrial(*of, kind, seed), None) for kind in REGRESSORS]
        if args.refine:
            refined = InverseMapTrial(*of, args.regressor, seed, args.refine, file_fingerprint(args.tdb))
            jobs.append((source, refined, args.tdb))
    return jobs
