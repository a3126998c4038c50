"""Sections of results/README.md on density (Tables 1 to 3) and outliers (Table 4), made from the CSV files alone."""

import numpy as np

from common.hypervae import new_tasks_report
from common.hypervae.mixtures import HEADLINE, IMAGE_SETS, RULES
from common.runs import identity
from common.runs.results import read_records, read_rows
from common.runs.summaries import markdown_table, over_seeds, plus_minus

NAMES = {"vae": "VAE", "cvae": "class-told VAE", "metavae": "MetaVAE", "hypervae": "HyperVAE"}
# Table 1 of the paper, nats per image: (-EL, "-LL", KL(z), KL(u)). In every cell -EL = "-LL" + KL(z), so
# its "-LL" is the reconstruction term, although the text speaks of importance sampling.
PAPER_TABLE_1 = {
    ("mnist", "vae"): (118.2, 99.4, 18.8, None),
    ("mnist", "metavae"): (108.6, 93.0, 15.5, None),
    ("mnist", "hypervae"): (106.8, 88.2, 18.5, 5.7),
    ("omniglot", "vae"): (128.6, 111.4, 17.1, None),
    ("omniglot", "metavae"): (141.1, 128.1, 13.2, None),
    ("omniglot", "hypervae"): (124.7, 105.5, 18.1, 2.7),
    ("fashion_mnist", "vae"): (252.2, 237.7, 14.5, None),
    ("fashion_mnist", "metavae"): (245.2, 232.7, 13.7, None),
    ("fashion_mnist", "hypervae"): (245.7, 231.8, 13.9, 0.4),
}
PAPER_TABLE_2 = {"vae": (445, "445"), "metavae": (445, "445 x tasks"), "hypervae": (445, "445")}
PAPER_TABLE_3 = {  # milliseconds on a Tesla P100
    ("vae", "x"): 0.12,
    ("vae", "z"): 0.12,
    ("vae", "total"): 0.24,
    ("metavae", "x"): 0.12,
    ("metavae", "z"): 0.12,
    ("metavae", "total"): 0.24,
    ("hypervae", "x"): 0.12,
    ("hypervae", "theta"): 0.75,
    ("hypervae", "z"): 0.12,
    ("hypervae", "u"): 0.12,
    ("hypervae", "total"): 1.11,
}
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
MEASURES = ["neg_elbo", "reconstruction", "kl_z", "kl_u"]
OUTLIER_MEASURES = ["auc", "fpr", "fnr", "average_precision"]


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    found = []
    makers = (
        ("02_density/table1.csv", "Table 1: density", _table1),
        ("02_density/table2.csv", "Table 2: trainable parameters", _table2),
        ("02_density/table3.csv", "Table 3: time", _table3),
        ("02_density/validation.csv", "Ablation, on a tenth of the training set held out", _validation),
        ("03_outliers/table4.csv", "Table 4: outlier detection", _table4_section),
    )
    for name, title, make in makers:
        path = results_dir / name
        rows = read_rows(path, own) if path.exists() else ()
        if len(rows):
            found.append((title, make(rows, read_records(path), results_dir)))
    return found + new_tasks_report.sections(results_dir, own)


def headline(results_dir):
    """Rows [result, measure, ours, strongest baseline, paper] of the recipe `ours`, where all three models stand."""
    rows = []
    makers = {"02_density/table1.csv": _density_headline, "03_outliers/table4.csv": _outlier_headline}
    for path, make in ((results_dir / name, make) for name, make in makers.items()):
        table = read_rows(path, own=False) if path.exists() else ()
        rows += make(table, read_records(path)) if len(table) else []
    return rows


# What tells rows apart, derived from their records.


def _code_length(stored):
    """The settings that decide -ELBO: all of an Evaluation's but the likelihood's, which is measured apart."""
    return identity.without(stored, {"likelihood"})


def _method(stored):
    """The settings of a row of Table 4 but for its data: what was done alike on every pair of sets."""
    return identity.without(stored, {"fingerprint", "outlier_fingerprint"})


