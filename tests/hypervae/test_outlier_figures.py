"""Figures of scores are written, whatever models there are: not what they look like."""

import numpy as np
import pytest

from common.hypervae import outlier_figures
from common.hypervae.outlier_records import HEADLINE


def scores(shift):
    rng = np.random.default_rng(0)
    return {"normal": rng.normal(size=90).tolist(), "outlier": rng.normal(shift, 1, 30).tolist()}


@pytest.mark.parametrize("models", [("vae", "metavae", "hypervae"), ("metavae",), ("hypervae",)])
def test_figures_of_scores(tmp_path, models, monkeypatch):
    """MetaVAE has no density of states; a run may have one model only."""
    by_model = {model: {"description_length": scores(1), "kl": scores(0)} for model in models}
    for model in set(models) - {"metavae"}:
        by_model[model][HEADLINE] = scores(2)
    by_model |= {"pca": {"score": scores(1.5)}, "compressor": {"png": scores(0.1), "zlib": scores(3)}}
    save, curves = outlier_figures.save, []
    monkeypatch.setattr(outlier_figures, "save", lambda figure, path: curves.extend(figure.axes) or save(figure, path))
    outlier_figures.roc_curves(by_model, "title", tmp_path / "roc.png")
    named = [line.get_label() for line in curves[0].lines]
    assert [name.startswith("best baseline: zlib: ") for name in named if "baseline" in name] == [True]
    outlier_figures.score_histograms(by_model, "title", tmp_path / "histograms.png")
    images = {"normal": np.ones((90, 8, 8, 1)), "outlier": np.zeros((5, 8, 8, 1))}
    asked = []

    def maps_of(part, index):
        asked.append((part, index.tolist()))
        return np.ones((len(index), 8, 8))

    shown = {"normal": list(range(90)), "outlier": [3, 2, 5, 1, 4]}
    words = ("95% of normal images", "title", "mnist", tmp_path / "x.png")
    outlier_figures.extremes(images, shown, maps_of, 2.0, *words)
    assert asked == [("normal", [89, 88, 87, 86, 85]), ("outlier", [3, 1, 0, 4, 2]), ("outlier", [2, 4, 0, 1, 3])]
    drawn = {path.name for path in tmp_path.iterdir() if path.read_bytes()[:4] == b"\x89PNG"}
    assert drawn == {"roc.png", "histograms.png", "x.png"}
