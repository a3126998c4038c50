"""Denoising around the model: records, patches of an image, jobs, rivals, figures and the report."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
import tifffile
from conftest import ROOT
from PIL import Image

from common.data.pictures import Picture
from common.errors import InputError
from common.names import name_of_file
from common.runs.results import put_rows, read_records, read_rows
from common.tvae import (
    bars,
    budget,
    denoising,
    figures,
    inputs,
    outputs,
    patches,
    report,
    rivals,
    training,
    zero_shot_noise2noise,
)
from common.tvae.model import BinaryVAE
from common.tvae.recipe import Recipe

RECIPE = Recipe(latent_dim=6, hidden=(6,), states=8, parents=2, children=2, epochs=4, batch_size=16, half_cycle=2)
RUN = denoising.DenoisingRun("scan", "f1", 25.0, 0.0, 6, 3, 6, 2, RECIPE, 0)
RIVAL = rivals.rival(RUN, "tv")


@pytest.fixture
def eager():
    """Nothing is compiled: small models take less than their compilation would."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def changed(value):
    if isinstance(value, bool):
        return not value
    if value is None:
        return 5
    more = {str: "x", tuple: (1,), float: 0.001}  # a learning rate stays below the largest
    return value + more.get(type(value), 1)


def variants(record):
    """(name, record with this one setting changed), records within records too."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            for name, other in variants(value):
                yield f"{field.name}.{name}", dataclasses.replace(record, **{field.name: other})
        else:
            yield field.name, dataclasses.replace(record, **{field.name: changed(value)})


@pytest.mark.parametrize("record", [RUN, RIVAL, bars.BarsRun()], ids=lambda record: record.kind)
def test_each_setting_has_its_own_folder_and_row_and_a_label_has_not(tmp_path, record):
    others = dict(variants(record))
    label = others.pop("image", record)
    assert label.folder("c") == record.folder("c")
    folders = {other.folder("c") for other in others.values()} | {record.folder("c")}
    assert len(folders) == len(others) + 1
    for other in (record, *others.values(), label):
        rows = put_rows(tmp_path / "t.csv", [{"run": other, "epoch": 1}], ["epoch"], ["epoch"])
    assert len(rows) == len(folders)
    assert (rows["experiment"].value_counts() == 1).sum() == len(folders) - 2  # the other seed is the same experiment


def test_what_a_run_does_not_use_does_not_split_it():
    cold = dataclasses.replace(RUN, warm_stride=0)
    assert cold.digest == dataclasses.replace(cold, warm_epochs=7).digest != RUN.digest
    assert dataclasses.replace(RUN, sigma=25).digest == RUN.digest
    coarse = RUN.coarse()
    assert (coarse.stride, coarse.recipe.epochs, coarse.warm_stride) == (6, 2, 0)
    # The same first training serves every length of the second one.
    assert dataclasses.replace(RUN, recipe=dataclasses.replace(RECIPE, epochs=9)).coarse().digest == coarse.digest


def test_folders_of_pictures_are_told_apart_and_not_too_long():
    other = dataclasses.replace(RUN, fingerprint="f2")  # a picture of the same name
    names = [outputs.folder_name(run) for run in (RUN, other, RUN.coarse(), RIVAL, rivals.rival(RUN, "bm3d"))]
    assert len(set(names)) == 5 and names[0] == f"scan_25_seed0-{RUN.digest}" and "_tv_" in names[3]
    long = dataclasses.replace(RUN, image=name_of_file("é" * 120), sigma=None, inpaint=0.5)
    assert "_noisy_inpaint0p5_seed0-" in outputs.folder_name(long) and len(outputs.folder_name(long).encode()) < 255


def test_missing_pixels_are_left_out_of_the_patches():
    image = np.random.default_rng(0).random((12, 12)).astype(np.float32) * 255
    whole = denoising.PatchedImage(image, None, 4, 4)
    assert whole.mask is None and whole.variance == pytest.approx(whole.data.var(0).mean() + 0.001, rel=1e-5)
    observed = np.random.default_rng(1).random(image.shape) > 0.5
    observed[:4, :4] = False  # a whole patch
    part = denoising.PatchedImage(image, observed, 4, 4)
    assert part.data.shape == part.mask.shape == (8, 16) and part.places[0].tolist() == [0, 4]
    spread = [column[seen > 0].var() for column, seen in zip(part.data.T, part.mask.T)]
    assert part.variance == pytest.approx(np.mean(spread) + 0.001, rel=1e-5)
    found = part.assemble(np.full((8, 16), 7.0))
    np.testing.assert_array_equal(found[observed], image[observed])
    # The patch without a pixel takes the nearest estimate.
    assert (found[~observed] == 7).all() and part.num_far == 16 and whole.num_far == 0


def test_what_cannot_be_restored_is_refused_before_a_training():
    image = np.zeros((20, 20), np.float32)
    denoising.check(RUN, image)
    for options, message in (({"inpaint": 1.0}, "no pixel is left"), ({"warm_stride": 7}, "leave pixels out")):
        with pytest.raises(InputError, match=message):
            denoising.check(dataclasses.replace(RUN, **options), image)


def test_a_patch_without_a_known_pixel_darkens_no_other_one():
    image = np.full((12, 12), 200.0, np.float32)
    observed = np.ones_like(image, bool)
    observed[2:10, 2:10] = False  # whole patches, which overlap others
    part = denoising.PatchedImage(image, observed, 4, 2)
    assert len(part.data) < len(part.kept)
    np.testing.assert_allclose(part.assemble(np.full_like(part.data, 200)), 200)


def test_records_of_before_masks_keep_their_digest():
    assert "mask" not in RUN.stored() and dataclasses.replace(RUN, mask="f3").digest != RUN.digest


def test_committed_rows_keep_their_digests():
    known = read_records(ROOT / "results" / "08_denoise" / "psnr.csv")
    before = Recipe(max_learning_rate=0.01, mutation="flip", gradient_states=64)
    run = denoising.DenoisingRun("house", "3712de687a6f", 25.0, 0.0, 8, 4, 0, 0, before, 0)
    recipe = dataclasses.replace(bars.RECIPE, hidden=(8,), mutation="flip")
    for record in (run, bars.BarsRun(recipe, first_variance=0.01), rivals.rival(run, "tv"), rivals.rival(run, "bm3d")):
        assert known[record.digest] == record.stored()


def test_a_mask_is_white_where_pixels_are_missing(tmp_path):
    path = tmp_path / "mask.png"
    marks = np.zeros((6, 7), np.uint8)
    marks[2, 3:5] = 255
    for array in (marks, np.stack([marks] * 3, -1), marks > 0):
        Image.fromarray(array).save(path)
        missing = inputs.load_mask(path, (6, 7, 3))
        assert missing.dtype == bool and np.argwhere(missing).tolist() == [[2, 3], [2, 4]]
    erased = np.stack(
        [np.full_like(marks, 255)] * 3 + [marks], -1
    )  # white all over, and transparent but for two pixels
    Image.fromarray(erased).save(path)
    np.testing.assert_array_equal(inputs.load_mask(path, (6, 7, 3)), missing)
    image = np.zeros((6, 7, 3), np.float32)
    run = dataclasses.replace(RUN, sigma=None, mask=denoising.mask_fingerprint(missing))
    _, observed = denoising.observe(run, image, missing)
    np.testing.assert_array_equal(observed, ~np.stack([missing] * 3, -1))
    half = denoising.observe(dataclasses.replace(run, inpaint=0.5), image, missing)[1]
    assert not half[missing].any() and 0.2 < half.mean() < 0.7
    for array, shape, message in (
        (marks, (7, 6), "different sizes"),
        (marks // 255, (6, 7), "no pixel as missing"),
        (255 - marks * 0, (6, 7), "all pixels"),
    ):
        Image.fromarray(array).save(path)
        with pytest.raises(InputError, match=message):
            inputs.load_mask(path, shape)


@pytest.mark.parametrize("shape", [(64, 200), (33, 40, 3)])
def test_text_is_a_mask_of_any_size_and_a_file_of_that_name_comes_first(tmp_path, monkeypatch, shape):
    missing = inputs.load_mask("text", shape)
    assert missing.shape == shape[:2] and 0.15 < missing.mean() < 0.3
    rows = missing[: shape[0] // 16 * 16].reshape(-1, 16, shape[1]).any(1)
    assert (rows.mean(1) > 0.5).all()  # letters on each line, over its whole width
    monkeypatch.chdir(tmp_path)
    marks = np.zeros(shape[:2], np.uint8)
    marks[2, 3] = 255
    Image.fromarray(marks).save("text", format="png")
    assert np.argwhere(inputs.load_mask("text", shape)).tolist() == [[2, 3]]


def test_where_a_picture_is_written_is_checked_before_it_is_made(tmp_path, scan):
    like, _ = inputs.load(scan)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "marks.png").touch()
    outputs.check_output(tmp_path / "out.png", {"--image": scan, "--mask": None}, like)
    refused = {"out.jpg": "written as .png", "none/out.png": "no folder", "folder.png": "cannot be written"}
    refused |= {"scan.png": "over --image", "marks.png": "over --mask"}
    for path, message in refused.items():
        with pytest.raises(InputError, match=message):
            outputs.check_output(tmp_path / path, {"--image": scan, "--mask": tmp_path / "marks.png"}, like)


def test_built_in_pictures_have_names_and_a_file_of_such_a_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prints = set()
    for name in inputs.BUILT_IN:
        picture, found = inputs.load(name)
        assert found == name and picture.pixels.shape == (256, 256) and picture.pixels.dtype == np.float32
        prints.add(patches.fingerprint(picture.pixels))
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename("camera")
    assert inputs.load("camera")[1] == "camera.file" and len(prints) == 2


def test_a_bound_that_still_rises_is_told():
    def rows(*bounds):
        return [{"epoch": 2 * i, "free_energy": bound} for i, bound in enumerate(bounds, 1)]

    flat = dataclasses.replace(RECIPE, half_cycle=1)
    assert training.still_rising(rows(0, 90, 99, 100), flat) is None
    assert "by 5 nats a patch, 50%" in training.still_rising(rows(0, 5, 10), flat)
    assert "too few" in training.still_rising(rows(0, 5), flat)
    assert training.still_rising(rows(3, 3, 3), flat) is training.still_rising(rows(3, 4, 3.9), flat) is None
    # Between two ends of cycles the rate is high and the bound low: those rows do not count.
    assert training.still_rising(rows(-9, 0, -9, 99, -9, 100), RECIPE) is None


def test_a_time_chooses_richer_settings_the_longer_it_is(tmp_path, monkeypatch):
    seconds = {(32, 32): 1e-3, (64, 32): 2e-3, (64, 64): 4e-3, (64, 128): 8e-3}
    measured = []

    def measure(asked, image, states, batch_size):
        measured.append(asked.minutes)
        return seconds[states, batch_size]

    monkeypatch.setattr(budget, "_seconds_a_step", measure)
    image, found = np.zeros((64, 64), np.float32), []
    for minutes in (0.25, 0.5, 2, 60):
        asked = budget.Budget("f1", minutes, 8, False, Recipe())
        settings = budget.chosen(asked, image, tmp_path)
        assert settings["seconds"] < 60 * minutes and settings["epochs"] % 20 == 0 and settings["epochs"] >= 60
        found.append((-settings["stride"], settings["states"], settings["epochs"]))
        before = len(measured)
        assert budget.chosen(asked, image, tmp_path) == settings and len(measured) == before  # stored
    assert found == sorted(found) and found[0][0] < -1 and found[-1][:2] == (-1, 64)
    with pytest.raises(InputError, match="--minutes 0.001 is too short: this image needs 0.2 at least"):
        budget.choose(budget.Budget("f1", 0.001, 8, False, Recipe()), image)
    runs, words = budget.runs_for(2, [RUN, dataclasses.replace(RUN, seed=1)], image, tmp_path)
    assert [run.seed for run in runs] == [0, 1] and runs[0].recipe.latent_dim == RECIPE.latent_dim
    assert f"stride {runs[1].stride}, states {runs[1].recipe.states}" in words


@pytest.mark.parametrize("masked", [False, True])
def test_a_step_is_measured(eager, masked):
    asked = budget.Budget("f1", 1.0, 4, masked, RECIPE)
    assert 0 < budget._seconds_a_step(asked, np.zeros((8, 8, 3)), 8, 4) < 10


@pytest.fixture
def scan(tmp_path):
    """A picture of one edge, 18 x 18."""
    image = np.full((18, 18), 60.0)
    image[:, 9:] = 180
    Image.fromarray(image.astype(np.uint8)).save(tmp_path / "scan.png")
    return tmp_path / "scan.png"


def restored(tmp_path, path, **changes):
    picture, name = inputs.load(path)
    run = dataclasses.replace(RUN, image=name, fingerprint=patches.fingerprint(picture.pixels), **changes)
    return denoising.denoise((run, path, None, None, tmp_path / "checkpoints"))


def test_each_length_of_training_has_its_own_numbers(eager, tmp_path, scan):
    longer = restored(tmp_path, scan)
    recipe = dataclasses.replace(RECIPE, epochs=2)
    shorter = restored(tmp_path, scan, recipe=recipe)
    alone = restored(tmp_path / "alone", scan, recipe=recipe)
    np.testing.assert_array_equal(shorter.pictures["tvae"], alone.pictures["tvae"])
    assert np.abs(longer.pictures["tvae"] - shorter.pictures["tvae"]).max() > 0
    cold = restored(tmp_path, scan, warm_stride=0)
    assert np.abs(cold.pictures["tvae"] - longer.pictures["tvae"]).max() > 0
    new = [*longer.rows, *shorter.rows, *cold.rows]
    rows = put_rows(tmp_path / "psnr.csv", new, outputs.COLUMNS, outputs.KEYS)
    epochs = rows[rows["method"] == "tvae"].groupby("run")["epoch"].agg(list)
    assert epochs[longer.run.digest] == [2, 4] and epochs[shorter.run.digest] == [2]
    again = restored(tmp_path, scan)  # loaded
    assert again.rows[:2] == longer.rows[:2] and (rows["method"] != "tvae").sum() == len(rivals.installed(RUN)) == 7
    np.testing.assert_array_equal(again.pictures["tvae"], longer.pictures["tvae"])


def test_estimates_of_the_second_half_are_averaged_at_the_ends_of_cycles(eager, tmp_path, scan, monkeypatch):
    """Cut off in the middle of it, too."""
    recipe = dataclasses.replace(RECIPE, epochs=8, half_cycle=1)
    picture, _ = inputs.load(scan)
    run = dataclasses.replace(RUN, recipe=recipe, warm_stride=0)
    seen, average_in = [], BinaryVAE.average_in
    monkeypatch.setattr(BinaryVAE, "average_in", lambda model: seen.append(model.reconstruct()) or average_in(model))
    model, progress, patched = denoising.fit(run, picture.pixels)
    assert len(seen) == 2 and int(model.num_averaged) == 2  # epochs 6 and 8
    np.testing.assert_allclose(model.averaged, np.mean(seen, 0), rtol=1e-5)
    expected = patches.psnr(patched.assemble(np.mean(seen, 0)), picture.pixels)
    assert progress["rows"][-1]["psnr_averaged"] == pytest.approx(expected, abs=1e-3)
    assert ["psnr_averaged" in row for row in progress["rows"]] == [epoch >= 6 for epoch in range(1, 9)]

    def killed(model):
        average_in(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(BinaryVAE, "average_in", average_in)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(BinaryVAE, "average_in", killed)
        denoising.fit(run, picture.pixels, tmp_path)
    resumed, again, _ = denoising.fit(run, picture.pixels, tmp_path)
    np.testing.assert_array_equal(resumed.averaged, model.averaged)
    assert [row["psnr_averaged"] for row in again["rows"][5:]] == [row["psnr_averaged"] for row in progress["rows"][5:]]


@pytest.mark.parametrize("changes", [{"sigma": None}, {"sigma": 0.0}, {"sigma": 0.0, "inpaint": 0.5}])
def test_odd_settings_give_a_result_without_nan(eager, tmp_path, scan, changes):
    found = restored(tmp_path, scan, warm_stride=0, **changes)
    own = [row for row in found.rows if row["method"] == "tvae"]
    assert np.isfinite([(row["free_energy"], row["learned_sigma"]) for row in own]).all()
    assert all("psnr" in row for row in found.rows) == (changes["sigma"] is not None)
    clean = {"clean"} if changes["sigma"] is not None else set()
    shown = {"given", "biharmonic"} if "inpaint" in changes else {"noisy"}
    assert set(found.pictures) == {"tvae"} | clean | shown


def test_a_deep_scan_comes_back_as_deep_as_it_was(eager, tmp_path, scan):
    deep = np.asarray(Image.open(scan)).astype(np.uint16) * 16  # 12 bits
    tifffile.imwrite(tmp_path / "deep.tif", deep.astype(">u2"), byteorder=">")
    recipe = dataclasses.replace(RECIPE, epochs=12, max_learning_rate=0.5, half_cycle=3, batch_size=8)
    found = restored(tmp_path, tmp_path / "deep.tif", recipe=recipe, sigma=None, warm_stride=0)
    outputs.write_restored(tmp_path / "own", found.pictures["tvae"], found.like)
    written = np.asarray(Image.open(tmp_path / "own" / "restored.png"))
    assert written.dtype == np.uint16 and written.max() <= 4095
    assert np.abs(written.astype(float) - deep).mean() < 16 * 40  # at another depth it would be far off


def test_a_picture_that_was_changed_meanwhile_is_not_taken_for_the_first(tmp_path, scan):
    own = patches.fingerprint(inputs.load(scan)[0].pixels)
    for changes in ({"fingerprint": "of another picture"}, {"fingerprint": own, "mask": "of another mask"}):
        with pytest.raises(InputError, match="changed since"):
            denoising.denoise((dataclasses.replace(RUN, **changes), scan, None, None, tmp_path))


def test_a_flat_image_and_a_single_pixel(eager, tmp_path):
    for size, cut in ((20, {}), (1, {"patch": 1, "stride": 1})):
        Image.fromarray(np.full((size, size), 90, np.uint8)).save(tmp_path / "flat.png")
        found = restored(tmp_path, tmp_path / "flat.png", warm_stride=0, **cut)
        assert all(np.isfinite(image).all() and image.shape == (size, size) for image in found.pictures.values())


def test_missing_pixels_are_filled_in_by_what_is_learned(eager, tmp_path, scan):
    recipe = dataclasses.replace(RECIPE, epochs=20, max_learning_rate=0.5, half_cycle=5, batch_size=8)
    changes = {"sigma": 0.0, "inpaint": 0.4, "warm_stride": 0}
    found = restored(tmp_path, scan, recipe=recipe, **changes)
    missing = found.pictures["given"] != found.pictures["clean"]
    error = np.abs(found.pictures["tvae"] - found.pictures["clean"])
    assert 0.3 < missing.mean() < 0.5 and error[~missing].max() == 0 and error[missing].mean() < 20  # the mean has 60


def test_rivals_with_the_noise_level_or_an_estimate_of_it_take_noise_away():
    rng = np.random.default_rng(0)
    clean = np.kron(rng.random((4, 4)), np.ones((8, 8))).astype(np.float32) * 255
    noisy = patches.add_noise(clean, 25, 0)
    scores, estimated = {}, {}
    for other in rivals.installed(RUN):
        found = rivals.restore(other, noisy, clean)
        assert found.shape == noisy.shape
        (estimated if other.estimated else scores)[other.method] = patches.psnr(found, clean)
    assert set(scores) == set(rivals.INSTALLED) and set(estimated) == {"tv", "wavelet", "nlm"}
    assert estimated["tv"] <= scores["tv"] and min(estimated.values()) > scores["noisy"] + 2
    assert scores["noisy"] == pytest.approx(20.2, abs=0.3) and min(scores["tv"], scores["nlm"]) > 25
    weights = dataclasses.replace(RIVAL, parameters=(("weights", (1.0,)),))
    assert patches.psnr(rivals.restore(weights, noisy, clean), clean) <= scores["tv"]


def test_an_estimate_of_the_noise_level_depends_on_the_noisy_image_alone():
    clean = np.kron(np.random.default_rng(0).random((4, 4)), np.ones((8, 8))).astype(np.float32) * 255
    noisy = patches.add_noise(clean, 25, 0)
    other = rivals.rival(RUN, "nlm", estimated=True)
    wrong = dataclasses.replace(other, sigma=90.0)
    np.testing.assert_array_equal(rivals.restore(other, noisy, clean), rivals.restore(wrong, noisy, 0 * clean))


def test_missing_pixels_have_a_rival_of_their_own():
    rows, columns = np.indices((24, 24))
    clean = (4.0 * rows + 3 * columns).astype(np.float32)
    run = dataclasses.replace(RUN, sigma=0.0, inpaint=0.3)
    noisy, observed = denoising.observe(run, clean)
    for image, seen in ((noisy, observed), (np.stack([noisy] * 3, -1), np.stack([observed] * 3, -1))):
        (other,) = rivals.installed(run)
        found = rivals.restore(other, image, image, seen)
        np.testing.assert_allclose(found[seen], image[seen], atol=1e-4)
        error = np.abs(found - image)  # a plane is biharmonic; results are clipped to the known values
        assert found.shape == image.shape and error.max() < 6 and error.mean() < 0.5
    assert rivals.installed(dataclasses.replace(run, sigma=None)) == []
    assert rivals.installed(dataclasses.replace(RUN, sigma=0.0)) == []


def test_rivals_keep_the_digests_of_before_estimates_and_masks():
    assert set(RIVAL.stored()) == {"fingerprint", "sigma", "method", "parameters", "seed", "labels"}


def test_halves_of_zs_n2n_have_independent_noise_and_the_same_mean():
    image = tf.reshape(tf.range(30.0), (1, 6, 5, 1))  # the odd column is left out
    one, other = (half.numpy()[0, ..., 0] for half in zero_shot_noise2noise.halves(image))
    expected = np.arange(30.0).reshape(6, 5)
    assert one.shape == other.shape == (3, 2)
    assert one[1, 0] == (expected[2, 1] + expected[3, 0]) / 2 and other[1, 0] == (expected[2, 0] + expected[3, 1]) / 2


def test_zs_n2n_has_its_published_size_and_takes_noise_away():
    assert zero_shot_noise2noise.network(3, 0).count_params() == 22275  # "22k" in the paper
    assert zero_shot_noise2noise.network(1, 0).count_params() == 21313
    clean = np.full((24, 24), 100, np.float32)
    clean[:, 12:] = 160
    noisy = patches.add_noise(clean, 25, 0)
    other = rivals.rival(RUN, "zs_n2n")
    short = dataclasses.replace(other, parameters=(("steps", 150), ("learning_rate", 0.003), ("drop_every", 100)))
    found = rivals.restore(short, noisy, clean)
    assert found.shape == noisy.shape and patches.psnr(found, clean) > patches.psnr(noisy, clean) + 3
    assert np.abs(rivals.restore(dataclasses.replace(short, seed=1), noisy, clean) - found).max() > 0


def table(folder, *runs, **values):
    """psnr.csv with two epochs of each DenoisingRun, and one row of each RivalRun."""
    rows = []
    for number, run in enumerate(runs):
        row = {"run": run, "image": run.image, "sigma": run.sigma, "seed": run.seed, "ssim": 0.5, "trained_at": "c"}
        if isinstance(run, rivals.RivalRun):
            rows.append(row | {"method": run.method, "epoch": 0, "psnr": 28.0 + run.seed} | values)
        else:
            last = run.recipe.epochs
            learned = {"method": "tvae", "free_energy": -300.0, "learned_sigma": 26.0, "seconds": 9.0}
            rows += [row | learned | {"epoch": last - i, "psnr": 30.0 + number - 5 * i} | values for i in (0, 1)]
    return put_rows(folder / "psnr.csv", rows, outputs.COLUMNS, outputs.KEYS, outputs.ORDER)


def test_reports_average_seeds_alone(tmp_path):
    folder = tmp_path / "08_denoise"
    other_seed = dataclasses.replace(RUN, seed=1)
    longer = dataclasses.replace(RUN, recipe=dataclasses.replace(RECIPE, epochs=40))
    other_picture = dataclasses.replace(RUN, fingerprint="f2")  # under the same name
    inpainted = dataclasses.replace(RUN, inpaint=0.5)
    rival = [rivals.rival(run, method) for run in (RUN, other_seed) for method in ("tv", "bm3d")]
    rival.append(rivals.rival(RUN, "tv", estimated=True))
    table(folder, RUN, other_seed, longer, other_picture, inpainted, *rival)
    (title, body), *more = report.sections(tmp_path)
    assert not more and "denoising" in title
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines() if "| scan |" in line]
    shown = {(line[2], line[3], line[4], line[6]): line[7] for line in lines}
    assert shown == {
        ("", "TVAE", "fingerprint f1, epochs 4", "2"): "30.50 +- 0.71",
        ("", "TVAE", "fingerprint f1, epochs 40", "1"): "32.00",
        ("", "TVAE", "fingerprint f2, epochs 4", "1"): "33.00",
        ("50%", "TVAE", "fingerprint f1, epochs 4", "1"): "34.00",
        ("", "total variation", "", "2"): "28.50 +- 0.71",
        ("", "BM3D", "", "2"): "28.50 +- 0.71",
        ("", "total variation", "sigma estimated", "1"): "28.00",
    }
    (headline,) = report.headline(tmp_path)
    # What was run on most seeds, and how far a choice by the clean picture would have gone.
    ours = "30.50 +- 0.71 (2 seeds); best of 3 settings, chosen on the clean picture: 33.00"
    assert headline[2] == ours and headline[3].startswith("28.50 +- 0.71 (")


def test_reports_of_nothing_are_empty(tmp_path):
    assert report.sections(tmp_path) == report.headline(tmp_path) == []


def test_scores_are_those_of_the_same_noisy_image(tmp_path):
    other = dataclasses.replace(RUN, fingerprint="f2")
    rows = table(tmp_path, RUN, dataclasses.replace(RUN, seed=1), RIVAL, rivals.rival(other, "nlm"))
    assert outputs.scores(RUN, rows) == {"tvae": 30.0, "tv": 28.0}
    assert outputs.scores(dataclasses.replace(RUN, inpaint=0.1), rows) == {}


def test_bm3d_is_shown_where_its_picture_is(tmp_path):
    found = {"noisy": np.zeros((4, 4)), "tvae": np.ones((4, 4))}
    pictures = dict(found)
    like = Picture(found["noisy"], None, np.dtype(np.uint8), 0.0, 255.0, ())
    outputs.add_bm3d(RUN, pictures, like, tmp_path)
    assert list(pictures) == ["noisy", "tvae"]
    path = tmp_path / outputs.folder_name(rivals.rival(RUN, "bm3d")) / "restored.png"
    path.parent.mkdir()
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(path)
    outputs.add_bm3d(RUN, pictures, like, tmp_path)
    assert list(pictures) == ["noisy", "bm3d", "tvae"] and (pictures["bm3d"] == 9).all()


def test_the_busiest_part_of_a_picture_is_enlarged():
    image = np.zeros((64, 64))
    image[40:48, 16:24] = np.indices((8, 8)).sum(0) % 2 * 255
    assert figures.busiest(image, 8) == (40, 16)
    assert figures.busiest(np.stack([image] * 3, -1), 8) == (40, 16)


def test_figures_are_written_for_grey_and_colour(tmp_path):
    rng = np.random.default_rng(0)
    rows = table(tmp_path, RUN, RIVAL)
    for name, shape in (("grey", (16, 16)), ("colour", (16, 16, 3))):
        pictures = {method: rng.random(shape) * 255 for method in ("clean", "noisy", "tv", "tvae")}
        figures.before_after(pictures, {"tv": 28.0, "tvae": 30.0}, "t", tmp_path / f"{name}.png")
        channels = len(shape) == 3 and 3 or 1
        figures.patch_fields(rng.random((6, 36 * channels)), (6, 6, channels), "t", tmp_path / f"{name}_fields.png")
    figures.curves(rows[rows["method"] == "tvae"], {"tv": 28.0, "tvae": 30.0}, 25.0, "t", tmp_path / "curves.png")
    _, truth, _ = bars.draw(1, 0.1, 0)
    for number in (8, 10):
        figures.bars_fields(rng.random((number, 16)), truth, 4, "t", tmp_path / f"bars{number}.png")
    sizes = {path.name: matplotlib.image.imread(path).shape for path in tmp_path.glob("*.png")}
    assert len(sizes) == 7 and sizes["bars10.png"][1] > sizes["bars8.png"][1]


def test_units_are_matched_to_bars():
    _, truth, likelihood = bars.draw(500, 0.1, 0)
    units, found, errors = bars.match(np.roll(truth, 3, 0)[:6] + 0.01, truth)
    assert sorted(zip(found, units)) == [((unit - 3) % 8, unit) for unit in sorted(range(6), key=lambda u: (u - 3) % 8)]
    np.testing.assert_allclose(errors, 1e-4)
    assert 9 < likelihood < 10


def test_of_several_trainings_on_bars_the_highest_bound_counts(eager, tmp_path):
    recipe = dataclasses.replace(bars.RECIPE, states=16, epochs=2, half_cycle=1)
    run = bars.BarsRun(recipe, num_images=32, restarts=3)
    row, units, _ = bars.bars_test((run, tmp_path))
    first, *others = run.trainings()
    assert first.digest == bars.BarsRun(recipe, num_images=32).digest != run.digest
    alone = [bars.bars_test((training, tmp_path)) for training in (first, *others)]
    bounds = [one["free_energy"] for one, *_ in alone]
    assert len(set(bounds)) == 3 and row["free_energy"] == max(bounds)
    np.testing.assert_array_equal(units, alone[int(np.argmax(bounds))][1])
    assert row["seconds"] == pytest.approx(sum(one["seconds"] for one, *_ in alone))


def test_the_bars_test_writes_what_it_learned(eager, tmp_path):
    recipe = dataclasses.replace(bars.RECIPE, states=64, epochs=4, half_cycle=2)
    run = bars.BarsRun(recipe, num_images=64)
    row, fields, truth = bars.bars_test((run, tmp_path))
    again, same, _ = bars.bars_test((run, tmp_path))
    assert again == row and row["epochs"] == 4 and row["free_energy"] < row["generating_log_likelihood"] + 1
    np.testing.assert_array_equal(fields, same)
    put_rows(tmp_path / "08_denoise" / "bars.csv", [row], bars.COLUMNS, order=bars.ORDER)
    rows = read_rows(tmp_path / "08_denoise" / "bars.csv")
    assert list(rows.columns) == ["run", *bars.COLUMNS, "trained_at", "evaluated_at", "experiment"]
    assert read_records(tmp_path / "08_denoise" / "bars.csv")[run.digest]["recipe"]["epochs"] == 4
    ((title, body),) = report.sections(tmp_path)
    assert title == "The bars test" and f"{row['bars_found']} of 8" in body
    ((name, *_, baseline, _),) = report.headline(tmp_path)
    assert name == "bars test, best bound of 1 seed" and "generating" in baseline