def _words(table, records, by):
    """What tells the groups of a table apart that are alike in the columns `by`, in words, one text a row.

    Args:
        records: {value of the table's column `experiment` or `method`: stored record}.
    """
    key = "method" if "method" in table else "experiment"
    words = {}
    for _, part in table.groupby(by, sort=False, dropna=False):
        words |= identity.differences({name: records[name] for name in part[key]})
    return table[key].map(words)


def _by_experiment(rows, records):
    """{experiment: a record of it}."""
    return {experiment: records[run] for experiment, run in zip(rows["experiment"], rows["run"])}


def _settings_column(table, records, by):
    """Settings in words: what tells rows of one recipe apart; of a custom one, what tells it from all others."""
    within, among = _words(table, records, [*by, "recipe"]), _words(table, records, by)
    return within.where(table["recipe"] != "custom", among)


def told(model, summary):
    """What a model is told of a test image besides its pixels."""
    if model == "vae":
        return "nothing"
    if model in ("metavae", "cvae"):
        return "its class"
    return "one image of its class" if summary == "draw" else "its test batch, all of one class"


# Tables 1 to 3.


def _by_code_length(rows, records):
    """Rows whose experiment is that of -ELBO, whatever the likelihood was estimated by; and {experiment: record}."""
    own = {run: _code_length(stored) for run, stored in records.items()}
    experiments = [identity.experiment(own[run]) for run in rows["run"]]
    return rows.assign(experiment=experiments), dict(zip(experiments, (own[run] for run in rows["run"])))


def summarise(rows, records):
    """Mean and standard deviation (n - 1) over seeds of -ELBO and its terms, one row an experiment.

    Args:
        rows: of Table 1; records: {run: stored Evaluation}.
    """
    rows, _ = _by_code_length(rows, records)
    return over_seeds(rows.drop_duplicates(["experiment", "seed"]), MEASURES)


def summarise_likelihood(rows):
    """The same of the importance-sampled likelihood; other draws or another number of images are another experiment."""
    return over_seeds(rows[rows["nll_is"].notna()], ["nll_is"])


def _likelihood_cells(rows, records):
    """{experiment of -ELBO: the likelihoods estimated for it, each with its seeds, images and draws}."""
    of_run = dict(zip(rows["run"], _by_code_length(rows, records)[0]["experiment"]))
    parents = {row.experiment: of_run[row.run] for row in rows.itertuples()}
    cells = {}
    for row in summarise_likelihood(rows).itertuples():
        seeds, images = _count(row.num_seeds, "seed"), _count(row.nll_num_images, "image")
        text = f"{plus_minus(row.nll_is_mean, row.nll_is_std)} ({seeds}, {images}, "
        cells.setdefault(parents[row.experiment], []).append(text + f"{row.num_importance_samples:,} draws)")
    return {experiment: "; ".join(texts) for experiment, texts in cells.items()}


def _count(number, what):
    """ "1 seed", "2,000 images"."""
    return f"{number:,.0f} {what}" + ("" if number == 1 else "s")


def _data(table):
    """The data set's name; with its binarization where one name stands for several."""
    several = table.groupby("dataset")["binarize"].transform("nunique") > 1
    return table["dataset"].where(~several, table["dataset"] + " (" + table["binarize"] + ")")


def _parameters(results_dir):
    """A function from a row of Table 1 to its model's number of parameters, of Table 2 ("" where that is not known)."""
    path = results_dir / "02_density" / "table2.csv"
    if not path.exists():
        return lambda row, stored: ""
    rows, records = read_rows(path), read_records(path)

    def find(row, stored):
        training = stored["training"]
        shared = ("model", "generator", "body", "latent_dim", "hyper_latent_dim", "hidden", "generate", "rank")
        totals = {
            own.total
            for own in rows[rows["dataset"] == row["dataset"]].itertuples()
            if all(records[own.run].get(name) == training.get(name) for name in shared)
        }
        return f"{totals.pop():,}" if len(totals) == 1 else ""

    return find


