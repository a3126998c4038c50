"""What reports make of searches: protocols apart, paired differences by hand; figures."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from test_records import SEARCH, Training, discovery

from common.discovery import digits, figures, search_report, search_summary
from common.discovery.records import METHOD_NAMES, Target, columns
from common.errors import InputError
from common.runs.summaries import mean_interval, median_interval

SEARCHES = ("vae", *search_summary.COMPARED, "random_vae", "random_hypervae")
COMMITS = {"trained_at": "t", "evaluated_at": "e"}


def digit_rows(target, seed, evaluations, ratio=0.5, searches=SEARCHES, budget="total", **changes):
    """Rows of one target's searches; HyperVAE's distances are `ratio` times VAE + BO's. `changes`: of the record."""
    digit, index = target
    models = {name: Training(f"without {digit}", name, seed) for name in ("vae", "hypervae")}
    search = dataclasses.replace(SEARCH, seed=seed, evaluations=evaluations, budget=budget)
    record = discovery(**models, search=search, target=Target(str(digit), str(index), f"{target}"), **changes)
    cells = columns(record) | {"digit": digit, "target_index": index} | COMMITS
    curves, best = [], {}
    for method, number in itertools.product(searches, range(evaluations)):
        start = 0.8 if "hypervae" not in method else 0.8 * ratio
        distance = start / (1 + number)
        best[method] = min(distance, best.get(method, 9))
        row = {"method": method, "evaluation": number + 1, "step": 0, "seconds": 0.5, "cosine_distance": distance}
        curves.append(cells | row | {"best_so_far": best[method]})
    names = ("vae", "hypervae_once", "hypervae_joint")
    return curves, [cells | {"method": name, "cosine_distance": 0.01} for name in names]


