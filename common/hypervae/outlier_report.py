"""The section of results/README.md on outliers (Table 4), made from the CSV file alone."""

import itertools

import pandas as pd

from common.hypervae import outlier_claims
from common.hypervae.options import NAMES
from common.hypervae.outlier_records import HELD_OUT_RATE
from common.hypervae.outlier_rows import outlier_rows, pair_names, summary_of
from common.runs.summaries import LEVEL, markdown_table, mean_interval, plus_minus, settings_column

PAIR = ("vae", "hypervae")  # whose AUCs are compared


def table4(rows, records):
    """Markdown: AUC of every model and score (rows) on every pair (columns), and the mean over the pairs.

    Grey levels stand apart from binarized pixels, other sets' images apart from changed normal ones and held-out
    classes, whose AUC is the mean over the classes, and tasks that are no labels apart from labels.
    """
    return _table4(*summary_of(outlier_rows(rows, records), records))


def _table4(summary, of_method):
    summary = summary.assign(
        settings=settings_column(summary, of_method, ["model", "likelihood"]),
        pair_name=summary["pair"].map(pair_names(summary)),
    )
    parts = []
    for (likelihood, own, tasks), part in summary.groupby(["likelihood", "own", "tasks"], sort=False):
        title = f"p(x|z) {likelihood.replace('_', ' ')}; outliers from {_where(own)}"
        title += "" if tasks == "labels" else f"; tasks: {tasks}"
        parts.append(f"**{title}**\n\n{_table4_part(part)}")
    return "\n".join(parts)


def _where(own):
    return "the normal set" if own else "other sets"


def _table4_part(summary):
    names = list(dict.fromkeys(summary["pair_name"]))
    body = []
    for (model, score, _), own in summary.groupby(["model", "score", "method"], sort=False):
        by_pair = dict(list(own.groupby("pair_name", sort=False)))
        cells = [_auc(by_pair[name]) if name in by_pair else "" for name in names]
        means = own.groupby("pair_name")["auc_mean"].mean()
        mean = f"{means.mean():.1f}" if len(means) == len(names) else ""
        body.append(
            [NAMES.get(model, model), score, own["recipe"].iloc[0], own["settings"].iloc[0], own["num_seeds"].max()]
            + [*cells, mean, f"{means.min():.1f}"]
        )
    return markdown_table(["model", "score", "recipe", "settings", "seeds", *names, "mean", "least"], body)


def _auc(part):
    """A cell: the AUC of one pair, or the mean over held-out classes and how many they are."""
    if len(part) == 1:
        return plus_minus(part["auc_mean"].iloc[0], part["auc_std"].iloc[0])
    return f"{part['auc_mean'].mean():.1f} ({len(part)} classes)"


def _differences(table, of_method):
    """Markdown: HyperVAE beside the VAE by each score of several seeds, with the difference's interval over these."""
    known = table[table["model"].isin(PAIR) & (table["tasks"] == "labels")]
    known = known.assign(
        settings=settings_column(known, of_method, ["model", "likelihood"]), name=known["pair"].map(pair_names(known))
    )
    body = []
    for (likelihood, own, iterations, _, score), part in known.groupby(
        ["likelihood", "own", "iterations", "protocol", "score"], sort=False
    ):
        vaes, hypervaes = (part[part["model"] == model].groupby("method", sort=False) for model in PAIR)
        for (_, vae), (_, hypervae) in itertools.product(vaes, hypervaes):
            auc = _auc_of_both(vae, hypervae)
            if auc is None:
                continue
            by_pair = auc["hypervae"] - auc["vae"]
            difference = by_pair.mean()  # of each seed
            low, high = mean_interval(difference.to_numpy(), LEVEL)
            cells = [score.replace("_", " "), likelihood.replace("_", " "), _where(own), f"{iterations:,}"]
            cells += [len(by_pair), by_pair.shape[1], *(f"{auc[model].to_numpy().mean():.1f}" for model in PAIR)]
            cells += [f"{difference.mean():+.2f} ({low:+.2f} to {high:+.2f})"]
            body.append([*cells, (by_pair.mean(axis=1) > 0).sum(), hypervae["settings"].iloc[0]])
    if not body:
        return ""
    words = (
        "**HyperVAE beside the VAE**, trained with the labels. Mean AUC over the pairs and seeds that both have (the "
        "classes held out of one set are one pair), and how far HyperVAE is ahead; the interval is Student's over the "
        f"seeds, {LEVEL:.0%}: of trainings, not of other sets. `ahead`: on so many pairs, in the mean of the seeds."
        "\n\n"
    )
    header = ["score", "p(x\\|z)", "outliers from", "steps", "pairs", "seeds", "VAE", "HyperVAE", "difference"]
    return words + markdown_table([*header, "ahead", "settings"], body)