def _table1(rows, records, results_dir):
    table, (_, stored) = summarise(rows, records), _by_code_length(rows, records)
    likelihoods, parameters = _likelihood_cells(rows, records), _parameters(results_dir)
    table = table.assign(data=_data(table), settings=_settings_column(table, stored, ["dataset", "binarize", "model"]))
    body = []
    for _, row in table.iterrows():
        paper = PAPER_TABLE_1.get((row["dataset"], row["model"]), (None,) * 4)
        body.append(
            [row["data"], row["recipe"], NAMES[row["model"]], row["settings"], told(row["model"], row["summary"])]
            + [parameters(row, stored[row["experiment"]]), row["iterations"], row["num_seeds"]]
            + [plus_minus(row[f"{measure}_mean"], row[f"{measure}_std"]) for measure in MEASURES]
            + [likelihoods.get(row["experiment"], "")]
            + ["" if value is None else value for value in paper]
        )
    header = ["data", "recipe", "model", "settings", "told", "parameters", "iterations", "seeds", "-ELBO"]
    header += ["reconstruction", "KL(z)", "KL(u)/n", "NLL (IS) without KL(u)/n"]
    header += ["paper -EL", 'paper "-LL"', "paper KL(z)", "paper KL(u)"]
    return (
        "-ELBO = reconstruction + KL(z) + KL(u)/n, where n is the number of images in the test task (100, or what is "
        "left of a class). NLL (IS) is importance-sampled given theta, so KL(u)/n is not in it; on how many images and "
        "by how many draws stands in brackets, and estimates on unlike numbers of images are not averaged.\n\n"
        "`told` is what a model knows of a test image besides its pixels. HyperVAE is not told the class, but test "
        "images are sorted by label into batches of one class, and its theta comes from such a batch.\n\n"
        'The paper\'s "-LL" is its reconstruction term (-EL minus KL(z)). Omniglot is the rebuilt 28x28 set, another '
        "split than the paper's.\n\n" + markdown_table(header, body)
    )


def _table2(rows, records, results_dir):
    settings = _words(rows, _by_experiment(rows, records), ["dataset", "model", "generator"])
    body = [
        [r.dataset, NAMES[r.model], r.generator, words, f"{r.inference:,}", f"{r.generative:,}", f"{r.total:,}"]
        + list(PAPER_TABLE_2[r.model])
        for r, words in zip(rows.itertuples(), settings)
    ]
    header = ["data", "model", "generator", "settings", "inference", "generative", "total"]
    return markdown_table([*header, "paper inference (k)", "paper generative (k)"], body)


def _table3(rows, records, results_dir):
    settings = _words(rows, _by_experiment(rows, records), ["dataset", "model", "generator", "quantity"])
    body = [
        [
            r.dataset,
            NAMES[r.model],
            r.generator,
            words,
            r.quantity,
            f"{r.milliseconds:.2f}",
            f"{r.ratio_to_vae_total:.2f}",
        ]
        + [_paper_time(r)]
        for r, words in zip(rows.itertuples(), settings)
    ]
    header = ["data", "model", "generator", "settings", "quantity", "ms for 100 images", "ratio to VAE total"]
    header += ["paper, ratio"]
    return markdown_table(header, body)


def _paper_time(row):
    value = PAPER_TABLE_3.get((row.model, row.quantity))
    return "" if value is None or row.generator == "block" else f"{value / PAPER_TABLE_3['vae', 'total']:.2f}"


def _validation(rows, records, results_dir):
    table, (_, stored) = summarise(rows, records), _by_code_length(rows, records)
    table = table.assign(data=_data(table), settings=_words(table, stored, ["dataset", "binarize", "model"]))
    body = [
        [row["data"], NAMES[row["model"]], row["recipe"], row["settings"], row["num_seeds"]]
        + [plus_minus(row[f"{measure}_mean"], row[f"{measure}_std"]) for measure in MEASURES]
        for _, row in table.iterrows()
    ]
    header = ["data", "model", "recipe", "settings", "seeds", "-ELBO", "reconstruction", "KL(z)", "KL(u)/n"]
    return "Where the gain comes from, and how the recipe was chosen. No test image was used.\n\n" + markdown_table(
        header, body
    )


_OF_VARIANTS = {"hidden", "generate", "rank"}  # stored where they are not the paper's
_OF_A_MODEL = {"model", "tasks_per_step", "summary", "generator", "hyper_latent_dim"}


