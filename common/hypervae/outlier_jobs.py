"""Table 4's jobs (section 4.4): mixtures of normal images and outliers, planned, and scored model by model."""

import functools
import itertools

import numpy as np

from common.cli import refuse_unused
from common.data.fingerprints import check_unchanged
from common.errors import InputError
from common.hypervae.options import binarization, chosen_models, fit_u, has_levels
from common.hypervae.outlier_records import OF_MODELS, TASK_MIXTURE, USUAL, Baseline, Scoring
from common.hypervae.outlier_sets import (
    EVALUATION_SEED,
    every_class_held_out,
    load_normal,
    load_normal_with_tasks,
    mixture_parts,
)
from common.hypervae.runs import planned_runs, refuse_unfollowed, trained
from common.runs import storage


def planned(args):
    """The mixtures asked for, and what is to be done for them; bad input ends here, before hours of training.

    Returns:
        options of each mixture, see `every_class_held_out`; the jobs of `score_model`; those of `score_baseline`.
    """
    _check_scores(args)
    every = every_class_held_out(args)
    for own in every:
        for name in own.dataset:
            mixture_parts(own, name, load_normal)
    jobs, baselines = [], []
    for own in every:
        loaded, of_models = planned_runs(own, load_normal_with_tasks)
        jobs += of_models
        baselines += baseline_jobs(own, loaded)
    refuse_unfollowed(args, [settings for _, settings, _ in jobs])
    return every, jobs, baselines


def _check_scores(args):
    """Refuse a kind of scores that no model has, and a model that was named and has none of them."""
    models = chosen_models(args)
    for kind in args.scores:
        if not set(models) & set(OF_MODELS[kind]):
            raise InputError(f"--scores {kind} is of {' and '.join(OF_MODELS[kind])}: choose --model among them")
    for model in [] if "all" in args.model else models:
        own = [kind for kind, having in OF_MODELS.items() if model in having]
        if not set(own) & set(args.scores):
            asked = " ".join(args.scores)
            raise InputError(f"--scores {asked} has none of {model}: add {own[0]}, or leave that out of --model")
    if set(args.scores) == {TASK_MIXTURE}:
        refuse_unused(args, ["--fit-u"], f"with --scores {TASK_MIXTURE}")


def baseline_jobs(args, loaded):
    """The jobs of `score_baseline`, (args, Baseline, name or path of the normal set)."""
    from common.hypervae.baselines import BASELINES

    return [
        (args, Baseline(data.name, binarization(args), data.fingerprint(), model, seed), name)
        for seed in args.seeds
        for name, data in loaded.items()
        for model in ("compressor", *BASELINES)
    ]


def score_model(job):
    """Train one model if it is missing and score its mixtures; see `_score` for what comes back."""
    args, settings, name = job

    def scorer(data):
        from tqdm import tqdm

        from common.hypervae import outliers

        run = trained(args, settings, data)
        title = f"{settings.dataset} {settings.model} seed {settings.seed}: scoring"
        options = dict(seed=EVALUATION_SEED, num_samples=args.num_samples)
        options["progress"] = lambda batches: tqdm(batches, title, mininterval=5)

        @functools.cache
        def of_kind(mixture):
            if mixture:
                return outliers.task_mixture_scorer(run.model, data, **options)
            if settings.model == "metavae":
                return outliers.metavae_scorer(run.model, data, **options)
            fitting = fit_u(args, settings.model)
            return outliers.scorer(run.model, data, settings.seed, **options, fit_u=fitting)

        return run.trained_at, lambda kind, x: of_kind(kind == TASK_MIXTURE)(kind, x)

    columns = {"recipe": settings.recipe, "iterations": settings.iterations}
    return _score(args, settings, name, scorer, columns)


def score_baseline(job):
    """Fit one detector, or take the compressors alone, on the same mixtures; see `_score` for what comes back."""
    args, baseline, name = job

    def scorer(data):
        if baseline.model == "compressor":
            return storage.commit(), _compressor_scorer(data, not has_levels(args))
        return storage.commit(), _detector_scorer(data, baseline)

    return _score(args, baseline, name, scorer, {"recipe": "none", "iterations": 0})


