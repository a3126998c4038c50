"""A pile of images: p-values that hold, pixels that add up, answers that stay, refusals before any training."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import assert_refused
from hypervae.toy import Rule, bars, level_of, marked, of_one_level, settings, still
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.data.datasets import binarize_each
from common.errors import InputError
from common.hypervae import found_tasks, options, outliers, scoring
from common.hypervae.hypervae import HyperVAE
from common.hypervae.runs import load_data
from common.hypervae.vae import VAE


def scorer_of(normal):
    """A Scorer whose scores are the images' own single pixel."""
    return scoring.Scorer(np.asarray, lambda table: table, np.asarray(normal))


SCORES = st.lists(st.integers(0, 12), min_size=1, max_size=40)


@given(normal=SCORES, pile=SCORES)
def test_a_p_value_is_the_share_of_normal_images_that_score_as_high(normal, pile):
    table = scorer_of(normal)(pile)
    for score, p in zip(pile, table["p_value"]):
        assert p == (1 + sum(other >= score for other in normal)) / (1 + len(normal))


@given(normal=st.lists(st.floats(0, 1), min_size=5, max_size=60, unique=True), rate=st.floats(0.05, 0.95))
def test_of_normal_images_no_more_are_called_outliers_than_allowed(normal, rate):
    """Each normal image in turn is the one that is scored; the others calibrate."""
    called = [scorer_of(normal[:i] + normal[i + 1 :])([one])["p_value"][0] <= rate for i, one in enumerate(normal)]
    assert np.mean(called) <= rate + 1e-9


def test_a_calibration_sees_the_parts_that_are_its_own(monkeypatch, tmp_path):
    """The rule and the average VAE come from the validation part, normal scores from the test part; so from a file."""
    fitted_to, averaged = [], []
    monkeypatch.setattr(scoring, "statistics", lambda model, x, *_: averaged.append(x) or level_of)
    own_rule = lambda table, seed: fitted_to.append(table["level"]) or Rule(table)  # noqa: E731
    monkeypatch.setattr(scoring, "own_rule", own_rule)
    record = scoring.Calibration(settings(), num_samples=1)
    for _ in range(2):
        scorer = scoring.calibrated(record, None, marked(), tmp_path)
        assert of_one_level(scorer.normal, 3, 8)
    assert len(fitted_to) == len(averaged) == 2 and all(of_one_level(own, 2, 7) for own in (*fitted_to, *averaged))
    few = scoring.Calibration(settings(), num_samples=1, most=5)
    assert of_one_level(scoring.calibrated(few, None, marked(), tmp_path).normal, 3, 5)
    assert of_one_level(averaged[-1], 2, 5)


def test_an_image_is_binarized_alike_whatever_stands_beside_it():
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 1)).astype(np.uint8)
    whole = binarize_each(x, "bernoulli")
    assert set(np.unique(whole)) == {0, 1}
    np.testing.assert_array_equal(binarize_each(x[[3, 1]], "bernoulli"), whole[[3, 1]])
    np.testing.assert_array_equal(binarize_each(x, "threshold"), x >= 128)
    np.testing.assert_array_equal(binarize_each(whole * np.uint8(255), "bernoulli"), whole)


@pytest.mark.parametrize("kind", [VAE, HyperVAE])
def test_an_images_pixels_add_up_to_its_reconstruction(kind, small_networks, uncompiled):
    model = still(kind(image_shape=(8, 8, 1), latent_dim=3, **({"summary": "mean"} if kind is HyperVAE else {})))
    x = bars().x[:4]
    costs = outliers.pixel_nats(model, x)
    assert costs.shape == (4, 8, 8) and (costs > 0).all()
    for image, own in zip(x, costs):
        vae = model.vae_for(image[None]) if kind is HyperVAE else model
        likelihood = vae.decode(vae.encode(image[None]).mean()).log_prob(tf.cast(image[None], tf.float32))
        assert own.sum() == pytest.approx(-float(likelihood[0]), rel=1e-4)
    if kind is HyperVAE:
        assert np.abs(outliers.pixel_nats(model, x, fit_u=5) - costs).max() > 1e-4


