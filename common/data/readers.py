"""Readers of image files: idx, MATLAB, .npz; each array is checked as it is read.

Images come as (number, height, width, 1 or 3) uint8, 0 to 255, labels as (number,) int64.
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import folders
from common.errors import InputError
from common.names import name_of_file

# Arrays of an .npz: training images and labels, test images and labels, as this project, Keras and others call them.
NPZ_ARRAYS = (
    ("x", "y", "x_test", "y_test"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "images_test", "labels_test"),
)
ROUNDING = 1e-3  # floats this far outside [0, 1] are taken for rounding and clipped
LARGEST_LABEL = 2**53  # beyond, floats are no whole numbers


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
    if len(raw) - header != math.prod(shape):
        raise InputError(
            f"{path} holds {len(raw) - header} bytes of data, its header says {math.prod(shape)}: fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def read_mat(path, wanted):
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


def read_npz(path, colour=False):
    """The Raw images of an .npz whose arrays go by one of NPZ_ARRAYS' names.

    Args:
        colour: see folders.in_channels.

    Raises:
        InputError: missing or damaged file, bad pixels or labels.
    """
    every = {name for names in NPZ_ARRAYS for name in names}
    arrays = read_arrays(path, "give the path of an .npz with arrays x and y", names=every)
    names = next((own for own in NPZ_ARRAYS if own[0] in arrays), None)
    if names is None or names[1] not in arrays:
        found = ", ".join(read_names(path)) or "none"
        raise InputError(f"{path} has the arrays {found}: it needs x (N, H, W) and y (N,), written with numpy.savez")
    x_name, y_name, x_test, y_test = names
    beside = [name for name in arrays if name not in names]
    if beside:
        raise InputError(f"{path} has {', '.join(beside)} beside {x_name} and {y_name}: call all by one of these ways")
    if (x_test in arrays) != (y_test in arrays):
        raise InputError(f"{path} has only one of {x_test} and {y_test}: give both or neither")
    unused = [name for name in read_names(path) if name not in names]
    if unused:
        print(f"note: {path}: not used: {', '.join(unused)}")
    x, y = as_images(arrays[x_name], f"{path}: {x_name}", colour), _as_labels(arrays[y_name], f"{path}: {y_name}")
    if len(x) != len(y):
        raise InputError(f"{path}: {x_name} has {len(x)} images, {y_name} {len(y)} labels")
    if x_test not in arrays:
        return Raw(name_of_file(path), x, y)
    held = as_images(arrays[x_test], f"{path}: {x_test}", colour)
    # One part may hold no colour.
    parts = in_channels_of(held.shape[1:], x), y, in_channels_of(x.shape[1:], held)
    return Raw(name_of_file(path), *parts, _as_labels(arrays[y_test], f"{path}: {y_test}"))


def read_names(path):
    """The names of an .npz's arrays (the file was read before)."""
    with np.load(path, allow_pickle=False) as archive:
        return archive.files


def unlabelled(path, size=None, colour=False):
    """Images (N, H, W, 1 or 3) uint8 of an .npz or a folder of pictures, labels or none, and what to call each.

    Args:
        path: of a folder of pictures, or of an .npz whose images go by one of NPZ_ARRAYS' names or are its only array.
        size: (H, W) that a folder's pictures are brought to; colour: see folders.in_channels.

    Raises:
        InputError: as `read_npz`, and as `folders.read`.
    """
    path = Path(path)
    if path.is_dir():
        images, _, _, paths = folders.read(path, size, colour)
        return images, [folders.as_text(own.relative_to(path)) for own in paths]
    images, _ = _images_of(path, colour)
    return images, [str(i) for i in range(len(images))]


def _images_of(path, colour=False, exact=False):
    """The images of an .npz, see `unlabelled`, and all its arrays; exact: see `as_images`."""
    arrays = read_arrays(path, "give a folder of pictures, or an .npz with images x (N, H, W)")
    name = next((own[0] for own in NPZ_ARRAYS if own[0] in arrays), None) or next(iter(arrays), None)
    if name is None or (len(arrays) > 1 and name not in [own[0] for own in NPZ_ARRAYS]):
        raise InputError(f"{path} has the arrays {', '.join(arrays) or 'none'}: call the images x (N, H, W)")
    several = [own for own in dict.fromkeys(own for names in NPZ_ARRAYS for own in names[::2]) if own in arrays]
    if len(several) > 1:
        named = ", ".join(several)
        raise InputError(f"{path} has several arrays of images, {named}: give a file of those that are meant")
    return as_images(arrays[name], f"{path}: {name}", colour, exact), arrays


