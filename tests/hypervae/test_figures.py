"""Figures are written, whatever is drawn: not what they look like."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypervae.toy import bars, settings

from common.hypervae import figures, training
from common.runs.figures import grey

pytestmark = pytest.mark.usefixtures("small_networks", "uncompiled")


def is_png(path):
    return path.read_bytes()[:4] == b"\x89PNG"


def untrained(model):
    """A TrainedModel with a log of its own, but without the training."""
    own = settings(model=model)
    log = pd.DataFrame({"iteration": [10, 20, 30], **{name: [9.0, 8.0, 7.0] for name in training.MEASURES}})
    log[training.HELD_OUT] = [np.nan, 8.5, 7.5]
    return SimpleNamespace(settings=own, log=log, model=training.build_model(own, bars()))


def test_a_users_own_pictures_are_no_negatives():
    names = ("mnist-0,1", "photos.npz-0,1", "photographs-grey")
    assert [grey(name) for name in names] == ["gray_r", "gray", "gray"]


def test_figures_of_trainings(tmp_path):
    runs = [untrained(model) for model in ("vae", "metavae", "hypervae")]
    figures.loss_curves(runs, tmp_path / "loss.png")
    figures.reconstructions(runs, bars(), tmp_path / "reconstructions.png")
    figures.generated_vaes(runs[-1].model, bars(), tmp_path / "generated.png", num_models=2, num_images=3)
    figures.walk(runs[-1].model, bars(), tmp_path / "walk.png", steps=3, num_images=2)
    drawn = sorted(path.name for path in tmp_path.iterdir() if is_png(path))
    assert drawn == ["generated.png", "loss.png", "reconstructions.png", "walk.png"]


def test_trainings_of_one_method_and_published_figures_have_lines_of_their_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.extend(figure.axes))
    own = {"method": "hypervae_fitted", "words": "", "mean": {1: 90.0, 0: 95.0, 9: 80.0}}
    other = own | {"words": "targets others", "mean": {1: 89.0, 9: 79.0}}
    vae = {"method": "vae", "words": "", "mean": {0: 99.0}}
    figures.nats_by_drawings([vae, own, other], {"published: X": {0: 89.2, 9: 64.6}}, "unseen", tmp_path / "c.png")
    (axis,) = drawn
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines) == ["vae", "hypervae fitted", "hypervae fitted, targets others", "published: X"]
    assert list(lines["hypervae fitted"].get_xydata().ravel()) == [0, 95, 1, 90, 2, 80]  # sizes at equal distances
    assert list(lines["published: X"].get_xydata().ravel()) == [0, 89.2, 2, 64.6]
    first, second = (lines[name] for name in list(lines)[1:3])
    assert first.get_color() == second.get_color() and first.get_marker() != second.get_marker()
    assert list(lines["vae"].get_ydata()) == [99, 99]


def test_methods_stand_in_the_order_of_their_nats(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.extend(figure.axes))
    columns = ["method", "words", "told", "neg_elbo_mean", "neg_elbo_std", "nll_is_mean", "num_images"]
    columns += ["nll_num_images"]
    rows = [("vae", "", "nothing", 100.0, 1.0, 97.0, 9, 5)]
    rows += [("hypervae_mixture", "rank 5", "nothing", 94.0, np.nan, np.nan, 9, 0)]
    rows += [("cvae", "", "the class", 95.0, 0.5, 92.0, 9, 5), ("hypervae_heap", "", "a heap", 96.0, 1.0, 90.0, 5, 4)]
    figures.nats_by_method(pd.DataFrame(rows, columns=columns), "title", tmp_path / "told.png")
    (axis,) = drawn
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "vae",
        "hypervae heap, 5 images",
        "cvae",
        "hypervae mixture, rank 5",
    ]
    points = {tuple(point) for line in axis.lines for point in line.get_xydata() if np.isfinite(point).all()}
    assert points == {(100, 0), (97, 0), (96, 1), (95, 2), (92, 2), (94, 3)}  # no likelihood of other images


def test_a_log_without_held_out_values_is_drawn(tmp_path):
    run = untrained("vae")
    run.log[training.HELD_OUT] = np.nan
    figures.loss_curves([run], tmp_path / "loss.png")
    assert is_png(tmp_path / "loss.png")


@pytest.fixture
def drawn_vaes(monkeypatch):
    """Draw two generated VAEs of a model with three images each: the images and their differences, as one array each.

    Gaps between images are NaN, or 1 where images have colours.
    """

    def drawn(model):
        saved = []
        monkeypatch.setattr(figures, "save", lambda figure, path: saved.extend(figure.axes))
        figures.generated_vaes(model, bars(), "unused.png", num_models=2, num_images=3)
        return [np.ma.filled(axis.images[0].get_array(), np.nan) for axis in saved[:2]]

    return drawn


def test_differences_are_from_the_mean_theta(drawn_vaes):
    images, differences = drawn_vaes(untrained("hypervae").model)
    assert images.shape == differences.shape == (2 * 10, 3 * 10)
    mean = images - differences
    np.testing.assert_allclose(mean[:10], mean[10:], atol=1e-6)  # one mean theta, the same z
    assert np.nanmax(np.abs(differences)) > 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_beside_each_other_in_their_colours(drawn_vaes, channels):
    images = np.random.default_rng(0).random((2, 3, 4, 5, channels))
    average = SimpleNamespace(pictures=lambda z: images[0])
    model = SimpleNamespace(hyper_latent_dim=2, body=SimpleNamespace(latent_dim=2), generate=lambda u: None)
    model.pictures, model.average_vae = lambda z, theta: images, lambda x: average
    whole, _ = drawn_vaes(model)
    assert whole.shape == (2 * 6, 3 * 7, 3)[: whole.ndim] and whole.ndim == (3 if channels == 3 else 2)
    np.testing.assert_array_equal(whole[7:11, 15:20], images[1, 2] if channels == 3 else images[1, 2, ..., 0])
    gaps = whole[6, :], whole[:, 13]
    assert all((gap == 1).all() if channels == 3 else np.isnan(gap).all() for gap in gaps)


def test_farthest_pairs_are_disjoint_and_farthest_first():
    codes = np.array([[0.0], [10.0], [1.0], [8.0], [4.0]])
    assert figures.farthest_pairs(codes, 3) == [(0, 1), (2, 3)]
    assert figures.farthest_pairs(codes, 1) == [(0, 1)]
