"""Searches for a design: distances, bounds against brute force, what a step carries over, resume."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cosine

import common.discovery.families
from common.discovery import search as discovery
from common.discovery.bayesopt import BayesianOptimizer
from common.discovery.distances import cosine_distance
from common.discovery.families import Family
from common.discovery.records import SearchSettings
from common.discovery.search import TargetSearch
from common.hypervae import density
from common.hypervae.hypervae import HyperVAE
from common.hypervae.vae import VAE

# What XLA makes of a program differs with the processor, and with it where a search by gradients ends.
pytestmark = pytest.mark.usefixtures("uncompiled_searches")
SMALL = dict(image_shape=(8, 8, 1), latent_dim=2, body="matrix_continuous_bernoulli")  # traced sooner than "conv"
NEAR = 1e-4  # of the least distance: in single precision a line search may end so far above it
TARGET = (np.random.default_rng(3).random((8, 8, 1)) < 0.5).astype(float)


def strong(model):
    """Weights far enough from their start that designs differ."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(1.3 * variable.value + 0.05 * tf.random.stateless_normal(variable.shape, (7, i)))
    return model


@pytest.fixture(scope="module")
def families():
    keras.utils.set_random_seed(0)  # the same whatever ran before
    return {
        "vae": Family(strong(VAE(**SMALL))),
        "hypervae": Family(
            strong(HyperVAE(hyper_latent_dim=2, summary="mean", hyper_hidden=20, hyper_matrix=5, **SMALL))
        ),
    }


def target_search(families, folder, evaluations=21, budget="total", **options):
    return TargetSearch(families, TARGET, SearchSettings(budget, evaluations, 3, "EI", 0), folder, **options)


def test_cosine_distance_is_scipys():
    x = np.random.default_rng(0).random((5, 8, 8, 1))
    expected = [cosine(image.ravel(), TARGET.ravel()) for image in x]
    np.testing.assert_allclose(cosine_distance(x, TARGET), expected, rtol=1e-12)
    assert cosine_distance(np.zeros((8, 8, 1)), TARGET) == 1


def test_a_familys_designs_are_those_of_the_vae_taken_out(families):
    family, model = families["hypervae"], families["hypervae"].model
    image = tf.constant(TARGET, tf.float32)
    u, vae = family.infer_u(TARGET), model.vae_for(image[None])
    z = np.array([0.3, -1.2])
    np.testing.assert_allclose(
        family.decode(u[None], z[None])[0], vae.decode(z[None].astype("float32")).mean()[0], atol=1e-5
    )
    np.testing.assert_allclose(family.encode(u, TARGET), vae.encode(image[None]).mean()[0], atol=1e-5)
    plain = families["vae"]
    np.testing.assert_allclose(
        plain.decode(np.zeros((1, 0)), z[None])[0], plain.model.decode(z[None].astype("float32")).mean()[0], atol=1e-6
    )


def test_a_fitted_u_codes_its_image_shorter(families):
    plain = families["hypervae"]
    image = tf.constant(TARGET[None, None], tf.float32)

    def nats(u):
        u = tf.constant(u[None], tf.float32)
        own = density.code_length(plain.model.body, plain.model.generate(u), image, (0, 0), 0.0, 64)
        return float((own.reconstruction + own.kl_z)[0, 0] - density.standard_normal(u).log_prob(u)[0])

    fitted = Family(plain.model, fit_u=40)
    assert nats(fitted.infer_u(TARGET)) < nats(plain.infer_u(TARGET)) - 0.1


@pytest.mark.slow
def test_gradients_find_the_least_distance_on_a_fine_grid(families):
    axis = np.linspace(-5, 5, 81)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    scale = np.linspace(0.2, 5, 8)[:, None, None]
    for family in families.values():
        u = family.infer_u(np.zeros_like(TARGET))
        theta = family.theta(tf.constant(u[None], tf.float32))
        images = family.model.decode(tf.constant(grid[None], tf.float32), theta).mean()[0].numpy().astype(float)
        starts = [(u, z) for z in np.random.default_rng(0).standard_normal((3, 2))]
        for own in (1.0, scale):
            brute = cosine_distance(images * own, TARGET * own).min()
            least = family.descend(TARGET, starts, u_is_free=False, scale=own)
            assert brute - 5e-3 < least <= brute + NEAR
    freed = family.descend(TARGET, starts, u_is_free=True, scale=scale)
    assert freed < least - 1e-4  # a family holds more than one of its members


