"""Sections of results/README.md on the binary-latent VAE: denoising and the bars test."""

import pandas as pd

from common.runs.identity import differences
from common.runs.results import read_records, read_rows
from common.runs.summaries import count, markdown_table, over_seeds, plus_minus
from common.tvae.rivals import ESTIMATED, NAMES, TOLD_SIGMA

MEASURES = ["psnr", "psnr_averaged", "ssim", "free_energy", "learned_sigma", "seconds"]
DENOISING = """\
The noise level is not told to the TVAE ("learned sigma"), and ZS-N2N (Mansour and Heckel 2023; 21,313 parameters on a
grey image) is told nothing either. Total variation, wavelets, non-local means and BM3D are told it, or ("sigma
estimated") take what `skimage.restoration.estimate_sigma` finds in the noisy image. Where it is told, total variation
takes its best of six weights by the true PSNR; where not, the weight is the estimate. The values are those of the last
epoch. `benchmarks/denoising_rivals.py` measures BM3D (Dabov et al. 2007, with the package of Makinen, Azzari and Foi
2020) and ZS-N2N. Missing pixels are also filled in by `skimage.restoration.inpaint_biharmonic`.
"""
BARS = """\
500 images of 4 x 4 pixels in which eight bars are superposed. The log-likelihood is that of the generating parameters:
a bound F as high has learned the data. Local optima are common: of `restarts` trainings of one draw the one with the
highest bound is taken, without a look at the true bars.
"""


def sections(results_dir, own=False):
    """[(title, Markdown)] of the tables that are there: on sets that come with the project, or on a user's own."""
    folder = results_dir / "08_denoise"
    found = []
    rows = last_epochs(folder, own)
    if len(rows):
        found.append(("Zero-shot denoising by a binary-latent VAE", DENOISING + "\n" + _denoising_table(rows)))
    if (folder / "bars.csv").exists() and not own:
        found.append(("The bars test", BARS + "\n" + _bars_table(folder)))
    return found


def last_epochs(folder, own=False):
    """The row of the last epoch of every run in psnr.csv, with the columns `inpaint` and `settings`.

    `settings` says in words what tells a TVAE's experiment from the others on the same picture.

    Args:
        own: the rows of a user's own pictures, or of those that come with the project.
    """
    if not (folder / "psnr.csv").exists():
        return pd.DataFrame()
    records = read_records(folder / "psnr.csv")
    rows = read_rows(folder / "psnr.csv", own).sort_values("epoch", kind="stable").groupby("run", sort=False).tail(1)
    rows = rows.reindex(columns=dict.fromkeys([*rows, *MEASURES]))  # a table of before may have fewer
    told = [ESTIMATED if records[run].get("estimated") else "" for run in rows["run"]]
    rows = rows.assign(inpaint=[_missing(records[run]) for run in rows["run"]], settings=told)
    for _, alike in rows[rows["method"] == "tvae"].groupby("image"):
        first = alike.drop_duplicates("experiment")
        # The table has columns of their own for these.
        hidden = {"sigma": None, "inpaint": None, "mask": None}
        shown = {row.experiment: records[row.run] | hidden for row in first.itertuples()}
        rows.loc[alike.index, "settings"] = alike["experiment"].map(differences(shown))
    return rows


def _missing(record):
    """What pixels are missing, in words."""
    fraction = f"{record['inpaint']:.0%}" if record.get("inpaint") else ""
    return " + ".join(filter(None, [fraction, f"mask {record['mask'][:4]}" if record.get("mask") else ""]))


def _denoising_table(rows):
    table = over_seeds(rows, MEASURES, by=["image", "sigma", "inpaint", "method", "settings", "epoch"])
    table = table.sort_values(["image", "sigma", "inpaint", "psnr_mean"], kind="stable")
    header = ["image", "sigma", "missing", "method", "settings", "epochs", "seeds"]
    header += ["PSNR, dB", "of the averaged estimate", "SSIM", "F, nats a patch", "learned sigma", "seconds"]
    decimals = {"psnr": 2, "psnr_averaged": 2, "ssim": 3, "free_energy": 2, "learned_sigma": 2, "seconds": 0}
    body = []
    for row in table.to_dict("records"):
        sigma = "not known" if row["sigma"] != row["sigma"] else f"{row['sigma']:g}"
        cells = [
            row["image"],
            sigma,
            row["inpaint"],
            NAMES.get(row["method"], "TVAE"),
            row["settings"],
            row["epoch"] or "",
            row["num_seeds"],
        ]
        body.append(cells + [plus_minus(row[f"{m}_mean"], row[f"{m}_std"], decimals[m]) for m in MEASURES])
    return markdown_table(header, body)


