"""Sections of results/README.md on the main system, made from the CSV files alone: density (Tables 1 to 3) here."""

import functools

import numpy as np

from common.hypervae import compression_report, new_tasks_headline, new_tasks_report, outlier_claims, outlier_report
from common.hypervae.options import NAMES
from common.hypervae.outlier_sets import IMAGE_SETS
from common.names import is_file_name
from common.runs import identity
from common.runs.results import read_records, read_rows, tables
from common.runs.summaries import count, markdown_table, over_seeds, plus_minus, settings_column, words_apart

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
MEASURES = ["neg_elbo", "reconstruction", "kl_z", "kl_u"]
# Bits a pixel and channel of MNIST's 256 levels, as the papers give them.
PUBLISHED_BITS = (
    "Published for MNIST's 256 levels: a VAE with beta-binomial pixels 1.39 (Townsend et al. 2019), Glow 1.05, "
    "Residual Flows 0.97 (both as in Chen et al. 2019)."
)


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    makers = {
        "02_density/table1.csv": ("Table 1: density", functools.partial(_table1, results_dir)),
        "02_density/table2.csv": ("Table 2: trainable parameters", _table2),
        "02_density/table3.csv": ("Table 3: time", _table3),
        "02_density/validation.csv": ("Ablation, on a tenth of the training set held out", _validation),
        "03_outliers/table4.csv": ("Table 4: outlier detection", outlier_report.section),
    }
    found = [(title, make(rows, records)) for (title, make), rows, records in tables(results_dir, makers, own)]
    pages = [
        page for page in sorted(results_dir.glob("11_explore/*/explorer.html")) if is_file_name(page.parent.name) == own
    ]
    if pages:
        found.append(("Pages to walk in the space of VAEs", _pages(pages, results_dir)))
    return found + new_tasks_report.sections(results_dir, own) + compression_report.sections(results_dir, own)


def _pages(pages, results_dir):
    links = [f"- [{page.parent.name}](<{page.relative_to(results_dir).as_posix()}>)" for page in pages]
    return "Download and open in a browser; they need no network.\n\n" + "\n".join(links)


def headline(results_dir):
    """Rows [result, measure, ours, compared with, paper] of the recipe `ours`."""
    makers = {
        "02_density/table1.csv": _density_headline,
        f"{new_tasks_report.STAGE}/told.csv": new_tasks_headline.told_headline,
        f"{new_tasks_report.STAGE}/generate.csv": new_tasks_headline.generate_headline,
        f"{new_tasks_report.STAGE}/unseen.csv": new_tasks_headline.unseen_headline,
        f"{new_tasks_report.STAGE}/characters.csv": new_tasks_headline.characters_headline,
        "03_outliers/table4.csv": outlier_claims.headline,
    }
    return [row for make, rows, records in tables(results_dir, makers, own=False) for row in make(rows, records)]


# What tells rows apart, derived from their records.


def _code_length(stored):
    """The settings that decide -ELBO: all of an Evaluation's but the likelihood's, which is measured apart."""
    return identity.without(stored, {"likelihood"})


def _by_experiment(rows, records):
    """{experiment: a record of it}."""
    return {experiment: records[run] for experiment, run in zip(rows["experiment"], rows["run"])}


def told(model, summary):
    """What a model is told of a test image besides its pixels."""
    if model == "vae":
        return "nothing"
    if model in ("metavae", "cvae"):
        return "its class"
    return "one image of its class" if summary == "draw" else "its test batch, all of one class"


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
    return over_seeds(rows.drop_duplicates(["experiment", "seed"]), [*MEASURES, "bits_per_dim"])


def summarise_likelihood(rows):
    """The same of the importance-sampled likelihood; other draws or another number of images are another experiment."""
    return over_seeds(rows[rows["nll_is"].notna()], ["nll_is"])


def _likelihood_cells(rows, records):
    """{experiment of -ELBO: the likelihoods estimated for it, each with its seeds, images and draws}."""
    of_run = dict(zip(rows["run"], _by_code_length(rows, records)[0]["experiment"]))
    parents = {row.experiment: of_run[row.run] for row in rows.itertuples()}
    cells = {}
    for row in summarise_likelihood(rows).itertuples():
        seeds, images = count(row.num_seeds, "seed"), count(row.nll_num_images, "image")
        text = f"{plus_minus(row.nll_is_mean, row.nll_is_std)} ({seeds}, {images}, "
        cells.setdefault(parents[row.experiment], []).append(text + f"{row.num_importance_samples:,} draws)")
    return {experiment: "; ".join(texts) for experiment, texts in cells.items()}


def _drawn_cells(rows, records):
    """{experiment of -ELBO: the same with u drawn, where every seed has it}."""
    rows, _ = _by_code_length(rows, records)
    missing = set(rows.loc[rows["neg_elbo_drawn_u"].isna(), "experiment"])
    known = rows[~rows["experiment"].isin(missing)].drop_duplicates(["experiment", "seed"])
    table = over_seeds(known, ["neg_elbo_drawn_u"])
    return {
        row.experiment: plus_minus(row.neg_elbo_drawn_u_mean, row.neg_elbo_drawn_u_std) for row in table.itertuples()
    }


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
        if training.get("summary") == "set":  # Table 2 has no set encoder
            return ""
        shared = ("model", "generator", "body", "latent_dim", "hyper_latent_dim", "hidden", "generate", "rank")
        totals = {
            own.total
            for own in rows[rows["dataset"] == row["dataset"]].itertuples()
            if all(records[own.run].get(name) == training.get(name) for name in shared)
        }
        return f"{totals.pop():,}" if len(totals) == 1 else ""

    return find


