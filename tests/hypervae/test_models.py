"""The three models: generated VAEs taken out, sets, decoders by task, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import chisquare

from common.errors import InputError
from common.hypervae import density
from common.hypervae.adaptation import tuning_steps_for
from common.hypervae.cvae import CVAE
from common.hypervae.hypervae import HyperVAE
from common.hypervae.metavae import MetaVAE
from common.hypervae.vae import VAE
from common.layers.kernels import dense_theta

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")
SMALL = dict(image_shape=(8, 8, 1), latent_dim=3)
X = tf.cast(tf.random.stateless_uniform((2, 6, 8, 8, 1), (0, 1)) < 0.4, tf.float32)


def perturbed(model, scale=0.1):
    """Weights away from their start, so that tasks and biases matter."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(scale * tf.random.stateless_normal(variable.shape, (7, i)))
    return model


@pytest.mark.parametrize(
    "generator, body",
    [
        ("layerwise", "conv"),
        ("block", "conv"),
        ("layerwise", "matrix"),
        ("concatenation", "conv"),
        ("layerwise", "conv_logistic"),
    ],
)
def test_a_generated_vae_equals_its_weights_in_place_and_survives_saving(tmp_path, generator, body):
    model = HyperVAE(summary="mean", generator=generator, body=body, **SMALL)
    model = perturbed(model, 0.03) if body == "matrix" else perturbed(model)
    white = model.body.white
    x, near = white * X, dict(atol=1e-5 * white)
    theta, _ = model.weights_for(x)
    vae = model.vae_for(x[1])
    assert type(vae) is VAE
    z = tf.random.stateless_normal((2, 6, 3), (0, 2))
    inside = model.decode(z, theta).mean()[1]
    np.testing.assert_allclose(vae.decode(z[1]).mean(), inside, **near)
    np.testing.assert_allclose(vae.encode(x[1]).mean(), model.encode(x, theta).mean()[1], atol=1e-5)
    np.testing.assert_allclose(vae(x[1]), model(x[1]), **near)
    assert np.abs(vae(x[1]) - model.vae_for(x[0])(x[1])).max() > 1e-4 * white  # another task, another VAE
    vae.save(tmp_path / "one.keras")
    loaded = keras.saving.load_model(tmp_path / "one.keras")
    np.testing.assert_array_equal(loaded(x[1]), vae(x[1]))


@pytest.mark.parametrize(
    "model",
    [
        lambda: VAE(hidden=7, **SMALL),
        lambda: MetaVAE(num_tasks=3, **SMALL),
        lambda: CVAE(num_tasks=3, **SMALL),
        lambda: HyperVAE(summary="set", **SMALL),
        lambda: HyperVAE(generate="scale_bias", hyper_matrix=3, **SMALL),
        lambda: HyperVAE(generator="concatenation", **SMALL),
    ],
    ids=["vae", "metavae", "cvae", "hypervae", "scale_bias", "concatenation"],
)
def test_whole_models_save_and_load(tmp_path, model):
    model = perturbed(model())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for ours, theirs in zip(model.trainable_variables, loaded.trainable_variables):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("summary", ["mean", "set"])
def test_sets_have_no_order_and_only_their_members_count(summary):
    model = perturbed(HyperVAE(summary=summary, **SMALL))
    q = model.infer_u(X)
    shuffled = model.infer_u(tf.gather(X, [3, 1, 5, 0, 4, 2], axis=1))
    np.testing.assert_allclose(q.mean(), shuffled.mean(), atol=1e-5)
    mask = tf.range(6)[None] < [[4], [4]]
    other = tf.concat([X[:, :4], 1 - X[:, 4:]], 1)
    np.testing.assert_allclose(model.infer_u(X, mask).mean(), model.infer_u(other, mask).mean(), atol=1e-6)
    np.testing.assert_allclose(model.infer_u(X, mask).mean(), model.infer_u(X[:, :4]).mean(), atol=1e-5)
    assert np.abs(q.mean() - model.infer_u(X, mask).mean()).max() > 1e-4


def test_the_mean_summary_is_the_mean_of_the_encoders_outputs():
    model = perturbed(HyperVAE(summary="mean", **SMALL))
    alone = [model.infer_u(X[:, i : i + 1]).distribution for i in range(6)]
    q = model.infer_u(X).distribution
    np.testing.assert_allclose(q.loc, np.mean([a.loc for a in alone], 0), atol=1e-5)
    np.testing.assert_allclose(np.log(q.scale), np.mean([np.log(a.scale) for a in alone], 0), atol=1e-5)


