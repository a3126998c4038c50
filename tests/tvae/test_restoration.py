"""`denoise_binary_vae` as a Python user calls it."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.exceptions import ConvergenceWarning

from common.tvae import denoising, patches
from common.tvae.recipe import Recipe
from common.tvae.restoration import denoise_binary_vae

SMALL = dict(latent_dim=6, hidden=(6,), states=8, parents=2, children=2, batch_size=16, half_cycle=2)
SMALL |= dict(epochs=4, max_learning_rate=0.5, patch_size=6, stride=3)
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("eager"),
]


@pytest.fixture
def eager():
    """Nothing is compiled: small models take less than their compilation would."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def edge():
    """An image (18, 18) of one edge in 0..1."""
    image = np.full((18, 18), 0.25)
    image[:, 9:] = 0.75
    return image


def test_noise_is_taken_away_and_its_level_learned(edge):
    noisy = edge + 0.1 * np.random.default_rng(0).standard_normal(edge.shape)
    found, sigma = denoise_binary_vae(noisy, return_sigma=True, **SMALL | {"epochs": 40})
    assert found.shape == edge.shape and found.dtype == np.float64
    assert np.std(found - edge) < 0.5 * np.std(noisy - edge) and 0.08 < sigma < 0.12


def test_it_is_what_the_script_does(edge, tmp_path):
    pixels = (edge * 255).astype(np.float32)
    recipe = Recipe(**{name: value for name, value in SMALL.items() if name not in ("patch_size", "stride")})
    run = denoising.DenoisingRun("x", patches.fingerprint(pixels), None, 0.0, 6, 3, 0, 0, recipe, 0)
    model, _, patched = denoising.fit(run, pixels, tmp_path)
    found = denoise_binary_vae(pixels, data_range=255, **SMALL)
    np.testing.assert_array_equal(found, patched.assemble(model.reconstruct()).astype(np.float32))


def test_no_file_is_written(edge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    denoise_binary_vae(edge, **SMALL)
    assert not list(tmp_path.iterdir())


def test_scales_and_channels(edge):
    whole = (edge * 255).round().astype(np.uint8)
    found = denoise_binary_vae(whole, **SMALL)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, denoise_binary_vae(whole / 255, **SMALL), atol=1e-4)  # as img_as_float has it
    colour = np.stack([edge, 1 - edge])
    first = denoise_binary_vae(colour, channel_axis=0, **SMALL)
    last = denoise_binary_vae(np.moveaxis(colour, 0, -1), channel_axis=-1, **SMALL)
    assert first.shape == (2, 18, 18)
    np.testing.assert_array_equal(first, np.moveaxis(last, -1, 0))
    scaled = denoise_binary_vae(whole / 4.0, data_range=255 / 4, **SMALL)
    np.testing.assert_allclose(scaled * 4 / 255, found, atol=1e-4)


def test_masked_pixels_are_filled_in_and_others_stay(edge):
    mask = np.random.default_rng(0).random(edge.shape) < 0.3
    damaged = np.where(mask, np.nan, edge)
    found = denoise_binary_vae(damaged, mask=mask, **SMALL | {"epochs": 24})
    np.testing.assert_allclose(found[~mask], edge[~mask], atol=1e-6)
    assert np.abs(found[mask] - edge[mask]).mean() < 0.1  # the mean of the image is off by 0.25


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image": np.zeros((4, 4, 3))}, "channel_axis"),
        ({"image": np.full((18, 18), np.nan)}, "NaN"),
        ({"image": np.arange(324.0).reshape(18, 18)}, "give data_range"),
        ({"image": np.arange(256, dtype=np.uint8).reshape(16, 16), "data_range": 255}, "leave data_range=255 out"),
        ({"image": np.zeros((4, 4))}, "smaller than a patch"),
        ({"mask": np.zeros((4, 4), bool)}, "mask has shape"),
        ({"mask": np.ones((18, 18), bool)}, "no pixel is left"),
        ({"minutes": 1.0}, "minutes chooses batch_size, epochs, states, stride"),
        ({"minutes": 1e-4, "epochs": None, "states": None, "batch_size": None, "stride": None}, "too short"),
    ],
)
def test_bad_input_is_a_value_error_that_says_so(edge, change, message):
    options = {name: value for name, value in ({"image": edge} | SMALL | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        denoise_binary_vae(options.pop("image"), **options)


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_a_bound_that_still_rises_warns(edge):
    with pytest.warns(ConvergenceWarning, match="too few"):
        denoise_binary_vae(edge, **SMALL)
