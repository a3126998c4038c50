"""The section of results/README.md on outliers (Table 4), made from the CSV file alone."""

import itertools

import pandas as pd

from common.hypervae.mixtures import COMBINED, HEADLINE, HELD_OUT_RATE, OWN_RULE, RULES
from common.hypervae.options import NAMES, NAMES_OF_TASKS, OF_SOME_MODELS
from common.hypervae.outlier_sets import CHANGES, HELD_OUT_CLASS, IMAGE_SETS, WITHOUT
from common.runs import identity
from common.runs.summaries import count, markdown_table, mean_interval, over_seeds, plus_minus, settings_column

PAPER_TABLE_4 = {  # percent: (AUC, FPR, FNR) by normal set, model and score; the paper does not name the outliers
    ("mnist", "vae", "description_length"): (93.0, 16.3, 15.5),
    ("mnist", "metavae", "kl"): (54.7, 47.5, 45.0),
    ("mnist", "metavae", "description_length"): (52.2, 49.4, 50.5),
    ("mnist", "hypervae", "description_length"): (95.3, 15.6, 8.0),
    ("omniglot", "vae", "description_length"): (98.3, 5.5, 6.4),
    ("omniglot", "metavae", "kl"): (87.3, 18.8, 20.9),
    ("omniglot", "metavae", "description_length"): (97.5, 7.2, 9.0),
    ("omniglot", "hypervae", "description_length"): (98.7, 4.9, 5.9),
    ("fashion_mnist", "vae", "description_length"): (74.6, 33.5, 32.0),
    ("fashion_mnist", "metavae", "kl"): (58.2, 44.1, 43.5),
    ("fashion_mnist", "metavae", "description_length"): (56.8, 45.8, 44.5),
    ("fashion_mnist", "hypervae", "description_length"): (76.8, 33.6, 28.7),
}
LEVEL = 0.95
PAIR = ("vae", "hypervae")  # whose AUCs are compared
MEASURES = ["auc", "fpr", "fnr", "average_precision", "fpr_at_95_tpr", "fpr_held_out", "fnr_held_out"]


def _method(stored):
    """The settings of a row of Table 4 but for its data: what was done alike on every pair of sets."""
    found = identity.without(stored, {"fingerprint", "outlier_fingerprint"})
    return found | {"binarize": _scored(stored)["labels"]["binarize"]}


def _protocol(stored):
    """Those of `_method` that models do not differ in by themselves: by what is alike in these they are compared."""
    return identity.experiment(
        identity.without(_method(stored), {"model", "hidden", "fit_u", "scores", *OF_SOME_MODELS})
    )


def _outlier_rows(rows, records):
    """Table 4's rows with the columns `method` (all settings but the data), `protocol` (but the model's own, too),
    `pair` (of sets), `own` (outliers are changed normal images, or classes) and `tasks`.
    """
    methods = {run: identity.experiment(_method(stored)) for run, stored in records.items()}
    table = rows.assign(
        method=rows["run"].map(methods),
        protocol=rows["run"].map({run: _protocol(stored) for run, stored in records.items()}),
        normal_fingerprint=[_scored(records[run])["fingerprint"] for run in rows["run"]],
        outlier_fingerprint=[records[run]["outlier_fingerprint"] for run in rows["run"]],
    )
    return table.assign(
        pair=table["normal_fingerprint"] + " " + table["outlier_fingerprint"],
        own=table["outlier"].isin([*CHANGES, HELD_OUT_CLASS]),
        tasks=table["normal"].map(_tasks),
    )


def _outlier_summary(table, records):
    """The measures of `_outlier_rows` over seeds; and {method: its stored record}."""
    of_method = {method: _method(records[run]) for method, run in zip(table["method"], table["run"])}
    return over_seeds(table, MEASURES, by=["score"]), of_method


def _tasks(normal):
    """What a normal set's tasks are, by its name: "labels", or a key of NAMES_OF_TASKS."""
    return next((tasks for tasks, ending in NAMES_OF_TASKS.items() if normal.endswith(ending)), "labels")


def _scored(stored):
    return stored["scored"]


def _pair_names(summary):
    """{pair: "normal / outlier"}; sets of one name are told apart by their fingerprints, held-out classes are not."""
    first = summary.drop_duplicates("pair")
    held_out = first["outlier"] == HELD_OUT_CLASS
    whole = first["normal"].where(~held_out, first["normal"].str.partition(WITHOUT)[0])
    names = (whole + " / " + first["outlier"]).tolist()
    return {
        pair: name if alike or names.count(name) == 1 else f"{name} ({pair})"
        for pair, name, alike in zip(first["pair"], names, held_out)
    }


def table4(rows, records):
    """Markdown: AUC of every model and score (rows) on every pair (columns), and the mean over the pairs.

    Grey levels stand apart from binarized pixels, other sets' images apart from changed normal ones and held-out
    classes, whose AUC is the mean over the classes, and tasks that are no labels apart from labels.
    """
    return _table4(*_outlier_summary(_outlier_rows(rows, records), records))


