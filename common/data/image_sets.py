"""Sets of images: those that come by name, and a user's own by path.

No TensorFlow is imported here unless a named set has to be fetched by tensorflow-datasets.
"""

import os
from pathlib import Path

import numpy as np

from common.data import folders
from common.data.readers import Raw, read_idx, read_mat, read_npz
from common.errors import InputError
from common.names import name_of_file

NAMES = ("digits", "photographs", "mnist", "fashion_mnist", "omniglot")
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "rocket")
MORE_PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # scikit-learn's, the others scikit-image's
PATCH = 16
SHOWN_CLASSES = 12
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read(name, data_dir, size=None, colour=False):
    """The Raw images of a named set, of an .npz, or of a folder of pictures.

    Args:
        name: one of NAMES, a path that ends in .npz, or a folder; data_dir: folder of the named sets' standard files (a
            Path); size: (H, W) that a folder's pictures are brought to, see folders.read; colour: see
            folders.in_channels.

    Raises:
        InputError: unknown name, missing, truncated or malformed file, bad pixels or labels.
    """
    if Path(name).suffix.lower() == ".npz":
        return read_npz(Path(name), colour)
    if name not in NAMES and Path(name).is_dir():
        x, y, class_names, _ = folders.read(name, size, colour)
        if class_names and class_names != tuple(map(str, range(len(class_names)))):
            shown = [f"{number} {own}" for number, own in enumerate(class_names[:SHOWN_CLASSES])]
            print(f"note: {name}: its classes are {', '.join(shown)}{', ...' * (len(class_names) > SHOWN_CLASSES)}")
        return Raw(name_of_file(name), x, y, class_names=class_names)
    if Path(name).is_dir() and Path(name).resolve() != (data_dir / name).resolve():
        print(f"note: {name} is the set of that name; the folder beside you is read as ./{name}")
    if name == "digits":
        return _read_digits()
    if name == "photographs":
        return _read_photographs(colour)
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


def _read_photographs(colour):
    """Pictures that come with scikit-image and scikit-learn, cut into squares beside each other; each is a class."""
    import skimage
    from sklearn.datasets import load_sample_image

    whole = [getattr(skimage.data, name)() for name in PHOTOGRAPHS] + [*map(load_sample_image, MORE_PHOTOGRAPHS)]
    tiles = [skimage.util.view_as_blocks(_whole_blocks(picture), (PATCH, PATCH, 3)) for picture in whole]
    x = [own.reshape(-1, PATCH, PATCH, 3) for own in tiles]
    y = np.repeat(np.arange(len(x)), [len(own) for own in x])
    names = (*PHOTOGRAPHS, *(Path(name).stem for name in MORE_PHOTOGRAPHS))
    return Raw("photographs", np.stack(folders.in_channels(np.concatenate(x), colour)), y, class_names=names)


def _whole_blocks(picture):
    """A picture without what is left over of PATCH x PATCH squares at its right and lower edge."""
    height, width = (side - side % PATCH for side in picture.shape[:2])
    return np.ascontiguousarray(picture[:height, :width])


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


def _read_omniglot(path):
    """The 28x28 Omniglot of Burda et al. (2015): MATLAB columns, column-major; tasks are alphabets."""
    wanted = ["data", "target", "testdata", "testtarget"]
    try:
        mat = read_mat(path, [*wanted, "alphabets"])
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