def _table1(results_dir, rows, records):
    table, (_, stored) = summarise(rows, records), _by_code_length(rows, records)
    likelihoods, parameters = _likelihood_cells(rows, records), _parameters(results_dir)
    drawn = _drawn_cells(rows, records)
    table = table.assign(data=_data(table), settings=settings_column(table, stored, ["dataset", "binarize", "model"]))
    header = ["data", "recipe", "model", "settings", "told", "parameters", "iterations", "seeds", "-ELBO"]
    header += ["reconstruction", "KL(z)", "KL(u)/n", "NLL (IS) without KL(u)/n"]
    body, of_levels = [], []
    for _, row in table.iterrows():
        paper = PAPER_TABLE_1.get((row["dataset"], row["model"]), (None,) * 4)
        cells = [row["data"], row["recipe"], NAMES[row["model"]], row["settings"], told(row["model"], row["summary"])]
        cells += [parameters(row, stored[row["experiment"]]), row["iterations"], row["num_seeds"]]
        cells += [plus_minus(row[f"{measure}_mean"], row[f"{measure}_std"]) for measure in MEASURES]
        cells.append(likelihoods.get(row["experiment"], ""))
        if row["experiment"] in drawn:
            cells[header.index("-ELBO")] += f" ({drawn[row['experiment']]})"
        if row["binarize"] == "none":  # pixels of 256 levels
            bits = plus_minus(row["bits_per_dim_mean"], row["bits_per_dim_std"], decimals=2)
            of_levels.append([row["data"], row["likelihood"], *cells[1:], bits])
        else:
            body.append([*cells, *("" if value is None else value for value in paper)])
    levels_header = ["data", "p(x given z)", *header[1:], "-ELBO, bits a pixel and channel"]
    header += ["paper -EL", 'paper "-LL"', "paper KL(z)", "paper KL(u)"]
    text = (
        "-ELBO = reconstruction + KL(z) + KL(u)/n, where n is the number of images in the test task (100, or what is "
        "left of a class). HyperVAE's theta is that of the mean of q(u|D), as in the paper, so this is no bound; in "
        "brackets, where it was measured, that of a drawn u, which is one. NLL (IS) is importance-sampled given theta, "
        "so KL(u)/n is not in it; on how many images and by how many draws stands in brackets, and estimates on unlike "
        "numbers of images are not averaged.\n\n"
        "`told` is what a model knows of a test image besides its pixels. HyperVAE is not told the class, but test "
        "images are sorted by label into batches of one class, and its theta comes from such a batch.\n\n"
        'The paper\'s "-LL" is its reconstruction term (-EL minus KL(z)). Omniglot is the rebuilt 28x28 set, another '
        "split than the paper's."
    )
    parts = [text, markdown_table(header, body)] if body else [text]
    if of_levels:
        parts += [f"**256 levels, grey or coloured.** {PUBLISHED_BITS}", markdown_table(levels_header, of_levels)]
    return "\n\n".join(parts)


def _table2(rows, records):
    settings = words_apart(rows, _by_experiment(rows, records), ["dataset", "model", "generator"])
    body = [
        [r.dataset, NAMES[r.model], r.generator, words, f"{r.inference:,}", f"{r.generative:,}", f"{r.total:,}"]
        + list(PAPER_TABLE_2[r.model] if r.dataset in IMAGE_SETS else ("", ""))
        for r, words in zip(rows.itertuples(), settings)
    ]
    header = ["data", "model", "generator", "settings", "inference", "generative", "total"]
    return markdown_table([*header, "paper inference (k)", "paper generative (k)"], body)


def _table3(rows, records):
    settings = words_apart(rows, _by_experiment(rows, records), ["dataset", "model", "generator", "quantity"])
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
    return (
        ""
        if value is None or row.generator == "block" or is_file_name(row.dataset)
        else f"{value / PAPER_TABLE_3['vae', 'total']:.2f}"
    )


def _validation(rows, records):
    table, (_, stored) = summarise(rows, records), _by_code_length(rows, records)
    table = table.assign(data=_data(table), settings=words_apart(table, stored, ["dataset", "binarize", "model"]))
    body = [
        [row["data"], NAMES[row["model"]], row["recipe"], row["settings"], row["num_seeds"]]
        + [plus_minus(row[f"{measure}_mean"], row[f"{measure}_std"]) for measure in MEASURES]
        for _, row in table.iterrows()
    ]
    header = ["data", "model", "recipe", "settings", "seeds", "-ELBO", "reconstruction", "KL(z)", "KL(u)/n"]
    text = "Settings compared on validation images; the recipe `ours` was chosen by such runs. No test image was used."
    return f"{text}\n\n{markdown_table(header, body)}"


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
                measure = f"test -ELBO, nats an image, {count(ours['num_seeds'], 'seed')}"
                paper = PAPER_TABLE_1[dataset, "hypervae"][0]
                name = ", ".join(filter(None, ["density", dataset, words[protocol]]))
                own = f"HyperVAE {_elbo(ours)}, told {told('hypervae', ours['summary'])}"
                found.append([name, measure, own, cell, f"HyperVAE {paper}"])
    return found


def _elbo(row):
    return plus_minus(row["neg_elbo_mean"], row["neg_elbo_std"])
