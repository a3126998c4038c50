"""Readers of image files: idx, MATLAB, .npz, tensorflow-datasets; each array is checked as it is read.

Images come as (number, height, width, 1) uint8, 0 to 255, labels as (number,) int64. No TensorFlow is imported here
unless a named set has to be fetched by tensorflow-datasets.
"""

import gzip
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import folders
from common.errors import InputError
from common.names import name_of_file

NAMES = ("digits", "mnist", "fashion_mnist", "omniglot")
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Arrays of an .npz: training images and labels, test images and labels, as this project, Keras and others call them.
NPZ_ARRAYS = (
    ("x", "y", "x_test", "y_test"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "images_test", "labels_test"),
)
ROUNDING = 1e-3  # floats this far outside [0, 1] are taken for rounding and clipped
DARKEST_WHITE = 64  # a set whose brightest pixel is below is no set of bytes: some other scale


@dataclass(frozen=True)
class Raw:
    """What a file holds. Where it has no test part, `test_fraction` of each class is to be set aside as one."""

    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    class_names: tuple = ()
    test_fraction: float = 0.2


def read(name, data_dir, size=None):
    """The Raw images of a named set, of an .npz, or of a folder of pictures.

    Args:
        name: one of NAMES, a path that ends in .npz, or a folder; data_dir: folder of the named sets' standard files (a
            Path); size: (H, W) that a folder's pictures are brought to, see folders.read.

    Raises:
        InputError: unknown name, missing, truncated or malformed file, bad pixels or labels.
    """
    if Path(name).suffix.lower() == ".npz":
        return _read_npz(Path(name))
    if name not in NAMES and Path(name).is_dir():
        x, y, class_names, _ = folders.read(name, size)
        return Raw(name_of_file(name), x, y, class_names=class_names)
    if name == "digits":
        return _read_digits()
    if name not in NAMES:
        raise InputError(
            f"unknown data set '{name}': choose one of {', '.join(NAMES)}, or give the path of an .npz or a folder"
        )
    folder = data_dir / name
    if name == "omniglot":
        path = folder / "chardata.mat"
        return _read_omniglot(path) if path.exists() else _read_tfds(name, data_dir)
    if any(_idx_path(folder, file) for file in IDX_FILES):
        return _read_idx_folder(name, folder)
    return _read_tfds(name, data_dir)


def _idx_path(folder, name):
    """A standard file as it was fetched, or unpacked; None if neither is there."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.exists()), None)


def _read_digits():
    """scikit-learn's 1,797 digits, 8x8 enlarged to 28x28 (bilinear)."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = zoom(bunch.images / 16.0, (1, 3.5, 3.5), order=1, grid_mode=True, mode="nearest")
    x = np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None]
    return Raw("digits", x, bunch.target.astype(np.int64))


