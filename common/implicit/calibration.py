"""What predictive distributions are worth: likelihood and coverage of a regression, calibration of a classification."""

import numpy as np
import scipy

NUM_BINS = 15  # of confidence, for the expected calibration error


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


def entropy_limit(probabilities, y, max_error):
    """The largest entropy up to which no more than a share `max_error` of the images is wrong, of (N, classes), (N,).

    Of n images up to it one more counts as wrong, which a new image might be: (1 + wrong) / (1 + n) is what is bounded.
    -inf where no entropy is small enough.
    """
    entropies = entropy(probabilities)
    order = np.argsort(entropies, kind="stable")
    wrong = np.cumsum((probabilities.argmax(1) != y)[order])
    last = np.append(np.diff(entropies[order]) > 0, True)  # of those with one entropy
    fits = last & ((1 + wrong) / (2 + np.arange(len(y))) <= max_error)
    return float(entropies[order][np.flatnonzero(fits)[-1]]) if fits.any() else -np.inf


def accuracy_rejection(probabilities, y):
    """Accuracy in percent of the images left when 0, 1, ... N - 1 of the largest entropy are rejected."""
    order = np.argsort(entropy(probabilities), kind="stable")
    right = (probabilities.argmax(1) == y)[order]
    return 100 * (np.cumsum(right) / np.arange(1, len(y) + 1))[::-1]