@pytest.fixture
def pictures(tmp_path):
    """Folders of pictures: normal ones with a bar, and a pile in which two have a cross."""
    random = np.random.default_rng(0)
    for folder, number in (("good", 120), ("pile", 12)):
        (tmp_path / folder).mkdir()
        for i in range(number):
            image = (random.random((8, 8)) < 0.05) * 255
            image[:, 2 + i % 3] = 255
            if folder == "pile" and i < 2:
                image = 255 - image
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / folder / f"{i:03}.png")
    return tmp_path


@pytest.mark.slow
def test_a_pile_of_pictures_is_ranked_without_labels(pictures, call, small_networks, uncompiled, monkeypatch):
    """Tasks are three clusters here: test_found_tasks.py has their number and borders found, by many trainings."""

    def clusters(auto, args, data):
        return found_tasks.FoundTasks(auto.vae, 3).find(args, data) | {"trials": []}

    monkeypatch.setattr(found_tasks.AutoTasks, "find", clusters)
    folder = pictures / "results"
    asked = ["--normal", pictures / "good", "--results-dir", folder, "--iterations", 300, "--batch-size", 40]
    done = call("03_outliers.py", *asked, "--score", pictures / "pile")
    assert done.returncode == 0, done.stderr
    (path,) = folder.rglob("scores.csv")
    table = pd.read_csv(path)
    assert list(table) == ["image", "score (nats)", "p-value", "outlier (p-value <= 0.05)"]
    assert set(table["image"][:2]) == {"000.png", "001.png"}  # the oddest first
    assert table["outlier (p-value <= 0.05)"][:2].all() and len(table) == 12
    assert (path.parent / "ranked.png").stat().st_size > 5_000
    before, trained = path.read_bytes(), {p: p.stat().st_mtime_ns for p in folder.rglob("epoch*.npz")}
    again = call("03_outliers.py", *asked, "--score", pictures / "pile")
    assert again.returncode == 0 and path.read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("epoch*.npz")} == trained
    x = np.stack([np.asarray(Image.open(p)) for p in sorted((pictures / "pile").iterdir())])
    np.savez(pictures / "pile.npz", x=x)
    assert call("03_outliers.py", *asked, "--score", pictures / "pile.npz").returncode == 0
    other = next(p for p in folder.rglob("scores.csv") if p != path)
    np.testing.assert_array_equal(pd.read_csv(other)["score (nats)"], table["score (nats)"])


@pytest.mark.parametrize(
    "chosen, message",
    [
        (["--score", "none.npz"], "none.npz is missing"),
        (["--score", "large"], "16x16 and 8x8.*--image-size"),
        (["--score", "pile", "--max-false-positive-rate", 0.001], "24 and .* can calibrate, 999"),
        (["--score", "pile", "--model", "metavae"], "not told the class"),
        (["--score", "pile", "--seeds", 0, 1], "takes one --seed, not 2"),
        (["--score", "pile", "--outlier", "mnist"], "leave --outlier out"),
    ],
)
def test_a_pile_that_cannot_be_scored_is_refused(pictures, call, monkeypatch, chosen, message):
    monkeypatch.chdir(pictures)
    (pictures / "large").mkdir()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(pictures / "large" / "1.png")
    done = call("03_outliers.py", "--normal", "good", *chosen)
    assert_refused(done)
    assert pd.Series([done.stderr]).str.contains(message).item() and not list(pictures.rglob("epoch*.npz"))


def test_a_size_may_be_that_of_the_pile_alone(tmp_path):
    """Where the models learn from a file or a named set, whose images have their own."""
    args = options.defaults(image_size=(8, 8))
    with pytest.raises(InputError, match="--image-size is of folders of pictures, digits is none"):
        load_data(args, "digits")
    for elsewhere in ({"outlier": [str(tmp_path)]}, {"dataset": ["digits", str(tmp_path)]}):
        beside = options.defaults(image_size=(8, 8), **elsewhere)
        assert load_data(beside, "digits").image_shape == (28, 28, 1)  # its own size
    args.score = tmp_path
    assert load_data(args, "digits").image_shape == load_data(options.defaults(), "digits").image_shape