def test_the_set_summary_knows_mean_maximum_and_size():
    """Through a dense layer; of the same images twice the size alone is another."""
    model = perturbed(HyperVAE(summary="set", **SMALL))
    own = {name: w.value for name, w in model.theta.items()}
    kernel, bias = (weight.numpy() for weight in model.pooling.weights)
    for x in (X, X[:, :1], tf.concat([X, X], 1)):
        features = model.body.features(own, x).numpy()
        seen = np.concatenate([features.mean(1), features.max(1), np.full((2, 1), np.log(x.shape[1]))], 1)
        pooled = np.maximum(seen @ kernel + bias, 0).astype(np.float32)
        expected, q_u = density.posterior(*model.body.heads(own, pooled)), model.infer_u(x)
        np.testing.assert_allclose(q_u.mean(), expected.mean(), atol=1e-5)
        np.testing.assert_allclose(q_u.stddev(), expected.stddev(), rtol=1e-4)
    assert np.abs(model.infer_u(X).mean() - q_u.mean()).max() > 1e-3


@pytest.mark.parametrize("targets, most", [("all", 4), ("others", 3)])
def test_a_training_steps_sets_are_of_any_size_up_to_the_whole_task(targets, most):
    """All sizes alike often, the first images of each task; where others are coded, one at least is left for that."""
    member, _ = HyperVAE(summary="set", targets=targets, **SMALL)._context((2_000, 4), tf.constant([0, 1]))
    sizes = member.numpy().sum(1)
    np.testing.assert_array_equal(member, np.arange(4) < sizes[:, None])
    found, counts = np.unique(sizes, return_counts=True)
    np.testing.assert_array_equal(found, np.arange(1, most + 1))
    assert chisquare(counts).pvalue > 1e-3


def test_a_wider_models_vaes_are_as_wide():
    model = perturbed(HyperVAE(summary="mean", hidden=7, **SMALL))
    vae = model.vae_for(X[0])
    assert vae.body.hidden == 7
    np.testing.assert_allclose(vae(X[0]), model(X[0]), atol=1e-5)


def test_a_new_tasks_vae_is_fitted_and_tuned():
    model = perturbed(HyperVAE(summary="mean", **SMALL))

    def length(vae):
        return tf.reduce_mean(vae.decode(vae.encode(X[0]).mean()).log_prob(X[0]))

    plain = model.adapt(X[0], fit_steps=0, tuning_steps=0)
    tuned = model.adapt(X[0], 20, tuning_steps=60, tuning_rate=1e-2)
    np.testing.assert_allclose(plain(X[0]), model.vae_for(X[0])(X[0]), atol=1e-6)
    assert type(tuned) is VAE and length(tuned) > length(plain) + 1
    asked, alone = (model.adapt(X[0], 0, tuning_steps=steps) for steps in (tuning_steps_for(len(X[0])), None))
    np.testing.assert_allclose(alone(X[0]), asked(X[0]), atol=1e-6)
    assert tuning_steps_for(len(X[0])) and length(alone) > length(plain)
    with pytest.raises(InputError, match="must lie in"):
        model.adapt(X[0] * 255)


def test_a_draw_sees_one_image():
    model = HyperVAE(summary="draw", **SMALL)
    other = tf.concat([X[:, :1], 1 - X[:, 1:]], 1)
    np.testing.assert_array_equal(model.infer_u(X).mean(), model.infer_u(other).mean())


def test_a_cvae_is_told_the_class_at_two_layers():
    model = CVAE(num_tasks=3, **SMALL)
    for weight in model.of_class.values():  # it begins as a VAE
        assert not weight.numpy().any()
    perturbed(model)
    theta, kl_u = model.weights_for(X, tf.constant([2, 0]))
    assert not kl_u.numpy().any()
    plain = VAE(**SMALL)
    for name, weight in plain.theta.items():
        weight.assign(model.theta[name].value + (model.of_class[name][2] if name in model.of_class else 0))
    np.testing.assert_allclose(model.encode(X, theta).mean()[0], plain.encode(X[0]).mean(), atol=1e-5)
    assert model.count_params() - plain.count_params() == 3 * 2 * model.body.hidden


@pytest.mark.parametrize("kind", [MetaVAE, CVAE])
def test_who_is_told_the_class_codes_nothing_without_it(kind):
    model, x = kind(num_tasks=3, **SMALL), np.zeros((2, *SMALL["image_shape"]), np.uint8)
    for use in (model, model.encode):
        with pytest.raises(InputError, match="told the class: give theta"):
            use(x)
    theta, _ = model.weights_for(x[None].astype(np.float32), tf.constant([1]))
    assert model.decode(model.encode(x[None], theta).mean(), theta).mean().shape == (1, *x.shape)


