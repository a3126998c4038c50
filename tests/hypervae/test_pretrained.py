"""Trained models to start from: those that are committed, and that what is packed is what was trained."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from hypervae.toy import bars, settings

from common.errors import InputError
from common.hypervae import new_vae, pretrained
from common.hypervae.training import fit_or_load

COMMITTED = [(name, model) for name in ("mnist", "fashion_mnist", "omniglot") for model in ("vae", "hypervae")]


@pytest.mark.parametrize("name, model", COMMITTED)
def test_committed_models_are_small_and_cost_what_they_did(name, model):
    card = pretrained.model_card(name, model)
    path = pretrained.FOLDER / f"{name}-{model}.npz"
    assert path.stat().st_size < 3e6
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["weights_sha256"]
    assert abs(card["neg_elbo"] - card["neg_elbo_float16"]) <= 0.02
    assert (card["settings"]["seed"], card["settings"]["iterations"]) == (0, 10_000)
    if model == "hypervae":  # u of every task
        assert np.shape(card["task_codes"]) == (card["num_classes"], 10) == (len(card["task_images"]), 10)


def test_a_committed_hypervae_hands_out_vaes():
    model = pretrained.load_pretrained("mnist")
    images = (np.random.default_rng(0).random((3, 28, 28, 1)) < 0.2).astype(np.uint8)
    vae = model.vae_for(images)
    assert vae(images).shape == (3, 28, 28, 1) and np.isfinite(vae(images)).all()


@pytest.fixture
def packed(tmp_path, small_networks, uncompiled):
    own = settings(summary="mean", generator="layerwise", iterations=20)
    run = fit_or_load(own, bars(), tmp_path / "checkpoints")
    return run, pretrained.pack(run, bars(), tmp_path / "pretrained"), tmp_path / "pretrained"


def test_what_is_packed_is_what_was_trained(packed):
    run, card, folder = packed
    model = pretrained.load_pretrained("bars", "hypervae", folder)
    for ours, theirs in zip(run.model.trainable_variables, model.trainable_variables):
        np.testing.assert_array_equal(np.asarray(ours).astype(np.float16), theirs)
    np.testing.assert_allclose(model(bars().x[:4]), run.model(bars().x[:4]), atol=1e-2)
    assert card == pretrained.model_card("bars", "hypervae", folder)
    assert 0 < abs(card["neg_elbo"] - card["neg_elbo_float16"]) < 0.02
    assert isinstance(model, keras.Model) and card["settings"]["fingerprint"] == bars().fingerprint()
    tasks = [bars().x[bars().y == label] for label in range(bars().num_classes)]
    known = pretrained.load_task_mixture("bars", folder), run.model.task_mixture(tasks)
    lengths = [mixture.mixed(mixture.code_lengths(bars().x_test)) for mixture in known]
    np.testing.assert_allclose(*lengths, rtol=1e-3)  # the weights are rounded
    again = pretrained.pack(run, bars(), folder.with_name("again"))
    assert again == card  # the bytes depend on the weights alone


def test_damage_is_named_and_what_rounding_spoils_is_not_packed(packed, tmp_path, monkeypatch):
    run, _, folder = packed
    path = folder / "bars-hypervae.npz"
    raw = path.read_bytes()
    for damaged in (raw[:-50], raw[:100] + b"x" + raw[101:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="bars-hypervae.npz is damaged.*get it again"):
            pretrained.load_pretrained("bars", "hypervae", folder)
    with pytest.raises(InputError, match="no trained vae of bars: choose among bars hypervae"):
        pretrained.load_pretrained("bars", "vae", folder)
    card = path.with_suffix(".json")
    content = json.loads(card.read_text())
    card.write_text(json.dumps(content | {"neg_elbo": 1.0}))
    with pytest.raises(InputError, match="damaged"):
        pretrained.model_card("bars", "hypervae", folder)
    card.write_text(json.dumps(content))
    other = dataclasses.replace(run, settings=dataclasses.replace(run.settings, iterations=999))
    with pytest.raises(InputError, match="is of another training: choose another --pack folder"):
        pretrained.pack(other, bars(), folder)
    assert pretrained.model_card("bars", "hypervae", folder)["settings"] == content["settings"]
    monkeypatch.setattr(pretrained, "LARGEST_DIFFERENCE", 0)
    with pytest.raises(InputError, match="rounded to float16"):
        pretrained.pack(run, bars(), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_new_tasks_vae_is_exported_as_a_user_asks_for_it(call, tmp_path, monkeypatch, uncompiled):
    adapted, found = new_vae.adapted, []
    monkeypatch.setattr(new_vae, "adapted", lambda *given: found.append(adapted(*given)) or found[-1])
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    np.savez(tmp_path / "pile.npz", x=images)
    options = ["--pretrained", "mnist", "--adapt", tmp_path / "pile.npz", "--results-dir", tmp_path / "results"]
    done = call("01_train.py", *options, "--fit-steps", 2, "--sample", 18, "--export", tmp_path / "new.keras")
    assert done.returncode == 0 and "HyperVAE of mnist, 5 images: u fitted in 2 steps" in done.stdout, done.stderr
    (picture,) = (tmp_path / "results" / "01_train").glob("mnist_pile.npz-*/samples.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    vae = keras.models.load_model(tmp_path / "new.keras")
    for name, weight in found[0].vae.theta.items():
        np.testing.assert_array_equal(weight, vae.theta[name])
    refused = call("01_train.py", *options, "--export", tmp_path / "new.h5")
    assert refused.returncode == 2 and "give a name that ends in .keras" in refused.stderr
    assert not (tmp_path / "new.h5").exists()