def read_idx(path):
    """Read one idx file of unsigned bytes, packed by gzip or not, into an array of its stated shape."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw  # some browsers unpack and keep the name
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
    paths = {file: _idx_path(folder, file) for file in IDX_FILES}
    missing = [f"{folder / file}.gz" for file, path in paths.items() if path is None]
    if missing:
        raise InputError(f"{missing[0]} is missing: put all four of {', '.join(IDX_FILES)} (.gz) in one folder")
    arrays = [read_idx(path) for path in paths.values()]
    for images, labels, part in ((arrays[0], arrays[1], "train"), (arrays[2], arrays[3], "t10k")):
        if images.ndim != 3 or labels.ndim != 1:
            raise InputError(f"{folder}: the {part} files are swapped (images must have 3 axes, labels 1)")
    x, y, x_test, y_test = arrays
    return Raw(name, x[..., None], y.astype(np.int64), x_test[..., None], y_test.astype(np.int64))


def _read_mat(path, wanted):
    """{name: array} of a MATLAB file of any version, arrays as MATLAB shows them."""
    from scipy.io import loadmat

    with open(path, "rb") as stream:
        is_hdf5 = stream.read(128).startswith(b"MATLAB 7.3")
    if not is_hdf5:
        return loadmat(path, variable_names=wanted)
    import h5py

    def value(item, file):
        array = item[()]
        if item.dtype == h5py.ref_dtype:  # a cell array of texts
            return np.array(["".join(map(chr, np.ravel(file[cell][()]))) for cell in np.ravel(array)], object)
        return np.asarray(array).T  # HDF5 keeps MATLAB's columns as rows

    with h5py.File(path) as file:
        return {name: value(file[name], file) for name in wanted if name in file}


def _read_omniglot(path):
    """The 28x28 Omniglot of Burda et al. (2015): MATLAB columns, column-major; tasks are alphabets."""
    wanted = ["data", "target", "testdata", "testtarget"]
    try:
        mat = _read_mat(path, [*wanted, "alphabets"])
    except Exception as error:  # scipy, h5py and zlib raise many kinds; all mean the same here
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
    return Raw(
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
        missing: the remedy where there is no such file.
        damaged: what an error says of a file that cannot be read, {} for the reason.
        names: read these alone (all).

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
    every = {name for names in NPZ_ARRAYS for name in names}
    arrays = read_arrays(path, "give the path of an .npz with arrays x and y", names=every)
    names = next((own for own in NPZ_ARRAYS if own[0] in arrays), None)
    if names is None or names[1] not in arrays:
        found = ", ".join(read_names(path)) or "none"
        raise InputError(f"{path} has the arrays {found}: it needs x (N, H, W) and y (N,), written with numpy.savez")
    x_name, y_name, x_test, y_test = names
    if (x_test in arrays) != (y_test in arrays):
        raise InputError(f"{path} has only one of {x_test} and {y_test}: give both or neither")
    x, y = as_images(arrays[x_name], f"{path}: {x_name}"), _as_labels(arrays[y_name], f"{path}: {y_name}")
    if len(x) != len(y):
        raise InputError(f"{path}: {x_name} has {len(x)} images, {y_name} {len(y)} labels")
    if x_test not in arrays:
        return Raw(name_of_file(path), x, y)
    held = as_images(arrays[x_test], f"{path}: {x_test}"), _as_labels(arrays[y_test], f"{path}: {y_test}")
    return Raw(name_of_file(path), x, y, *held)


def read_names(path):
    """The names of an .npz's arrays (the file was read before)."""
    with np.load(path, allow_pickle=False) as archive:
        return archive.files


def unlabelled(path, size=None):
    """Images (N, H, W, 1) uint8 of an .npz or a folder of pictures, labels or none, and what to call each.

    Args:
        path: of a folder of pictures, or of an .npz whose images go by one of NPZ_ARRAYS' names or are its only array.

    Raises:
        InputError: as `read`.
    """
    path = Path(path)
    if path.is_dir():
        images, _, _, paths = folders.read(path, size)
        return images, [str(own.relative_to(path)) for own in paths]
    arrays = read_arrays(path, "give a folder of pictures, or an .npz with images x (N, H, W)")
    name = next((own[0] for own in NPZ_ARRAYS if own[0] in arrays), None) or next(iter(arrays), None)
    if name is None or (len(arrays) > 1 and name not in [own[0] for own in NPZ_ARRAYS]):
        raise InputError(f"{path} has the arrays {', '.join(arrays) or 'none'}: call the images x (N, H, W)")
    images = as_images(arrays[name], f"{path}: {name}")
    return images, [str(i) for i in range(len(images))]


def perhaps_labelled(path, size=None):
    """Images (N, H, W, 1) uint8 and labels (N,), or None for these, of what `unlabelled` reads.

    Labels of a folder are its sub-folders, of an .npz the array that goes with the images.

    Raises:
        InputError: as `read`; labels of another number, or below 0.
    """
    path = Path(path)
    if path.is_dir():
        images, labels, names, _ = folders.read(path, size)
        return images, labels if names else None
    images, _ = unlabelled(path)
    found = read_names(path)
    partner = next((own[1] for own in NPZ_ARRAYS if own[0] in found), None)
    if partner not in found:
        return images, None
    labels = _as_labels(read_arrays(path, "give an .npz", names={partner})[partner], f"{path}: {partner}")
    if len(labels) != len(images) or labels.min() < 0 or labels.max() > 9_999:
        span = f"{len(images)} images, {len(labels)} labels from {labels.min(initial=0)} to {labels.max(initial=0)}"
        raise InputError(f"{path} has {span}: give each image a class, numbered 0, 1, 2, ...")
    return images, labels