def _table4(summary, of_method):
    summary = summary.assign(
        settings=settings_column(summary, of_method, ["model", "likelihood"]),
        pair_name=summary["pair"].map(_pair_names(summary)),
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
        settings=settings_column(known, of_method, ["model", "likelihood"]), name=known["pair"].map(_pair_names(known))
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
    names = _pair_names(summary)  # held-out classes of one set are one pair
    columns = ["fpr_held_out", "fnr_held_out", "fpr_at_95_tpr", "fpr", "fnr"]
    body = []
    keys = ["likelihood", "tasks", "own", "model", "score", "method"]
    for (likelihood, tasks, own_images, model, score, method), own in known.groupby(keys, sort=False):
        cells = [NAMES.get(model, model), score.replace("_", " "), likelihood.replace("_", " "), tasks]
        steps = _scored(of_method[method]).get("iterations", 0)
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


def section(rows, records, results_dir):
    """Markdown of the section on Table 4."""
    table = _outlier_rows(rows, records)
    summary, of_method = _outlier_summary(table, records)
    parts = [
        "AUC in percent, normal / outlier; no score is fitted to an outlier, but which ones `combined` combines was "
        "chosen by their AUCs on these pairs. An AUC below 50 stands as it is.",
        _table4(summary, of_method),
        _differences(table, of_method),
        _thresholds(summary, of_method),
        _rules(summary),
        _rivals(summary),
        _beside_paper(summary, of_method),
    ]
    return "\n\n".join(part.strip() for part in parts if part)


def _ours(summary):
    """The rows of all models by the recipe `ours` on the paper's sets, and of the baselines.

    Where a pair has a score by several protocols, that of the most seeds of all models together; of several ways of one
    model under it, the one with the most.
    """
    named = summary["normal"].isin(IMAGE_SETS) & summary["outlier"].isin(IMAGE_SETS)
    own = summary[named & summary["recipe"].isin(["ours", "none"])]
    own = own.assign(together=own.groupby(["pair", "score", "protocol"])["num_seeds"].transform("sum"))
    chosen = own.sort_values("together", kind="stable").drop_duplicates(["pair", "score"], keep="last")
    chosen = chosen.set_index(["pair", "score"])["protocol"]
    places = own.set_index(["pair", "score"]).index
    own = own[(own["recipe"] == "none") | (own["protocol"] == chosen.loc[places].to_numpy())]
    most = own.sort_values("num_seeds", kind="stable").drop_duplicates(["pair", "model", "score"], keep="last")
    return own.loc[most.index.sort_values()]


def _rules(summary):
    """The rules that were tried, in the order in which they came."""
    own = _ours(summary)
    body = []
    for rule in (*RULES, COMBINED, OWN_RULE):
        for model in ("vae", "hypervae"):
            for _, part in own[(own["score"] == rule) & (own["model"] == model)].groupby("method", sort=False):
                cells = [
                    rule.replace("_", " "),
                    NAMES[model],
                    f"{part['iterations'].max():,}",
                    part["num_seeds"].max(),
                    len(part),
                ]
                body.append([*cells, f"{part['auc_mean'].mean():.1f}", f"{part['auc_mean'].min():.1f}"])
    if not body:
        return ""
    return (
        "**The rules and their history.** `density of states` (the density of an image's code "
        "lengths, norms of codes and compressed lengths among normal images) was written down first, as the rule for "
        "every pair (commit 4bb7909, 06:01 on 21 November 2026). `density of states and codes`, with the codes "
        "themselves, replaced it 25 minutes later (111bf05, 06:26); that commit also brought the context code, whose "
        "adjusted length is the third. The first results were committed an hour after that (61e6245, 07:27). So the "
        "rule that leads was not fixed once and for all beforehand, and which model is ahead depends on the rule. "
        "`combined` is Fisher's sum of these three and local outlier factor, each as a p-value among held-out normal "
        "images: chosen by the AUC of each on these pairs, defined (af4d034) before any combination was scored. Since "
        "then the folds of held-out images are drawn (39b177d), and p-values rounded (85497ed). Without local outlier "
        "factor it is the rule of `03 --score` (85497ed, after results were seen). "
        "Mean and least AUC over the pairs:\n\n"
        + markdown_table(["rule", "model", "steps", "seeds", "pairs", "mean AUC", "least AUC"], body)
    )


def _rivals(summary):
    """Which baselines beat the description lengths of both models, pair by pair."""
    own, lines = _ours(summary), []
    for pair, name in _pair_names(summary).items():
        part = own[own["pair"] == pair]
        length = part[(part["score"] == "description_length") & part["model"].isin(["vae", "hypervae"])]
        if set(length["model"]) != {"vae", "hypervae"} or length["model"].duplicated().any():
            continue
        rivals = part[(part["recipe"] == "none") & (part["auc_mean"] > length["auc_mean"].max())]
        rivals = rivals.sort_values("auc_mean", ascending=False)
        named = [f"{_baseline_name(row)} {row.auc_mean:.1f}" for row in rivals.itertuples()]
        both = ", ".join(f"{NAMES[row.model]} {row.auc_mean:.1f}" for row in length.sort_values("model").itertuples())
        lines.append(f"- {name} ({both}): {', '.join(named) or 'none'}")
    if not lines:
        return ""
    return "**Baselines that beat the description lengths of both VAE and HyperVAE** (AUC):\n\n" + "\n".join(lines)


def _baseline_name(row):
    name = row.score if row.model == "compressor" else row.model
    return name.replace("_", " ")


def _beside_paper(summary, of_method):
    """The paper's scores beside the paper's numbers; a row for each way in which ours were made."""
    summary = summary.assign(settings=settings_column(summary, of_method, ["model"]))
    named = summary[summary["outlier"].isin(IMAGE_SETS)]
    body = []
    for (normal, model, score), paper in PAPER_TABLE_4.items():
        own = named[(named["normal"] == normal) & (named["model"] == model) & (named["score"] == score)]
        for _, part in own.groupby(["method", "normal_fingerprint"], sort=False):
            ours = [f"{part[f'{measure}_mean'].mean():.1f}" for measure in MEASURES[:3]]
            words = [part["recipe"].iloc[0], part["settings"].iloc[0]]
            body.append([normal, NAMES[model], score, *words, len(part), *ours, *paper])
    if not body:
        return ""
    header = ["normal", "model", "score", "recipe", "settings", "outlier sets", "AUC", "FPR", "FNR"]
    return (
        "**Beside the paper**, averaged over the other sets (it does not say which one it took); FPR and FNR at "
        "Youden's threshold:\n\n"
        + markdown_table([*header, "paper AUC", "paper FPR", "paper FNR"], body)
        + _missed_outliers(_ours(summary))
    )


def _missed_outliers(own):
    """Whether the paper's claim holds that HyperVAE misses fewer outliers (a lower FNR) than a VAE."""
    own = own[own["score"] == "description_length"]
    by_set = own.groupby(["normal", "model"])["fnr_mean"].mean().unstack("model")
    if not {"vae", "hypervae"} <= set(by_set) or own.duplicated(["pair", "model"]).any():
        return ""
    by_set = by_set.dropna(subset=["vae", "hypervae"])
    lower = [name for name, row in by_set.iterrows() if row["hypervae"] < row["vae"]]
    where = ", ".join(lower) or "none"
    return (
        "\nThe paper's HyperVAE has a lower FNR than its VAE on every set; ours, by the description length, on "
        f"{where} of {', '.join(by_set.index)}.\n"
    )


def headline(rows, records):
    """HyperVAE by the rule that leads and by all combined, beside the best that is not HyperVAE on the same pairs, and
    was trained as long on as many seeds, where it is trained.
    """
    summary = _ours(_outlier_summary(_outlier_rows(rows, records), records)[0])
    groups = summary.groupby(["model", "score", "method"], sort=False)
    measures = dict(auc_mean=("auc_mean", "mean"), seeds=("num_seeds", "min"), iterations=("iterations", "first"))
    means = groups.agg(**measures).reset_index()
    means = means.assign(pairs=[frozenset(part["pair"]) for _, part in groups])
    found = []
    for _, ours in means[(means["model"] == "hypervae") & means["score"].isin([HEADLINE, COMBINED])].iterrows():
        alike = (means["pairs"] == ours["pairs"]) & (means["seeds"] >= ours["seeds"])
        others = means[alike & (means["model"] != "hypervae") & means["iterations"].isin([0, ours["iterations"]])]
        if len(others):
            other = others.loc[others["auc_mean"].idxmax()]
            same = others[(others["model"] == "vae") & (others["score"] == ours["score"])]
            cell = f"{_rival(other)} {other['auc_mean']:.1f}"
            if len(same) == 1 and same.index[0] != other.name:
                cell += f"; VAE by our rule {same['auc_mean'].iloc[0]:.1f}"
            rule = ours["score"].replace("_", " ")
            pairs = f"mean AUC, %, of {count(len(ours['pairs']), 'pair')} of sets, {count(ours['seeds'], 'seed')}"
            pairs += f", models of {ours['iterations']} iterations"
            found.append(["outliers", pairs, f"HyperVAE, {rule}, {ours['auc_mean']:.1f}", cell, "other pairs"])
    return found


def _rival(row):
    if row["model"] in NAMES:
        return f"{NAMES[row['model']]}, {row['score'].replace('_', ' ')},"
    return (row["score"] if row["model"] == "compressor" else row["model"]).replace("_", " ")
