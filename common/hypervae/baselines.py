"""What outlier scores are compared with: compressors, and detectors from scikit-learn on the pixels."""

import io
import math
import zlib

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import gammaln
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

COMPRESSORS = ("png", "zlib", "context", "webp")  # the third is of binary images, the last of others


def compressed_lengths(x, binary=True):
    """Nats of each image under three lossless compressors, as columns.

    PNG is Pillow's with `optimize`; zlib has level 9. Both count whole bytes and headers, much for images this small;
    `context_lengths` counts neither.

    Args:
        x: images (N, H, W, 1) in {0, 1}, or (N, H, W, 1 or 3) of levels 0 to 255.
        binary: binary images take one bit a pixel, and the third column is context; of others it is WebP, lossless.
    """
    rows = []
    for image in x.astype(bool if binary else np.uint8):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        pixels = np.packbits(image).tobytes() if binary else image.tobytes()
        row = {"png": len(encoded(picture, "PNG", optimize=True)), "zlib": len(zlib.compress(pixels, 9))}
        if not binary:
            row["webp"] = len(encoded(picture, "WEBP", lossless=True, quality=100))
        rows.append(row)
    table = pd.DataFrame(rows) * 8 * math.log(2)
    return table.assign(context=context_lengths(x)) if binary else table


def encoded(picture, kind, **options):
    """The bytes of a Pillow picture as a file of some kind, "PNG" or "WEBP"; `options` are the encoder's."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def context_lengths(x):
    """Nats of each binary image (N, H, W, 1) under an adaptive context code, as in JBIG.

    Each pixel is coded in reading order given its west, north-west, north and north-east neighbours; the
    probabilities are Krichevsky-Trofimov estimates from the image's own pixels so far, so nothing is trained.
    """
    number, height, width, _ = x.shape
    padded = np.pad(x[..., 0].astype(np.int64), ((0, 0), (1, 0), (1, 1)))
    context = padded[:, 1:, :-2] + 2 * padded[:, :-1, :-2] + 4 * padded[:, :-1, 1:-1] + 8 * padded[:, :-1, 2:]
    counts, images, nats = np.full((number, 16, 2), 0.5), np.arange(number), np.zeros(number)
    for row in range(height):
        for column in range(width):
            here, bit = context[:, row, column], padded[:, row + 1, column + 1]
            nats -= np.log(counts[images, here, bit] / counts[images, here].sum(1))
            counts[images, here, bit] += 1
    return nats


# Rows above and columns to the right of the pixels that a pixel is coded by: the three-line template of JBIG.
JBIG = ((0, -1), (0, -2), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1))


def context_length(x):
    """Nats of all binary images (N, H, W, 1) in one stream under one adaptive context code.

    As `context_lengths`, but by what all images so far have taught. The product of Krichevsky-Trofimov estimates
    depends on the final counts alone.
    """
    height, width = x.shape[1:3]
    up, side = max(above for above, _ in JBIG), max(abs(right) for _, right in JBIG)
    padded = np.pad(x[..., 0].astype(np.int32), ((0, 0), (up, 0), (side, side)))
    context = np.zeros(x.shape[:3], np.int32)
    for place, (above, right) in enumerate(JBIG):
        own = padded[:, up - above : up - above + height, side + right : side + right + width]
        context += own << place
    counts = np.bincount((2 * context + x[..., 0]).ravel(), minlength=2 << len(JBIG)).reshape(-1, 2)
    beginning = 2 * gammaln(0.5)
    return float((gammaln(counts.sum(1) + 1) - gammaln(counts + 0.5).sum(1) + beginning).sum())


MOST_OF_SVM = 10_000  # training images

# Baselines: each takes training images and a seed, and returns a function from images to scores.


def isolation_forest(x, seed):
    """scikit-learn's IsolationForest with 300 trees on the pixels."""
    model = IsolationForest(n_estimators=300, random_state=seed).fit(_flat(x))
    return lambda images: -model.score_samples(_flat(images))


def local_outlier_factor(x, seed):
    """LocalOutlierFactor, 20 neighbours, on 50 principal components."""
    model = make_pipeline(_pca(x, seed), LocalOutlierFactor(n_neighbors=20, novelty=True)).fit(_flat(x))
    return lambda images: -model.score_samples(_flat(images))


def one_class_svm(x, seed):
    """OneClassSVM (RBF, nu 0.1) on 50 principal components of at most MOST_OF_SVM images: its cost is quadratic."""
    chosen = np.random.default_rng(seed).permutation(len(x))[:MOST_OF_SVM]
    model = make_pipeline(_pca(x, seed), StandardScaler(), OneClassSVM(nu=0.1, gamma="scale")).fit(_flat(x[chosen]))
    return lambda images: -model.score_samples(_flat(images))


def pca_reconstruction(x, seed):
    """Squared error of an image's reconstruction from 50 principal components."""
    pca = _pca(x, seed).fit(_flat(x))

    def score(images):
        flat = _flat(images)
        return np.square(flat - pca.inverse_transform(pca.transform(flat))).sum(1)

    return score


BASELINES = {
    "isolation_forest": isolation_forest,
    "local_outlier_factor": local_outlier_factor,
    "one_class_svm": one_class_svm,
    "pca": pca_reconstruction,
}


def _flat(x):
    return x.reshape(len(x), -1).astype(np.float32)


def _pca(x, seed):
    return PCA(min(50, len(x), x[0].size), svd_solver="randomized", random_state=seed)