def test_metavae_decodes_with_the_decoder_of_the_task():
    model = perturbed(MetaVAE(num_tasks=3, **SMALL))
    z = tf.random.stateless_normal((2, 6, 3), (0, 3))
    theta, kl_u = model.weights_for(X, tf.constant([2, 0]))
    assert np.all(kl_u.numpy() == 0)
    for row, task in enumerate((2, 0)):
        own = {name: w.value for name, w in model.theta.items()}
        own |= {name: w.value[task] for name, w in model.decoders.items()}
        np.testing.assert_allclose(model.decode(z, theta).mean()[row], model.decode(z[row], own).mean(), atol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (255 * X[0], "reach from 0 to 255"),
        (X[0] - 0.1, r"must lie in \[0, 1\]"),
        (tf.where(X[0] > 0, np.nan, 0.0), "reach from nan"),
        (np.asarray(X[0]).astype(object), "dtype object"),
        (np.asarray(X[0]) + 0j, "dtype complex"),
        (X[0, :0], "N at least 1"),
        (X[0, :, :4], "8, 8, 1"),
        (X[0, 0], "8, 8, 1"),
    ],
)
def test_a_vae_is_made_for_images_as_in_training_alone(images, message):
    model = HyperVAE(summary="mean", **SMALL)
    for make in (model.vae_for, model.average_vae):
        with pytest.raises(InputError, match=message):
            make(images)


def test_levels_from_0_to_255_are_not_taken_from_0_to_1():
    model = HyperVAE(summary="mean", body="conv_logistic", **SMALL)
    with pytest.raises(InputError, match="multiply them by 255"):
        model.vae_for(np.asarray(X[0]))
    model.vae_for(np.asarray(X[0], np.uint8))  # as good as black, and meant so
    model.vae_for(255 * X[0])


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="summary"):
        HyperVAE(summary="median", **SMALL)


@pytest.mark.parametrize("summary", ["draw", "mean"])
def test_others_than_the_context_are_coded(summary):
    model = HyperVAE(summary=summary, targets="others", seed=3, **SMALL)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    images, before = X[:, :4], [tf.constant(w.numpy()) for w in model.trainable_variables]
    seed_u, seed_z = tf.unstack(tf.random.split(tf.constant([3, 0]), 2))
    coded = model.coded(images.shape[:2], seed_u).numpy()
    assert (np.diff(coded) >= 0).all() and (coded[:, 0] == 0).all() and (coded[:, -1] == 1).all()
    changed = tf.where(coded[..., None, None, None] == 1, 1 - images, images)
    theta, same = (dense_theta(model.weights_for(x, None, seed_u)[0]) for x in (images, changed))
    for name, weight in theta.items():
        np.testing.assert_array_equal(weight, same[name])  # u sees no image that is coded
    with tf.GradientTape() as tape:
        theta, kl_u = model.weights_for(images, None, seed_u)
        lengths = density.code_length(model.body, theta, images, seed_z, kl_u[:, None] / 8)
        loss = tf.reduce_mean(tf.boolean_mask(lengths.neg_elbo, coded == 1))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    logs = model.train_step((images, tf.zeros(len(images), tf.int32)))
    np.testing.assert_allclose(logs["neg_elbo"], loss, rtol=1e-5)
    for w, old, gradient in zip(model.trainable_variables, before, gradients):
        np.testing.assert_allclose(w.numpy(), old - 0.1 * gradient, atol=1e-5)


def test_kl_warmup_weights_kl_u_as_well(monkeypatch):
    """In the first step, of weight 0, KL(u) moves nothing, however large it is; later it does."""
    ends, plain = {}, density.kl_to_prior
    for factor in (1.0, 1e4):
        monkeypatch.setattr(density, "kl_to_prior", lambda q, factor=factor: factor * plain(q))
        keras.utils.set_random_seed(0)
        model = HyperVAE(kl_warmup=4, summary="mean", **SMALL)
        model.compile(optimizer=keras.optimizers.SGD(1e-3))
        model.optimizer.build(model.trainable_variables)
        for step in range(2):
            model.train_step((X, tf.zeros(2, tf.int32)))
            ends[factor, step] = np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
    np.testing.assert_array_equal(ends[1.0, 0], ends[1e4, 0])
    assert not np.allclose(ends[1.0, 1], ends[1e4, 1])


def test_kl_warmup_weights_the_kl_terms_and_reports_the_whole_length():
    model = VAE(kl_warmup=4, **SMALL)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.optimizer.build(model.trainable_variables)
    for step in range(6):
        before = {name: tf.constant(w.numpy()) for name, w in model.theta.items()}
        model.reset_metrics()
        logs = model.train_step((X, tf.zeros(2, tf.int32)))
        seed_z = tf.random.split(tf.constant([0, step]), 2)[1]
        with tf.GradientTape() as tape:
            tape.watch(before)
            length = density.code_length(model.body, before, X, seed_z)
            loss = tf.reduce_mean(length.reconstruction + min(step / 4, 1) * length.kl_z)
        gradients = tape.gradient(loss, before)
        for name, w in model.theta.items():
            np.testing.assert_allclose(w.numpy(), before[name] - gradients[name], atol=1e-5)
        np.testing.assert_allclose(logs["neg_elbo"], tf.reduce_mean(length.neg_elbo), rtol=1e-5)
