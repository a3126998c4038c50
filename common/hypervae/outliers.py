"""Outlier scores (section 4.4).

Every score is one number an image, larger = more outlying, and needs normal images only. Lengths are in
nats per image.
"""

import functools
import math

import numpy as np
import pandas as pd
import tensorflow as tf

from common.data.blocks import blocks
from common.hypervae import density, task_mixture
from common.hypervae.baselines import compressed_lengths, local_outlier_factor
from common.hypervae.fitting import adam
from common.hypervae.outlier_records import TASK_MIXTURE, USUAL
from common.hypervae.rules import OF_NEIGHBOURS, Formula, combined_rules, mixture_rules, rules

# Every image set has draws of its own, whatever else is scored beside it.
STREAMS = {"validation": 0, "normal": 1, "outlier": 2}
# Of Adam. Of 20 to 300 steps at 0.01 to 0.1, tried on 500 validation images of MNIST, what shortens their codes most
# (a VAE's by 4.2 nats) in less than ten times the time of scoring.
REGRET_STEPS, REGRET_RATE = 100, 0.01
MIXED_AT_ONCE = 500  # images whose lengths under all tasks are found together
PIXELS_AT_ONCE = 200  # images whose pixels are coded together: bounds the memory


def image_statistics(model, num_samples=16, average_vae=None, batch_size=50, shared_noise=False, fit_u=0):
    """What a model says of each image taken alone.

    HyperVAE treats each image x as a task of its own: theta(x) is decoded from the mean of q(u|x), and
    all of a batch's VAEs run in one program (their kernels B + U H V are formed only where that is cheaper).

    Args:
        model: VAE or HyperVAE.
        num_samples: draws of z for the reconstruction term.
        average_vae: HyperVAE only: the plain VAE of `HyperVAE.average_vae`, to measure the regret by.
        batch_size: images in one program; bounds the memory.
        shared_noise: all images by the same noise (density.draws): then a row depends on its image alone.
        fit_u: HyperVAE only: steps that move the mean of q(u|x) first, see HyperVAE.fit_q_u.

    Returns:
        A function from images (N, H, W, channels) as the model takes them, a seed (two whole numbers) and `progress`
        (it wraps the list of batches, e.g. tqdm) to a table with one row an image. Its columns are reconstruction,
        kl_z, norm_z (|mean of z|) and the mean of z itself as code_z0, ...; for HyperVAE also kl_u (whole, not
        shared), norm_u, code_u0, ... and, given `average_vae`, regret: the description length under the average theta
        minus that under theta(x).
    """

    @tf.function(jit_compile=True, autograph=False)
    def of_batch(images, batch_seed):
        tasks = images[:, None]
        theta, kl_u, q_u = _of_images(model, tasks, fit_u, batch_seed)
        length = density.code_length(model.body, theta, tasks, batch_seed, kl_u[:, None], num_samples, shared_noise)
        columns = {"reconstruction": length.reconstruction[:, 0], "kl_z": length.kl_z[:, 0]}
        codes = {"z": model.encode(tasks, theta).mean()[:, 0]}
        if model.has_u:
            columns["kl_u"] = kl_u
            codes["u"] = q_u.mean()
        for name, code in codes.items():
            columns[f"norm_{name}"] = tf.norm(code, axis=-1)
            columns |= {f"code_{name}{i}": value for i, value in enumerate(tf.unstack(code, axis=-1))}
        return columns

    own = _in_batches(of_batch, batch_size, shared_noise)
    if not model.has_u or average_vae is None:
        return own
    under_average = image_statistics(average_vae, num_samples, batch_size=batch_size, shared_noise=shared_noise)

    def with_regret(images, seed, progress=iter):
        table, average = own(images, seed, progress), under_average(images, seed, progress)
        regret = (average["reconstruction"] + average["kl_z"]) - (table["reconstruction"] + table["kl_z"])
        return table.assign(regret=regret)

    return with_regret


def _of_images(model, tasks, fit_u, seed):
    """theta, KL(u) and q(u|x) of images (N, 1, H, W, channels), each a task of its own; a VAE has no q(u|x)."""
    if not model.has_u:
        return *model.weights_for(tasks, None), None
    q_u = model.fit_q_u(tasks, fit_u, tf.random.fold_in(seed, 1))
    return model.generate(q_u.mean()), density.kl_to_prior(q_u), q_u