def written(folder, *searches):
    curves, bounds = zip(*searches)
    return digits.write_tables(
        folder, [row for part in curves for row in part], [row for part in bounds for row in part]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables of two protocols, 4 and 8 evaluations, of two classes with two and one targets and two seeds."""
    path = tmp_path_factory.mktemp("results") / search_summary.DIGITS
    for evaluations, ratio in ((4, 0.5), (8, 2.0)):
        targets = [((1, 5), 0), ((1, 5), 1), ((1, 6), 0), ((7, 2), 0)]
        written(path, *(digit_rows(target, seed, evaluations, ratio) for target, seed in targets))
    return path


def test_protocols_are_never_averaged(folder):
    summary = pd.read_csv(folder / "summary.csv").set_index(["evaluations", "digit", "method"])
    assert len(summary) == 2 * 2 * len(SEARCHES) and summary["protocol"].nunique() == 2
    assert summary.loc[(4, 1, "vae"), ["num_targets", "num_seeds"]].tolist() == [2, 2]
    assert summary.loc[(4, 7, "vae"), ["num_targets", "num_seeds"]].tolist() == [1, 1]
    for evaluations, ratio, wins in ((4, 0.5, 3), (8, 2.0, 0)):
        own = summary.loc[evaluations].loc[1]
        assert own.loc["vae", "final"] == pytest.approx(0.8 / evaluations)
        assert own.loc["hypervae_joint", "final"] == pytest.approx(0.8 * ratio / evaluations)
        assert own.loc["hypervae_joint", "wins"] == wins
        # 0.5 of the distance is reached after half of the evaluations, twice of it never.
        reached = own.loc["hypervae_joint", "evaluations_to_vae"]
        assert reached == evaluations / 2 if ratio < 1 else np.isnan(reached)
    (title, text), *_ = search_report.sections(folder.parent)
    assert "digits" in title and text.count("| class held out |") == 2
    assert "search.evaluations" not in text and "4 evaluations" in text and "8 evaluations" in text


def test_medians_over_other_searches_are_not_compared(tmp_path):
    """A search with one seed of two, whose targets are the easier ones."""
    path = tmp_path / search_summary.DIGITS
    with_restarts = (*SEARCHES, "vae_restarts")
    parts = [digit_rows((1, 5), 0, 4), digit_rows((1, 6), 0, 4), digit_rows((1, 5), 1, 4, searches=with_restarts)]
    written(path, *parts)
    ((_, text),) = search_report.sections(tmp_path)
    assert "3 searches a class, of 2 targets and 2 seeds" in text and "vae_restarts (searches a class: 1)" in text
    header, closer = (
        [cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(start)).split("|")]
        for start in ("| class held out", "| closer than VAE + BO")
    )
    found = dict(zip(header, closer))
    assert found["hypervae_joint"] == "1 of 1" and found["vae_restarts (searches a class: 1)"] == ""


def test_the_same_rows_twice_are_found_once(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    written(folder, digit_rows((1, 6), 0, 4, 0.5))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_fresh_clone_has_the_packed_table_alone(folder, tmp_path):
    for path in folder.glob("*.*"):
        if path.name != "figure3a.csv" and path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    protocols = written(tmp_path, digit_rows((7, 3), 0, 4))
    assert sorted(len(protocol.rows) for protocol in protocols) == [5 * 4 * len(SEARCHES), 4 * 8 * len(SEARCHES)]


def test_paired_differences_are_over_classes(folder):
    pairs = pd.read_csv(folder / "paired.csv").set_index(["ratio", "method"])
    assert len(pairs) == 2 * len(search_summary.COMPARED) and (pairs["num_targets"] == 3).all()  # seeds are no targets
    won, lost = pairs.loc[(0.5, "hypervae_joint")], pairs.loc[(2.0, "hypervae_joint")]
    assert won[["wins", "num_classes", "class_wins"]].tolist() == [3, 2, 2] and not lost[["wins", "class_wins"]].any()
    assert won["p_sign"] == lost["p_sign"] == 0.5 and won["p_holm"] == 1  # 2 / 2^2, times four methods
    assert won["class_share_low"] == pytest.approx((0.05 / 4 / 2) ** 0.5) and won["class_share_high"] == 1  # two of two
    assert won[["ratio_low", "ratio_high"]].isna().all()  # of two classes nothing is known


@pytest.mark.parametrize("classes, least, largest", [(10, 1, 10), (16, 3, 14)])
def test_an_interval_for_all_searches_at_once_by_its_ranks(classes, least, largest):
    """Of a sign test at 5 % / 4: with 16 classes two may fall outside at an end (p 0.0042), three not (0.021)."""
    ratios = np.exp(np.arange(1.0, classes + 1) / 10)
    rows = pd.DataFrame(
        {
            "protocol": "p",
            "digit": np.repeat(range(classes), 2),
            "run": np.repeat(range(classes), 2),
            "target": np.repeat(range(classes), 2),
            "method": ["vae", "hypervae_joint"] * classes,
            "final": np.stack([np.ones(classes), ratios], 1).ravel(),
        }
    )
    found = search_summary.paired(rows, "digit").iloc[0]
    assert (found["ratio_low"], found["ratio_high"]) == pytest.approx((ratios[least - 1], ratios[largest - 1]))


def test_a_search_of_more_evaluations_stands_beside_one_of_as_many(tmp_path):
    path = tmp_path / search_summary.DIGITS
    own = [digit_rows((1, 5), 0, 4, 0.5, (*SEARCHES, "vae_restarts"), budget) for budget in ("total", "per-step")]
    written(path, *own)
    pairs = pd.read_csv(path / "paired.csv").groupby(["protocol", "rival"]).size()
    assert pairs.unstack().to_numpy().tolist() == [[4, 4], [4, 4]]
    rivals = {row[0].count("a step"): row[3] for row in search_report.headline(tmp_path)}
    assert rivals == {0: "VAE + BO 0.2, VAE + BO, restarted 0.2", 1: "VAE + BO, restarted 0.2"}


def test_gradients_on_decoded_designs_are_no_bound_of_real_ones(tmp_path, drawn):
    path = tmp_path / search_summary.DIGITS
    written(path, digit_rows((1, 5), 0, 4))
    assert "gradients: VAE" in search_report.sections(tmp_path)[0][1]
    protocols = written(path, digit_rows((1, 5), 0, 4, realised="ridge 0123"))
    (realised,) = [protocol for protocol in protocols if "ridge" in protocol.title]
    assert realised.summary["past_vae_bound"].isna().all() and realised.summary["wins"].notna().all()
    table = search_report.discovery_table(realised.summary, "digit")
    assert "gradients" not in table and "closer than VAE + BO" in table
    figures.discovery_curves(realised, tmp_path / "curves.png", "digit")
    labels = drawn[-1].axes[0].get_legend_handles_labels()[1]
    assert "VAE + BO" in labels and not [label for label in labels if "gradients" in label]


def test_holms_correction_by_hand():
    # Sorted 0.01 0.02 0.03 0.4: times 4, 3, 2, 1, each at least the one before.
    np.testing.assert_allclose(search_summary.holm([0.03, 0.01, 0.4, 0.02]), [0.06, 0.04, 0.4, 0.06])
    assert search_summary.holm([0.9, 0.8]).max() == 1


@pytest.mark.parametrize(
    "interval, draw, truth",
    [
        (median_interval, "exponential", np.log(2)),
        (mean_interval, "normal", 0.0),
    ],
)
@pytest.mark.parametrize("number", [2, 4, 10, 25])
def test_an_interval_covers_as_often_as_it_says(interval, draw, truth, number):
    values = getattr(np.random.default_rng(0), draw)(size=(300, number))
    ends = np.array([interval(row, 0.9) for row in values])
    if interval is median_interval and number < 5:
        assert np.isnan(ends).all()
        return
    hits = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    assert hits >= 0.86 and (interval is median_interval or hits <= 0.94)  # ranks: 0.9 at least
    assert np.isnan(interval(values[0, :1], 0.9)).all()


def test_a_run_without_its_record_is_one_line(folder, tmp_path):
    for name in ("bounds.csv", "summary.csv", "paired.csv"):
        (tmp_path / search_summary.DIGITS).mkdir(exist_ok=True)
        (tmp_path / search_summary.DIGITS / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(InputError, match="settings.json.*lacks run"):
        search_report.sections(tmp_path)


def test_no_tables_no_sections(tmp_path):
    assert search_report.sections(tmp_path) == [] and search_report.headline(tmp_path) == []


def test_the_headline_is_the_papers_method_beside_vae_and_bo(folder):
    rows = sorted(search_report.headline(folder.parent), key=lambda row: row[2])
    assert [row[2] for row in rows] == [
        "0.1; closer on 3 of 3 targets and 2 of 2 classes (p 1)",
        "0.2; closer on 0 of 3 targets and 0 of 2 classes (p 1)",
    ]
    assert [row[3] for row in rows] == ["VAE + BO 0.2", "VAE + BO 0.1"]


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn last, a matplotlib figure, beside its file."""
    seen = []
    plain = figures.save
    monkeypatch.setattr(figures, "save", lambda figure, path: (seen.append(figure), plain(figure, path)))
    return seen


def test_curves_and_their_paired_differences_are_drawn(folder, tmp_path, drawn):
    protocols = written(folder, digit_rows((1, 6), 0, 4, 0.5))
    protocol = min(protocols, key=lambda own: own.rows["evaluations"].iloc[0])
    figures.discovery_curves(protocol, tmp_path / "curves.png", "digit")
    one, seven, below = drawn[0].axes
    assert one.get_title() == "digit 1 held out" and one.get_yscale() == "log"
    assert len(one.collections) == 5 and not seven.collections  # bands: of three searches, not of one
    line = next(line for line in one.lines if line.get_label() == METHOD_NAMES["hypervae_joint"])
    np.testing.assert_allclose(line.get_ydata(), 0.4 / np.arange(1, 5), rtol=1e-5)
    points = [line.get_xdata() for line in below.lines if line.get_marker() == "o"]
    assert len(points) == 4 and all(np.allclose(own, 0.5) and len(own) == 3 for own in points)
    labels = [tick.get_text() for tick in one.get_yticklabels() if one.get_ylim()[0] <= tick.get_position()[1] <= 0.9]
    assert len(labels) >= 3 and all(float(label) > 0 for label in labels)
    assert image.imread(tmp_path / "curves.png").std() > 0.05


def test_a_phase_has_one_colour_in_every_figure_and_liquid_is_seen(tmp_path, drawn):
    phases, temperatures = ("LIQUID", "FCC_A1", "S_PHASE", "AL5FE2"), np.array([400.0, 600.0, 900.0])
    diagram = np.array([[0, 0, 0.9], [0.9, 0.95, 0.1], [0.06, 0.03, 0], [0.04, 0.02, 0]])[..., None]
    other = diagram.copy()
    other[2], other[1] = 0, diagram[1] + diagram[2]
    for name, target in (("a", diagram), ("b", other)):
        shown = {"target": (target, 0.0), "vae": (diagram, 0.0123)}
        figures.phase_diagrams(figures.panels_of(shown), phases, temperatures, "an alloy", tmp_path / f"{name}.png")
    colours = [
        {part.get_label(): tuple(part.get_facecolor()[0]) for part in figure.axes[0].collections} for figure in drawn
    ]
    assert colours[0]["FCC_A1"] == colours[1]["FCC_A1"] != colours[0]["LIQUID"] == colours[1]["LIQUID"]
    assert "AL5FE2" not in colours[0] and set(colours[0]) == {"FCC_A1", "S_PHASE", "others", "LIQUID"}
    assert len(set(map(tuple, figures.PHASE_COLOURS.values()))) == len(figures.PHASE_COLOURS) == 20
    assert drawn[0].axes[0].get_ylim() == (0, 1) and drawn[0].axes[2].get_ylim() == (0.8, 1)
    assert drawn[0].axes[1].get_title().endswith("distance 0.012") and "distance" not in drawn[0].axes[0].get_title()


def test_figure_2_has_the_distance_under_each_design(tmp_path, drawn):
    blank = np.zeros((3, 3, 1))
    steps = {"target": 1, "vae": 1, "hypervae_once": 1, "hypervae_iterated": 2, "hypervae_joint": 2}
    steps["hypervae_iterated_vae_init"] = 2
    found = {m: {"designs": [blank] * n, "distances": [0.1 * (i + 1) for i in range(n)]} for m, n in steps.items()}
    figures.discovered_designs({"4": found, "7": found}, "found", "own.npz", tmp_path / "figure2.png")
    axes = drawn[0].axes
    assert len(axes) == 2 * 9 and [axis.get_xlabel() for axis in axes[:5]] == ["", "0.100", "0.100", "0.100", "0.200"]
    assert axes[4].get_title() == "iterated\nstep 2" and axes[9].get_ylabel() == "7"