def _bars_rows(folder):
    """bars.csv with the column `settings`, which says in words what tells experiments apart."""
    rows, records = read_rows(folder / "bars.csv"), read_records(folder / "bars.csv")
    first = rows.drop_duplicates("experiment")
    words = differences({row.experiment: records[row.run] for row in first.itertuples()})
    return rows.assign(settings=rows["experiment"].map(words))


def _bars_table(folder):
    body = [
        [
            row.setting,
            row.settings,
            row.epochs,
            row.seed,
            f"{row.free_energy:.2f}",
            f"{row.generating_log_likelihood:.2f}",
            f"{row.bars_found} of 8",
            f"{row.learned_sigma:.3f}",
        ]
        for row in _bars_rows(folder).itertuples()
    ]
    header = ["setting", "apart by", "epochs", "seed", "F, nats an image", "log-likelihood, nats an image"]
    return markdown_table([*header, "bars found", "learned sigma (true: 0.1)"], body)


def headline(results_dir):
    """[result, measure, ours, compared with, paper] of every denoised image, and of the bars test."""
    folder = results_dir / "08_denoise"
    found = []
    rows = last_epochs(folder)
    if len(rows):
        rows = rows[(rows["inpaint"] == "") & (rows["sigma"] > 0)]
        for (image, sigma), own in rows.groupby(["image", "sigma"]):
            found += _denoising_headline(f"denoising {image}, sigma {sigma:g}", own)
    if (folder / "bars.csv").exists():
        for _, own in _bars_rows(folder).groupby("experiment", sort=False):
            best = own.loc[own["free_energy"].idxmax()]
            name = f"bars test, best bound of {count(len(own), 'seed')}"
            name += f", {best.settings}" if best.settings else ""
            cells = [f"{best.free_energy:.2f} ({best.bars_found} of 8 bars)", f"{best.generating_log_likelihood:.2f}"]
            found.append([name, "F, nats an image", cells[0], f"{cells[1]} (the generating parameters)", ""])
    return found


def _denoising_headline(name, rows):
    """The TVAE's setting of the most seeds, its best one beside, and the best rival, on the seeds that both have."""
    ours = over_seeds(rows[rows["method"] == "tvae"], ["psnr"], by=["settings"])
    if ours.empty:
        return []
    best, usual = (ours.loc[ours[column].idxmax()] for column in ("psnr_mean", "num_seeds"))
    own = rows[rows["experiment"] == usual["experiment"]]
    others = rows[(rows["method"] != "tvae") & rows["seed"].isin(own["seed"])]
    cells = [f"{plus_minus(usual['psnr_mean'], usual['psnr_std'], 2)} ({count(usual['num_seeds'], 'seed')})"]
    if len(others):
        rivals = over_seeds(others, ["psnr"], by=["method", "settings"])
        top = rivals.loc[rivals["psnr_mean"].idxmax()]
        told = top["settings"] or ("told sigma" if top["method"] in TOLD_SIGMA else "told nothing")
        cells.append(f"{plus_minus(top['psnr_mean'], top['psnr_std'], 2)} ({NAMES[top['method']]}, {told})")
        seeds = others.loc[others["experiment"] == top["experiment"], "seed"]
        if set(seeds) != set(own["seed"]):
            shared = own.loc[own["seed"].isin(seeds), "psnr"].mean()
            cells[1] += f"; of {count(len(set(seeds)), 'seed')}, on which ours has {shared:.2f}"
    else:
        cells.append("")
    if len(ours) > 1:
        chosen = plus_minus(best["psnr_mean"], best["psnr_std"], 2)
        it = "" if best.equals(usual) else f": {chosen}"
        cells[0] += f"; best of {len(ours)} settings, chosen on the clean picture{it}"
    return [[name, "PSNR, dB", *cells, "none found"]]
