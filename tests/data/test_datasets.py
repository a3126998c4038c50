"""Readers against hand-made files, good and bad. None of this needs TensorFlow."""

import gzip
import struct

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from common.data import datasets, image_sets, readers
from common.errors import InputError


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim)
    path.write_bytes(gzip.compress(header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()))


@pytest.fixture
def idx_folder(tmp_path):
    """A MNIST of 40 + 20 images of 3 classes under its standard file names."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for prefix, number in (("train", 40), ("t10k", 20)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", rng.integers(0, 256, (number, 28, 28), np.uint8))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.arange(number, dtype=np.uint8) % 3)
    return tmp_path


def test_idx_files_are_read_whole(idx_folder):
    data = datasets.load("mnist", idx_folder)
    assert len(data.x) + len(data.x_validation) == 40 and data.x_test.shape == (20, 28, 28, 1)
    assert data.image_shape == (28, 28, 1) and data.num_classes == 3 and set(np.unique(data.x)) == {0, 1}


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_unpacked_idx_files_are_read_under_either_name(idx_folder, ending):
    expected = datasets.load("mnist", idx_folder).fingerprint()
    for path in list((idx_folder / "mnist").iterdir()):
        content = gzip.decompress(path.read_bytes())
        path.unlink()
        path.with_name(path.stem + ending).write_bytes(content)
    assert datasets.load("mnist", idx_folder).fingerprint() == expected


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda raw: raw[:200], "cannot be read"),
        (lambda raw: b"not gzip at all", "wrong magic number"),
        (lambda raw: gzip.compress(b"\x00\x00\x0d\x03" + gzip.decompress(raw)[4:]), "wrong magic number"),
        (lambda raw: gzip.compress(gzip.decompress(raw)[:-5]), "its header says"),
        (lambda raw: gzip.compress(gzip.decompress(raw)[:6]), "inside its header"),
        (lambda raw: gzip.compress(b""), "wrong magic number"),
    ],
)
def test_damaged_idx_files_are_named(idx_folder, damage, message):
    path = idx_folder / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=message) as caught:
        datasets.load("mnist", idx_folder)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_swapped_idx_files(idx_folder):
    folder = idx_folder / "mnist"
    images, labels = folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"
    saved = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(saved)
    with pytest.raises(InputError, match="swapped"):
        datasets.load("mnist", idx_folder)
    images.unlink()
    with pytest.raises(InputError, match="is missing"):
        datasets.load("mnist", idx_folder)


def test_label_count_must_match(idx_folder):
    write_idx(idx_folder / "mnist" / "train-labels-idx1-ubyte.gz", np.zeros(39, np.uint8))
    with pytest.raises(InputError, match="40 training images but 39 labels"):
        datasets.load("mnist", idx_folder)


def omniglot(tmp_path, **changes):
    rng = np.random.default_rng(1)
    picture = np.zeros((28, 28), np.float32)
    picture[3, 20] = 1.0  # one pixel: row 3, column 20
    data = np.repeat(picture.T.reshape(784, 1), 12, 1)
    mat = {
        "data": data,
        "testdata": rng.random((784, 6)).astype(np.float32),
        "target": np.eye(3, dtype=np.uint8)[:, np.arange(12) % 3],
        "testtarget": np.eye(3, dtype=np.uint8)[:, np.arange(6) % 3],
    } | changes
    (tmp_path / "omniglot").mkdir(exist_ok=True)
    savemat(tmp_path / "omniglot" / "chardata.mat", {k: v for k, v in mat.items() if v is not None})
    return tmp_path


def test_omniglot_columns_become_upright_images(tmp_path):
    data = datasets.load("omniglot", omniglot(tmp_path), binarize="threshold")
    assert data.x.shape == (9, 28, 28, 1) and data.x_validation.shape == (3, 28, 28, 1) and data.num_classes == 3
    assert data.x[0, 3, 20, 0] == 1 and data.x[0].sum() == 1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"target": None}, "lacks target"),
        ({"data": np.zeros((700, 12), np.float32)}, "expected \\(784, N\\)"),
        ({"data": np.full((784, 12), np.nan, np.float32)}, "NaN"),
        ({"testdata": np.full((784, 6), 2.0, np.float32)}, "outside \\[0, 1\\]"),
        ({"target": np.ones((3, 12), np.uint8)}, "not one-hot"),
        ({"testtarget": np.eye(3, dtype=np.uint8)[:, np.zeros(6, int)]}, "class 1 has no test images"),
    ],
)
def test_bad_omniglot_files(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        datasets.load("omniglot", omniglot(tmp_path, **changes))


def test_truncated_omniglot_file(tmp_path):
    path = omniglot(tmp_path) / "omniglot" / "chardata.mat"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cannot be read|lacks"):
        datasets.load("omniglot", tmp_path)


def test_a_matlab_7_3_file_reads_as_an_older_one(tmp_path):
    h5py = pytest.importorskip("h5py")
    names = np.array(["Latin", "Greek", "Futurama"], object)
    expected = datasets.load("omniglot", omniglot(tmp_path, alphabets=names))
    path = tmp_path / "omniglot" / "chardata.mat"
    mat = loadmat(path)
    path.unlink()
    with h5py.File(path, "w", userblock_size=512) as file:
        for key in ("data", "target", "testdata", "testtarget"):
            file[key] = mat[key].T
        texts = [file.create_dataset(f"#refs#/{i}", data=[[ord(c)] for c in name]) for i, name in enumerate(names)]
        file.create_dataset("alphabets", data=[[text.ref for text in texts]], dtype=h5py.ref_dtype)
    with open(path, "r+b") as stream:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64 HDF5 schema 1.00 ."
        stream.write(text.ljust(124) + struct.pack("<H", 0x0200) + b"IM")
    found = datasets.load("omniglot", tmp_path)
    assert found.fingerprint() == expected.fingerprint() and found.class_names == tuple(names)


def npz(tmp_path, **arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


X, Y = np.random.default_rng(2).random((30, 9, 7)), np.arange(30) % 3


def test_npz_with_and_without_a_test_part(tmp_path):
    data = datasets.load(npz(tmp_path, x=X, y=Y), tmp_path)
    assert (
        data.x.shape == (21, 9, 7, 1)
        and len(data.x_validation) == 3
        and data.x_test.shape == (6, 9, 7, 1)
        and data.name == "mine.npz"
    )
    given = datasets.load(npz(tmp_path, x=X[..., None], y=Y, x_test=X[:9], y_test=Y[:9]), tmp_path)
    assert len(given.x) == 27 and len(given.x_test) == 9


def test_grey_scales_agree(tmp_path):
    """The same picture as floats in [0, 1], floats to 255, bytes, and a binary one as bool and 0/1 bytes."""
    grey = np.round(X * 255)
    forms = [grey / 255, grey, grey.astype(np.uint8)]
    parts = [datasets.load(npz(tmp_path, x=form, y=Y), tmp_path).x for form in forms]
    assert all(np.array_equal(parts[0], part) for part in parts)
    hair = np.where(X == X.max(), 1 + 1e-4, X)  # a hair above 1, as resizers leave it, is 1
    over, clipped = (datasets.load(npz(tmp_path, x=x, y=Y), tmp_path).x for x in (hair, hair.clip(0, 1)))
    assert np.array_equal(over, clipped) and over.mean() > 0.4
    keras_names = datasets.load(npz(tmp_path, x_train=X, y_train=Y), tmp_path)
    assert keras_names.fingerprint() == datasets.load(npz(tmp_path, x=X, y=Y), tmp_path).fingerprint()
    ink = X > 0.5
    parts = [datasets.load(npz(tmp_path, x=form, y=Y), tmp_path).x for form in (ink, ink.astype(np.uint8))]
    assert np.array_equal(parts[0], parts[1]) and 0.3 < parts[0].mean() < 0.7


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": X}, "it needs x"),
        ({"pictures": X, "y": Y}, "has the arrays pictures, y"),
        ({"x": X * 1.23, "y": Y}, "clip it"),
        ({"x": X * 16, "y": Y}, "neither"),
        ({"x": (X * 16).astype(np.uint8), "y": Y}, "not 0..255"),
        ({"x": X, "y": Y[:-1]}, "30 images, y 29 labels"),
        ({"x": X[0], "y": Y}, r"\(N, H, W, 1 or 3\)"),
        ({"x": np.where(X > 0.99, np.nan, X), "y": Y}, "NaN"),
        ({"x": X - 1, "y": Y}, "scale it"),
        ({"x": X.astype(str), "y": Y}, "dtype"),
        ({"x": X, "y": Y + 0.5}, "no whole numbers"),
        ({"x": X, "y": Y + 1j}, "integer labels"),
        ({"x": X, "y": Y.astype("m8[s]")}, "integer labels"),
        ({"x": X, "y": Y * 2}, "class 1 has no"),
        ({"x": X, "y": Y - 1}, "labels reach from -1"),
        ({"x": X, "y": Y, "x_test": X}, "only one of"),
        ({"images": X, "labels": Y, "x_test": X, "y_test": Y}, "x_test, y_test beside images and labels"),
        ({"x": X, "y": Y, "test_images": X, "test_labels": Y}, "test_images, test_labels beside x and y"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "x_train, y_train beside x and y"),
        ({"x": X, "y": Y, "x_test": X[:, :5], "y_test": Y}, "test images"),
        ({"x": X[:0], "y": Y[:0]}, r"\(N, H, W, 1 or 3\)"),
        ({"x": X, "y": np.arange(30)}, "class 0 has 1 image, 3 are needed"),
        ({"x": X, "y": np.arange(30) // 2}, "class 0 has 2 images, 3 are needed"),
        ({"x": np.array([{"a": 1}]), "y": Y}, "cannot be read"),
    ],
)
def test_bad_npz_files(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message) as caught:
        datasets.load(npz(tmp_path, **arrays), tmp_path)
    assert "\n" not in str(caught.value)


def test_truncated_missing_and_unknown(tmp_path):
    path = tmp_path / "cut.npz"
    path.write_bytes(open(npz(tmp_path, x=X, y=Y), "rb").read()[:500])
    for name, message in ((path, "cannot be read"), (tmp_path / "no.npz", "is missing"), ("cifar", "unknown data set")):
        with pytest.raises(InputError, match=message):
            datasets.load(str(name), tmp_path)


def test_binarization_is_static_and_keeps_grey_levels(tmp_path):
    grey = np.full((2000, 4, 4), 0.25)
    path = npz(tmp_path, x=grey, y=np.arange(2000) % 2)
    first, second = datasets.load(path, tmp_path), datasets.load(path, tmp_path)
    assert np.array_equal(first.x, second.x) and first.fingerprint() == second.fingerprint()
    assert abs(first.x.mean() - 0.25) < 0.01
    assert datasets.load(path, tmp_path, binarize="threshold").x.sum() == 0


def test_validation_part_comes_from_the_training_part_alone(tmp_path):
    marks = np.arange(60) / 255.0
    x = np.broadcast_to(marks[:, None, None], (60, 4, 4))
    path = npz(tmp_path, x=x[:40], y=np.arange(40) % 2, x_test=x[40:], y_test=np.arange(20) % 2)
    raw = image_sets.read(path, tmp_path)
    x, y, held, _ = datasets.stratified_split(raw.x, raw.y, datasets.VALIDATION_FRACTION)
    assert len(held) == 4 and held.max() < 40 and not set(held[:, 0, 0, 0]) & set(x[:, 0, 0, 0])
    data = datasets.load(path, tmp_path)
    assert [len(data.x), len(data.x_validation), len(data.x_test)] == [36, 4, 20]
    assert data.part("validation")[0] is data.x_validation and data.part("test")[1] is data.y_test


def test_arrays_that_are_not_used_are_named(tmp_path, capsys):
    x, y = np.full((9, 4, 4), 200, np.uint8), np.arange(9) % 3
    path = npz(tmp_path, x=x, y=y, x_val=x[:2], y_val=y[:2])
    assert len(image_sets.read(path, tmp_path).x) == 9
    assert capsys.readouterr().out.endswith("mine.npz: not used: x_val, y_val\n")
    with pytest.raises(InputError, match="has x_val, y_val beside x: call labels y, and leave the others out"):
        readers.perhaps_labelled(path)
    with pytest.raises(InputError, match="has labels beside x: call labels y"):
        readers.perhaps_labelled(npz(tmp_path, x=x, labels=y))


def test_a_colour_whose_luminance_is_no_level_is_not_exact(tmp_path):
    x = np.zeros((2, 4, 4, 3), np.uint8)
    x[0, 0, 0], x[1, 1, 1] = 255, (0, 0, 6)
    with pytest.raises(InputError, match="grey levels finer than 256"):
        readers.perhaps_labelled(npz(tmp_path, x=x), exact=True)
    assert len(readers.perhaps_labelled(npz(tmp_path, x=x[:1]), exact=True)[0]) == 1
    assert len(readers.perhaps_labelled(npz(tmp_path, x=x))[0]) == 2


@pytest.mark.filterwarnings("error")
def test_a_label_beyond_all_numbers_is_refused_in_one_line(tmp_path):
    path = npz(tmp_path, x=np.full((2, 4, 4), 200, np.uint8), y=np.array([0, 1e30]))
    with pytest.raises(InputError, match="no whole numbers"):
        image_sets.read(path, tmp_path)


@pytest.mark.parametrize("names", [("x", "x_test"), ("x", "x_train"), ("images", "images_test")])
def test_a_pile_of_several_arrays_is_no_pile(tmp_path, names):
    path = tmp_path / "pile.npz"
    np.savez(path, **{name: np.zeros((3, 8, 8), np.uint8) for name in names})
    for read in (readers.unlabelled, readers.perhaps_labelled):
        with pytest.raises(InputError, match=f"several arrays of images, {', '.join(names)}"):
            read(path)
