"""01 to 03 as a user calls them: end to end on small images, and on bad input."""

import re
import runpy

import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, assert_refused

from common.errors import InputError
from common.hypervae import options, outlier_jobs, outlier_sets, peers
from common.hypervae.outlier_records import HEADLINE
from common.hypervae.runs import load_data, planned_runs
from common.hypervae.told import WAYS
from common.runs import results, storage

SHORT = ["--iterations", 60, "--batch-size", 40]
UNTRAINED = ["--iterations", 4, "--batch-size", 40]  # where nothing that was learned matters


def files(folder, pattern="**/*"):
    """{path: time of its last change}, but for locks and the records written at every start."""
    left_out = (".lock", "settings.json")
    return {p: p.stat().st_mtime_ns for p in folder.glob(pattern) if p.is_file() and p.name not in left_out}


def pngs(folder):
    return sorted(path.name for path in folder.glob("*.png") if path.read_bytes()[:4] == b"\x89PNG")


def test_density_and_training(tmp_path, monkeypatch, call, small_networks, uncompiled, write_npz):
    """02 trains what is missing, repeats nothing, tells two sets of one name apart; 01 takes its checkpoints."""
    from common.hypervae import timing

    median = timing.median_milliseconds
    monkeypatch.setattr(timing, "median_milliseconds", lambda *a, **_: median(*a, repeats=2, warm_up=1))
    folder = tmp_path / "results"
    first, second = write_npz("a/photos.npz", seed=1), write_npz("b/photos.npz", seed=2)
    shared = ["--results-dir", folder, *SHORT]
    density = [*shared, "--num-importance-samples", 16, "--num-nll-images", 0]
    done = call("02_density.py", "--dataset", first, *density)
    assert done.returncode == 0, done.stderr
    path = folder / "02_density" / "table1.csv"
    table = results.read_rows(path)
    assert len(table) == 3 and set(table["model"]) == {"vae", "metavae", "hypervae"}
    np.testing.assert_allclose(table["neg_elbo"], table["reconstruction"] + table["kl_z"] + table["kl_u"], rtol=1e-4)
    assert (table["nll_is"] < table["neg_elbo"]).all() and (table["nll_num_images"] == 30).all()
    assert ((table["kl_u"] > 0) == (table["model"] == "hypervae")).all()
    drawn = table["neg_elbo_drawn_u"]
    assert (drawn.notna() == (table["model"] == "hypervae")).all()
    assert drawn.dropna().item() != table.query("model == 'hypervae'")["neg_elbo"].item()
    assert (table["neg_elbo"] < 44).all()  # training did something: 64 pixels at a coin's cost each are 44.4 nats
    assert set(table["trained_at"]) == set(table["evaluated_at"]) == {storage.commit()}
    assert len(results.read_rows(folder / "02_density" / "table2.csv")) == 4
    times = results.read_rows(folder / "02_density" / "table3.csv")
    assert (times["milliseconds"] > 0).all() and len(times) == 3 + 3 + 6 + 6
    assert times.query("model == 'vae' and quantity == 'total'")["ratio_to_vae_total"].item() == 1
    text = (folder / "README.md").read_text()
    assert all(f"## Table {number}" in text for number in (1, 2, 3))
    assert all((folder / "02_density" / f"{name}.csv").exists() for name in ("summary", "likelihood"))

    before = path.read_bytes()
    assert call("02_density.py", "--dataset", first, *density, "--tables", 1).returncode == 0
    assert path.read_bytes() == before
    assert call("02_density.py", "--dataset", first, second, *density, "--model", "vae", "--tables", 1).returncode == 0
    assert set(before.splitlines()) < set(path.read_bytes().splitlines())
    both = results.read_rows(path)
    assert len(both) == 4 and both.query("model == 'vae'")["neg_elbo"].nunique() == 2

    trained = files(folder, "checkpoints/**/*.npz")
    assert call("01_train.py", "--dataset", first, *shared, "--model", "vae", "hypervae").returncode == 0
    assert call("01_train.py", "--dataset", second, *shared, "--model", "vae").returncode == 0
    assert files(folder, "checkpoints/**/*.npz") == trained and len(trained) == 4
    training = results.read_rows(folder / "01_train" / "training.csv")
    assert len(training) == 3 and set(training["run"]) < {path.parent.name[-12:] for path in trained}
    figures = list((folder / "01_train").glob("photos.npz-*"))
    expected = ["generated_vaes.png", "loss_curves.png", "reconstructions.png", "walk.png"]
    assert sorted(map(pngs, figures)) == [expected, ["loss_curves.png", "reconstructions.png"]]
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]  # no temporary file is left behind