def _compressor_scorer(data, binary):
    """The function from a kind of scores and outliers to scores, as of `_score`, of compressors; binary: the pixels."""
    from common.hypervae.baselines import compressed_lengths

    known = {"normal": data.x_test, "held_out": data.x_validation}
    known = {part: compressed_lengths(x, binary) for part, x in known.items()}

    def score(_, x):
        tables = known | {"outlier": compressed_lengths(x, binary)}
        return {name: {part: table[name].to_numpy() for part, table in tables.items()} for name in tables["normal"]}

    return score


def _detector_scorer(data, baseline):
    """As `_compressor_scorer`, of the detector of a Baseline, fitted to the training images."""
    from common.hypervae.baselines import BASELINES

    fitted = BASELINES[baseline.model](data.x, baseline.seed)
    known = {"normal": fitted(data.x_test), "held_out": fitted(data.x_validation)}
    return lambda _, x: {"score": known | {"outlier": fitted(x)}}


def _score(args, scored, name, scorer, columns):
    """Score the mixtures of one normal set with all its outlier sets.

    Args:
        scored: Settings or Baseline.
        scorer: scorer(data) gives the commit of the training, and a function from one of OF_MODELS and outliers
            (M, H, W, 1) to {score: {"normal": (N,), "outlier": (M,), "held_out": (n,)}}. It is called only if a mixture
            was not scored before.
        columns: of Table 4, that tell the reader what was scored.

    Returns:
        [(Scoring, rows of Table 4, {score: {"normal": [...], "outlier": [...]}})], one for each outlier set and kind of
        scores.
    """
    from common.hypervae.task_mixture import MIXTURE_IMAGES

    data, outlier_sets, wanted = mixture_parts(args, name)
    check_unchanged(name, data.fingerprint(), scored.fingerprint)
    prepared = functools.cache(lambda: scorer(data))
    labels = {"normal": data.name, "model": scored.model, "seed": scored.seed, "likelihood": args.likelihood}
    labels |= {"binarize": binarization(args), **columns}
    having = {USUAL: (scored.model,)} if isinstance(scored, Baseline) else OF_MODELS
    kinds = [kind for kind in args.scores if scored.model in having.get(kind, ())]
    done = []
    for outlier, kind in itertools.product(outlier_sets, kinds):
        options = (outlier.fingerprint, args.outlier_fraction, args.num_samples, args.num_bootstrap)
        own = {"scores": kind, "fit_u": fit_u(args, scored.model) if kind != TASK_MIXTURE else 0}
        own["mixture_images"] = MIXTURE_IMAGES if kind == TASK_MIXTURE else 0
        record = Scoring(outlier.name, scored, *options, **own)
        path = scored.folder(args.results_dir / "checkpoints") / f"outliers-{record.digest}.json"
        content = storage.made_once(path, functools.partial(_scored_rows, record, prepared, outlier, wanted))
        rows = [{"run": record, "outlier": outlier.name, **labels, **row} for row in content["rows"]]
        done.append((record, rows, content["scores"]))
    return done


def _scored_rows(record, prepared, outlier, wanted):
    """What is kept of one Scoring: its settings, rows of Table 4 and scores, as lists.

    Args:
        prepared: gives what `scorer` of `_score` does; outlier: the OutlierSet, of which `wanted` images are drawn.
    """
    from common.hypervae.measures import measures

    trained_at, score = prepared()
    by_score = score(record.scores, outlier.drawn(wanted, record.scored.seed))
    rows = []
    for name, values in by_score.items():
        own = {"score": name, "num_normal": len(values["normal"]), "num_outlier": len(values["outlier"])}
        own |= {"num_samples": record.num_samples, "trained_at": trained_at, "evaluated_at": storage.commit()}
        of_parts = [values[part] for part in ("normal", "outlier", "held_out")]
        rows.append(own | measures(*of_parts, EVALUATION_SEED, record.num_bootstrap))
    as_lists = {
        name: {part: np.asarray(own[part], float).tolist() for part in ("normal", "outlier")}
        for name, own in by_score.items()
    }
    return {"settings": record.stored(), "rows": rows, "scores": as_lists}