def likelihood_regret(model, num_samples=16, steps=REGRET_STEPS, batch_size=50, fit_u=0):
    """How many nats an image's code gets shorter when q(z|x) is fitted to it (Xiao et al. 2020).

    The mean and the logarithm of the standard deviation of q(z|x) take `steps` of Adam, one draw of z a step; weights,
    and HyperVAE's theta(x), stay as they are. Both Gaussians are judged by the same draws; a fit that codes the image
    worse counts as none, regret 0.

    Args:
        model, num_samples, batch_size, fit_u: as `image_statistics`; the draws here judge.

    Returns:
        A function as that of `image_statistics`, to a table with the column likelihood_regret.
    """

    @tf.function(jit_compile=True, autograph=False)
    def of_batch(images, batch_seed):
        tasks = images[:, None]
        theta, _, _ = _of_images(model, tasks, fit_u, batch_seed)
        mean, log_var = model.body.encode(theta, tasks)
        start = tf.stack([mean, 0.5 * log_var], -1)

        def length(gaussian, seed, draws=1):
            q_z = density.posterior(gaussian[..., 0], 2 * gaussian[..., 1])
            return density.code_length_under(q_z, model.body, theta, tasks, seed, num_samples=draws).neg_elbo

        fitted = adam(length, start, steps, REGRET_RATE, batch_seed)
        judge = tf.random.fold_in(batch_seed, steps)
        before, after = (length(gaussian, judge, num_samples)[:, 0] for gaussian in (start, fitted))
        return {"likelihood_regret": tf.nn.relu(before - after)}

    return _in_batches(of_batch, batch_size)


