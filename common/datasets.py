"""Data sets by name or .npz path: checked arrays, static binarization, splits (section 4.1).

Images are (number, height, width, 1) uint8: 0..255 as read, 0 or 1 once binarized; phase matrices float32. No TensorFlow is
imported here unless a named set has to be fetched by tensorflow-datasets.
"""

import gzip
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError

NAMES = ("digits", "mnist", "fashion_mnist", "omniglot")
BINARIZATION_SEED = 2021  # the static draw is part of the data set, not of a run
SPLIT_SEED = 0
VALIDATION_FRACTION = 0.1
IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test parts of images (N, H, W, 1) uint8 with integer class labels (N,).

    The validation part is a tenth of each training class. No model trains on it: settings are chosen
    and scores are calibrated on it.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple = ()
    x_validation: np.ndarray | None = None  # None only while a file is being read
    y_validation: np.ndarray | None = None
    body: str = "conv"  # the kind of networks that fit it, one of networks.BODIES

    def part(self, name):
        """Images and labels of the "test" or the "validation" part."""
        return (self.x_test, self.y_test) if name == "test" else (self.x_validation, self.y_validation)

    @property
    def image_shape(self):
        return self.x.shape[1:]

    @property
    def num_classes(self):
        return int(max(self.y.max(), self.y_test.max())) + 1

    def fingerprint(self):
        """Short digest of names, pixels and labels: two runs with equal settings saw equal data."""
        digest = hashlib.sha256(self.name.encode())
        for array in (self.x, self.y, self.x_validation, self.y_validation, self.x_test, self.y_test):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]


def load(name, data_dir, binarize="bernoulli"):
    """Read a data set, set its validation part aside and binarize it.

    Args:
        name: one of NAMES, or the path of an .npz with x (N, H, W) or (N, H, W, 1) and y (N,), and
            optionally x_test and y_test (else a fifth of each class is set aside as test part).
        data_dir: folder with the standard files of the named sets.
        binarize: "bernoulli" draws each pixel once with its grey level as probability, from a fixed
            seed (a plain VAE then has the paper's KL(z) near 18.8); "threshold" cuts at one half; "none" leaves
            the grey levels, 0 to 255.

    Raises:
        InputError: unknown name, missing, truncated or malformed file, bad pixels or labels.
    """
    data = _read(name, Path(data_dir))
    _check(data)
    rng = np.random.default_rng(BINARIZATION_SEED)
    binary, binary_test = _binarize(data.x, binarize, rng), _binarize(data.x_test, binarize, rng)
    x, y, x_validation, y_validation = stratified_split(binary, data.y, VALIDATION_FRACTION)
    return Dataset(data.name, x, y, binary_test, data.y_test, data.class_names, x_validation, y_validation)


def restrict(data, classes):
    """The same data set with some of its classes only, numbered anew from 0 up.

    Raises:
        InputError: a class that the set does not have, or none at all.
    """
    classes = sorted(set(classes))
    unknown = sorted(set(classes) - set(range(data.num_classes)))
    if unknown or not classes:
        raise InputError(f"{data.name} has classes 0 to {data.num_classes - 1}, not {unknown or 'an empty list'}: choose among them")

    def part(x, y):
        chosen = np.isin(y, classes)
        return x[chosen], np.searchsorted(classes, y[chosen])

    x, y = part(data.x, data.y)
    x_validation, y_validation = part(data.x_validation, data.y_validation)
    names = tuple(data.class_names[c] for c in classes) if data.class_names else ()
    name = f"{data.name}-{'-'.join(map(str, classes))}"
    return Dataset(name, x, y, *part(data.x_test, data.y_test), names, x_validation, y_validation, data.body)


def stratified_split(x, y, fraction):
    """Set aside `fraction` of each class (at least one image of it), drawn from a fixed seed."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        if len(members) < 2:
            raise InputError(f"class {label} has one image only: no part can be set aside; add more")
        held[members[: max(1, round(fraction * len(members)))]] = True
    return x[~held], y[~held], x[held], y[held]


def _binarize(x, how, rng):
    if how == "none":
        return x
    if how == "threshold":
        return (x >= 128).astype(np.uint8)
    if how != "bernoulli":
        raise InputError(f"unknown binarization '{how}': choose bernoulli or threshold")
    out = np.empty_like(x)
    for start in range(0, len(x), 10_000):  # bounds the memory of the float draws
        block = x[start : start + 10_000]
        out[start : start + 10_000] = rng.random(block.shape, np.float32) * 255 < block
    return out


def _read(name, data_dir):
    if str(name).endswith(".npz"):
        return _read_npz(Path(name))
    if name == "digits":
        return _read_digits()
    if name not in NAMES:
        raise InputError(
            f"unknown data set '{name}': choose one of {', '.join(NAMES)}, or give the path of an .npz file"
        )
    folder = data_dir / name
    if name == "omniglot":
        path = folder / "chardata.mat"
        return _read_omniglot(path) if path.exists() else _read_tfds(name, data_dir)
    if any((folder / file).exists() for file in IDX_FILES):
        return _read_idx_folder(name, folder)
    return _read_tfds(name, data_dir)


def _read_digits():
    """scikit-learn's 1,797 digits, 8x8 enlarged to 28x28 (bilinear), a fifth of each class for test."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = zoom(bunch.images / 16.0, (1, 3.5, 3.5), order=1, grid_mode=True, mode="nearest")
    x = np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None]
    return Dataset("digits", *stratified_split(x, bunch.target.astype(np.int64), 0.2))


