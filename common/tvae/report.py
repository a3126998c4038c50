"""Sections of results/README.md on the binary-latent VAE: denoising and the bars test."""

import pandas as pd

from common.runs.results import markdown_table

BM3D = {("house", 15): 35.00, ("house", 25): 32.88, ("house", 50): 29.49}  # dB, measured on the same noise; told sigma


def _denoising_section(rows):
    last = (
        rows.sort_values("epoch")
        .groupby(["image", "sigma", "method", "setting", "seed"], dropna=False)
        .last()
        .reset_index()
    )
    measures = last.groupby(["image", "sigma", "method", "setting"], dropna=False, sort=False)
    body = []
    for (image, sigma, method, setting), own in measures:
        spread = "" if len(own) == 1 else f" +- {own['psnr'].std():.2f}"
        known = "" if pd.isna(sigma) else f"{sigma:g}"
        cells = [
            image,
            known,
            method,
            setting,
            len(own),
            own["epoch"].max(),
            f"{own['psnr'].mean():.2f}{spread}",
            f"{own['ssim'].mean():.3f}",
        ]
        cells += [f"{own[c].mean():.2f}" if own[c].notna().any() else "" for c in ("free_energy", "learned_sigma")]
        body.append(
            [
                *cells,
                f"{own['seconds'].mean():.0f}" if own["seconds"].notna().any() else "",
                BM3D.get((image, sigma), ""),
            ]
        )
    header = [
        "image",
        "sigma",
        "method",
        "setting",
        "seeds",
        "epochs",
        "PSNR, dB",
        "SSIM",
        "F per patch",
        "learned sigma",
        "seconds",
        "BM3D, dB",
    ]
    return (
        '## Zero-shot denoising by a binary-latent VAE\n\nThe noise level is not told to the TVAE ("learned sigma"); it is to the '
        "others, and total variation takes its best of six weights by the true PSNR. A setting reads patch/stride, units of the net, states "
        "S, parents/children/generations, selection, mutation, batch, learning rates.\n\n"
        + markdown_table(header, body)
    )


def _bars_section(rows):
    body = [
        [
            r.setting,
            r.seed,
            r.epochs,
            f"{r.free_energy:.2f}",
            f"{r.generating_log_likelihood:.2f}",
            f"{r.bars_found} of 8",
            f"{r.learned_sigma:.3f}",
        ]
        for r in rows.itertuples()
    ]
    header = [
        "setting",
        "seed",
        "epochs",
        "F, nats an image",
        "log-likelihood of the generating parameters",
        "bars found",
        "learned sigma (0.1)",
    ]
    return (
        "## The bars test\n\nLocal optima are common: several seeds are run, and the best bound counts.\n\n"
        + markdown_table(header, body)
    )