@pytest.mark.slow
def test_a_scaled_search_is_that_of_scaled_designs(families, tmp_path):
    scale = np.linspace(0.2, 5, 8)[:, None, None]
    scaled = target_search(families, tmp_path, scale=scale)
    images = np.random.default_rng(0).random((5, 8, 8, 1))
    expected = [cosine((image * scale).ravel(), (TARGET * scale).ravel()) for image in images]
    np.testing.assert_allclose(scaled.distance(images), expected, rtol=1e-12)
    found = scaled.run("hypervae_joint")
    best = scaled.distance(found.designs[-1].astype(float))
    assert best == pytest.approx(found.distance.min(), rel=1e-5)
    assert best <= scaled.run("random_hypervae").distance.min() + 0.01
    assert scaled.by_gradients(5)["hypervae_joint"] <= best + NEAR
    plain = target_search(families, tmp_path / "plain").run("hypervae_joint")
    assert not np.array_equal(plain.designs[-1], found.designs[-1])


def test_the_box_covers_the_codes_of_known_tasks(families, monkeypatch):
    monkeypatch.setattr(common.discovery.families, "BOX_U", 0.01)
    monkeypatch.setattr(common.discovery.families, "BOX_Z", 0.02)
    model = families["hypervae"].model
    known = [np.random.default_rng(i).random((n, 8, 8, 1)) * (i + 1) for i, n in enumerate((4, 6, 3))]
    family = Family(model, known)
    u = np.stack([model.infer_u(tf.cast(images[None], tf.float32)).mean()[0] for images in known])
    z = np.concatenate(
        [model.encode(tf.cast(i[None], tf.float32), model.generate(c[None])).mean()[0] for i, c in zip(known, u)]
    )
    assert (np.abs(u).max(0) > 0.01).any() and (np.abs(z).max(0) > 0.02).any()
    np.testing.assert_allclose(family.u_box, np.stack([u.min(0).clip(None, -0.01), u.max(0).clip(0.01)], 1), atol=1e-5)
    np.testing.assert_allclose(family.z_box, np.stack([z.min(0).clip(None, -0.02), z.max(0).clip(0.02)], 1), atol=1e-5)
    np.testing.assert_allclose(family.first_u, u.mean(0), atol=1e-5)
    drawn = family.draw_u(np.random.default_rng(0), 20)
    np.testing.assert_allclose(np.unique(drawn, axis=0), np.unique(u, axis=0), atol=1e-5)
    assert Family(families["vae"].model, known).first_u.shape == (0,)


def test_what_a_search_begins_with(families):
    """With nothing no code of a known task plays a part; with one task, that task's alone. The box is the same."""
    model = families["hypervae"].model
    known = [np.random.default_rng(i).random((n, 8, 8, 1)) * (i + 1) for i, n in enumerate((4, 12, 3))]
    classes, nothing, one = (Family(model, known, start) for start in ("classes", "nothing", 1))
    assert np.array_equal(nothing.u_box, classes.u_box) and np.array_equal(nothing.z_box, classes.z_box)
    np.testing.assert_array_equal(nothing.first_u, np.zeros(2))
    draws = np.random.default_rng(7).standard_normal((10, 2))
    np.testing.assert_array_equal(nothing.first_z(nothing.first_u, 7, 100), draws.clip(*nothing.z_box.T))
    np.testing.assert_allclose(one.first_u, one.known_u[1])
    codes = one.first_codes()
    assert codes.shape == (10, 4) and (codes[:, :2] == one.known_u[1]).all()
    np.testing.assert_array_equal(codes[3, 2:], one.encode(one.known_u[1], known[1][3]))
    np.testing.assert_array_equal(one.first_z(one.first_u, 7, 4), codes[:4, 2:])
    means = [images.mean(0) for images in known]
    np.testing.assert_array_equal(classes.first_codes()[2, 2:], classes.encode(classes.known_u[2], means[2]))