def metavae_statistics(model, num_samples=16, batch_size=50):
    """MetaVAE's two scores: KL(z), and -ELBO averaged over all its decoders (it has none for an unseen task).

    The draws of z are shared out among the decoders, at least one for each.

    Returns:
        A function as that of `image_statistics`, to a table with kl_z and neg_elbo_all_decoders.
    """
    decoders = model.num_tasks
    each = math.ceil(num_samples / decoders)

    @tf.function(jit_compile=True, autograph=False)
    def of_batch(images, batch_seed):
        tasks = tf.repeat(images[None], decoders, 0)
        theta, _ = model.weights_for(tasks, tf.range(decoders))
        length = density.code_length(model.body, theta, tasks, batch_seed, num_samples=each)
        return {"kl_z": length.kl_z[0], "neg_elbo_all_decoders": tf.reduce_mean(length.neg_elbo, 0)}

    return _in_batches(of_batch, max(1, batch_size * num_samples // (decoders * each)))


def _in_batches(of_batch, batch_size, shared_noise=False):
    def of_images(images, seed, progress=iter):
        parts = []
        for number, own in enumerate(progress(blocks(len(images), batch_size))):
            own_seed = tf.random.fold_in(tf.constant(seed), 0 if shared_noise else number)
            columns = of_batch(tf.cast(images[own], tf.float32), own_seed)
            parts.append(pd.DataFrame({name: values.numpy() for name, values in columns.items()}))
        return pd.concat(parts, ignore_index=True)[: len(images)]

    return of_images


def pixel_nats(model, x, fit_u=0):
    """Nats that each pixel of images x (N, H, W, channels) costs at the mean of q(z|x), (N, H, W).

    Args:
        model: VAE or HyperVAE, of which each image is a task of its own; fit_u: as `image_statistics`.
    """

    def of_some(part):
        tasks = tf.cast(part, tf.float32)[:, None]
        theta, *_ = _of_images(model, tasks, fit_u, (0, 0))
        pixels = model.decode(model.encode(tasks, theta).mean(), theta).distribution
        return -pixels.log_prob(tasks).numpy()[:, 0].sum(-1)

    return np.concatenate([of_some(part) for part in np.array_split(x, -(-len(x) // PIXELS_AT_ONCE))])


def dearest_pixel(model, normal, rate, fit_u=0):
    """The nats that the dearest pixel of a share `rate` of normal images (N, H, W, channels) exceeds."""
    return float(np.quantile(pixel_nats(model, normal, fit_u).max((1, 2)), 1 - rate))


def statistics_table(model, x_validation, seed=0, num_samples=16, progress=iter, fit_u=0, shared_noise=False):
    """A function from a part's name, one of STREAMS, and images to all that the usual scores are made of, a table.

    Args:
        x_validation: normal images that the model was not trained on: their average VAE is what regret is measured by.
        fit_u, shared_noise: as `image_statistics`.
    """
    average = model.average_vae(x_validation) if model.has_u else None
    statistics = image_statistics(model, num_samples, average, shared_noise=shared_noise, fit_u=fit_u)
    binary = model.body.binary
    return lambda part, x: statistics(x, (seed, STREAMS[part]), progress).join(compressed_lengths(x, binary))


def scorer(model, data, fit_seed, seed=0, num_samples=16, progress=iter, fit_u=0):
    """A function from a key of outlier_records.OF_MODELS and outliers (M, H, W, channels) to a VAE's scores.

    Args:
        fit_seed: of the density of states; seed: of the draws of z; fit_u: see `image_statistics`.

    Returns:
        {score: {"normal": (N,), "outlier": (M,), "held_out": (n,)}} of each call: test images, outliers, and the
        validation part's images. What concerns the normal images is done once.
    """
    normal_parts = {"validation": data.x_validation, "normal": data.x_test}
    usual = statistics_table(model, data.x_validation, seed, num_samples, progress, fit_u)
    usual_of = functools.cache(lambda part: usual(part, normal_parts[part]))  # two kinds of scores need it

    def table(kind, part, x):
        if kind == "likelihood_regret":
            return regret()(x, (seed, STREAMS[part]), progress)
        known = usual_of(part) if part in normal_parts else usual(part, x)
        return known if kind == USUAL else known.assign(**{OF_NEIGHBOURS: neighbours()(x)})

    regret = functools.cache(lambda: likelihood_regret(model, num_samples, fit_u=fit_u))
    neighbours = functools.cache(lambda: local_outlier_factor(data.x, fit_seed))

    @functools.cache
    def fitted(kind):
        validation, normal = (table(kind, part, x) for part, x in normal_parts.items())
        if kind == "likelihood_regret":
            return {kind: Formula(lambda own: own[kind], validation)}, normal
        return (rules if kind == USUAL else combined_rules)(validation, fit_seed), normal

    def score(kind, x):
        return _by_rules(*fitted(kind), table(kind, "outlier", x))

    return score


def _by_rules(found, normal, outlier):
    """Scores by all rules found, {name: rule}, of tables of the normal images and the outliers."""
    return {
        name: {"normal": rule(normal), "outlier": rule(outlier), "held_out": rule.held_out}
        for name, rule in found.items()
    }


def task_mixture_scorer(model, data, seed=0, num_samples=16, progress=iter):
    """As `scorer`, by the mixture of the training's tasks, for models that know tasks: no image's task is told.

    The description length is that of TaskMixture: KL(u) is not paid, since the codes u_k belong to the model.
    """
    mixture = task_mixture.of_dataset(model, data)

    def table(part, x):
        lengths = []
        for block, own in enumerate(progress(blocks(len(x), MIXED_AT_ONCE))):
            draws = seed + STREAMS[part] + len(STREAMS) * block
            lengths.append(mixture.mixed(mixture.code_lengths(x[own], draws, num_samples)))
        length = pd.DataFrame({TASK_MIXTURE: np.concatenate(lengths)[: len(x)]})
        return length.join(compressed_lengths(x, model.body.binary))

    normal = table("normal", data.x_test)
    found = mixture_rules(table("validation", data.x_validation))
    return lambda _, x: _by_rules(found, normal, table("outlier", x))


def metavae_scorer(model, data, seed=0, num_samples=16, progress=iter):
    """As `scorer`, for MetaVAE, which has the usual scores alone."""
    statistics = metavae_statistics(model, num_samples)

    def table(part, x):
        return statistics(x, (seed, STREAMS[part]), progress)

    known = {"normal": table("normal", data.x_test), "held_out": table("validation", data.x_validation)}

    def score(_, x):
        tables = known | {"outlier": table("outlier", x)}
        columns = {"kl": "kl_z", "description_length": "neg_elbo_all_decoders"}
        return {
            name: {part: own[column].to_numpy(float) for part, own in tables.items()}
            for name, column in columns.items()
        }

    return score