def _density_headline(rows, records):
    """HyperVAE's -ELBO on the paper's sets beside the better of VAE and MetaVAE, trained and measured alike."""
    table, (_, stored) = summarise(rows, records), _by_code_length(rows, records)
    found = []
    for dataset in IMAGE_SETS:
        own = table[(table["dataset"] == dataset) & (table["recipe"] == "ours")]
        varied = [bool(_OF_VARIANTS & set(stored[experiment]["training"])) for experiment in own["experiment"]]
        own = own[~np.array(varied, bool)]
        # What is alike in all that does not belong to one model.
        shared = [identity.without(stored[experiment], _OF_A_MODEL) for experiment in own["experiment"]]
        protocols = [identity.experiment(record) for record in shared]
        words = identity.differences(dict(zip(protocols, shared)))
        for protocol, part in own.assign(protocol=protocols).groupby("protocol", sort=False):
            part = part.sort_values("neg_elbo_mean")
            ours, others = part[part["model"] == "hypervae"], part[part["model"] != "hypervae"]
            if len(ours) == 1 and len(others):
                ours, other = ours.iloc[0], others.iloc[0]
                cell = f"{NAMES[other['model']]} {_elbo(other)}, told {told(other['model'], '')}"
                measure = f"test -ELBO, nats an image, {_count(ours['num_seeds'], 'seed')}"
                paper = PAPER_TABLE_1[dataset, "hypervae"][0]
                name = ", ".join(filter(None, ["density", dataset, words[protocol]]))
                found.append([name, measure, f"HyperVAE {_elbo(ours)}", cell, f"HyperVAE {paper}"])
    return found


def _elbo(row):
    return plus_minus(row["neg_elbo_mean"], row["neg_elbo_std"])


# Table 4.


def _outlier_summary(rows, records):
    """Table 4's measures over seeds, with the columns `method` (all settings but the data) and `pair` (of sets).

    Returns:
        the table; and {method: its stored record}.
    """
    methods = {run: identity.experiment(_method(stored)) for run, stored in records.items()}
    table = rows.assign(
        method=rows["run"].map(methods),
        normal_fingerprint=[_scored(records[run])["fingerprint"] for run in rows["run"]],
        outlier_fingerprint=[records[run]["outlier_fingerprint"] for run in rows["run"]],
    )
    table["pair"] = table["normal_fingerprint"] + " " + table["outlier_fingerprint"]
    of_method = {methods[run]: _method(records[run]) for run in rows["run"]}
    return over_seeds(table, OUTLIER_MEASURES, by=["score"]), of_method


def _scored(stored):
    return stored["scored"]


def _pair_names(summary):
    """{pair: "normal / outlier"}; sets of one name are told apart by their fingerprints."""
    first = summary.drop_duplicates("pair")
    names = (first["normal"] + " / " + first["outlier"]).tolist()
    return {pair: name if names.count(name) == 1 else f"{name} ({pair})" for pair, name in zip(first["pair"], names)}


def table4(rows, records):
    """Markdown: AUC of every model and score (rows) on every pair (columns), and the mean over the pairs."""
    summary, of_method = _outlier_summary(rows, records)
    summary = summary.assign(settings=_settings_column(summary, of_method, ["model"]))
    pairs = _pair_names(summary)
    body = []
    for (model, score, _), own in summary.groupby(["model", "score", "method"], sort=False):
        by_pair = own.set_index("pair")
        cells = [_auc(by_pair.loc[pair]) if pair in by_pair.index else "" for pair in pairs]
        mean = f"{own['auc_mean'].mean():.1f}" if len(own) == len(pairs) else ""
        body.append(
            [NAMES.get(model, model), score, own["recipe"].iloc[0], own["settings"].iloc[0], own["num_seeds"].max()]
            + [*cells, mean, f"{own['auc_mean'].min():.1f}"]
        )
    return markdown_table(["model", "score", "recipe", "settings", "seeds", *pairs.values(), "mean", "least"], body)


def _auc(row):
    return plus_minus(row["auc_mean"], row["auc_std"])


