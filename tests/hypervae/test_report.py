"""Reports: rows of unlike protocols are never averaged, and the words are true of the numbers."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
from hypervae.toy import settings

from common.hypervae import report, timing
from common.hypervae.density import Evaluation, ImportanceSampling
from common.hypervae.options import LIKELIHOODS, body_of
from common.hypervae.outlier_records import HEADLINE, RULES, Baseline, Scoring
from common.runs import results

AT = {"trained_at": "a", "evaluated_at": "b"}
OURS = dict(recipe="ours", dataset="mnist", iterations=10_000, batch_size=100, tasks_per_step=20)


def density_rows(folder, evaluations, drawn=()):
    """Table 1 with one row for each of {Evaluation: -ELBO}; `drawn`: seeds whose u was drawn, too."""
    rows, likelihoods = [], {body_of(name): name for name in LIKELIHOODS}
    for evaluation, value in evaluations.items():
        own, likelihood = evaluation.training, evaluation.likelihood
        names = ("dataset", "recipe", "binarize", "model", "summary", "generator", "iterations", "seed")
        row = {name: getattr(own, name) for name in names} | {"evaluate_on": evaluation.evaluate_on}
        row |= {"neg_elbo": value, "reconstruction": value - 1, "kl_z": 1, "kl_u": 0, "nll_is": value - 2}
        row["neg_elbo_drawn_u"] = value + 1 if own.seed in drawn else ""
        row |= {"bits_per_dim": round(value / (64 * np.log(2)), 4), "likelihood": likelihoods[own.body]}
        row |= {"num_importance_samples": likelihood.num_importance_samples, "nll_num_images": likelihood.num_images}
        rows.append({"run": evaluation, **row, **AT})
    columns = [name for name in rows[0] if name not in {"run", *AT}]
    return results.put_rows(folder / "02_density" / "table1.csv", rows, columns)


def evaluation(likelihood=(16, 100), **changes):
    return Evaluation(settings(**(OURS | changes)), "test", ImportanceSampling(*likelihood))


def test_levels_stand_apart_and_have_bits_a_pixel(tmp_path):
    values = {evaluation(): 100, evaluation(dataset="x-grey", binarize="none", body="conv_logistic"): 64 * np.log(2)}
    density_rows(tmp_path, values)
    binary, levels = section(tmp_path, "Table 1: density").split("**256 levels")
    assert lines_with(binary, "mnist", "100.0", "106.8") and not lines_with(binary, "x-grey")
    (row,) = lines_with(levels, "x-grey", "discretized_logistic")
    assert row.endswith("| 1.00 |") and "106.8" not in levels
    density_rows(tmp_path / "alone", dict(list(values.items())[1:]))
    assert "paper -EL" not in section(tmp_path / "alone", "Table 1: density")


def test_a_drawn_u_stands_beside_where_every_seed_has_it(tmp_path):
    values = {evaluation(seed=seed): 100 + 2 * seed for seed in (0, 1)}
    density_rows(tmp_path / "both", values, drawn=(0, 1))
    assert lines_with(section(tmp_path / "both", "Table 1: density"), "| 101.0 +- 1.4 (102.0 +- 1.4) |")
    density_rows(tmp_path / "one", values, drawn=(1,))
    assert lines_with(section(tmp_path / "one", "Table 1: density"), "| 101.0 +- 1.4 |")


def section(folder, title):
    return dict(report.sections(folder))[title]


def lines_with(text, *words):
    return [line for line in text.splitlines() if all(word in line for word in words)]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"batch_size": 40}, "batch_size 40"),
        ({"schedule": "constant"}, "schedule constant"),
        ({"hyper_latent_dim": 7}, "hyper_latent_dim 7"),
        ({"fingerprint": "another"}, "fingerprint another"),
    ],
)
def test_unlike_trainings_are_rows_of_their_own(tmp_path, changes, words):
    values = {evaluation(seed=seed): 100 + seed for seed in (0, 1)}
    values |= {evaluation(seed=seed, **changes): 200 + seed for seed in (0, 1)}
    rows = density_rows(tmp_path, values)
    assert len(density_rows(tmp_path, values)) == len(rows) == 4  # the same rows twice are found once
    text = section(tmp_path, "Table 1: density")
    assert len(lines_with(text, "HyperVAE", "mnist")) == 2
    assert lines_with(text, "100.5 +- 0.7") and lines_with(text, "200.5 +- 0.7", words)
    records = results.read_records(tmp_path / "02_density" / "table1.csv")
    assert sorted(report.summarise(rows, records)["neg_elbo_mean"]) == [100.5, 200.5]


def test_likelihoods_on_unlike_images_are_not_averaged_and_do_not_split_the_elbo(tmp_path):
    values = {evaluation((16, images), seed=seed): 100 + seed for seed, images in ((0, 900), (1, 100), (2, 100))}
    values[evaluation((16, 100), seed=0)] = 100
    density_rows(tmp_path, values)
    (row,) = lines_with(section(tmp_path, "Table 1: density"), "HyperVAE", "mnist")
    assert "| 3 | 101.0 +- 1.0 |" in row
    assert "98.0 (1 seed, 900 images, 16 draws)" in row and "99.0 +- 1.0 (3 seeds, 100 images, 16 draws)" in row


def test_told_and_parameters_stand_beside_the_models(tmp_path):
    models = ("vae", "metavae", "hypervae")
    density_rows(tmp_path, {evaluation(model=m, summary="mean"): 100 + len(m) for m in models})
    networks = [timing.Networks(m, "block", "conv", (8, 8, 1), 2, 2, 3) for m in models]
    rows = [
        {"run": n, "dataset": "mnist", "model": n.model, "generator": n.generator, "inference": 1, "generative": i}
        | {"total": 1000 + i, **AT}
        for i, n in enumerate(networks)
    ]
    columns = ["dataset", "model", "generator", "inference", "generative", "total"]
    results.put_rows(tmp_path / "02_density" / "table2.csv", rows, columns, ["dataset"])
    text = section(tmp_path, "Table 1: density")
    assert lines_with(text, " VAE ", "nothing", "1,000") and lines_with(text, "MetaVAE", "its class", "1,001")
    assert lines_with(text, "HyperVAE", "all of one class", "1,002") and "sorted by label" in text
    assert "Table 2: trainable parameters" in dict(report.sections(tmp_path))
    ((result, measure, ours, other, paper),) = report.headline(tmp_path)
    assert (result, other) == ("density, mnist", "VAE 103.0, told nothing")
    assert ours == "HyperVAE 108.0, told its test batch, all of one class"
    assert paper == "HyperVAE 106.8" and "1 seed" in measure


def outlier_rows(folder, scorings):
    """Table 4 with a row for each of {(Scoring, score): (AUC, FNR)}."""
    rows = []
    for (scoring, score), (auc, fnr) in scorings.items():
        own = scoring.scored
        row = {"normal": own.dataset, "outlier": scoring.outlier, "model": own.model, "score": score, "seed": own.seed}
        row |= {"auc": auc, "fpr": 1, "fnr": fnr, "average_precision": 5, "recipe": getattr(own, "recipe", "none")}
        row["iterations"] = getattr(own, "iterations", 0)
        row |= {"fpr_at_95_tpr": 4, "fpr_held_out": 5, "fnr_held_out": 6, "likelihood": "bernoulli"}
        rows.append({"run": scoring, **row, **AT})
    columns = [name for name in rows[0] if name not in {"run", *AT}]
    return results.put_rows(folder / "03_outliers" / "table4.csv", rows, columns, ["score"])


def scoring(model="hypervae", outlier="omniglot", num_samples=16, fingerprint="theirs", **changes):
    scored = settings(model=model, **(OURS | changes))
    if model in ("pca", "compressor"):
        scored = Baseline(scored.dataset, "threshold", scored.fingerprint, model, scored.seed)
    return Scoring(outlier, scored, fingerprint, 0.2, num_samples, 500)


def test_scores_of_unlike_protocols_are_not_averaged(tmp_path):
    scores = {(scoring(seed=seed), HEADLINE): (90 + seed, 1) for seed in (0, 2)}
    scores |= {(scoring(num_samples=4, seed=seed), HEADLINE): (50 + seed, 1) for seed in (0, 2)}
    scores[scoring(recipe="paper", tasks_per_step=1), HEADLINE] = (30, 1)
    scores[dataclasses.replace(scoring(), draws="one pass"), HEADLINE] = (70, 1)
    outlier_rows(tmp_path, scores)
    text = section(tmp_path, "Table 4: outlier detection")
    for auc, words in (("91.0 +- 1.4", "num_samples 16, draws per set"), ("51.0 +- 1.4", "num_samples 4")):
        assert len(lines_with(text, f"| {auc} |", words)) == 1
    assert len(lines_with(text, "| 30.0 |", "paper")) == 1 and len(lines_with(text, "| 70.0 |", "one pass")) == 1


def test_sets_of_one_name_are_two_pairs(tmp_path):
    outlier_rows(tmp_path, {(scoring(fingerprint=f), HEADLINE): (a, 1) for f, a in (("one", 90), ("two", 50))})
    text = section(tmp_path, "Table 4: outlier detection")
    (header,) = lines_with(text, "| model | score | recipe")
    aucs = {"one": "90.0", "two": "50.0"}
    first, second = sorted(aucs, key=lambda name: header.index(f" {name})"))
    assert header.count("mnist / omniglot (") == 2
    assert lines_with(text, f"| {aucs[first]} | {aucs[second]} | 70.0 | 50.0 |")


def test_means_over_pairs_leave_tasks_of_another_kind_out(tmp_path):
    labels = scoring()
    found = {tasks: dataclasses.replace(labels.scored, dataset=f"mnist{end}", fingerprint=tasks)
             for tasks, end in {"auto": "-auto-tasks", "random": "-10-random-tasks"}.items()}  # fmt: skip
    scores = {
        (dataclasses.replace(labels, scored=own), HEADLINE): (auc, 1) for own, auc in zip(found.values(), (40, 50))
    }
    outlier_rows(tmp_path, {(labels, HEADLINE): (90, 1), **scores})
    text = section(tmp_path, "Table 4: outlier detection")
    assert [text.count(f"other sets; tasks: {tasks}**") for tasks in found] == [1, 1]
    for auc in ("90.0", "40.0", "50.0"):  # of one pair the AUC, its mean and the least are one number
        assert lines_with(text, f"| 1 | {auc} | {auc} | {auc} |")
    for tasks in ("labels", "auto"):
        assert lines_with(
            text, f"| {tasks} | other sets | {labels.scored.recipe} | {labels.scored.iterations:,} | 1 | 5.0 |"
        )


def test_the_rule_stands_with_its_history_and_the_baselines_that_win(tmp_path):
    aucs = dict(zip(RULES, (94, 95, 96))) | {"description_length": 70}
    scores = {(scoring(), score): (auc, 9) for score, auc in aucs.items()}
    scores |= {(scoring("vae"), score): (auc + 0.5, 5) for score, auc in aucs.items()}
    scores |= {(scoring("pca"), "score"): (80, 1), (scoring("compressor"), "zlib"): (60, 1)}
    scores[scoring("vae", iterations=9), "combined"] = (99, 1)  # trained otherwise: no rival in the headline
    outlier_rows(tmp_path, scores)
    text, steps = section(tmp_path, "Table 4: outlier detection"), f"{scoring().scored.iterations:,}"
    for rule, auc in zip(RULES, (94, 95, 96)):
        assert lines_with(text, f"| {rule.replace('_', ' ')} | HyperVAE | {steps} | 1 | 1 | {auc:.1f} |")
        assert lines_with(text, f"| {rule.replace('_', ' ')} | VAE | {steps} | 1 | 1 | {auc + 0.5:.1f} |")
    assert "- mnist / omniglot (HyperVAE 70.0, VAE 70.5): pca 80.0" in text and "zlib 60" not in text.split("beat")[1]
    ((result, measure, ours, other, _),) = report.headline(tmp_path)
    assert result == "outliers" and "1 pair of sets" in measure
    assert "96.0" in ours and other.startswith("VAE, density of states and codes, 96.5")


def test_the_claim_of_fewer_missed_outliers_is_answered_by_each_protocol(tmp_path):
    length = "description_length"
    scores = {(scoring(), length): (70, 9), (scoring("vae"), length): (70, 5)}
    scores |= {(scoring(iterations=9), length): (70, 2), (scoring("vae", iterations=9), length): (70, 3)}
    scores[scoring(iterations=8), length] = (70, 1)  # nobody to compare it with
    outlier_rows(tmp_path, scores)
    text = section(tmp_path, "Table 4: outlier detection")
    steps = f"{scoring().scored.iterations:,}"
    for words in (f"{steps} steps, 1 seed: on none of mnist; means in percent: FNR 9.0 (VAE 5.0), FPR 1.0 (VAE 1.0)",
                  "9 steps, 1 seed: on mnist of mnist; means in percent: FNR 2.0 (VAE 3.0)"):  # fmt: skip
        assert f"- {words}" in text
    assert "- 8 steps" not in text


def both_models(outlier, seed, ahead, **changes):
    """Rows of a VAE of AUC 50 and a HyperVAE that is `ahead`."""
    own = {"outlier": outlier, "fingerprint": outlier, "seed": seed, **changes}
    return {(scoring(model, **own), HEADLINE): (auc, 1) for model, auc in (("vae", 50), ("hypervae", 50 + ahead))}


def interval(differences):
    low, high = scipy.stats.t.interval(0.95, len(differences) - 1, np.mean(differences), scipy.stats.sem(differences))
    mean = np.mean(differences)
    return f"| 50.0 | {50 + mean:.1f} | {mean:+.2f} ({low:+.2f} to {high:+.2f}) |"


def test_hypervae_beside_the_vae_has_the_interval_of_the_seeds(tmp_path):
    scores, ahead = {}, (2, 3, 7)  # by seed; on the second pair one more
    for i, outlier in enumerate(("omniglot", "fashion_mnist")):
        for seed, more in enumerate(ahead):
            scores |= both_models(outlier, seed, more + i)
    scores[scoring("hypervae", fingerprint="alone"), HEADLINE] = (99, 1)  # a pair that the VAE has not
    scores |= both_models("omniglot", 3, 40)  # a seed of one pair alone
    outlier_rows(tmp_path, scores)
    text = section(tmp_path, "Table 4: outlier detection")
    assert lines_with(text, f"| 2 | 3 {interval(np.add(ahead, 0.5))} 2 |")
    # A variant of HyperVAE, of two seeds, has a line of its own beside the same VAE.
    more = {(scoring(seed=seed, outlier="omniglot", fingerprint="omniglot", rank=7), HEADLINE): (50 - 2 * seed, 1)
            for seed in (1, 2)}  # fmt: skip
    outlier_rows(tmp_path, scores | more)
    text = section(tmp_path, "Table 4: outlier detection")
    assert lines_with(text, f"| 2 | 3 {interval(np.add(ahead, 0.5))} 2 |")
    assert lines_with(text, f"| 1 | 2 {interval([-2, -4])} 0 |", "rank 7")


def test_classes_held_out_of_one_set_are_one_pair_and_one_seed_has_no_interval(tmp_path):
    scores = {}
    for seed in (0, 1):
        for label, ahead in enumerate((4, 8 + 2 * seed)):
            own = {"dataset": f"mnist-without-{label}", "outlier": "held_out_class", "fingerprint": f"class {label}"}
            found = both_models(own.pop("outlier"), seed, ahead, dataset=own["dataset"])
            scores |= {
                (dataclasses.replace(run, outlier_fingerprint=own["fingerprint"]), score): values
                for (run, score), values in found.items()
            }
    outlier_rows(tmp_path, scores)
    assert lines_with(section(tmp_path, "Table 4: outlier detection"), f"| 1 | 2 {interval([6, 7])} 1 |")
    outlier_rows(tmp_path / "one", both_models("omniglot", 0, 3) | both_models("fashion_mnist", 1, 3))
    assert "HyperVAE beside the VAE" not in section(tmp_path / "one", "Table 4: outlier detection")


def test_nothing_is_reported_of_tables_that_are_missing(tmp_path):
    assert report.sections(tmp_path) == [] and report.headline(tmp_path) == []


def test_models_are_compared_by_one_protocol_and_binarizations_stand_apart(tmp_path):
    """A longer trained HyperVAE does not stand beside a shorter trained VAE, where both have a partner of their own."""
    length = "description_length"
    scores = {(scoring(model, iterations=steps), length): (auc, 5)
              for model, steps, auc in (("vae", 40, 60), ("hypervae", 40, 61), ("hypervae", 99, 90))}  # fmt: skip
    scores |= {(scoring("compressor"), "zlib"): (70, 1)}
    outlier_rows(tmp_path, scores)
    text = section(tmp_path, "Table 4: outlier detection")
    assert lines_with(text, "mnist / omniglot (HyperVAE 61.0, VAE 60.0): zlib 70.0")
    other = dataclasses.replace(scoring().scored, binarize="bernoulli", fingerprint="other pixels")
    other = dataclasses.replace(scoring(), scored=other, outlier_fingerprint="other outliers")
    outlier_rows(tmp_path / "both", {(scoring(), length): (50, 1), (other, length): (90, 1)})
    text = section(tmp_path / "both", "Table 4: outlier detection")
    assert lines_with(text, "binarize threshold") and lines_with(text, "binarize bernoulli")
    assert "70.0" not in text
