"""Sections of results/README.md on density (Tables 1 to 3) and outliers (Table 4)."""

import pandas as pd

from common.runs.results import markdown_table, over_seeds

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
MEASURES = ["neg_elbo", "reconstruction", "kl_z", "kl_u", "nll_is"]
GROUP = [
    "dataset",
    "binarize",
    "recipe",
    "model",
    "summary",
    "generator",
    "tasks_per_step",
    "learning_rate",
    "kl_warmup",
    "iterations",
]


def summarise(rows):
    """Mean and standard deviation (n - 1) over seeds of each measure, one row a setting."""
    return over_seeds(rows, GROUP, MEASURES)


def _spread(row, measure):
    mean, spread = row[f"{measure}_mean"], row[f"{measure}_std"]
    if pd.isna(mean):
        return ""
    return f"{mean:.1f}" if pd.isna(spread) else f"{mean:.1f} +- {spread:.1f}"


def _table1(rows):
    body = []
    for _, row in summarise(rows).iterrows():
        paper = PAPER_TABLE_1.get((row["dataset"], row["model"]), (None,) * 4)
        body.append(
            [row["dataset"], row["recipe"], row["model"], row["summary"], row["iterations"], row["num_seeds"]]
            + [_spread(row, measure) for measure in MEASURES]
            + ["" if value is None else value for value in paper]
        )
    header = [
        "data",
        "recipe",
        "model",
        "s(D)",
        "iterations",
        "seeds",
        "-ELBO",
        "reconstruction",
        "KL(z)",
        "KL(u)/n",
        "NLL (IS)",
    ]
    header += ["paper -EL", 'paper "-LL"', "paper KL(z)", "paper KL(u)"]
    return (
        "## Table 1: density\n\n"
        "-ELBO = reconstruction + KL(z) + KL(u)/n, where n is the number of images in the test task (100, or what is "
        "left of a class); NLL (IS) is importance-sampled, with the draws and the number of test images that the CSV names. MetaVAE is told "
        'the class of each test image; VAE and HyperVAE are not. The paper\'s "-LL" is its reconstruction term '
        "(-EL minus KL(z)). Omniglot is the rebuilt 28x28 set, another split than the paper's.\n\n"
        + markdown_table(header, body)
    )


def _table2(rows):
    body = [
        [r.dataset, r.model, r.generator, f"{r.inference:,}", f"{r.generative:,}", *PAPER_TABLE_2[r.model]]
        for r in rows.itertuples()
    ]
    header = ["data", "model", "generator", "inference", "generative", "paper inference (k)", "paper generative (k)"]
    return "## Table 2: trainable parameters\n\n" + markdown_table(header, body)


def _table3(rows):
    body = [
        [r.model, r.generator, r.quantity, f"{r.milliseconds:.2f}", f"{r.ratio_to_vae_total:.2f}", _paper_time(r)]
        for r in rows.itertuples()
    ]
    header = ["model", "generator", "quantity", "ms for 100 images", "ratio to VAE total", "paper, ratio"]
    return "## Table 3: time\n\n" + markdown_table(header, body)


def _paper_time(row):
    value = PAPER_TABLE_3.get((row.model, row.quantity))
    return "" if value is None or row.generator == "block" else f"{value / PAPER_TABLE_3['vae', 'total']:.2f}"


def _validation(rows):
    body = [
        [row[name] for name in GROUP] + [row["num_seeds"]] + [_spread(row, measure) for measure in MEASURES[:4]]
        for _, row in summarise(rows).iterrows()
    ]
    return (
        "## Ablation, on a tenth of the training set held out\n\nWhere the gain comes from, and how the recipe was "
        "chosen. No test image was used.\n\n"
        + markdown_table(GROUP + ["seeds", "-ELBO", "reconstruction", "KL(z)", "KL(u)/n"], body)
    )


OUTLIER_MEASURES = ["auc", "fpr", "fnr", "average_precision"]


def summarise_outliers(rows):
    """Mean and standard deviation over seeds of Table 4's measures, one row a pair, model and score."""
    return over_seeds(rows, ["normal", "outlier", "model", "score", "recipe", "iterations"], OUTLIER_MEASURES)


def table4(rows):
    """Markdown: AUC of every model and score (rows) on every pair (columns), and the mean over the pairs."""
    summary = summarise_outliers(rows)
    pairs = list(dict.fromkeys(zip(summary["normal"], summary["outlier"])))
    body = []
    for (model, score, recipe, _), own in summary.groupby(["model", "score", "recipe", "iterations"], sort=False):
        by_pair = own.set_index(["normal", "outlier"])
        cells = [_spread(by_pair.loc[pair], "auc") if pair in by_pair.index else "" for pair in pairs]
        mean = f"{own['auc_mean'].mean():.1f}" if len(own) == len(pairs) else ""
        body.append([model, score, recipe, own["num_seeds"].max(), *cells, mean, f"{own['auc_mean'].min():.1f}"])
    header = [
        "model",
        "score",
        "recipe",
        "seeds",
        *[f"{normal} / {outlier}" for normal, outlier in pairs],
        "mean",
        "least",
    ]
    return markdown_table(header, body)


def _table4_section(rows):
    summary = summarise_outliers(rows)
    body = []
    for (normal, model, score), paper in PAPER_TABLE_4.items():
        own = summary[(summary["normal"] == normal) & (summary["model"] == model) & (summary["score"] == score)]
        if len(own):
            ours = [f"{own[f'{measure}_mean'].mean():.1f}" for measure in OUTLIER_MEASURES[:3]]
            body.append([normal, model, score, len(own), *ours, *paper])
    header = ["normal", "model", "score", "outlier sets", "AUC", "FPR", "FNR", "paper AUC", "paper FPR", "paper FNR"]
    return (
        "## Table 4: outlier detection\n\nAUC in percent, normal / outlier; no score has seen an outlier. An AUC below 50 stands "
        "as it is.\n\n"
        + table4(rows)
        + "\nBeside the paper, averaged over the other sets (it does not say which one it took); "
        "FPR and FNR at Youden's threshold:\n\n" + markdown_table(header, body)
    )