def perhaps_labelled(path, size=None, exact=False):
    """Images (N, H, W, 1) uint8 and labels (N,), or None for these, of what `unlabelled` reads.

    Labels of a folder are its sub-folders, of an .npz the array that goes with the images; exact: see `as_images`.

    Raises:
        InputError: as `unlabelled`; labels of another number, or below 0.
    """
    path = Path(path)
    if path.is_dir():
        images, labels, names, _ = folders.read(path, size, exact=exact)
        return images, labels if names else None
    images, arrays = _images_of(path, exact=exact)
    name, partner = next((own[:2] for own in NPZ_ARRAYS if own[0] in arrays), (next(iter(arrays)), None))
    others = [own for own in arrays if own not in (name, partner)]
    if others:
        raise InputError(
            f"{path} has {', '.join(others)} beside {name}: call labels {partner}, and leave the others out"
        )
    if partner not in arrays:
        return images, None
    labels = _as_labels(arrays[partner], f"{path}: {partner}")
    if len(labels) != len(images) or labels.min() < 0 or labels.max() > 9_999:
        span = f"{len(images)} images, {len(labels)} labels from {labels.min(initial=0)} to {labels.max(initial=0)}"
        raise InputError(f"{path} has {span}: give each image a class, numbered 0, 1, 2, ...")
    return images, labels


def check_size(what, *shapes):
    """Refuse images of several sizes; `what` they are: "images to score and normal ones"; shapes: (H, W, C) of each.

    Raises:
        InputError: there are several, or colours beside grey.
    """
    if len(set(shapes)) > 1:
        sizes = " and ".join(map(folders.size_in_words, shapes))
        same_size = len({shape[:2] for shape in shapes}) == 1
        remedy = "make all grey, or all coloured" if same_size else "bring them to one size (folders: --image-size)"
        raise InputError(f"{what} are {sizes}: {remedy}")


def in_channels_of(shape, images):
    """Images (N, H, W, C) to go with others of a shape (H, W, C): grey ones beside coloured ones get three channels."""
    return np.repeat(images, 3, -1) if (images.shape[-1], shape[-1]) == (1, 3) else images


def as_images(array, where, colour=False, exact=False):
    """Checked images (N, H, W, 1 or 3) uint8, 0 to 255, of an array.

    Args:
        where: what an error calls it; colour: see folders.in_channels.
        exact: refuse what rounding to these levels would change.
    """
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise InputError(f"{where} has shape {array.shape}: (N, H, W) is needed, or (N, H, W, 1 or 3)")
    levels = _levels(array, where)
    if exact:
        values = array * (255.0 if array.max() <= 1 + ROUNDING else 1.0)  # as floats: colours' luminance is not rounded
        if not all(map(folders.are_levels, folders.in_channels(values, colour))):
            raise InputError(f"{where} {folders.FINER}")
    return levels if levels.shape[-1] == 1 else np.stack(folders.in_channels(levels, colour))


def _levels(array, where):
    """An array of images as uint8, 0 to 255; `where` is what an error calls it."""
    if array.dtype == np.uint8:
        # An image set of zeros and ones is binary already, not nearly black.
        if array.max() <= 1:
            return array * np.uint8(255)
        if array.max() < folders.DARKEST_WHITE:
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
    if low < 0 or not folders.DARKEST_WHITE <= high <= 255:
        remedy = "clip it to [0, 1]" if -0.5 < low and 1 < high < 2 else "scale it to [0, 1] or 0..255"
        raise InputError(f"{where} lies in [{low:g}, {high:g}], neither [0, 1] nor 0..255: {remedy}")
    return np.round(array).astype(np.uint8)


def _as_labels(array, where):
    if array.ndim != 1 or array.dtype.kind not in "iuf":  # no complex numbers, no spans of time
        raise InputError(f"{where} has shape {array.shape} and dtype {array.dtype}: integer labels (N,) are needed")
    if not np.all(np.isfinite(array)) or np.any(array != np.round(array)) or np.any(abs(array) > LARGEST_LABEL):
        raise InputError(f"{where} has labels that are no whole numbers: number the classes 0, 1, 2, ...")
    return array.astype(np.int64)
