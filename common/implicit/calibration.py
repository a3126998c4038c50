"""What predictive distributions are worth: likelihood and coverage of a regression, calibration of a classification."""

import numpy as np
import scipy

NUM_BINS = 15  # of confidence, for the expected calibration error
CONFIDENCE = 0.9  # of a bound on the share of wrong images
STEPS = np.arange(1, 21) / 20  # shares of the images, at which limits of the entropy are tested


def log_likelihood(samples, y, sigma):
    """log p(y|x) of each target in nats, under equal parts N(f(x; w_s), sigma^2): samples (S, rows), y (rows,)."""
    errors = (y - samples) / sigma
    found = scipy.special.logsumexp(-0.5 * errors**2, axis=0)
    return found - np.log(len(samples)) - np.log(sigma) - 0.5 * np.log(2 * np.pi)


def best_sigma(samples, y):
    """The sigma under which targets y (rows,) are most likely, given samples (S, rows)."""
    start = np.sqrt(np.mean((y - samples) ** 2))
    if start == 0:
        return np.finfo(np.float32).tiny
    found = scipy.optimize.minimize_scalar(
        lambda log_sigma: -log_likelihood(samples, y, np.exp(log_sigma)).mean(),
        bounds=(np.log(start) - 5, np.log(start) + 2),
        method="bounded",
    )
    return float(np.exp(found.x))


def coverage(samples, y, sigma, level=0.9):
    """Share of targets within the central interval of that level of their predictive distribution, in percent."""
    below = scipy.special.ndtr((y - samples) / sigma).mean(0)
    return 100 * np.mean(np.abs(below - 0.5) <= level / 2)


def interval(samples, sigma, level=0.9):
    """Ends of the central interval of that level of predictive distributions, (rows, 2): samples (S, rows)."""

    from scipy.optimize.elementwise import find_root

    def beyond(value, tail, row):
        return scipy.special.ndtr((value - samples[:, row.astype(int)]) / sigma).mean(0) - tail

    tails, rows = np.array([[0.5 - level / 2], [0.5 + level / 2]]), np.arange(samples.shape[1])
    # Beyond so many sigmas outside all samples there is less than a millionth.
    low, high = samples.min(0) - 6 * sigma, samples.max(0) + 6 * sigma
    return find_root(beyond, (low, high), args=(tails, rows)).x.T


def reliability(probabilities, y):
    """Number, mean confidence, accuracy and images of those of NUM_BINS equal bins of confidence that have images.

    Args:
        probabilities: (N, classes); y: (N,).
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == y
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    images = np.bincount(bins, minlength=NUM_BINS)
    used = np.flatnonzero(images)
    images = images[used]
    mean_confidence = np.bincount(bins, confidence, NUM_BINS)[used] / images
    return used, mean_confidence, np.bincount(bins, right, NUM_BINS)[used] / images, images


def expected_calibration_error(probabilities, y):
    """Mean over images of |confidence - accuracy| of their bin, in percent (Guo et al. 2017)."""
    _, confidence, accuracy, images = reliability(probabilities, y)
    return 100 * np.average(np.abs(confidence - accuracy), weights=images)


def entropy(probabilities):
    """Predictive entropy in nats, (N,), of (N, classes)."""
    return -np.sum(probabilities * np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)), -1)


def entropy_limit(probabilities, y, max_error, confidence=CONFIDENCE):
    """The largest entropy up to which new images are wrong in a share of at most `max_error`, with some confidence.

    Learn-then-Test (Angelopoulos et al. 2021): limits that let in a twentieth, two ... all of the images, (N, classes)
    and (N,), are tested one after the other by a binomial test, each at 1 - confidence, up to the first that fails. The
    first is one that could pass if none were wrong. -inf where it fails.
    """
    entropies, wrong = entropy(probabilities), probabilities.argmax(1) != y
    found = -np.inf
    for limit in np.quantile(entropies, STEPS, method="inverted_cdf"):
        kept = entropies <= limit
        if (1 - max_error) ** kept.sum() > 1 - confidence:
            continue
        if scipy.stats.binomtest(int(wrong[kept].sum()), int(kept.sum()), max_error, "less").pvalue > 1 - confidence:
            break
        found = float(limit)
    return found


def accuracy_rejection(probabilities, y):
    """Accuracy in percent of the images left when 0, 1, ... N - 1 of the largest entropy are rejected."""
    order = np.argsort(entropy(probabilities), kind="stable")
    right = (probabilities.argmax(1) == y)[order]
    return 100 * (np.cumsum(right) / np.arange(1, len(y) + 1))[::-1]