def test_tables_2_and_3_need_no_training(tmp_path, monkeypatch, call, small_networks, uncompiled, write_npz):
    from common.hypervae import timing

    timed = []
    monkeypatch.setattr(timing, "table3", lambda record: timed.append(record) or {"x": 1.0, "total": 2.0 + len(timed)})
    small = write_npz("small.npz")
    done = call("02_density.py", "--dataset", "digits", small, "--tables", 2, 3, "--results-dir", tmp_path)
    assert done.returncode == 0 and not (tmp_path / "checkpoints").exists()
    times = results.read_rows(tmp_path / "02_density" / "table3.csv")
    assert times.groupby("dataset").size().to_dict() == {"digits": 8, "small.npz": 8}
    of_vae = times.query("model == 'vae' and quantity == 'total'")
    assert (of_vae["ratio_to_vae_total"] == 1).all() and len(set(timed)) == len(timed)  # what sets share is timed once
    names = {path.name for path in (tmp_path / "02_density").glob("*.csv")}
    assert names == {"table2.csv", "table3.csv"}
    parameters = results.read_rows(tmp_path / "02_density" / "table2.csv")
    assert (parameters["total"] > 0).all() and len(parameters) == 8


@pytest.mark.slow
def test_outliers_of_grey_levels_and_of_the_normal_set_itself(
    tmp_path, call, small_networks, uncompiled, untraced_trainings, write_npz
):
    """Flipped and turned normal images, and each class in turn: rows of their own, thresholds without labels."""
    folder, normal = tmp_path / "results", write_npz("n.npz", 0, images=400)
    options = ["--normal", normal, "--results-dir", folder, *UNTRAINED, "--num-bootstrap", 3, "--model", "vae"]
    options += ["--outlier-fraction", 0.5, "--likelihood", "discretized_logistic"]
    done = call("03_outliers.py", *options, "--outlier", "flip_vertical", "rotated", "held_out_class")
    assert done.returncode == 0, done.stderr
    table = results.read_rows(folder / "03_outliers" / "table4.csv")
    assert (table["likelihood"] == "discretized_logistic").all() and (table["binarize"] == "none").all()
    assert {"complexity_adjusted_webp", "webp"} < set(table["score"]) and "context" not in set(table["score"])
    held_out = table[table["outlier"] == "held_out_class"]
    classes = held_out["normal"].nunique()
    assert set(table["outlier"]) == {"flip_vertical", "rotated", "held_out_class"} and classes >= 2
    assert all("-without-" in name for name in held_out["normal"])
    rates = table[["fpr_at_95_tpr", "fpr_held_out", "fnr_held_out"]]
    assert rates.stack().between(0, 100).all() and rates.notna().all(axis=None)
    report = (folder / "README.md").read_text()
    assert f"({classes} classes)" in report and "**Thresholds.**" in report
    assert len(list((folder / "03_outliers").glob("n.npz-grey_*"))) == 2
    for wrong, words in (
        (["--normal-classes", "0"], "leave --normal-classes out"),
        (["--binarize", "threshold"], "--binarize"),
    ):
        refused = call("03_outliers.py", *options, "--outlier", "held_out_class", *wrong)
        assert refused.returncode == 2 and words in refused.stderr, refused.stderr


