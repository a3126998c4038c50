"""The measures of Table 4 (section 4.4): how well scores tell outliers from normal images."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from common.hypervae.outlier_records import HELD_OUT_RATE

FOUND = 0.95  # share of the outliers that are found at `fpr_at_95_tpr`


def measures(normal, outlier, held_out, seed=0, num_bootstrap=500):
    """Table 4's measures of scores of normal images (N,) and outliers (M,), in percent.

    FPR counts normal images called outliers, FNR outliers called normal. Thresholds that use labels: Youden's (the
    largest TPR - FPR), the one of equal error, the one that finds 95 % of the outliers. Without labels: the 80th
    percentile of all scores, and the one that a share HELD_OUT_RATE of other normal images exceeds.

    Args:
        held_out: scores (n,) of normal images beside the mixture, that nothing was fitted to.

    Returns:
        A dictionary with auc, fpr, fnr (at Youden's threshold), fpr_equal_error, fnr_equal_error, fpr_percentile_80,
        fnr_percentile_80, fpr_at_95_tpr, fpr_held_out, fnr_held_out, average_precision, and ci_low, ci_high: the 95 %
        bootstrap interval of the AUC.
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
    row["fpr_at_95_tpr"] = fpr[np.argmax(tpr >= FOUND)]
    limit = np.quantile(held_out, 1 - HELD_OUT_RATE, method="inverted_cdf")
    row |= {"fpr_held_out": np.mean(normal > limit), "fnr_held_out": np.mean(outlier <= limit)}
    rng = np.random.default_rng(seed)
    resampled = [
        roc_auc_score(label, np.concatenate([rng.choice(normal, len(normal)), rng.choice(outlier, len(outlier))]))
        for _ in range(num_bootstrap)
    ]
    row["ci_low"], row["ci_high"] = np.quantile(resampled, [0.025, 0.975])
    return {name: 100 * float(value) for name, value in row.items()}
