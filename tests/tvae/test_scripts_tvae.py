"""08_denoise.py as a user calls it."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, assert_refused
from PIL import Image
from sklearn.datasets import load_sample_image

from common.data import pictures
from common.runs.results import read_records
from common.tvae import bars, budget, denoising, outputs, patches
from common.tvae.recipe import Recipe

QUICK = ["--patch", 6, "--stride", 3, "--latent-dim", 12, "--hidden", 12, "--states", 16, "--half-cycle", 2]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A colour corner of scikit-learn's flower.jpg, 21 x 26."""
    path = tmp_path_factory.mktemp("images") / "flower.png"
    Image.fromarray(load_sample_image("flower.jpg")[100:142:2, 300:352:2]).save(path)
    return path


def start(*options):
    command = [sys.executable, str(ROOT / "08_denoise.py"), *map(str, options)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@pytest.mark.slow
def test_two_processes_do_a_run_once(photo, call):
    results, other = photo.parent / "whole", photo.parent / "two"
    options = ["--image", photo, "--epochs", 12, *QUICK]
    done = call("08_denoise.py", *options, "--results-dir", results)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(results / "08_denoise" / "psnr.csv")
    assert list(table.columns) == ["run", *outputs.COLUMNS, "trained_at", "evaluated_at"]
    assert set(table["method"]) == {"tvae", "tv", "wavelet", "nlm", "noisy"}
    tvae = table[table["method"] == "tvae"]
    assert list(tvae["epoch"]) == [2, 4, 6, 8, 10, 12] and tvae["free_energy"].iloc[-1] > tvae["free_energy"].iloc[0]
    (folder,) = (results / "08_denoise").glob(f"flower.png_25_seed0-{tvae['run'].iloc[0]}")
    assert {path.stem for path in folder.glob("*.png")} == {"restored", "before_after", "curves", "fields"}
    assert pictures.read(folder / "restored.png").pixels.shape == (21, 26, 3)
    assert "flower" in (results / "README.md").read_text()

    two = [start(*options, "--results-dir", other) for _ in range(2)]
    said = [process.communicate(timeout=600)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    again = pd.read_csv(other / "08_denoise" / "psnr.csv")
    numbers = [name for name in table if name not in ("seconds", "trained_at", "evaluated_at")]
    pd.testing.assert_frame_equal(again[numbers], table[numbers])


def test_a_scratched_picture_is_restored_with_the_settings_chosen_for_its_time(photo, tmp_path, monkeypatch, call):
    mask = np.zeros((21, 26), np.uint8)
    mask[9:11, 4:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    results = tmp_path / "results"
    options = ["--image", photo, "--output", tmp_path / "out.png", "--mask", tmp_path / "mask.png", "--minutes", 0.5]
    options += ["--latent-dim", 8, "--hidden", 8, "--half-cycle", 1, "--results-dir", results]
    # An earlier call has measured and stored its choice.
    pixels, recipe = pictures.read(photo).pixels, Recipe(latent_dim=8, hidden=(8,), half_cycle=1)
    asked = budget.Budget(patches.fingerprint(pixels), 0.5, denoising.PATCH, True, recipe)
    monkeypatch.setattr(budget, "_seconds_a_step", lambda *args: 0.3)
    settings = budget.chosen(asked, pixels, results / "checkpoints")
    done = call("08_denoise.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"--minutes 0.5: {budget.in_words(settings)}" in done.stdout
    assert "an epoch takes" in done.stderr + done.stdout
    raw, found = np.asarray(Image.open(photo)), np.asarray(Image.open(tmp_path / "out.png"))
    np.testing.assert_array_equal(found[mask == 0], raw[mask == 0])
    assert found.shape == raw.shape and (found[mask > 0] != raw[mask > 0]).any()
    table = pd.read_csv(results / "08_denoise" / "psnr.csv")
    assert table["psnr"].isna().all() and table["epoch"].max() == settings["epochs"]
    (record,) = read_records(results / "08_denoise" / "psnr.csv").values()
    assert record["stride"] == settings["stride"] and record["recipe"]["states"] == settings["states"]


@pytest.mark.slow
def test_seeds_of_the_bars_test_side_by_side(tmp_path, call):
    options = ["--task", "bars", "--epochs", 4, "--states", 16, "--seeds", 0, 1, 0, "--jobs", 2, "--restarts", 1]
    done = call("08_denoise.py", *options, "--results-dir", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(tmp_path / "08_denoise" / "bars.csv")
    assert list(table["seed"]) == [0, 1] and table["run"].nunique() == 2
    for row in table.itertuples():
        assert (tmp_path / "08_denoise" / f"bars_seed{row.seed}-{row.run}" / "fields.png").exists()
        assert row.generating_log_likelihood == pytest.approx(bars.draw(500, 0.1, row.seed)[-1], rel=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--image", "none.png"], "none.png is missing"),
        (["--image", "text.png"], "no picture that is known"),
        (["--image", "pixel.png"], "smaller than a patch"),
        (["--warm-stride", 9], "lower --stride"),
        (["--min-learning-rate", 0.1], "lower --min-learning-rate"),
        (["--states", 64, "--latent-dim", 4], "change --states"),
        (["--inpaint", 1], "no pixel is left"),
        (["--mask", "pixel.png"], "different sizes"),
        (["--minutes", 1, "--states", 9], "--minutes chooses --states"),
        (["--output", "out.png", "--seeds", 0, 1], "give one --seed"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, call, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("hello")
    Image.fromarray(np.full((1, 1), 90, np.uint8)).save(tmp_path / "pixel.png")
    done = call("08_denoise.py", "--results-dir", tmp_path / "results", *options)
    assert_refused(done, message)
    assert not (tmp_path / "results").exists()
