"""Figures of implicit hypernetworks, from hand-made rows."""

import pandas as pd
import pytest

from common.implicit import figures


def curve(experiment, method, seed=0):
    scale = float(method == "hypernet")
    points = [(k, epoch) for k in (0, 1) for epoch in range(1, 9)]
    rows = [{"split": k, "epoch": epoch, "spread": scale / epoch, "rmse": 1 + k / epoch} for k, epoch in points]
    return pd.DataFrame(rows).assign(experiment=experiment, dataset="own", method=method, seed=seed)


def test_figures_are_named_by_what_they_draw(tmp_path):
    first = figures.weight_spread(curve("a", "hypernet"), curve("b", "sgd"), tmp_path, "own")
    again = figures.weight_spread(curve("a", "hypernet"), curve("b", "sgd"), tmp_path, "own")
    other = figures.weight_spread(curve("c", "hypernet"), curve("b", "sgd")[:0], tmp_path, "own")
    assert first == again != other and first.exists() and other.exists()
    assert first.name.startswith("figure2_own-")


def test_small_bins_are_dropped_and_means_are_over_images(tmp_path, monkeypatch):
    drawn = []

    def band(axis, rows, *_, label, **__):
        drawn.append(rows)
        axis.plot([], label=label)

    monkeypatch.setattr(figures, "_band", band)
    rows = [
        dict(bin=b, seed=seed, number=number, confidence=b / 15, accuracy=accuracy)
        for seed in (0, 1) for b, number, accuracy in ((9, 5, 0.5), (14, 10 + 20 * seed, seed * 0.5))
    ]  # fmt: skip
    shared = dict(experiment="e", architecture="2x5", method="sgd", weights_per_step=0, generator="none", setting="s")
    rejection = pd.DataFrame([dict(seed=0, rejected_percent=p, accuracy=90 + p) for p in (0, 1)])
    curves = pd.DataFrame([dict(seed=0, epoch=e, error_percent=5 - e) for e in (1, 2)])
    parts = [part.assign(**shared) for part in (pd.DataFrame(rows), rejection, curves)]
    figures.certainty(*parts, tmp_path / "c.png", "own")
    assert set(drawn[0]["bin"]) == {14} and (tmp_path / "c.png").exists()
    monkeypatch.undo()
    figure, axis = figures.plt.subplots()
    figures._band(axis, drawn[0], "bin", "confidence", "accuracy", "own", color="black")
    assert axis.lines[0].get_ydata().tolist() == pytest.approx([(10 * 0.0 + 30 * 0.5) / 40])
    figures.plt.close(figure)