def as_images(array, where):
    """Checked images (N, H, W, 1) uint8, 0 to 255, of an array; `where` is what an error calls it."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] != 1 or 0 in array.shape:
        raise InputError(f"{where} has shape {array.shape}: grey images (N, H, W) or (N, H, W, 1) are needed")
    if array.dtype == np.uint8:
        # An image set of zeros and ones is binary already, not nearly black.
        if array.max() <= 1:
            return array * np.uint8(255)
        if array.max() < DARKEST_WHITE:
            raise InputError(f"{where} lies in [{array.min()}, {array.max()}], not 0..255: scale it to 0..255")
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise InputError(f"{where} has dtype {array.dtype}: use uint8 0..255 or floats in [0, 1]")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise InputError(f"{where} has NaN or infinite values: clean the images first")
    low, high = array.min(), array.max()
    if -ROUNDING <= low and high <= 1 + ROUNDING:
        return np.round(array.clip(0, 1) * 255).astype(np.uint8)
    if low < 0 or not DARKEST_WHITE <= high <= 255:
        remedy = "clip it to [0, 1]" if -0.5 < low and 1 < high < 2 else "scale it to [0, 1] or 0..255"
        raise InputError(f"{where} lies in [{low:g}, {high:g}], neither [0, 1] nor 0..255: {remedy}")
    return np.round(array).astype(np.uint8)


def _as_labels(array, where):
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"{where} has shape {array.shape} and dtype {array.dtype}: integer labels (N,) are needed")
    if not np.all(np.isfinite(array)) or np.any(array != np.round(array)):
        raise InputError(f"{where} has labels that are no whole numbers: number the classes 0, 1, 2, ...")
    return array.astype(np.int64)


def _read_tfds(name, data_dir):
    """Fetch with tensorflow-datasets. Its Omniglot is 105x105 with another split than chardata.mat."""
    expected = "chardata.mat" if name == "omniglot" else ", ".join(f"{file}.gz" for file in IDX_FILES)
    if not (data_dir / "tfds" / name).exists() and not _online():  # its own retries take minutes
        raise InputError(f"{name} is not in {data_dir / name}, and there is no network: put {expected} there")
    try:
        import tensorflow_datasets as tfds

        parts = tfds.load(name, split=["train", "test"], data_dir=os.fspath(data_dir / "tfds"), try_gcs=False)
    except Exception as error:  # tfds raises whatever its downloader raised; the cause stays chained
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        remedy = f"put {expected} into {data_dir / name}"
        raise InputError(f"{name} is not there and could not be downloaded ({reason}): {remedy}") from error
    arrays = []
    for part in parts:
        examples = list(tfds.as_numpy(part))
        images = [e["image"] for e in examples]
        if name == "omniglot":
            images = [_shrink_to_28(image[..., 0])[..., None] for image in images]
        labels = [e["alphabet" if name == "omniglot" else "label"] for e in examples]
        arrays += [np.stack(images), np.asarray(labels, np.int64)]
    if name != "omniglot":
        return Raw(name, *arrays)
    # tfds splits by alphabet, so no test task would be known to MetaVAE: pool and split each alphabet.
    x, y = np.concatenate([arrays[0], arrays[2]]), np.concatenate([arrays[1], arrays[3]])
    return Raw("omniglot_tfds", x, y, test_fraction=0.25)


def _online(seconds=4):
    """Whether tensorflow-datasets' host answers."""
    import requests

    try:
        requests.head("https://storage.googleapis.com", timeout=seconds)
    except requests.RequestException:
        return False
    return True


def _shrink_to_28(image):
    """Exact area average of a square image (255 = paper) to 28x28, inverted to ink = 255."""
    size = len(image)
    edges = np.linspace(0, size, 29)
    pixels = np.arange(size)
    overlap = np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, None)
    weights = overlap / overlap.sum(1, keepdims=True)
    return np.round(255 - weights @ image.astype(np.float64) @ weights.T).astype(np.uint8)
