"""New tasks: what is told, heaps that a model sorts itself, classes that no training saw."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tensorflow as tf
from hypervae.toy import SmallBody, bars, hypervae, settings

from common.data import datasets
from common.errors import InputError
from common.hypervae import (
    density,
    found_tasks,
    new_tasks_headline,
    new_tasks_report,
    options,
    peers,
    report,
    told,
    unseen,
    unseen_report,
)
from common.hypervae.adaptation import TUNING_RATE, tuning_steps_for
from common.hypervae.adapter import Adapter
from common.hypervae.bodies import BODIES, ConvBody
from common.hypervae.density import ImportanceSampling, nll_subset
from common.hypervae.grouping import Heap
from common.hypervae.hypervae import HyperVAE
from common.hypervae.task_mixture import TaskMixture
from common.hypervae.training import build_model, fit_or_load
from common.runs import results

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
FEW = ImportanceSampling(4, 0)


@pytest.fixture(scope="module")
def trained_bars(tmp_path_factory):
    """A HyperVAE that tells the three bars apart."""
    from hypervae import toy

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(toy.BODIES, "conv", SmallBody)
        patch.setattr(tf, "function", toy.plain_function(tf.function))
        own = settings(summary="mean", generator="layerwise", iterations=400, learning_rate=5e-3, kl_warmup=0.0)
        return fit_or_load(own, bars(), tmp_path_factory.mktemp("bars")).model


@pytest.mark.parametrize("model", told.WAYS)
def test_every_way_is_measured(model, trained_bars):
    own = settings(model=model, summary="mean", generator="layerwise")
    network = trained_bars if model == "hypervae" else build_model(own, bars())
    names = []
    for record in told.plan(own, "test", FEW):
        found = told.measure(record, network, bars(), compiled=False)
        names.append(told.method(own, record.way))
        assert np.isfinite(found["neg_elbo"]) and found["num_images"] == 30
        assert record.way == "heap" or found["nll_is"] < found["neg_elbo"] + 0.5
    without = dataclasses.replace(told.plan(own, "test", FEW)[0], likelihood=ImportanceSampling(0, 0))
    assert np.isnan(told.measure(without, network, bars(), compiled=False)["nll_is"])
    of_classes = set(told.WAYS[model]) - set(found_tasks.WAYS)
    assert len(set(names)) == len(of_classes)
    assert len({record.digest for record in told.plan(own, "test", FEW)}) == len(names)
    for tasks in (found_tasks.FoundTasks(own, 3), found_tasks.RandomTasks("", 3)):
        on_found_tasks = told.plan(own, "test", FEW, tasks=tasks)
        assert [record.way for record in on_found_tasks] == [tasks.way] * (tasks.way in told.WAYS[model])


def test_less_told_costs_more(trained_bars):
    own = settings(summary="mean", generator="layerwise")
    nats = {
        record.way: told.measure(record, trained_bars, bars(), compiled=False)["neg_elbo"]
        for record in told.plan(own, "test", FEW, ["by_label", "unsorted", "by_label_drawn"])
    }
    assert nats["by_label"] < nats["unsorted"]
    assert 1e-6 < abs(nats["by_label_drawn"] - nats["by_label"]) < nats["unsorted"] - nats["by_label"]


@pytest.mark.parametrize("way, size", [("by_label", 100), ("by_label_5", 5)])
def test_who_makes_u_of_test_images_pays_for_it_in_both_lengths(way, size):
    """KL(u)/n stands in -ELBO, and beside the importance-sampled likelihood of Table 1, which has none."""
    model, data = hypervae(), bars()
    (record,) = told.plan(settings(summary="mean", generator="layerwise"), "test", FEW, [way])
    found = told.measure(record, model, data, compiled=False)
    plain = density.evaluate(
        model,
        data.x_test,
        data.y_test,
        record.evaluation_seed,
        task_size=size,
        num_importance_samples=4,
        compiled=False,
    )
    assert plain["kl_u"] > 0.01
    assert found["nll_is"] == pytest.approx(plain["nll_is"] + plain["kl_u"], rel=1e-6)
    assert found["neg_elbo"] == pytest.approx(plain["reconstruction"] + plain["kl_z"] + plain["kl_u"], rel=1e-6)


def test_told_the_class_hypervae_takes_u_from_its_training_images(trained_bars, monkeypatch):
    data, nats, seen = bars(), [], []
    mixture = type(trained_bars).task_mixture
    spy = lambda model, tasks, *options: seen.append(tasks) or mixture(model, tasks, *options)  # noqa: E731
    monkeypatch.setattr(type(trained_bars), "task_mixture", spy)
    (record,) = told.plan(settings(summary="mean", generator="layerwise"), "test", FEW, ["by_class"])
    found = told.measure(record, trained_bars, data, compiled=False)
    for label, images in enumerate(*seen):
        np.testing.assert_array_equal(images, data.x[data.y == label])
        vae, x = trained_bars.vae_for(images), tf.cast(data.x_test[data.y_test == label], tf.float32)
        q_z = vae.encode(x)
        kl = density.kl_to_prior(q_z)
        draws = [-vae.decode(q_z.sample(seed=(1, i))).log_prob(x) + kl for i in range(64)]
        nats.append(tf.reduce_mean(draws, 0).numpy())
    nats = np.concatenate(nats).mean()
    assert found["neg_elbo"] == pytest.approx(nats, abs=0.3)
    assert nats - 3 < found["nll_is"] < nats and found["nll_num_images"] == len(data.x_test)


def test_what_peers_change_is_what_tables_call_them():
    args = options.parser("", "").parse_args([])
    for peer in peers.PEERS:
        own = peers.peer_settings(args, bars(), peer, "ours", 0)
        assert told.family(own) == peer


@pytest.mark.parametrize("body, sizes", [("conv", (10, 10, 20)), ("conv", (50, 50, 30)), ("resnet", (10, 10, 20))])
def test_the_wide_vae_has_hypervaes_size(body, sizes, monkeypatch):
    """Within a tenth, whatever the networks and the codes; 190 units in the rows that were first."""
    monkeypatch.setitem(BODIES, "conv", ConvBody)
    monkeypatch.setattr(peers, "wide_hidden", peers.wide_hidden.__wrapped__)  # what it keeps is of small networks
    names = ("latent_dim", "hyper_latent_dim", "rank")
    args, data = options.defaults(**dict(zip(names, sizes))), dataclasses.replace(mnist_sized(), body=body)
    wide, hypervae = (peers.peer_settings(args, data, peer, "ours", 0) for peer in ("vae_wide", "hypervae"))
    counts = [build_model(own, data).count_params() for own in (wide, hypervae)]
    assert 0.95 < counts[0] / counts[1] <= 1
    assert wide.hidden == 190 or (body, sizes) != ("conv", (10, 10, 20))


def mnist_sized():
    x = np.zeros((4, 28, 28, 1), np.uint8)
    return datasets.Dataset("m", x, np.arange(4) % 2, x, np.arange(4) % 2, (), x, np.arange(4) % 2)


def test_a_heap_of_two_clear_tasks_is_sorted_and_paid_for(trained_bars):
    data = bars()
    chosen = np.flatnonzero(data.y != 1)
    heap = Heap(trained_bars, data.x[chosen], compiled=False).group(2)
    pairs = {(int(a), int(y)) for a, y in zip(heap.assigned, data.y[chosen])}
    assert len(pairs) == 2  # each group is one task
    lengths = heap.lengths[heap.assigned, np.arange(len(chosen))]
    plain = heap.nats(bits_back=False)
    by_hand = lengths.mean() + np.log(2) + (heap.kl_u.sum() + 2 * np.log(len(chosen) + 1)) / len(chosen)
    assert plain == pytest.approx(by_hand, abs=0.02)
    assert heap.nats() <= plain + 1e-9  # bits that come back cost nothing
    one = Heap(trained_bars, data.x[chosen], compiled=False).group(1)
    assert plain < one.nats()


def test_a_heaps_nats_are_the_mixture_of_its_groups_and_what_they_cost(trained_bars):
    """-mean log sum_k p_k exp(-length_k) + (sum_k KL(u_k) + K ln(N + 1)) / N, or the group of each image in full."""
    x = bars().x[bars().y != 1][:31]
    heap = Heap(trained_bars, x, compiled=False).group(3, rounds=0)  # of two tasks: two groups code images alike
    shares, number = np.bincount(heap.assigned) / len(x), len(set(heap.assigned))
    assert number == 3
    q_u = [trained_bars.infer_u(tf.cast(x[heap.assigned == k][None], tf.float32)) for k in range(number)]
    kl_u = sum(float(density.kl_to_prior(q)[0]) for q in q_u)
    overhead = (kl_u + number * np.log(len(x) + 1)) / len(x)
    own = heap.lengths - heap.lengths.min(0)
    bits_back = heap.lengths.min(0) - np.log((shares[:, None] * np.exp(-own)).sum(0))
    assert heap.nats() == pytest.approx(bits_back.mean() + overhead, rel=1e-6)
    plain = [heap.lengths[k, i] - np.log(shares[k]) for i, k in enumerate(heap.assigned)]
    assert heap.nats(bits_back=False) == pytest.approx(np.mean(plain) + overhead, rel=1e-6)
    assert heap.nats() < heap.nats(bits_back=False) - 0.01


def test_a_heap_reports_other_draws_than_those_that_sorted_it_and_u_is_drawn(trained_bars, monkeypatch):
    """KL(u) is the price of a draw of q(u|group); draws of z that chose the groups would be lucky ones."""
    codes, seeds, generate = [], [], trained_bars.generate
    code_lengths = TaskMixture.code_lengths
    spy = lambda mixture, x, seed, number: seeds.append(seed) or code_lengths(mixture, x, seed, number)  # noqa: E731
    monkeypatch.setattr(TaskMixture, "code_lengths", spy)
    monkeypatch.setattr(type(trained_bars), "generate", lambda _, u: codes.append(np.asarray(u)) or generate(u))
    x = bars().x[bars().y != 1][:31]
    heap = Heap(trained_bars, x, seed=4, num_samples=3, compiled=False).group(2, rounds=2)
    assert len(seeds) == 3 and seeds[-1] not in seeds[:-1]
    q_u = [trained_bars.infer_u(tf.cast(x[heap.assigned == k][None], tf.float32)) for k in range(2)]
    off = [np.abs((codes[-1][k] - q.mean()) / q.stddev()) for k, q in enumerate(q_u)]
    assert 0.01 < np.min(off) and np.max(off) < 5
    expected = code_lengths(trained_bars.mixture_of_codes(codes[-1], heap.shares, heap._coder), x, seeds[-1], 3)
    np.testing.assert_allclose(heap.lengths, expected, rtol=1e-6)


def test_images_of_equal_length_go_to_the_larger_group(trained_bars, monkeypatch):
    """Which group an image is in costs fewer bits where many are."""

    def code(heap, seed, draw_u=False):
        heap.shares, heap.lengths = np.array([0.1, 0.9]), np.zeros((2, len(heap.x)))

    monkeypatch.setattr(Heap, "_code", code)
    assert (Heap(trained_bars, bars().x, compiled=False).group(2, rounds=1).assigned == 1).all()


def test_every_class_is_held_out_once_and_never_trained_on():
    assert sorted(label for held_out in unseen.folds(13) for label in held_out) == list(range(13))
    data = bars()
    # The pixels say which image of the whole set they are.
    ids = np.arange(len(data.x), dtype=np.int64)
    marked = datasets.Dataset(
        "b",
        ids[:, None, None, None],
        data.y,
        ids[:30, None, None, None],
        data.y_test,
        (),
        *[
            ids[30:, None, None, None],
            data.y_validation,
        ],
    )
    for held_out in unseen.folds(3):
        seen = datasets.without(marked, *held_out)
        for x in (seen.x, seen.x_validation, seen.x_test):
            assert not np.isin(data.y[x.ravel()], held_out).any()
        assert seen.num_classes == 3 - len(held_out)


def test_one_class_alone_cannot_be_held_out():
    with pytest.raises(InputError, match="one class"):
        unseen.folds(1)


def test_contexts_are_nested_and_are_no_targets():
    data = bars()
    x = data.x[data.y == 1]
    small, large = (unseen.contexts_of(x, 1, number, 3, 7) for number in (2, 5))
    np.testing.assert_array_equal(large[:, :2], small)
    assert small.shape == (3, 2, 8, 8, 1) and not np.array_equal(small, unseen.contexts_of(x, 2, 2, 3, 7))
    # The pixels say which image of the whole set they are.
    ids = {part: np.arange(len(x)) + 1_000 * number for number, (part, x) in enumerate(parts_of(data).items())}
    marked = dataclasses.replace(data, **{f"x{part}": own[:, None, None, None] for part, own in ids.items()})
    seen = []

    class Spy:
        def start(self, contexts, fitted, seed):
            return contexts

        def lengths(self, contexts, targets, *options):
            seen.append((contexts, targets))
            return np.zeros((len(contexts), len(targets)))

    own = settings(summary="mean", generator="layerwise")
    (record,) = [r for r in unseen.plan(own, own, "whole", ImportanceSampling(0, 0), ["none"]) if r.num_context == 5]
    (row,) = unseen.measure(record, Spy(), marked, (1,), None)
    ((contexts, targets),) = seen
    assert row["class"] == 1 and set(contexts.ravel()) <= set(ids[""][data.y == 1])
    assert set(targets.ravel()) == set(ids["_test"][data.y_test == 1])


def parts_of(data):
    return {"": data.x, "_validation": data.x_validation, "_test": data.x_test}


def test_a_folds_classes_are_unseen_and_none_of_those_that_tuning_is_chosen_on(monkeypatch):
    """Through `measured`: which classes each training lacks, and on which ones, by which model, tuning is chosen."""
    data, tried = bars(), []
    monkeypatch.setattr(unseen, "load_data", lambda args, name: data)
    monkeypatch.setattr(unseen, "trained", lambda args, own, seen: SimpleNamespace(model=own.fingerprint))
    monkeypatch.setattr(unseen, "Adapter", lambda model, seen, steps: SimpleNamespace(model=model, seen=seen))
    cells = {"parameters": 1, "trained_at": "", "evaluated_at": ""}
    monkeypatch.setattr(unseen, "measured_once", lambda args, record, run, measures: measures(record) | cells)

    def tuning_nats(adapter, record, whole, held_out, shares):
        tried.append((adapter.model, adapter.seen.fingerprint(), held_out))
        return {(0, 1e-2, 1.0): 1.0}

    def measure(record, adapter, whole, held_out, choose):
        choose()
        return [{"class": (adapter.model, adapter.seen.fingerprint(), held_out)}]

    monkeypatch.setattr(unseen, "tuning_nats", tuning_nats)
    monkeypatch.setattr(unseen, "measure", measure)
    folds = unseen.folds(3)
    for fold, held_out in enumerate(folds):
        following = folds[(fold + 1) % len(folds)]
        own, chooser = (
            settings(model="vae", fingerprint=datasets.without(data, *classes).fingerprint())
            for classes in (held_out, following)
        )
        records = unseen.plan(own, chooser, "whole", FEW, ["finetuned"])
        tried.clear()
        rows = unseen.measured((None, own, "bars", fold, records[-1:]))
        assert not set(held_out) & set(following)
        assert {row["class"] for row in rows} == {(own.fingerprint, own.fingerprint, held_out)}
        assert tried == [(chooser.fingerprint, chooser.fingerprint, following)]


@pytest.mark.parametrize("choice", [{}, {"generator": "concatenation"}, {"generate": "scale_bias"}])
def test_no_context_is_the_priors_mean_and_a_fitted_one_no_worse(choice, trained_bars):
    model = (
        HyperVAE(image_shape=(8, 8, 1), latent_dim=2, hyper_latent_dim=2, summary="mean", **choice)
        if choice
        else trained_bars
    )
    adapter = Adapter(model, bars(), fit_steps=20, compiled=False)
    none = adapter.start(np.zeros((2, 0, 8, 8, 1), np.uint8), False, 0)
    expected = model.plain_vae(model.generate(tf.zeros((1, model.hyper_latent_dim))))
    for name, weight in expected.theta.items():
        np.testing.assert_allclose(none[name][1], weight, atol=1e-6)
    contexts = unseen.contexts_of(bars().x[bars().y == 2], 2, 5, 2, 7)
    starts = [adapter.start(contexts, fitted, 0) for fitted in (False, True)]
    nats = [adapter.lengths(start, contexts[0], 0, 16).mean() for start in starts]
    assert nats[1] < nats[0] + (0.1 if model is trained_bars else 1.0)
    assert not all(np.array_equal(starts[0][name], starts[1][name]) for name in starts[0])


@pytest.mark.slow
def test_tuning_is_chosen_on_the_next_folds_classes_and_rows_name_the_class(monkeypatch, trained_bars):
    monkeypatch.setattr(unseen, "TUNING_STEPS", (0, 30))
    monkeypatch.setattr(unseen, "TUNING_RATES", (1e-2,))
    data, own = bars(), settings(summary="mean", generator="layerwise")
    adapter = Adapter(trained_bars, data, fit_steps=5, compiled=False)
    chooser = dataclasses.replace(own, fingerprint="without the next fold's classes")
    records = {(r.adaptation, r.num_context): r for r in unseen.plan(own, chooser, "whole", FEW)}
    some = unseen.plan(own, chooser, "whole", FEW, ["none", "finetuned"])
    assert {r.digest for r in some} == {r.digest for r in records.values() if r.adaptation in ("none", "finetuned")}
    assert len(records) == 2 + 5 * 6 and len({r.digest for r in records.values()}) == len(records)
    tuned = {key for key in records if key[0] in unseen.TUNED}
    assert {key for key, record in records.items() if record.chooser} == tuned
    assert len(unseen.plan(settings(model="vae"), settings(model="vae"), "whole", FEW)) == 1 + 2 * 6
    assert len(unseen.plan(settings(model="cvae"), settings(model="cvae"), "whole", FEW)) == 1 + 2 * 6
    nats = unseen.tuning_nats(adapter, records["finetuned", 5], data, (1,))
    assert set(nats) == {(0, 1e-2, 1), (30, 1e-2, 1)}
    nats |= {(0, 1e-2, 0.5): 0.0}  # no mixture, no share
    best = min((0, 1e-2, 1), (30, 1e-2, 1), key=nats.get)
    assert unseen.choose_tuning(nats, records["finetuned", 5]) == best
    assert unseen.choose_tuning(nats, records["mixture", 5]) == (0, 1e-2, 0.5)
    rows = unseen.measure(records["finetuned", 5], adapter, data, (0, 2), lambda: (30, 1e-2, 1.0))
    assert [(row["class"], row["tuning_steps"], row["tuning_rate"]) for row in rows] == [(0, 30, 1e-2), (2, 30, 1e-2)]
    (own,) = unseen.measure(records["adapt", 5], adapter, data, (1,), None)  # nothing is chosen
    assert (own["tuning_steps"], own["tuning_rate"]) == (tuning_steps_for(5), TUNING_RATE) and own["tuning_steps"] > 0
    contexts = unseen.contexts_of(data.x[data.y == 1], 1, 5, 3, 2021)
    fitted = adapter.start(contexts, True, 1)
    (by_hand,) = adapter.tuned(fitted, contexts, [tuning_steps_for(5)], TUNING_RATE)
    targets = data.x_test[data.y_test == 1]
    assert own["neg_elbo"] == pytest.approx(adapter.lengths(by_hand, targets, 1, 4).mean(), rel=1e-5)
    too_many = dataclasses.replace(records["none", 100], num_context=10_000)
    assert unseen.measure(too_many, adapter, data, (0,), None) == []
    too_many = dataclasses.replace(records["finetuned", 100], num_context=10_000)
    assert unseen.tuning_nats(adapter, too_many, data, (1,)) == {} and unseen.choose_tuning({}, too_many) is None
    assert unseen.measure(records["finetuned", 5], adapter, data, (0,), lambda: None) == []
    assert all(row["nll_is"] < row["neg_elbo"] + 0.5 and row["adapt_milliseconds"] > 0 for row in rows)


@pytest.mark.parametrize("model", ["vae", "cvae", "hypervae"])
def test_a_mixture_is_the_adapted_vae_beside_the_known_ones(model, trained_bars, monkeypatch):
    """By hand from the lengths under each; all of it where the share is 1, the known tasks alone where it is 0."""
    monkeypatch.setattr(unseen, "TUNING_STEPS", (0,))
    data, own = bars(), settings(model=model, summary="mean", generator="layerwise")
    network = trained_bars if model == "hypervae" else build_model(own, data)
    adapter = Adapter(network, data, fit_steps=5, compiled=False)
    x, contexts = data.x[data.y == 1][:7], unseen.contexts_of(data.x[data.y == 1], 1, 5, 2, 7)
    theta = adapter.start(contexts, True, 0)
    adapted, known = adapter.lengths(theta, x, 0, 4), adapter.known.code_lengths(x, 0, 4)
    shares = np.exp(adapter.known.log_shares)
    assert adapted.shape == (2, 7) and known.shape == (len(shares), 7) == (1 if model == "vae" else 3, 7)
    expected = -np.log(0.3 * np.exp(-adapted) + 0.7 * (shares[:, None] * np.exp(-known)).sum(0))
    np.testing.assert_allclose(adapter.lengths(theta, x, 0, 4, 0.3), expected, rtol=1e-6)
    if model == "cvae":  # it begins at the class that codes the context shortest
        nearest = adapter.known.code_lengths(contexts[0], 0, 4).sum(1).argmin()
        np.testing.assert_allclose(adapted[0], known[nearest], rtol=1e-5)
    (record,) = [r for r in unseen.plan(own, own, "whole", FEW) if (r.adaptation, r.num_context) == ("mixture", 5)]
    nats = unseen.tuning_nats(adapter, record, data, (1,), (0.0, 1.0))
    member = data.x_validation[data.y_validation == 1]
    assert nats[0, 3e-4, 0.0] == pytest.approx(adapter.known_lengths(member, 1, unseen.FEW).mean())
    (row,) = unseen.measure(record, adapter, data, (1,), lambda: (0, 0.0, 0.0))
    assert row["adapted_share"] == round(row["adapt_milliseconds"]) == 0
    targets = data.x_test[data.y_test == 1]
    np.testing.assert_allclose(row["neg_elbo"], adapter.known_lengths(targets, 1, record.num_samples).mean(), rtol=1e-6)
    assert row["nll_is"] < row["neg_elbo"] + 0.5


def test_the_report_pairs_classes_and_averages_no_unlike_variants(tmp_path):
    rows = []
    for model, shift in (("vae", 0.0), ("hypervae", -2.0)):
        for label in range(4):
            for seed in (0, 1):
                own = settings(model=model, seed=seed, hidden=190 if model == "vae" else 0, fingerprint=f"{label}")
                own = own.__class__(**{**own.__dict__, "generator": "layerwise" if model == "hypervae" else "none"})
                # With a rival that is tuned and a model that is not: still one protocol.
                adaptation = "finetuned" if model == "vae" else "none"
                record = unseen.Unseen(own, own, "whole", adaptation, 5, FEW, (0, 5), (1e-3,))
                row = {
                    "run": record,
                    "dataset": "mnist",
                    "method": unseen.method(record),
                    "num_context": 5,
                    "seed": seed,
                }
                rows.append(row | {"class": label, "neg_elbo": 100.0 + 10 * label + shift + seed, "fold": label})
    path = tmp_path / new_tasks_report.STAGE / "unseen.csv"
    table = results.put_rows(
        path, [r | {"trained_at": "a", "evaluated_at": "b"} for r in rows], unseen.COLUMNS, ["class"]
    )
    ((title, _, nats, differences),) = unseen_report.drawn(table, results.read_records(path))
    assert title == "mnist: classes 0, 1, 2, 3 that no training saw, 35 steps, 2 seeds" and differences.empty
    assert dict(zip(nats["method"], nats["neg_elbo"])) == {"vae_wide_finetuned": 115.5, "hypervae": 113.5}
    (section,) = new_tasks_report.sections(tmp_path)
    assert (
        "| vae_wide_finetuned | 2 | 115.5 |  |" in section[1]
        and "| hypervae | 2 | 113.5 (-2.0: -2.0 to -2.0) |  |" in section[1]
    )
    assert "**mnist, classes 0, 1, 2, 3, 35 steps**" in section[1]
    assert new_tasks_report.sections(tmp_path, own=True) == []
    # Another training of HyperVAE, of two classes alone: a line of its own, and means of those two beside it.
    more = []
    for row in (row for row in rows if row["method"] == "hypervae" and row["class"] in (1, 3)):
        record = dataclasses.replace(row["run"], training=dataclasses.replace(row["run"].training, targets="others"))
        more.append(row | {"run": record, "neg_elbo": 1.0, "trained_at": "a", "evaluated_at": "b"})
    table = results.put_rows(path, more, unseen.COLUMNS, ["class"])
    ((_, _, nats, _),) = unseen_report.drawn(table, results.read_records(path))
    assert len(nats) == 2 and set(nats["words"]) == {""}  # what has fewer classes would be a mean of others
    ((_, text),) = new_tasks_report.sections(tmp_path)
    whole, part = text.split("**mnist, classes 1, 3, 35 steps**")
    assert "others" not in whole and "| hypervae | 2 | 113.5 (-2.0: -2.0 to -2.0) |  |" in whole
    assert "| hypervae | 2 | 118.5 (-2.0: -2.0 to -2.0) |  |" in part and "| targets others |" in part
    assert "| vae_wide_finetuned | 2 | 120.5 |  |" in part


def test_the_likelihoods_images_are_those_of_table_1():
    y = np.repeat([0, 1, 2], [250, 30, 5])
    chosen = nll_subset(y, 60, 1)
    assert len(chosen) == len(set(chosen)) == 3 * 12 + 12 + 5
    assert pd.Series(y[chosen]).value_counts().to_dict() == {0: 36, 1: 12, 2: 5}
    assert len(nll_subset(y, 0, 1)) == len(y)


def test_what_is_tuned_stands_beside_the_tuned_vae_by_class_and_seed(tmp_path):
    """Two seeds of one class, one of the other: only pairs of both count, and the interval is over classes."""
    rival = ({"model": "vae", "hidden": 190}, "finetuned", {5: {0: 10.0, 1: 20.0}})
    tuned = ({"generator": "layerwise"}, "finetuned", {5: {0: 7.0, 1: 15.0}})
    second = (tuned[0] | {"seed": 7}, "finetuned", {5: {0: 1.0}})  # no VAE has this seed
    unseen_section(tmp_path, rival, tuned, second)
    path = tmp_path / new_tasks_report.STAGE / "unseen.csv"
    ((title, _, nats, own),) = unseen_report.drawn(results.read_rows(path), results.read_records(path))
    assert title.endswith("1 to 2 seeds") and dict(zip(nats["method"], nats["neg_elbo"]))["hypervae_finetuned"] == 9.5
    (row,) = own.to_dict("records")
    assert (row["rival"], row["method"], row["mean"]) == ("vae_wide_finetuned", "hypervae_finetuned", -4.0)
    assert (row["low"], row["high"]) == pytest.approx((-4 - 12.706, -4 + 12.706), abs=1e-3)


def test_the_headline_has_all_weights_beside_the_best_tuned_model_of_the_same_classes(tmp_path):
    size, layerwise = new_tasks_headline.UNSEEN_IMAGES, {"generator": "layerwise"}
    rival = ({"model": "vae", "hidden": 190}, "finetuned", {size: {0: 10.0, 1: 20.0}})
    tuned = (layerwise, "finetuned", {size: {0: 7.0, 1: 15.0}})
    fewer = (layerwise | {"generate": "bias"}, "finetuned", {size: {0: 1.0}})  # of one class alone
    as_it_is = (layerwise, "none", {size: {0: 1.0, 1: 1.0}})
    unseen_section(tmp_path, rival, tuned, fewer, as_it_is)
    (row,) = report.headline(tmp_path)
    assert row[0] == f"unseen classes, mnist, {size} images" and "mean of 2 classes, 35 steps" in row[1]
    assert row[2:] == ["hypervae finetuned 11.0", "vae wide finetuned 15.0", ""]
    unseen_section(tmp_path / "alone", tuned)
    assert report.headline(tmp_path / "alone") == []


def unseen_section(folder, *methods):
    """The report on unseen classes, of methods (changes of Settings, adaptation, {context: {class: nats}})."""
    rows = []
    for changes, adaptation, nats in methods:
        own = settings(**{"generator": "layerwise"} | changes)
        for number, of_class in nats.items():
            record = unseen.Unseen(own, own, "whole", adaptation, number, FEW, (0, 5), (1e-3,))
            row = {"run": record, "dataset": "mnist", "method": unseen.method(record), "num_context": number}
            row |= {"seed": own.seed, "fold": 0, "trained_at": "a", "evaluated_at": "b"}
            rows += [row | {"class": label, "neg_elbo": value} for label, value in of_class.items()]
    results.put_rows(folder / new_tasks_report.STAGE / "unseen.csv", rows, unseen.COLUMNS, ["class"])
    ((_, text),) = new_tasks_report.sections(folder)
    return text


def test_of_two_variants_of_the_rival_none_is_subtracted(tmp_path):
    wide, hypervae = {"model": "vae", "hidden": 190}, ({}, "none", {0: {3: 1.0}, 5: {3: 2.0}})
    two = [(wide, "none", {0: {3: 5.0}}), (wide | {"hidden": 200}, "none", {0: {3: 15.0}})]
    assert "| hypervae | 1 | 1.0 | 2.0 |" in unseen_section(tmp_path / "two", *two, hypervae)
    # Without a context nothing is tuned: the rival is the model as it is.
    one = [(wide, "none", {0: {3: 15.0}}), (wide, "finetuned", {5: {3: 8.0}})]
    assert "| hypervae | 1 | 1.0 (-14.0) | 2.0 (-6.0) |" in unseen_section(tmp_path / "one", *one, hypervae)
    # A mean of fewer classes than the other sizes have would look like a gain.
    fewer = ({}, "none", {0: {3: 1.0}, 5: {3: 2.0, 4: 4.0}})
    whole, part = unseen_section(tmp_path / "fewer", *one, fewer).split("**mnist, classes 3, 35 steps**")
    assert "| hypervae | 1 |  | 3.0 |" in whole and "| hypervae | 1 | 1.0 (-14.0) | 2.0 (-6.0) |" in part


def test_differences_are_of_common_seeds(tmp_path):
    """Class 3 has two seeds of one method and one of the other: the second seed says nothing of their difference."""
    bias = {"generate": "bias"}
    of_both = [({}, "none", {5: {3: 80.0, 4: 85.0}}), (bias, "none", {5: {3: 90.0, 4: 91.0}})]
    text = unseen_section(tmp_path, *of_both, (bias | {"seed": 4}, "none", {5: {3: 10.0}}))
    assert "| hypervae - bias | 3, 4 | 1 | -8.0: " in text
    assert "| bias | 1 to 2 | 70.5 |" in text  # 91 and the mean of 90 and 10


def test_a_renamed_file_is_the_same_data(tmp_path):
    """Seeds of one experiment under two names are averaged."""
    path = tmp_path / new_tasks_report.STAGE / "told.csv"
    rows = []
    for seed, name in ((0, "photos.npz"), (1, "renamed.npz")):
        (record,) = told.plan(settings(model="vae", seed=seed), "test", FEW)
        row = {"run": record, "dataset": name, "method": "vae", "told": "nothing", "part": "test", "seed": seed}
        rows.append(row | {"parameters": 7, "neg_elbo": 10.0 + seed, "nll_is": 9.0, "num_images": 5, "iterations": 40})
    results.put_rows(path, [row | {"trained_at": "a", "evaluated_at": "b"} for row in rows], told.COLUMNS)
    ((_, text),) = new_tasks_report.sections(tmp_path, own=True)
    assert "| renamed.npz | test | 40 | vae | nothing | 7 | 2 | 10.5 +- 0.7 |" in text


def test_all_weights_stand_beside_less_of_them_class_by_class(tmp_path):
    ahead, bias = np.array([3.0, 5.0, 4.0]), {"generate": "bias"}
    # Only two classes are of both, and one of these lacks a size.
    whole = ({}, "fitted", {5: dict(enumerate(90 - ahead)), 9: {0: 87.0}})
    as_it_is = (bias, "none", {1: {0: 70.0}, 5: dict.fromkeys(range(3), 70.0)})
    part = (bias, "fitted", {5: {0: 90.0, 1: 90.0}, 9: {0: 90.0}})
    low, high = scipy.stats.t.interval(0.95, 1, -4, scipy.stats.sem(ahead[:2]))
    title = "**mnist, 35 steps**"
    text = unseen_section(tmp_path / "both", whole, as_it_is, part).partition(title)[2]
    assert f"| hypervae_fitted - bias_fitted | 0, 1 | 1 |  | -4.0: {low:+.1f} to {high:+.1f} |  |" in text
    assert text.count("hypervae_fitted") == 1  # nothing else is adapted alike
    assert title not in unseen_section(tmp_path / "one", whole, as_it_is)


def test_figures_of_methods_have_each_data_set_once(tmp_path):
    """A renamed file is the same data; tasks that were found belong to the data; other data are not asked for."""
    rows = []
    trainings = [("photos.npz", settings(model="vae"), None), ("renamed.npz", settings(model="cvae"), None)]
    own = settings(model="cvae", fingerprint="relabelled")
    trainings.append(("photos.npz-3-clusters", own, found_tasks.FoundTasks(settings(model="vae"), 3)))
    trainings.append(("photos.npz", settings(model="vae", fingerprint="other"), None))
    for dataset, training, tasks in trainings:
        for record in told.plan(training, "test", FEW, tasks=tasks):
            row = {"run": record, "dataset": dataset, "method": told.method(training, record.way), "told": "nothing"}
            row |= {"part": "test", "seed": 0, "neg_elbo": 10.0, "nll_is": 9.0, "iterations": training.iterations}
            rows.append(row | {"trained_at": "a", "evaluated_at": "b"})
    path = tmp_path / new_tasks_report.STAGE / "told.csv"
    table, known = results.put_rows(path, rows, told.COLUMNS), {settings().fingerprint: "photos.npz"}
    found = new_tasks_report.by_method(table, results.read_records(path), ["neg_elbo", "nll_is"], "method", known)
    ((title, stem, table),) = found
    assert title == "renamed.npz, test part, 35 steps, 1 seed"  # the last name
    assert stem == f"photos.npz-{settings().fingerprint}_test_35"
    assert set(table["method"]) == {"vae", "cvae", "cvae_mixture", "cvae_clusters"}
    assert new_tasks_report.GENERATE_TOLD == told.TOLD["by_label"]
