"""Records: whatever changes a number is another run; labels, and what a model does not use, are not."""

import argparse
import dataclasses

import pytest
from hypervae.toy import bars, settings

from common.errors import InputError
from common.hypervae import hypervae, options, timing
from common.hypervae.characters import Context, SetBound
from common.hypervae.compression_rivals import Rival
from common.hypervae.compression_runs import Compression
from common.hypervae.density import Evaluation, ImportanceSampling
from common.hypervae.found_tasks import AutoTasks, FoundTasks, RandomTasks
from common.hypervae.outlier_records import Baseline, Scoring
from common.hypervae.runs import planned_runs
from common.hypervae.scoring import Calibration
from common.hypervae.told import Told
from common.hypervae.training import Settings
from common.hypervae.unseen import Unseen
from common.layers import generators
from common.runs import identity, results

SHARES = {"adapted_shares": (0.5,), "known_images": 3}
NETWORKS = timing.Networks("metavae", "none", "conv", (8, 8, 1), 2, 2, 3)
RECORDS = {
    "Settings": settings(),
    "Evaluation": Evaluation(settings(), "test", ImportanceSampling(16, 100)),
    "Scoring": Scoring("other", settings(), "fingerprint", 0.2, 16, 500),
    "Baseline": Baseline("bars", "threshold", "fingerprint", "pca", 0),
    "Networks": NETWORKS,
    "Told": Told(settings(), "mixture", "test", ImportanceSampling(16, 100), 4),
    "Unseen": Unseen(
        settings(), settings(seed=5), "whole", "mixture", 5, ImportanceSampling(16, 9), (5,), (0.1,), 7, **SHARES
    ),
    "Unseen, adapted": Unseen(
        settings(), None, "whole", "adapt", 5, ImportanceSampling(16, 9), (), (0.1,), 7, steps_by_images=((1, 5),)
    ),
    "Context": Context(settings(), "test", 2, False, 16, 9),
    "SetBound": SetBound(settings(), "test", 2),
    "Compression": Compression(settings(), "alone"),
    "Rival": Rival("png", "fingerprint"),
    "Calibration": Calibration(settings(), 16),
    "FoundTasks": FoundTasks(settings(), 3),
    "RandomTasks": RandomTasks("fingerprint", 3),
    "AutoTasks": AutoTasks(settings(), settings(seed=5), (5,)),
    "Timing": timing.Timing(dataclasses.replace(NETWORKS, model="hypervae"), "draw"),
}
LABELS = {"dataset", "recipe", "binarize", "outlier"}
UNUSED = {
    "Networks": {"generator", "hyper_latent_dim", "generate", "rank"},
    "Timing": {"num_tasks"},
    "Unseen": {"steps_by_images"},
    "Unseen, adapted": {"chooser", "tuning_steps", "adapted_shares", "known_images"},
}  # by the models that stand there


def raised(value):
    """A tuple whose last number is larger by one."""
    if not isinstance(value, tuple):
        return value + 1
    return (*value[:-1], raised(value[-1])) if value else (1,)


