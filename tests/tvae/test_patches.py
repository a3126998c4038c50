"""Patches cut and averaged back, and measures against scikit-image."""

import numpy as np
import pytest

from common.errors import InputError
from common.tvae import patches


@pytest.mark.parametrize("shape", [(16, 16), (17, 23), (8, 30), (19, 11, 3)])
@pytest.mark.parametrize("stride", [1, 3, 4, 8])
def test_patches_averaged_back_give_the_image(shape, stride):
    image = np.random.default_rng(0).random(shape) * 255
    cut = patches.cut(image, 8, stride)
    assert cut.shape[1] == 8 * 8 * (3 if len(shape) == 3 else 1)
    np.testing.assert_array_equal(cut[0], image[:8, :8].ravel())
    np.testing.assert_array_equal(cut[-1], image[-8:, -8:].ravel())  # the last corner is always covered
    np.testing.assert_allclose(patches.average(cut, shape, 8, stride), image, rtol=1e-12)


def test_a_pixel_is_the_mean_of_the_patches_that_cover_it():
    found = patches.average(np.arange(4.0)[:, None] * np.ones((1, 4)), (3, 3), 2, 1)  # four 2 x 2 patches of 0, 1, 2, 3
    np.testing.assert_allclose(found, [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]])


def test_one_pixel_and_too_small_images():
    assert patches.cut(np.full((1, 1), 7.0), 1, 1).tolist() == [[7.0]]
    with pytest.raises(InputError, match="smaller than a patch"):
        patches.cut(np.zeros((7, 20)), 8, 4)
    with pytest.raises(InputError, match="leave pixels out"):
        patches.cut(np.zeros((20, 20)), 8, 9)


def test_measures():
    rng = np.random.default_rng(1)
    clean = rng.random((32, 32)) * 255
    assert patches.psnr(clean + 5, clean) == pytest.approx(20 * np.log10(255 / 5))  # not clipped
    assert patches.psnr(clean, clean) == float("inf") and patches.ssim(clean, clean) == pytest.approx(1)
    assert np.isnan(patches.ssim(clean[:3], clean[:3]))
    noise = patches.add_noise(np.zeros((200, 200), np.float32), 25, 0)
    assert noise.std() == pytest.approx(25, rel=0.02) and noise.min() < 0  # not clipped


def test_a_fingerprint_stands_for_shape_and_pixels():
    image = np.arange(12.0).reshape(3, 4)
    own = patches.fingerprint(image)
    assert own == patches.fingerprint(image.astype(np.float32)) and len(own) == 12
    assert own != patches.fingerprint(image.T.copy()) and own != patches.fingerprint(image.reshape(4, 3))
    image[2, 3] += 1
    assert own != patches.fingerprint(image)
