"""Sets that come by name: with scikit-learn, or from tensorflow-datasets, which alone needs TensorFlow."""

import numpy as np
import pytest

from common.data import datasets, image_sets
from common.errors import InputError


def test_digits_ship_with_scikit_learn():
    data = datasets.load("digits", "nowhere")
    assert data.image_shape == (28, 28, 1) and len(data.x) + len(data.x_validation) + len(data.x_test) == 1797
    assert np.bincount(data.y_test).min() > 30


def test_photographs_are_cut_into_squares_that_make_up_their_pictures():
    from sklearn.datasets import load_sample_image

    raw = image_sets.read("photographs", None, colour=True)
    assert raw.x.shape[1:] == (16, 16, 3) and len(raw.class_names) == raw.y.max() + 1 == 8
    china = raw.x[raw.y == raw.class_names.index("china")]
    rows = china.reshape(427 // 16, 640 // 16, 16, 16, 3).swapaxes(1, 2)
    np.testing.assert_array_equal(rows.reshape(416, 640, 3), load_sample_image("china.jpg")[:416])
    assert datasets.load("photographs", "nowhere", "none").image_shape == (16, 16, 1)  # grey where nobody asks for more


def test_area_average_keeps_ink():
    image = np.full((105, 105), 255, np.uint8)
    image[40:70, 20:50] = 0
    small = image_sets._shrink_to_28(image)
    assert small.shape == (28, 28) and abs(small.mean() - (255 - image).mean()) < 0.5
    assert small[14, 9] == 255 and small[0, 0] == 0


@pytest.mark.parametrize("name, shape", [("mnist", (28, 28, 1)), ("omniglot", (28, 28, 1))])
def test_tfds_serves_what_is_not_in_the_folder(tmp_path, monkeypatch, name, shape):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(image_sets, "_online", lambda: True)
    with tfds.testing.mock_data(num_examples=400):
        data = image_sets.read(name, tmp_path)
    assert data.x.shape[1:] == shape and len(data.x) == len(data.y) > 0
    assert data.name == ("omniglot_tfds" if name == "omniglot" else name)


def test_no_network_says_at_once_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr(image_sets, "_online", lambda: False)
    with pytest.raises(InputError, match="fashion_mnist is not in .*no network.*train-images-idx3-ubyte.gz.*there"):
        datasets.load("fashion_mnist", tmp_path)


def test_a_failed_download_says_which_file_to_put_where(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    def offline(*args, **kwargs):
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(image_sets, "_online", lambda: True)
    monkeypatch.setattr(tfds, "load", offline)
    with pytest.raises(InputError, match="no route to host.*train-images-idx3-ubyte.gz.*into") as caught:
        datasets.load("fashion_mnist", tmp_path)
    assert "\n" not in str(caught.value)