def others(record):
    """(dotted name, the record with that one field changed), at every level."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, identity.Record):
            for name, part in others(value):
                yield f"{field.name}.{name}", dataclasses.replace(record, **{field.name: part})
            continue
        if field.name == "model":
            value = "vae" if value != "vae" else "metavae"
        elif value is None:
            value = 1.0
        elif isinstance(value, tuple):
            value = raised(value)
        else:
            value = value + ("x" if isinstance(value, str) else 1)
        yield field.name, dataclasses.replace(record, **{field.name: value})


@pytest.mark.parametrize("kind", RECORDS)
def test_each_setting_is_another_run_and_another_row_and_labels_are_not(tmp_path, kind):
    record, table = RECORDS[kind], tmp_path / "table.csv"
    nothing = LABELS | UNUSED.get(kind, set())
    changed = dict(others(record))
    assert {type(other) for other in changed.values()} == {type(record)}
    rows = [{"run": run, "value": 1, "trained_at": "a", "evaluated_at": "b"} for run in (record, *changed.values())]
    for _ in range(2):  # the same rows twice are found once
        written = set(results.put_rows(table, rows, ["value"])["run"])
        assert len(written) == len(results.read_rows(table))
    for name, other in changed.items():
        last = name.rpartition(".")[2]
        assert (other.digest == record.digest) == (last in nothing), name
        assert (other.folder("c") == record.folder("c")) == (last in nothing), name
        alike = identity.experiment(other.stored()) == identity.experiment(record.stored())
        assert alike == (last in {*nothing, "seed"}), name
    assert len(written) == 1 + sum(name.rpartition(".")[2] not in nothing for name in changed)


def test_no_record_is_forgotten():
    known, left = {type(record) for record in RECORDS.values()} | {ImportanceSampling}, [identity.Record]
    while left:
        left += (subclasses := left.pop().__subclasses__())
        own = {cls for cls in subclasses if cls.__module__.startswith("common.hypervae") and not cls.__subclasses__()}
        assert own <= known


OF_HYPERVAE = [
    "summary",
    "generator",
    "hyper_latent_dim",
    "generate",
    "rank",
    "change_scale",
    "vector_scale",
    "targets",
]


@pytest.mark.parametrize("model, unused", [("vae", ["tasks_per_step", *OF_HYPERVAE]), ("metavae", OF_HYPERVAE)])
def test_what_a_model_does_not_use_does_not_split_its_runs(model, unused):
    plain = settings(model=model)
    for name, other in others(settings(model="hypervae")):
        if name != "model":
            same = dataclasses.replace(other, model=model).digest == plain.digest
            assert same == (name in unused or name in LABELS), name
    sizes = [timing.Networks(model, "block", "conv", (8, 8, 1), 2, u, 3).digest for u in (2, 5)]
    assert sizes[0] == sizes[1]


def test_baselines_draw_nothing_and_a_likelihood_left_out_has_no_settings():
    baseline = RECORDS["Baseline"]
    scorings = {Scoring("o", baseline, "f", 0.2, samples, 500, draws=draws) for samples, draws in ((1, "a"), (9, "b"))}
    assert len(scorings) == 1 and scorings.pop().num_samples == 0
    assert Evaluation(settings(), "test").options() == {
        "seed": 1, "task_size": 100, "num_samples": 4, "num_importance_samples": 0, "fit_u": 0,
    }  # fmt: skip


def parsed(*arguments):
    return options.parser("", "").parse_args([*map(str, arguments)])


def planned(*arguments):
    return planned_runs(parsed(*arguments), lambda args, name: bars())[1]


def test_models_and_data_sets_and_recipes_are_lists():
    jobs = planned("--model", "vae", "hypervae", "--recipe", "ours", "paper", "--seeds", 0, 1)
    assert [(s.model, s.recipe, s.seed) for _, s, _ in jobs] == [
        (model, recipe, seed) for seed in (0, 1) for recipe in ("ours", "paper") for model in ("vae", "hypervae")
    ]
    assert len({s.digest for _, s, _ in jobs}) == len(jobs)
    assert {s.model for _, s, _ in planned("--model", "all")} == set(options.ALL_MODELS)
    assert all(isinstance(args, argparse.Namespace) and isinstance(s, Settings) for args, s, _ in jobs)


def test_a_batch_that_tasks_cannot_share_is_refused_before_anything_is_trained():
    with pytest.raises(InputError, match="--batch-size 50 is no multiple of --tasks-per-step 20"):
        planned("--batch-size", 50)
    assert len(planned("--batch-size", 50, "--model", "vae")) == 1  # a VAE has no tasks


def test_only_what_a_model_uses_makes_its_recipe_custom():
    recipes = {s.model: s for _, s, _ in planned("--summary", "set", "--tasks-per-step", 10)}
    assert {model: own.recipe for model, own in recipes.items()} == {
        "vae": "ours", "metavae": "custom", "hypervae": "custom",
    }  # fmt: skip
    plain = {s.model: s for _, s, _ in planned()}
    assert recipes["vae"].digest == plain["vae"].digest
    assert planned("--learning-rate", 0.002)[0][1].recipe == "ours"  # the recipe's own value, said aloud


def test_options_name_the_generators_without_loading_them():
    assert options.GENERATORS == tuple(generators.GENERATORS) and options.GENERATED == generators.GENERATED
    assert options.SUMMARIES == hypervae.SUMMARIES and options.TARGETS == hypervae.TARGETS
