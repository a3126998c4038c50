"""Mixtures of normal images and outliers (section 4.4): what is scored, the records of it, and its rows."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from common.cli import refuse_several, refuse_unused
from common.data.fingerprints import check_unchanged
from common.data.readers import check_size, in_channels_of
from common.errors import InputError
from common.hypervae.options import (
    binarization,
    chosen_models,
    fit_u,
    has_levels,
    planned_runs,
    refuse_unfollowed,
    settings_for,
    trained,
    with_tasks,
)
from common.hypervae.outlier_sets import (
    EVALUATION_SEED,
    FEWEST_VALIDATION,
    every_class_held_out,
    load_normal,
    load_normal_with_tasks,
    mixture_parts,
)
from common.runs import storage
from common.runs.identity import Record, added, label

MOST_CALIBRATING = 2_000  # images of each part that calibrate scores: more take longer and change little
HELD_OUT_RATE = 0.05  # share of held-out normal images above the threshold that no outlier is needed for

# The first rules that were tried, in the order of what they are made of; reports show them all. "density_of_states" was
# written down first as the rule for every pair; the last one took its place 25 minutes later, in the commit that
# brought the context code, and before any result was committed.
RULES = ("complexity_adjusted_context", "density_of_states", "density_of_states_and_codes")
HEADLINE = RULES[-1]
UNTOLD = ("vae", "hypervae")  # models that an image is given to without its class
USUAL, COMBINED, TASK_MIXTURE = "usual", "combined", "task_mixture"
# The rule of --score and of the estimator: the combined one, of what a model and compressors say alone.
OWN_RULE = f"{COMBINED}_without_local_outlier_factor"
OF_MODELS = {  # kinds of scores, and the models that have them; baselines have the first alone
    USUAL: ("vae", "metavae", "hypervae"),
    "likelihood_regret": UNTOLD,
    COMBINED: UNTOLD,
    TASK_MIXTURE: ("metavae", "cvae", "hypervae"),
}


@dataclass(frozen=True)
class Baseline(Record):
    """A baseline without training of ours: a detector fitted to pixels, or the compressors."""

    dataset: str = label()
    binarize: str = label()  # the fingerprint knows the binarized pixels
    fingerprint: str
    model: str
    seed: int

    @property
    def kind(self):
        return self.model


@dataclass(frozen=True)
class Scoring(Record):
    """What the rows of one model and one outlier set are: whatever changes a score or its measures."""

    outlier: str = label()
    scored: Record  # the training's Settings, or a Baseline
    outlier_fingerprint: str
    outlier_fraction: float
    num_samples: int
    num_bootstrap: int
    evaluation_seed: int = EVALUATION_SEED
    # "per set": the draws of an image set depend on that set alone; "one pass": batches were numbered through all sets.
    draws: str = "per set"
    held_out_rate: float = HELD_OUT_RATE
    scores: str = added(USUAL)  # one of OF_MODELS
    fit_u: int = added(0)  # steps on the mean of q(u|x); HyperVAE's alone
    # Of the images that rules are fitted to: drawn, or as they come, where a fold may lack a class.
    folds: str | None = added("shuffled", before=None)
    mixture_images: int = added(0)  # training images of a task that its u comes from; of the mixture of tasks alone

    def __post_init__(self):
        """Baselines draw no z, and no rule is fitted to their scores."""
        super().__post_init__()
        if isinstance(self.scored, Baseline):
            for name, value in (("num_samples", 0), ("draws", "none"), ("folds", None)):
                object.__setattr__(self, name, value)


def fewest_calibrating(rate):
    """How many normal images must calibrate for a false-positive rate: with fewer no p-value is so small."""
    return int(min(np.ceil(1 / rate), 1e18)) - 1


def check_pile(args, data, pile):
    """Refuse what cannot be scored, before anything is trained.

    Raises:
        InputError: options of the other mode, images of another size, or too few normal images to calibrate by.
    """
    if args.outlier:
        raise InputError("--score needs no outliers: leave --outlier out")
    check_size("images to score and normal ones", in_channels_of(data.image_shape, pile).shape[1:], data.image_shape)
    rate = args.max_false_positive_rate
    needed, have = fewest_calibrating(rate), min(len(data.x_test), MOST_CALIBRATING)
    if have < needed or len(data.x_validation) < FEWEST_VALIDATION:
        raise InputError(
            f"{have} and {len(data.x_validation)} held-out normal images can calibrate, {needed:g} and "
            f"{FEWEST_VALIDATION} are needed for a false-positive rate of {rate:g}: give more normal images (of more "
            f"than {MOST_CALIBRATING:,} no more are used) or raise --max-false-positive-rate"
        )


def normal_of_pile(args, pile):
    """The normal Dataset of --score, and the Settings of its one model; where there are no classes, tasks are found.

    Raises:
        InputError: more than one set, model, seed or recipe; options of another model; as `check_pile`.
    """
    models = chosen_models(args, ["hypervae"])
    refuse_several("--score", normal=args.dataset, model=models, seed=args.seeds, recipe=args.recipe)
    if models[0] not in UNTOLD:
        raise InputError(f"--score needs a model that no class is told to, not {models[0]}: --model vae or hypervae")
    data = load_normal(args, args.dataset[0])
    check_pile(args, data, pile)
    refuse_unfollowed(args, [settings_for(args, data, models[0], args.recipe[0], args.seeds[0])])
    data = with_tasks(args, data, "auto" if models[0] == "hypervae" and data.num_classes == 1 else "labels")
    return data, settings_for(args, data, models[0], args.recipe[0], args.seeds[0])


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
    from common.hypervae.baselines import BASELINES, compressed_lengths

    args, baseline, name = job

    def scorer(data):
        if baseline.model == "compressor":
            binary = not has_levels(args)
            known = {"normal": data.x_test, "held_out": data.x_validation}
            known = {part: compressed_lengths(x, binary) for part, x in known.items()}

            def score(_, x):
                tables = known | {"outlier": compressed_lengths(x, binary)}
                return {
                    name: {part: table[name].to_numpy() for part, table in tables.items()} for name in tables["normal"]
                }

            return storage.commit(), score
        fitted = BASELINES[baseline.model](data.x, baseline.seed)
        known = {"normal": fitted(data.x_test), "held_out": fitted(data.x_validation)}
        return storage.commit(), lambda _, x: {"score": known | {"outlier": fitted(x)}}

    return _score(args, baseline, name, scorer, {"recipe": "none", "iterations": 0})


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
    from common.hypervae.measures import measures
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

        def made(outlier=outlier, record=record):
            trained_at, score = prepared()
            by_score = score(record.scores, outlier.drawn(wanted, scored.seed))
            rows = []
            for name, values in by_score.items():
                own = {"score": name, "num_normal": len(values["normal"]), "num_outlier": len(values["outlier"])}
                own |= {"num_samples": record.num_samples, "trained_at": trained_at, "evaluated_at": storage.commit()}
                of_parts = [values[part] for part in ("normal", "outlier", "held_out")]
                found = measures(*of_parts, EVALUATION_SEED, args.num_bootstrap)
                rows.append(own | found)
            as_lists = {
                s: {part: np.asarray(own[part], float).tolist() for part in ("normal", "outlier")}
                for s, own in by_score.items()
            }
            return {"settings": record.stored(), "rows": rows, "scores": as_lists}

        path = scored.folder(args.results_dir / "checkpoints") / f"outliers-{record.digest}.json"
        content = storage.made_once(path, made)
        rows = [{"run": record, "outlier": outlier.name, **labels, **row} for row in content["rows"]]
        done.append((record, rows, content["scores"]))
    return done
