"""Outlier scores (section 4.4) and the measures of Table 4.

Every score is one number an image, larger = more outlying, and needs normal images only. Lengths are in
nats per image.
"""

import math

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from common.data.blocks import blocks
from common.hypervae import density
from common.hypervae.baselines import COMPRESSORS, compressed_lengths
from common.hypervae.hypervae import HyperVAE
from common.hypervae.mixtures import HEADLINE

FEWEST_TO_CHOOSE = 10  # images by which a number of Gaussians is chosen
# Every image set has draws of its own, whatever else is scored beside it.
STREAMS = {"validation": 0, "normal": 1, "outlier": 2}


def image_statistics(model, num_samples=16, average_vae=None, batch_size=50, alike=False):
    """What a model says of each image taken alone.

    HyperVAE treats each image x as a task of its own: theta(x) is decoded from the mean of q(u|x), and
    all of a batch's VAEs run in one program (their kernels B + U H V are formed only where that is cheaper).

    Args:
        model: VAE or HyperVAE.
        num_samples: draws of z for the reconstruction term.
        average_vae: HyperVAE only: the plain VAE of `HyperVAE.average_vae`, to measure the regret by.
        batch_size: images in one program; bounds the memory.
        alike: all images by the same noise (density.draw): then a row depends on its image alone.

    Returns:
        A function from images (N, H, W, 1) in {0, 1}, a seed (two whole numbers) and `progress` (it wraps the list of
        batches, e.g. tqdm) to a table with one row an image. Its columns are reconstruction, kl_z, norm_z (|mean of
        z|) and the mean of z itself as code_z0, ...; for HyperVAE also kl_u (whole, not shared), norm_u, code_u0, ...
        and, given `average_vae`, regret: the description length under the average theta minus that under theta(x).
    """
    hyper = isinstance(model, HyperVAE)

    @tf.function(jit_compile=True, autograph=False)
    def of_batch(images, batch_seed):
        tasks = images[:, None]
        theta, kl_u = model.weights_for(tasks, None)
        length = density.code_length(model.body, theta, tasks, batch_seed, kl_u[:, None], num_samples, alike)
        columns = {"reconstruction": length.reconstruction[:, 0], "kl_z": length.kl_z[:, 0]}
        codes = {"z": model.encode(tasks, theta).mean()[:, 0]}
        if hyper:
            columns["kl_u"] = kl_u
            codes["u"] = model.infer_u(tasks).mean()
        for name, code in codes.items():
            columns[f"norm_{name}"] = tf.norm(code, axis=-1)
            columns |= {f"code_{name}{i}": value for i, value in enumerate(tf.unstack(code, axis=-1))}
        return columns

    own = _in_batches(of_batch, batch_size, alike)
    if not hyper or average_vae is None:
        return own
    under_average = image_statistics(average_vae, num_samples, batch_size=batch_size, alike=alike)

    def with_regret(images, seed, progress=iter):
        table, average = own(images, seed, progress), under_average(images, seed, progress)
        regret = (average["reconstruction"] + average["kl_z"]) - (table["reconstruction"] + table["kl_z"])
        return table.assign(regret=regret)

    return with_regret


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


def _in_batches(of_batch, batch_size, alike=False):
    def of_images(images, seed, progress=iter):
        parts = []
        for number, own in enumerate(progress(blocks(len(images), batch_size))):
            own_seed = tf.random.fold_in(tf.constant(seed), 0 if alike else number)
            columns = of_batch(tf.cast(images[own], tf.float32), own_seed)
            parts.append(pd.DataFrame({name: values.numpy() for name, values in columns.items()}))
        return pd.concat(parts, ignore_index=True)[: len(images)]

    return of_images


def density_of_states(normal, seed=0, max_components=8):
    """A density of normal images' statistics (Morningstar et al. 2021); its negative log is a score.

    Images that are too easy are caught as well as those that are too hard.

    Args:
        normal: table of statistics of normal images that the model was not trained on.
        seed: of the mixture's start.
        max_components: the number of Gaussians is chosen by the likelihood of held-out normal images; of very few
            images it is one.

    Returns:
        A function from a table with the same columns to scores (N,), -log density in nats.
    """
    mixture = make_pipeline(StandardScaler(), GaussianMixture(reg_covar=1e-4, n_init=2, random_state=seed))
    if len(normal) < FEWEST_TO_CHOOSE:
        fitted = mixture.fit(normal.to_numpy())
        return lambda table: -fitted.score_samples(table[list(normal.columns)].to_numpy())
    sizes = [size for size in (1, 2, 4, 8, 16) if size <= max_components]
    with threadpool_limits(1):  # products this small: two threads wait for each other, up to 30 times as long
        search = GridSearchCV(mixture, {"gaussianmixture__n_components": sizes}, cv=5).fit(normal.to_numpy())
    return lambda table: -search.best_estimator_.score_samples(table[list(normal.columns)].to_numpy())