def _auc_of_both(vae, hypervae):
    """AUC of both models, {model: table of pairs and seeds} in one, where all pairs have all seeds; None of one seed.

    Of seeds that some pairs lack these go; where no two are left, the pairs go that lack some.
    """
    both = [rows.set_index(["pair", "seed"])["auc"] for rows in (vae, hypervae)]
    both = pd.concat(dict(zip(PAIR, both)), axis=1).dropna()
    names = vae.drop_duplicates("pair").set_index("pair")["name"]
    by_seed = both.groupby([both.index.get_level_values("pair").map(names), "seed"]).mean().unstack("seed")
    whole = by_seed.dropna(axis=1)
    found = whole if whole.shape[1] >= 2 * len(PAIR) else by_seed.dropna()
    return found if len(found) and found.shape[1] >= 2 * len(PAIR) else None


def _thresholds(summary, of_method):
    """Markdown: what normal images alone can set a threshold to, beside thresholds that use labels."""
    known = summary.dropna(subset=["fpr_held_out_mean"])
    names = pair_names(summary)  # held-out classes of one set are one pair
    columns = ["fpr_held_out", "fnr_held_out", "fpr_at_95_tpr", "fpr", "fnr"]
    body = []
    keys = ["likelihood", "tasks", "own", "model", "score", "method"]
    for (likelihood, tasks, own_images, model, score, method), own in known.groupby(keys, sort=False):
        cells = [NAMES.get(model, model), score.replace("_", " "), likelihood.replace("_", " "), tasks]
        steps = of_method[method]["scored"].get("iterations", 0)
        cells += [_where(own_images), own["recipe"].iloc[0], f"{steps:,}"]
        of_pairs = own.groupby(own["pair"].map(names))[[f"{name}_mean" for name in columns]].mean()
        body.append([*cells, len(of_pairs), *(f"{mean:.1f}" for mean in of_pairs.mean())])
    if not body:
        return ""
    words = (
        f"**Thresholds.** The first two columns are at the threshold that {HELD_OUT_RATE:.0%} of held-out normal "
        "images exceed: it needs no label. The others take the labels of the mixture: FPR where 95 % of the outliers "
        "are found, and both rates at Youden's threshold. FPR counts normal images called outliers, FNR outliers "
        "missed; percent, means over the pairs.\n\n"
    )
    header = ["model", "score", "p(x\\|z)", "tasks", "outliers from", "recipe", "steps", "pairs", "FPR (held out)"]
    header += ["FNR (held out)", "FPR at 95 % TPR"]
    return words + markdown_table([*header, "FPR (Youden)", "FNR (Youden)"], body)


def section(rows, records):
    """Markdown of the section on Table 4."""
    table = outlier_rows(rows, records)
    summary, of_method = summary_of(table, records)
    parts = [
        "AUC in percent, normal / outlier; no score is fitted to an outlier, but which ones `combined` combines was "
        "chosen by their AUCs on these pairs. An AUC below 50 stands as it is.",
        _table4(summary, of_method),
        _differences(table, of_method),
        _thresholds(summary, of_method),
        outlier_claims.rules(summary),
        outlier_claims.rivals(summary),
        outlier_claims.beside_paper(summary, of_method),
    ]
    return "\n\n".join(part.strip() for part in parts if part)