def test_outliers(tmp_path, call, small_networks, uncompiled, untraced_trainings, write_npz):
    """A set may be called test.npz, two of one name are two, nothing is repeated, no set changes another's numbers."""
    folder = tmp_path / "results"
    normal, test, photos = (write_npz(name, seed) for seed, name in enumerate(("n.npz", "test.npz", "a/photos.npz")))
    options = ["--normal", normal, "--results-dir", folder, *UNTRAINED, "--num-bootstrap", 3]
    options += ["--outlier-fraction", 0.5]
    done = call("03_outliers.py", *options, "--outlier", test, photos)
    assert done.returncode == 0, done.stderr
    path = folder / "03_outliers" / "table4.csv"
    table = results.read_rows(path)
    scored = {model: set(own["score"]) for model, own in table.groupby("model")}
    both = {"description_length", "kl", "density_of_states", HEADLINE}
    both |= {f"complexity_adjusted_{compressor}" for compressor in ("png", "zlib", "context")}
    assert scored["vae"] == both and scored["hypervae"] == both | {"description_length_with_u"}
    assert scored["metavae"] == {"kl", "description_length"} and len(scored) == 8
    assert set(table["outlier"]) == {"test.npz", "photos.npz"} and len(table) == 2 * 24
    assert np.isfinite(table.select_dtypes("number")).all(axis=None) and table["auc"].between(0, 100).all()
    assert (table["num_normal"] == 30).all() and (table["num_outlier"] == 15).all()
    expected = [f"extremes_{HEADLINE}.png", "extremes_description_length.png", "histograms.png", "roc.png"]
    drawn = sorted((folder / "03_outliers").glob("n.npz_*"))
    assert [own.name.rpartition("-")[0] for own in drawn] == ["n.npz_photos.npz", "n.npz_test.npz"]
    assert all(pngs(own) == expected for own in drawn)
    assert "## Table 4" in (folder / "README.md").read_text()

    before, stored = path.read_bytes(), files(folder, "checkpoints/**/*")
    other = write_npz("b/photos.npz", seed=3)
    again = call("03_outliers.py", *options, "--model", "vae", "--outlier", photos, other)
    assert again.returncode == 0 and set(before.splitlines()) < set(path.read_bytes().splitlines())
    assert {p: t for p, t in files(folder, "checkpoints/**/*").items() if p in stored} == stored
    rows = results.read_rows(path)
    assert len(rows) == 2 * 24 + 7 + 7  # the other photos.npz: VAE's and the baselines' scores
    assert rows[rows["outlier"] == "photos.npz"].groupby(["model", "score"])["run"].nunique()["vae"].eq(2).all()
    assert len(list((folder / "03_outliers").glob("n.npz_photos.npz-*"))) == 3
    # Alone, in another folder, with scores of other kinds: the same numbers.
    alone = tmp_path / "alone"
    options[options.index(folder)] = alone
    kinds = ["--scores", "combined", "likelihood_regret", "usual"]
    done = call("03_outliers.py", *options, "--model", "vae", "--outlier", photos, *kinds)
    assert done.returncode == 0, done.stderr
    ours = results.read_rows(alone / "03_outliers" / "table4.csv")
    both = ours.merge(rows, on=["run", "score"], suffixes=("", "_beside"))
    assert len(both) == 14 and (both["auc"] == both["auc_beside"]).all()
    added = ours[~ours["run"].isin(rows["run"])]
    assert added.groupby("run")["score"].agg(len).sort_values().tolist() == [1, 5] and len(ours) == 20
    assert set(added["model"]) == {"vae"} and added["fpr_held_out"].notna().all()
    # Nothing that the figures show; a class-told VAE has a score of its own.
    told = ["--model", "cvae", "hypervae", "--scores", "task_mixture"]
    for options_of_scores in (["--model", "vae", "--scores", "likelihood_regret"], told):
        assert call("03_outliers.py", *options, "--outlier", photos, *options_of_scores).returncode == 0
    ours = results.read_rows(alone / "03_outliers" / "table4.csv")
    mixtures = ours[ours["score"].str.startswith("task_mixture")]
    assert mixtures.groupby("model")["score"].nunique().to_dict() == {"cvae": 2, "hypervae": 2}