def _table4_section(rows, records, results_dir):
    summary, of_method = _outlier_summary(rows, records)
    parts = [
        "AUC in percent, normal / outlier; no score has seen an outlier. An AUC below 50 stands as it is.",
        table4(rows, records),
        _rules(summary),
        _rivals(summary),
        _beside_paper(summary, of_method),
    ]
    return "\n\n".join(part.strip() for part in parts if part)


def _ours(summary):
    """The rows of VAE and HyperVAE by the recipe `ours` on the paper's sets, and of the baselines, of equal method."""
    named = summary["normal"].isin(IMAGE_SETS) & summary["outlier"].isin(IMAGE_SETS)
    return summary[named & summary["recipe"].isin(["ours", "none"])]


def _rules(summary):
    """The rule that leads, with those that it was chosen among."""
    own = _ours(summary)
    body = []
    for rule in RULES:
        for model in ("vae", "hypervae"):
            for _, part in own[(own["score"] == rule) & (own["model"] == model)].groupby("method", sort=False):
                cells = [rule.replace("_", " "), NAMES[model], part["num_seeds"].max(), len(part)]
                body.append([*cells, f"{part['auc_mean'].mean():.1f}", f"{part['auc_mean'].min():.1f}"])
    if not body:
        return ""
    return (
        "**The rule and its history.** Three rules were tried. `density of states` (the density of an image's code "
        "lengths, norms of codes and compressed lengths among normal images) was written down first, as the rule for "
        "every pair (commit 4bb7909, 06:01 on 21 November 2026). `density of states and codes`, with the codes "
        "themselves, replaced it 25 minutes later (111bf05, 06:26); that commit also brought the context code, whose "
        "adjusted length is the third. The first results were committed an hour after that (61e6245, 07:27). So the "
        "rule that leads was not fixed once and for all beforehand, and which model is ahead depends on the rule. "
        "Mean and least AUC over the pairs:\n\n"
        + markdown_table(["rule", "model", "seeds", "pairs", "mean AUC", "least AUC"], body)
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
    summary = summary.assign(settings=_settings_column(summary, of_method, ["model"]))
    named = summary[summary["outlier"].isin(IMAGE_SETS)]
    body = []
    for (normal, model, score), paper in PAPER_TABLE_4.items():
        own = named[(named["normal"] == normal) & (named["model"] == model) & (named["score"] == score)]
        for _, part in own.groupby(["method", "normal_fingerprint"], sort=False):
            ours = [f"{part[f'{measure}_mean'].mean():.1f}" for measure in OUTLIER_MEASURES[:3]]
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


def _outlier_headline(rows, records):
    """HyperVAE by the rule that leads, beside the best of all that is not HyperVAE on the same pairs."""
    summary = _ours(_outlier_summary(rows, records)[0])
    groups = summary.groupby(["model", "score", "method"], sort=False)
    means = groups["auc_mean"].mean().reset_index().assign(pairs=[frozenset(part["pair"]) for _, part in groups])
    found = []
    for _, ours in means[(means["model"] == "hypervae") & (means["score"] == HEADLINE)].iterrows():
        others = means[(means["model"] != "hypervae") & (means["pairs"] == ours["pairs"])]
        if len(others):
            other = others.loc[others["auc_mean"].idxmax()]
            same = others[(others["model"] == "vae") & (others["score"] == HEADLINE)]
            cell = f"{_rival(other)} {other['auc_mean']:.1f}"
            if len(same) == 1:
                cell += f"; VAE by our rule {same['auc_mean'].iloc[0]:.1f}"
            rule = HEADLINE.replace("_", " ")
            pairs = f"mean AUC, %, of {_count(len(ours['pairs']), 'pair')} of sets"
            found.append(["outliers", pairs, f"HyperVAE, {rule}, {ours['auc_mean']:.1f}", cell, "other pairs"])
    return found


def _rival(row):
    if row["model"] in NAMES:
        return f"{NAMES[row['model']]}, {row['score'].replace('_', ' ')},"
    return (row["score"] if row["model"] == "compressor" else row["model"]).replace("_", " ")
