"""Tasks that nobody labelled: clusters, clusters sorted anew by code length, and random ones to compare with."""

import argparse
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import often
from hypervae.toy import bars, marked, of_one_level, settings, still
from sklearn.metrics import adjusted_rand_score

from common.hypervae import found_tasks, options
from common.hypervae.hypervae import HyperVAE

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
SHORT = settings(summary="mean", generator="layerwise", iterations=300, learning_rate=5e-3, kl_warmup=0.0)


def unlabelled():
    """The bars with labels that say nothing."""
    labels = {f"y{part}": np.zeros_like(getattr(bars(), f"y{part}")) for part in found_tasks.PARTS}
    return dataclasses.replace(bars(), **labels)


VAE = settings(model="vae", iterations=500, learning_rate=5e-3, kl_warmup=0.5)
VAE = dataclasses.replace(VAE, fingerprint=unlabelled().fingerprint())


@pytest.fixture(scope="module")
def args(tmp_path_factory):
    """One folder: the VAE is trained once."""
    return argparse.Namespace(results_dir=tmp_path_factory.mktemp("found"), tensorboard=False)


@pytest.mark.parametrize(
    "found",
    often(found_tasks.FoundTasks(VAE, 3), rest=[found_tasks.AutoTasks(VAE, SHORT, (2, 3), rounds=1)]),
    ids=lambda found: found.way,
)
def test_tasks_are_found_where_nobody_labelled_them(found, args):
    tasks = found_tasks.with_found_tasks(args, found, unlabelled())
    for part in found_tasks.PARTS:
        assert adjusted_rand_score(getattr(bars(), f"y{part}"), getattr(tasks, f"y{part}")) > 0.4  # chance: 0
    np.testing.assert_array_equal(np.unique(tasks.y), np.arange(tasks.num_classes))
    again = found_tasks.with_found_tasks(args, found, unlabelled())
    assert again.fingerprint() == tasks.fingerprint()


@pytest.mark.slow
def test_labels_are_not_looked_at_and_what_is_kept_costs_least(args):
    found = found_tasks.AutoTasks(VAE, SHORT, (2, 3), rounds=1)
    trials = found.stored_labels(args, unlabelled())["trials"]
    kept = found_tasks.with_found_tasks(args, found, unlabelled())
    best = min(trials, key=lambda trial: trial["held_out_nats"])
    assert best["number"] == kept.num_classes and best["round"] in (0, 1)
    assert found_tasks.agreement(bars(), kept) == pytest.approx(adjusted_rand_score(bars().y, kept.y))


def test_numbers_and_rounds_are_judged_by_the_validation_part_alone(monkeypatch):
    """Of numbers, and then of rounds, the last one that made it cheaper is kept; no image of the test part says so."""
    nats, judged_by, sorted_from = iter([5.0, 4.0, 6.0, 3.0, 3.5]), [], []
    mixture = SimpleNamespace(code_lengths=lambda x, seed: judged_by.append(x), mixed=lambda _: np.array([next(nats)]))
    codes = lambda args, vae, data: {part: np.arange(len(getattr(data, f"x{part}")))[:, None] for part in PARTS}  # noqa: E731
    labels = [{part: np.full(len(getattr(marked(), f"x{part}")), i) for part in PARTS} for i in range(2)]
    sort = lambda mixture, data, of_part, y, nearest: sorted_from.append(len(set(y))) or labels.pop(0)  # noqa: E731
    monkeypatch.setattr(found_tasks, "_codes_of_parts", codes)
    monkeypatch.setattr(found_tasks, "trained", lambda *_: SimpleNamespace(model=None))
    monkeypatch.setattr(found_tasks.task_mixture, "of_dataset", lambda *_: mixture)
    monkeypatch.setattr(found_tasks, "_sorted_anew", sort)
    first = labels[0]
    found = found_tasks.AutoTasks(VAE, SHORT, (2, 3, 4, 5)).find(None, marked())
    assert len(judged_by) == 5 and all(of_one_level(x, 2, 7) for x in judged_by)
    tried = [(trial["number"], trial["round"], trial["held_out_nats"]) for trial in found["trials"]]
    assert tried == [(2, 0, 5), (3, 0, 4), (4, 0, 6), (1, 1, 3), (2, 2, 3.5)] and sorted_from == [3, 1]
    assert all(found[f"y{part}"] == first[part].tolist() for part in PARTS)


PARTS = found_tasks.PARTS
SHARES = np.array([1.0, 1e-300, 1.0, 1.0])


def test_images_go_to_the_task_that_codes_them_shortest():
    model = still(HyperVAE(summary="mean", image_shape=(8, 8, 1), latent_dim=3))
    draws = np.random.default_rng(1)
    mixture = model.mixture_of_codes(draws.normal(0, 10, (4, model.hyper_latent_dim)).astype(np.float32), SHARES)
    parts = {f"x{part}": dense(draws, len(getattr(bars(), f"x{part}"))) for part in found_tasks.PARTS}
    data = dataclasses.replace(bars(), **parts)
    of_part = {part: draws.normal(size=(len(parts[f"x{part}"]), 2)) for part in found_tasks.PARTS}
    labels = found_tasks._sorted_anew(mixture, data, of_part, np.arange(len(data.x)) % 4, nearest=4)
    bits, lengths = np.log(SHARES / SHARES.sum())[:, None], {p: mixture.code_lengths(parts[f"x{p}"]) for p in PARTS}
    best = {part: (lengths[part] - bits).argmin(0) for part in PARTS}
    assert not np.array_equal(best[""], lengths[""].argmin(0))  # a task's own bits matter
    kept = np.unique(best[""])
    assert 1 < len(kept)
    for part in found_tasks.PARTS:
        own = np.isin(best[part], kept)  # q(z|x) is so narrow that a draw does not matter
        np.testing.assert_array_equal(kept[labels[part]][own], best[part][own])


def dense(draws, number):
    """Images with a share of white pixels from none to all."""
    return (draws.random((number, 8, 8, 1)) < np.linspace(0, 1, number)[:, None, None, None]).astype(np.uint8)


def test_random_tasks_are_as_many_and_say_nothing(args):
    found = found_tasks.RandomTasks(bars().fingerprint(), 3)
    tasks = found_tasks.with_found_tasks(args, found, bars())
    assert np.bincount(tasks.y).tolist() == [20, 20, 20]
    assert abs(found_tasks.agreement(bars(), tasks)) < 0.2


def test_as_many_numbers_are_tried_as_there_are_images_for():
    own = options.defaults(iterations=500)
    few, many = found_tasks.automatic(own, bars(), "ours"), found_tasks.automatic(own, repeated(), "ours")
    assert few.numbers == (5,) and many.numbers == (5, 10, 20)
    assert (many.vae.iterations, many.hypervae.iterations) == (500, 500)
    of_steps = {n: found_tasks.automatic(options.defaults(iterations=n), bars(), "ours") for n in (2_000, 10_000)}
    assert [found.hypervae.iterations for found in of_steps.values()] == [1_000, 2_000]
    assert (many.vae.model, many.hypervae.model) == ("vae", "hypervae")


def repeated():
    return dataclasses.replace(bars(), x=np.tile(bars().x, (8, 1, 1, 1)), y=np.tile(bars().y, 8))