@pytest.mark.slow
def test_colours_stand_beside_binarized_pixels(tmp_path, call, small_networks, uncompiled, write_npz):
    """01 and 02 by --likelihood: a name, rows and networks of their own; what is shown is a picture."""
    folder, path = tmp_path / "results", write_npz("photos.npz")
    with np.load(path, allow_pickle=False) as own:
        np.savez(path, x=own["x"][..., None] * [1, 0.5, 0], y=own["y"])
    shared = ["--dataset", path, "--results-dir", folder, *SHORT]
    grey = [*shared, "--likelihood", "logistic_mixture"]
    density = ["--model", "vae", "--tables", 1, "--num-importance-samples", 8]
    assert call("02_density.py", *shared, *density).returncode == 0
    done = call("02_density.py", *grey, *density, "--model", "hypervae", "--fit-u", 2)
    assert done.returncode == 0, done.stderr
    records = results.read_records(folder / "02_density" / "table1.csv")
    assert sorted(own.get("fit_u", 0) for own in records.values()) == [0, 2]
    table = results.read_rows(folder / "02_density" / "table1.csv")
    assert table["dataset"].tolist() == ["photos.npz", "photos.npz-colour"]
    assert table["likelihood"].tolist() == ["bernoulli", "logistic_mixture"] and table["binarize"][1] == "none"
    dims = np.array([64, 3 * 64])
    np.testing.assert_allclose(table["bits_per_dim"], table["neg_elbo"] / (dims * np.log(2)), rtol=1e-4)
    assert (table["bits_per_dim"] < [1, 8]).all() and (table["nll_is"] < table["neg_elbo"]).all()
    done = call("01_train.py", *grey, "--model", "vae", "hypervae")
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "01_train").glob("photos.npz-colour-*/walk.png"))) == 1
    done = call("02_density.py", *grey, "--binarize", "threshold")
    assert done.returncode == 2 and "--binarize" in done.stderr and "Traceback" not in done.stderr


def normals(*arguments):
    return options.parser("", "", "--normal").parse_args([*map(str, arguments)])


def test_what_is_drawn_from_and_how_it_is_named(write_npz):
    args = normals("--normal", "x")
    args.outlier, args.normal_classes, args.outlier_fraction = [], [1], 0.2
    path = str(write_npz("mine.npz", images=300))
    data, (others,), wanted = outlier_sets.mixture_parts(args, path)
    assert (others.name, len(others.x), wanted) == ("mine.npz-others", 30, 6) and data.num_classes == 1
    whole = load_data(args, path)
    np.testing.assert_array_equal(others.x, whole.x_test[whole.y_test == 0])
    assert len(np.unique(others.drawn(30, 0), axis=0)) == len(np.unique(others.x, axis=0))
    np.testing.assert_array_equal(others.drawn(3, 0), others.drawn(30, 0)[:3])
    assert not np.array_equal(others.drawn(30, 0), others.drawn(30, 1))
    assert outlier_sets.outlier_names(args, "mnist") == [None]
    args.outlier, args.outlier_fraction = [outlier_sets.HELD_OUT_CLASS], 5
    _, (others,), wanted = outlier_sets.mixture_parts(args, path)
    assert (len(others.drawn(wanted, 0)), wanted) == (30, 150)  # a class gives what it has
    args.outlier = []
    with pytest.raises(InputError, match="30 test images, 150 outliers are wanted"):
        outlier_sets.mixture_parts(args, path)
    args.outlier_fraction = 0.2
    args.outlier = ["all"]
    assert outlier_sets.outlier_names(args, "mnist") == ["fashion_mnist", "omniglot"]
    args.outlier = ["b", "a", "b"]
    assert outlier_sets.outlier_names(args, "a") == ["b"]