def score_functions(validation, seed=0):
    """All scores of VAE or HyperVAE.

    Args:
        validation: table of `image_statistics` and `compressed_lengths`, of normal images that the model was not
            trained on; the density of states is fitted to it.
        seed: of that fit.

    Returns:
        {score: function from a table with the same columns to scores (N,)}.
    """

    def length(table):
        return table["reconstruction"] + table["kl_z"]

    def adjusted(compressor):
        return lambda table: length(table) - table[compressor]

    numbers = [name for name in validation if not name.startswith("code_")]
    found = {
        "description_length": length,
        "kl": lambda table: table["kl_z"],
        "density_of_states": density_of_states(validation[numbers], seed),
        # The codes too, since single numbers cannot say where in code space an image lies.
        HEADLINE: density_of_states(validation, seed),
    }
    found |= {f"complexity_adjusted_{compressor}": adjusted(compressor) for compressor in COMPRESSORS}
    if "kl_u" in validation:
        found["description_length_with_u"] = lambda table: length(table) + table["kl_u"]
    if "regret" in validation:
        found["regret"] = lambda table: table["regret"]
    return found


def statistics_table(model, x_validation, seed=0, num_samples=16, progress=iter):
    """A function from a part's name, one of STREAMS, and images (N, H, W, 1) to all that scores are made of, a table.

    Args:
        x_validation: normal images that the model was not trained on: their average VAE is what regret is measured by.
    """
    average = model.average_vae(x_validation) if isinstance(model, HyperVAE) else None
    statistics = image_statistics(model, num_samples, average)
    return lambda part, x: statistics(x, (seed, STREAMS[part]), progress).join(compressed_lengths(x))


def scorer(model, data, fit_seed, seed=0, num_samples=16, progress=iter):
    """A function from outliers (M, H, W, 1) to the scores of VAE or HyperVAE on a mixture with a Dataset's test part.

    Args:
        fit_seed: of the density of states; seed: of the draws of z.

    Returns:
        {score: {"normal": (N,), "outlier": (M,)}} of each call; what concerns the normal images is done once.
    """
    table = statistics_table(model, data.x_validation, seed, num_samples, progress)
    functions = score_functions(table("validation", data.x_validation), fit_seed)
    normal = table("normal", data.x_test)

    def score(x):
        outlier = table("outlier", x)
        return {
            name: {"normal": np.asarray(of(normal), np.float64), "outlier": np.asarray(of(outlier), np.float64)}
            for name, of in functions.items()
        }

    return score


def metavae_scorer(model, data, seed=0, num_samples=16, progress=iter):
    """As `scorer`, for MetaVAE."""
    statistics = metavae_statistics(model, num_samples)
    normal = statistics(data.x_test, (seed, STREAMS["normal"]), progress)

    def score(x):
        outlier = statistics(x, (seed, STREAMS["outlier"]), progress)
        columns = {"kl": "kl_z", "description_length": "neg_elbo_all_decoders"}
        return {
            name: {"normal": normal[column].to_numpy(float), "outlier": outlier[column].to_numpy(float)}
            for name, column in columns.items()
        }

    return score


def measures(normal, outlier, seed=0, num_bootstrap=500):
    """Table 4's measures of scores of normal images (N,) and outliers (M,), in percent.

    FPR counts normal images called outliers, FNR outliers called normal. The threshold is Youden's (the
    largest TPR - FPR), the one of equal error, or the 80th percentile of all scores.

    Returns:
        A dictionary with auc, fpr, fnr (at Youden's threshold), fpr_equal_error, fnr_equal_error, fpr_percentile_80,
        fnr_percentile_80, average_precision, and ci_low, ci_high: the 95 % bootstrap interval of the AUC.
    """
    label = np.concatenate([np.zeros(len(normal)), np.ones(len(outlier))])
    score = np.concatenate([normal, outlier])
    fpr, tpr, threshold = roc_curve(label, score, drop_intermediate=False)
    row = {"auc": roc_auc_score(label, score), "average_precision": average_precision_score(label, score)}
    chosen = {
        "": np.argmax(tpr - fpr),
        "_equal_error": np.argmin(np.abs(fpr - (1 - tpr))),
        "_percentile_80": np.argmin(np.abs(threshold - np.quantile(score, 0.8))),
    }
    for suffix, at in chosen.items():
        row |= {f"fpr{suffix}": fpr[at], f"fnr{suffix}": 1 - tpr[at]}
    rng = np.random.default_rng(seed)
    resampled = [
        roc_auc_score(label, np.concatenate([rng.choice(normal, len(normal)), rng.choice(outlier, len(outlier))]))
        for _ in range(num_bootstrap)
    ]
    row["ci_low"], row["ci_high"] = np.quantile(resampled, [0.025, 0.975])
    return {name: 100 * float(value) for name, value in row.items()}