def read_idx(path):
    """Read one gzip-compressed idx file of unsigned bytes into an array of its stated shape."""
    try:
        with gzip.open(path, "rb") as stream:
            raw = stream.read()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: put all four of {', '.join(IDX_FILES)} in one folder") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): fetch the file again") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or raw[3] not in (1, 3):
        raise InputError(f"{path} is no idx file of unsigned bytes (wrong magic number): fetch it again")
    rank = raw[3]
    header = 4 + 4 * rank
    if len(raw) < header:
        raise InputError(f"{path} ends inside its header: fetch the file again")
    shape = struct.unpack(f">{rank}I", raw[4:header])
    if len(raw) - header != int(np.prod(shape)):
        raise InputError(
            f"{path} holds {len(raw) - header} bytes of data, its header says {int(np.prod(shape))}: fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _read_idx_folder(name, folder):
    arrays = [read_idx(folder / file) for file in IDX_FILES]
    for images, labels, part in ((arrays[0], arrays[1], "train"), (arrays[2], arrays[3], "t10k")):
        if images.ndim != 3 or labels.ndim != 1:
            raise InputError(f"{folder}: the {part} files are swapped (images must have 3 axes, labels 1)")
    x, y, x_test, y_test = arrays
    return Dataset(name, x[..., None], y.astype(np.int64), x_test[..., None], y_test.astype(np.int64))


def _read_omniglot(path):
    """The 28x28 Omniglot of Burda et al. (2015): MATLAB columns, column-major; tasks are alphabets."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    wanted = ["data", "target", "testdata", "testtarget"]
    try:
        mat = loadmat(path, variable_names=wanted + ["alphabets"])
    except (OSError, ValueError, TypeError, MatReadError, zlib.error, struct.error, IndexError) as error:
        raise InputError(f"{path} cannot be read as a MATLAB file ({error}): fetch the file again") from error
    missing = [key for key in wanted if key not in mat]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: use the chardata.mat of Burda et al. (2015)")

    def images(columns, key):
        if columns.ndim != 2 or columns.shape[0] != 784:
            raise InputError(f"{path}: '{key}' has shape {columns.shape}, expected (784, N)")
        if not np.all(np.isfinite(columns)) or columns.min() < 0 or columns.max() > 1:
            raise InputError(f"{path}: '{key}' has values outside [0, 1] or NaN: fetch the file again")
        upright = columns.T.reshape(-1, 28, 28).transpose(0, 2, 1)
        return np.round(upright * 255).astype(np.uint8)[..., None]

    def labels(one_hot, key):
        if one_hot.ndim != 2 or not np.all(one_hot.sum(0) == 1):
            raise InputError(f"{path}: '{key}' is not one-hot (alphabets, N)")
        return one_hot.argmax(0).astype(np.int64)

    names = tuple(str(np.ravel(a)[0]).strip() for a in np.ravel(mat["alphabets"])) if "alphabets" in mat else ()
    return Dataset(
        "omniglot",
        images(mat["data"], "data"),
        labels(mat["target"], "target"),
        images(mat["testdata"], "testdata"),
        labels(mat["testtarget"], "testtarget"),
        names,
    )


def read_arrays(path, missing, damaged="cannot be read as .npz ({}): write it again with numpy.savez", names=None):
    """The arrays of an .npz, {name: array}; nothing is unpickled.

    Args:
        names: read these alone (all).
        missing: the remedy where there is no such file; damaged: what an error says of one that cannot be read, {} for the reason.

    Raises:
        InputError: no such file, or it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if names is None or name in names}
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {missing}") from None
    except Exception as error:  # zip, zlib and NumPy raise many kinds
        raise InputError(f"{path} {damaged.format(error)}") from error