MIXTURES = {
    "another size": (["--outlier", "large.npz"], "16x8 and 8x8.*one size"),
    "too few": (["--outlier", "few.npz"], "2 test images, 12 outliers"),
    "too few normals": (["--normal", "few.npz", "--outlier", "n.npz"], "validation images.*give more images"),
    "the same images": (["--outlier", "n.npz", "same.npz"], "same.npz holds the same images as .*n.npz"),
    "empty class": (["--outlier", "gap.npz"], "class 1 has no"),
    "NaN": (["--outlier", "nan.npz"], "NaN"),
    "no outliers": ([], "no outliers: give --outlier"),
    "its own outliers": (["--outlier", "n.npz"], "no outliers: give --outlier"),
    "unknown class": (["--normal-classes", "0-3"], "classes 0 to 1"),
    "every class": (["--normal-classes", "0-1"], "names every class"),
    "unknown set": (["--outlier", "imagenet"], "unknown data set"),
    "batch": (["--normal-classes", "0", "--batch-size", "50"], "no multiple of --tasks-per-step 20"),
}


@pytest.mark.parametrize("case", MIXTURES)
def test_bad_mixtures_are_one_line_and_exit_code_2(tmp_path, monkeypatch, call, write_npz, case):
    monkeypatch.chdir(tmp_path)
    write_npz("n.npz", images=300)
    write_npz("same.npz", images=300)
    write_npz("few.npz", images=10)
    write_npz("large.npz", height=16)
    x, y = np.random.default_rng(0).random((40, 8, 8)), np.arange(40) % 2
    np.savez("gap.npz", x=x, y=2 * y)
    np.savez("nan.npz", x=np.where(x > 0.9, np.nan, x), y=y)
    chosen, message = MIXTURES[case]
    chosen = chosen if "--normal" in chosen else ["--normal", "n.npz", *chosen]
    done = call("03_outliers.py", "--results-dir", "results", *chosen)
    assert_refused(done)
    assert re.search(message, done.stderr) and not (tmp_path / "results").exists()


INPUTS = {
    "unknown set": (["--dataset", "imagenet"], "unknown data set"),
    "missing file": (["--dataset", "none.npz"], "none.npz"),
    "truncated file": (["--dataset", "cut.npz"], "cut.npz"),
    "NaN": (["--dataset", "nan.npz"], "NaN"),
    "wrong shape": (["--dataset", "shape.npz"], "shape"),
    "batch": (["--dataset", "good.npz", "--batch-size", "50"], "--batch-size 50 is no multiple of --tasks-per-step 20"),
    "unwritable": (["--dataset", "good.npz", "--model", "vae", "--results-dir", "file/results"], "--results-dir"),
}


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("script", ["01_train.py", "02_density.py"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, call, write_npz, script, case):
    monkeypatch.chdir(tmp_path)
    good = write_npz("good.npz", images=20)
    x = np.load(good, allow_pickle=False)["x"]
    np.savez("nan.npz", x=np.where(x > 0, np.nan, x), y=np.arange(20) % 2)
    np.savez("shape.npz", x=x.reshape(20, 64), y=np.arange(20) % 2)
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:700])
    (tmp_path / "file").write_text("not a folder")
    chosen, message = INPUTS[case]
    done = call(script, "--iterations", 1, *chosen)
    assert_refused(done, message)
    assert not list(tmp_path.rglob("*.csv")) and not (tmp_path / "results" / "checkpoints").exists()