def test_random_designs_are_drawn_from_the_box_and_resumed(families, tmp_path, capsys):
    whole = target_search(families, tmp_path).run("random_vae")
    z = np.random.default_rng(0).uniform(*families["vae"].z_box.T, (21, 2))
    images = families["vae"].decode(np.zeros((21, 0)), z)
    np.testing.assert_allclose(whole.distance, cosine_distance(images, TARGET), rtol=1e-6)
    assert not capsys.readouterr().err
    realised = []
    seen = target_search(families, tmp_path / "real", realise=lambda design: realised.append(1) or design**2)
    np.testing.assert_allclose(seen.run("random_vae").distance, cosine_distance(images**2, TARGET), rtol=1e-6)
    assert len(realised) >= 21
    assert "random_vae-0:" in capsys.readouterr().err  # a bar of what costs a second each


def test_every_method_spends_the_same_evaluations(families, tmp_path):
    found = {method: target_search(families, tmp_path).run(method) for method in discovery.METHODS}
    for result in found.values():
        assert len(result.distance) == len(result.step) == len(result.seconds) == 21
        assert len(result.designs) == result.step[-1] + 1
        # The design kept after the last step is the best of all that were evaluated.
        np.testing.assert_allclose(cosine_distance(result.designs[-1], TARGET), result.distance.min(), rtol=1e-5)
    assert list(np.bincount(found["hypervae_iterated"].step)) == [7, 7, 7]
    assert found["vae"].distance.min() <= found["random_vae"].distance.min() + 0.01
    # A third of the evaluations as VAE + BO has them; then twice anew, each time from the best codes so far.
    restarts = found["vae_restarts"]
    assert list(np.bincount(restarts.step)) == [7, 7, 7]
    np.testing.assert_array_equal(restarts.distance[:7], found["vae"].distance[:7])
    for start in (7, 14):
        best = np.sort(restarts.distance[:start])[:5]
        np.testing.assert_allclose(restarts.distance[start + 1 : start + 6], best, rtol=1e-6)
    least = target_search(families, tmp_path).by_gradients(5)
    assert least["vae"] <= found["vae"].distance.min() + NEAR
    assert least["hypervae_joint"] <= min(found[m].distance.min() for m in found if m.startswith("hypervae")) + NEAR
    per_step = target_search(families, tmp_path / "per_step", 6, budget="per-step").run("hypervae_iterated")
    assert list(np.bincount(per_step.step)) == [6, 6, 6]


def test_a_step_begins_with_the_best_design_under_its_own_theta(families, tmp_path):
    found = target_search(families, tmp_path).run("hypervae_iterated_vae_init")
    family = families["hypervae"]
    u = family.infer_u(found.designs[0])
    history = json.loads((tmp_path / "hypervae_iterated_vae_init-1.json").read_text())
    np.testing.assert_allclose(history["x"][0], family.encode(u, found.designs[0]))
    # Codes of the VAE mean nothing to the HyperVAE: none is carried over. The third step begins with the second's best.
    vae = np.array(json.loads((tmp_path / "hypervae_iterated_vae_init-0.json").read_text())["x"])
    assert not any(np.array_equal(x, code) for x in history["x"] for code in vae)
    third = json.loads((tmp_path / "hypervae_iterated_vae_init-2.json").read_text())["x"]
    best = np.array(history["x"])[np.argsort(history["y"], kind="stable")[:5]]
    np.testing.assert_array_equal(third[1:6], best)


@pytest.mark.parametrize(
    "method, realise",
    [("hypervae_iterated", None), ("hypervae_joint", None), ("vae_restarts", None), ("vae_restarts", np.square)],
)
def test_a_search_that_was_cut_off_ends_as_a_whole_one(families, tmp_path, monkeypatch, method, realise):
    whole = target_search(families, tmp_path / "whole", realise=realise).run(method)
    tell, told = BayesianOptimizer.tell, []

    def cut(self, x, y):
        told.append(x)
        if len(told) in (5, 12, 20):
            raise KeyboardInterrupt
        tell(self, x, y)

    monkeypatch.setattr(BayesianOptimizer, "tell", cut)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            target_search(families, tmp_path / "cut", realise=realise).run(method)
    resumed = target_search(families, tmp_path / "cut", realise=realise).run(method)
    np.testing.assert_array_equal(resumed.distance, whole.distance)
    np.testing.assert_array_equal(resumed.designs[-1], whole.designs[-1])