def _read_npz(path):
    arrays = read_arrays(path, "give the path of an .npz with arrays x and y", names=("x", "y", "x_test", "y_test"))
    if "x" not in arrays or "y" not in arrays:
        raise InputError(f"{path} needs arrays 'x' (N, H, W) and 'y' (N,): write it with numpy.savez")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise InputError(f"{path} has only one of x_test and y_test: give both or neither")
    x, y = _as_images(arrays["x"], f"{path}: x"), _as_labels(arrays["y"], f"{path}: y")
    if len(x) != len(y):
        raise InputError(f"{path}: x has {len(x)} images, y {len(y)} labels")
    if "x_test" in arrays:
        x_test, y_test = _as_images(arrays["x_test"], f"{path}: x_test"), _as_labels(arrays["y_test"], f"{path}: y_test")
    else:
        x, y, x_test, y_test = stratified_split(x, y, 0.2)
    return Dataset(path.stem, x, y, x_test, y_test)


def _as_images(array, where):
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] != 1 or 0 in array.shape:
        raise InputError(f"{where} has shape {array.shape}: grey images (N, H, W) or (N, H, W, 1) are needed")
    if array.dtype == np.uint8:
        # An image set of zeros and ones is binary already, not nearly black.
        return array * np.uint8(255) if array.max() <= 1 else array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise InputError(f"{where} has dtype {array.dtype}: use uint8 0..255 or floats in [0, 1]")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise InputError(f"{where} has NaN or infinite values: clean the images first")
    if array.min() < 0 or array.max() > 255:
        raise InputError(f"{where} lies in [{array.min():g}, {array.max():g}]: scale it to [0, 1] or 0..255")
    return np.round(array * (255 if array.max() <= 1 else 1)).astype(np.uint8)


def _as_labels(array, where):
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"{where} has shape {array.shape} and dtype {array.dtype}: integer labels (N,) are needed")
    if not np.all(np.isfinite(array)) or np.any(array != np.round(array)):
        raise InputError(f"{where} has labels that are no whole numbers: number the classes 0, 1, 2, ...")
    return array.astype(np.int64)


def _read_tfds(name, data_dir):
    """Fetch with tensorflow-datasets. Its Omniglot is 105x105 with another split than chardata.mat."""
    expected = "chardata.mat" if name == "omniglot" else ", ".join(IDX_FILES)
    try:
        import tensorflow_datasets as tfds

        parts = tfds.load(name, split=["train", "test"], data_dir=os.fspath(data_dir / "tfds"), try_gcs=False)
    except Exception as error:  # tfds raises whatever its downloader raised; the cause stays chained
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name} is not in {data_dir / name} and could not be downloaded ({reason}): put {expected} into {data_dir / name}"
        ) from error
    arrays = []
    for part in parts:
        examples = list(tfds.as_numpy(part))
        images = [e["image"] for e in examples]
        if name == "omniglot":
            images = [_shrink_to_28(image[..., 0])[..., None] for image in images]
        labels = [e["alphabet" if name == "omniglot" else "label"] for e in examples]
        arrays += [np.stack(images), np.asarray(labels, np.int64)]
    if name != "omniglot":
        return Dataset(name, *arrays)
    # tfds splits by alphabet, so no test task would be known to MetaVAE: pool and split each alphabet.
    x, y = np.concatenate([arrays[0], arrays[2]]), np.concatenate([arrays[1], arrays[3]])
    return Dataset("omniglot_tfds", *stratified_split(x, y, 0.25))


def _shrink_to_28(image):
    """Exact area average of a square image (255 = paper) to 28x28, inverted to ink = 255."""
    size = len(image)
    edges = np.linspace(0, size, 29)
    pixels = np.arange(size)
    overlap = np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, None)
    weights = overlap / overlap.sum(1, keepdims=True)
    return np.round(255 - weights @ image.astype(np.float64) @ weights.T).astype(np.uint8)


def _check(data):
    for x, y, part in ((data.x, data.y, "training"), (data.x_test, data.y_test, "test")):
        if len(x) == 0 or len(x) != len(y):
            raise InputError(f"{data.name}: {len(x)} {part} images but {len(y)} labels: fetch or write the set again")
        if y.min() < 0 or y.max() > 9_999:
            raise InputError(f"{data.name}: {part} labels reach from {y.min()} to {y.max()}: number classes 0, 1, 2, ...")
        empty = np.flatnonzero(np.bincount(y, minlength=data.num_classes) == 0)
        if len(empty):
            raise InputError(
                f"{data.name}: class {empty[0]} has no {part} images: number classes 0, 1, 2, ... without gaps"
            )
    if data.x.shape[1:] != data.x_test.shape[1:]:
        raise InputError(f"{data.name}: training images are {data.x.shape[1:]}, test images {data.x_test.shape[1:]}")