OPTIONS = [["--iterations", "0"], ["--learning-rate", "-1"], ["--seeds", "x"], ["--summary", "max"], ["--tables", "4"]]


@pytest.mark.parametrize("option", OPTIONS)
def test_bad_options_are_refused_by_name(call, option):
    done = call("02_density.py", *option)
    assert done.returncode == 2 and option[0].split("s")[0] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["01_train.py", "02_density.py", "03_outliers.py"])
def test_help_has_examples_and_the_same_options(call, script):
    done = call(script, "--help")
    assert done.returncode == 0 and "examples:" in done.stdout
    assert all(option in done.stdout for option in ("--summary", "--jobs", "--scheduler", "--seed"))


@pytest.mark.parametrize(
    "script, options",
    [
        ("05_discover_alloys.py", ["--binarize", "--image-size"]),
        ("09_new_tasks.py", peers.OF_PEERS),
        ("11_explore.py", ["--model"]),
    ],
)
def test_help_leaves_out_what_is_always_refused(call, script, options):
    named = call(script, "--help").stdout.replace("[", " ").split()
    assert "--rank" in named and not set(options) & set(named)


def test_jobs_are_light(write_npz):
    """They travel to other processes: no data and no models in them, and what runs them can be sent."""
    path = str(write_npz("n.npz"))
    args = normals("--normal", path)
    args.normal_classes, args.outlier = [0], []
    loaded, jobs = planned_runs(args, outlier_sets.load_normal)
    baselines = outlier_jobs.baseline_jobs(args, loaded)
    scripts = {script: runpy.run_path(str(ROOT / script)) for script in ("01_train.py", "02_density.py")}
    functions = [scripts["01_train.py"]["train"], scripts["02_density.py"]["measure"]]
    for function, job in [(f, jobs[0]) for f in (*functions, outlier_jobs.score_model)] + [
        (outlier_jobs.score_baseline, baselines[0])
    ]:
        sent = joblib.externals.cloudpickle.dumps((function, job))
        assert len(sent) < 20_000
    assert pd.Series([baseline.digest for _, baseline, _ in baselines]).is_unique


