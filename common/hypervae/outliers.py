"""Outlier scores (section 4.4), the measures of Table 4, and baselines from scikit-learn.

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

from common.hypervae import density
from common.hypervae.hypervae import HyperVAE

# The one rule for every pair, fixed before any outlier was scored: the density of states, with the codes themselves
# among the statistics, since single numbers cannot say where in code space an image lies.
HEADLINE = "density_of_states_and_codes"


def statistics(model, image_sets, seed=0, num_samples=16, average_vae=None, batch_size=50, progress=iter):
    """What a model says of each image taken alone: tables with one row an image.

    HyperVAE treats each image x as a task of its own: theta(x) is decoded from the mean of q(u|x), and
    all of a batch's VAEs run in one program (their kernels B + U H V are formed only where that is cheaper).

    Args:
        model: VAE or HyperVAE.
        image_sets: {name: images (N, H, W, 1) in {0, 1}}.
        seed: of the draws of z.
        num_samples: draws of z for the reconstruction term.
        average_vae: HyperVAE only: the plain VAE of `HyperVAE.average_vae`, to measure the regret by.
        batch_size: images in one program; bounds the memory.
        progress: wraps the list of batches, e.g. tqdm.

    Returns:
        {name: DataFrame} with reconstruction, kl_z, norm_z (|mean of z|) and the mean of z itself as code_z0, ...;
        for HyperVAE also kl_u (whole, not shared), norm_u, code_u0, ... and, given `average_vae`, regret: the
        description length under the average theta minus that under theta(x).
    """
    hyper = isinstance(model, HyperVAE)

    @tf.function(jit_compile=True)
    def of_batch(images, batch_seed):
        tasks = images[:, None]
        theta, kl_u = model.weights_for(tasks, None)
        length = density.code_length(model.body, theta, tasks, batch_seed, kl_u[:, None], num_samples)
        columns = {"reconstruction": length.reconstruction[:, 0], "kl_z": length.kl_z[:, 0]}
        codes = {"z": model.encode(tasks, theta).mean()[:, 0]}
        if hyper:
            columns["kl_u"] = kl_u
            codes["u"] = model.infer_u(tasks).mean()
        for name, code in codes.items():
            columns[f"norm_{name}"] = tf.norm(code, axis=-1)
            columns |= {f"code_{name}{i}": value for i, value in enumerate(tf.unstack(code, axis=-1))}
        return columns

    tables = _in_batches(of_batch, image_sets, seed, batch_size, progress)
    if hyper and average_vae is not None:
        averages = statistics(average_vae, image_sets, seed, num_samples, None, batch_size, progress)
        for name, table in tables.items():
            average = averages[name]
            table["regret"] = (average["reconstruction"] + average["kl_z"]) - (table["reconstruction"] + table["kl_z"])
    return tables


def metavae_statistics(model, image_sets, seed=0, num_samples=16, batch_size=50, progress=iter):
    """MetaVAE's two scores: KL(z), and -ELBO averaged over all its decoders (it has none for an unseen task).

    The draws of z are shared out among the decoders, at least one for each.

    Returns:
        {name: DataFrame} with kl_z and neg_elbo_all_decoders, one row an image.
    """
    decoders = model.num_tasks
    each = math.ceil(num_samples / decoders)

    @tf.function(jit_compile=True)
    def of_batch(images, batch_seed):
        tasks = tf.repeat(images[None], decoders, 0)
        theta, _ = model.weights_for(tasks, tf.range(decoders))
        length = density.code_length(model.body, theta, tasks, batch_seed, num_samples=each)
        return {"kl_z": length.kl_z[0], "neg_elbo_all_decoders": tf.reduce_mean(length.neg_elbo, 0)}

    return _in_batches(of_batch, image_sets, seed, max(1, batch_size * num_samples // (decoders * each)), progress)


def _in_batches(of_batch, image_sets, seed, batch_size, progress):
    starts = [(name, start) for name, x in image_sets.items() for start in range(0, len(x), batch_size)]
    parts = {name: [] for name in image_sets}
    for number, (name, start) in enumerate(progress(starts)):
        images = image_sets[name][start : start + batch_size]
        # A set's last batch is filled up with images of its own: one shape, one compilation.
        filled = tf.cast(np.resize(images, (batch_size,) + images.shape[1:]), tf.float32)
        columns = of_batch(filled, tf.constant([seed, number]))
        parts[name].append(pd.DataFrame({column: values.numpy()[: len(images)] for column, values in columns.items()}))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def density_of_states(normal, seed=0, max_components=8):
    """A density of normal images' statistics (Morningstar et al. 2021); its negative log is a score.

    Images that are too easy are caught as well as those that are too hard.

    Args:
        normal: table of statistics of normal images that the model was not trained on.
        seed: of the mixture's start.
        max_components: the number of Gaussians is chosen by the likelihood of held-out normal images.

    Returns:
        A function from a table with the same columns to scores (N,), -log density in nats.
    """
    mixture = make_pipeline(StandardScaler(), GaussianMixture(reg_covar=1e-4, n_init=2, random_state=seed))
    sizes = [size for size in (1, 2, 4, 8, 16) if size <= max_components]
    search = GridSearchCV(mixture, {"gaussianmixture__n_components": sizes}, cv=5).fit(normal.to_numpy())
    return lambda table: -search.best_estimator_.score_samples(table[list(normal.columns)].to_numpy())


def scores(tables, seed=0):
    """All scores of VAE or HyperVAE from its statistics joined with the compressed lengths.

    Args:
        tables: {name of an image set: DataFrame of `statistics` and `compressed_lengths`}; "validation" holds
            the normal images that the density of states is fitted to.

    Returns:
        {score: {name of an image set: scores (N,)}}, without "validation".
    """
    numbers = [name for name in tables["validation"] if not name.startswith("code_")]
    states = density_of_states(tables["validation"][numbers], seed)
    states_and_codes = density_of_states(tables["validation"], seed)
    result = {}
    for name, table in tables.items():
        if name == "validation":
            continue
        length = table["reconstruction"] + table["kl_z"]
        own = {
            "description_length": length,
            "kl": table["kl_z"],
            "density_of_states": states(table),
            HEADLINE: states_and_codes(table),
        }
        own |= {f"complexity_adjusted_{compressor}": length - table[compressor] for compressor in COMPRESSORS}
        if "kl_u" in table:
            own["description_length_with_u"] = length + table["kl_u"]
        if "regret" in table:
            own["regret"] = table["regret"]
        for score, values in own.items():
            result.setdefault(score, {})[name] = np.asarray(values, np.float64)
    return result


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