@pytest.mark.slow
def test_new_tasks(tmp_path, call, small_networks, uncompiled, untraced_trainings, write_npz, monkeypatch):
    """All tables of 09, nothing measured twice."""
    from common.hypervae import unseen

    # test_new_tasks.py measures in every way, and adapts to contexts of all sizes.
    monkeypatch.setitem(WAYS, "hypervae", ("by_label", "mixture", "clusters"))
    monkeypatch.setattr(unseen, "CONTEXTS", (0, 2))
    monkeypatch.setattr(unseen, "SHOWN_CONTEXT", 2)
    monkeypatch.setattr(unseen, "TUNING_STEPS", (0, 3))
    monkeypatch.setattr(unseen, "TUNING_RATES", (1e-3,))
    folder = tmp_path / "results"
    options = ["--dataset", write_npz("own.npz"), "--results-dir", folder, "--num-importance-samples", 2]
    options += ["--iterations", 3, "--batch-size", 20]
    peers = ["--peer", "vae", "hypervae", "cvae_clusters", "--ranks", 5, "--clusters", 3]
    done = call("09_new_tasks.py", *options, *peers, "--folds", 0)
    assert done.returncode == 0, done.stderr
    stage = folder / "09_new_tasks"
    told, generate, new = (results.read_rows(stage / f"{name}.csv") for name in ("told", "generate", "unseen"))
    ways = set(WAYS["hypervae"]) - {"clusters"}
    assert set(told["method"]) == {"vae", "cvae_clusters", *(f"hypervae_{way}" for way in ways)}
    assert sorted(zip(generate["generate"], generate["rank"])) == [("hypervae", rank) for rank in (5, 20)]
    by_label = told.set_index("method").loc["hypervae_by_label", "neg_elbo"]
    assert generate.query("generate == 'hypervae' and rank == 20")["neg_elbo"].item() == pytest.approx(
        by_label, rel=1e-4
    )
    assert set(new["class"]) == {0} and set(new["fold"]) == {0}
    adapted = {f"hypervae{end}" for end in ("", "_fitted", "_finetuned", "_mixture")}
    assert set(new["method"]) == adapted | {"vae", "vae_finetuned", "vae_mixture"}
    assert [name.partition("_")[0] for name in pngs(stage)] == ["generate", "samples", "told", "unseen"]
    assert "### New tasks: unseen classes" in (folder / "README.md").read_text()
    before = {path: path.read_bytes() for path in stage.glob("*.csv")}
    assert call("09_new_tasks.py", *options, *peers, "--folds", 0).returncode == 0
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--table", "generate", "--peer", "cvae"], "none of these models"),
        (["--table", "unseen", "--peer", "vae", "--adaptation", "fitted"], "choose another --adaptation"),
        (["--table", "unseen", "--peer", "vae", "hypervae", "--adaptation", "fitted"], "vae has none of these"),
        (["--table", "told", "--adaptation", "none"], "--adaptation"),
        (["--model", "vae"], "give --peer"),
        # Of several tables the last one's refusal comes before the first one's trainings.
        (["--table", "told", "unseen", "--peer", "vae", "--adaptation", "fitted"], "choose another --adaptation"),
        (["--table", "told", "unseen", "--folds", 4], "choose --folds"),
        (["--table", "told", "characters", "--data-dir", "nowhere"], "omniglot_characters"),
    ],
)
def test_bad_new_tasks_are_refused_before_any_training(tmp_path, call, write_npz, wrong, message):
    folder = tmp_path / "results"
    assert_refused(call("09_new_tasks.py", "--dataset", write_npz("own.npz"), "--results-dir", folder, *wrong), message)
    assert not folder.exists()


def test_characters(tmp_path, call, small_networks, uncompiled, untraced_trainings, character_files, monkeypatch):
    """Few-shot Omniglot on small files of its form, beside the published figures; without the files one line."""
    from common.hypervae import characters

    monkeypatch.setattr(characters, "CONTEXTS", (0, 1))
    monkeypatch.setattr(characters, "SET_SIZES", (2,))
    folder = tmp_path / "results"
    options = ["--table", "characters", "--peer", "vae", "hypervae", "--num-importance-samples", 2, "--iterations", 3]
    options += ["--batch-size", 10, "--tasks-per-step", 5, "--results-dir", folder]
    with monkeypatch.context() as patch:
        patch.setattr(characters.Context, "__init__", few_drawings(characters.Context.__init__))
        done = call("09_new_tasks.py", *options, "--data-dir", character_files)
    assert done.returncode == 0, done.stderr
    rows = results.read_rows(folder / "09_new_tasks" / "characters.csv")
    found = sorted(zip(rows["method"], rows["num_context"]))
    assert found == [("hypervae", 0), ("hypervae", 1), ("hypervae_fitted", 1), ("vae", 0)]
    assert (rows["num_images"] == 4 * 2).all() and np.isfinite(rows[["neg_elbo", "nll_is"]]).all(axis=None)
    bounds = results.read_rows(folder / "09_new_tasks" / "characters_bound.csv")
    assert sorted(zip(bounds["method"], bounds["set_size"])) == [("hypervae", 2), ("vae", 20)]
    text = (folder / "README.md").read_text()
    assert "published: VAE" in text and "hypervae_fitted" in text
    assert len(list((folder / "09_new_tasks").glob("characters-*.png"))) == 1
    done = call("09_new_tasks.py", *options, "--data-dir", tmp_path / "nowhere")
    assert_refused(done, "train_small.npz is missing")


def few_drawings(init):
    """A Context of files with four drawings of each character: two are coded."""
    return lambda *args, **kwargs: init(*args, **kwargs | {"largest_context": 2})
