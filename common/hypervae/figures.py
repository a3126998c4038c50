"""Figures of training, of the family of models and of new tasks."""

import numpy as np
from matplotlib import pyplot as plt

from common.hypervae.options import NAMES
from common.hypervae.training import HELD_OUT
from common.runs.figures import grey, grid, save

# Of methods on new tasks: the colour is the model's, the line what is done with a context.
PEER_COLOURS = {"vae": "tab:blue", "vae_wide": "tab:cyan", "hypervae": "tab:green", "neural_statistician": "tab:red"}
PEER_COLOURS |= {
    "hypervae_tuned": "darkgreen",
    "bias": "tab:orange",
    "scale_bias": "tab:brown",
    "encoder": "tab:pink",
    "decoder": "tab:olive",
    "cvae": "tab:purple",
}
LINES = {"": "-", "_fitted": "--", "_finetuned": ":", "_mixture": "-.", "_adapt": (0, (5, 1))}
MARKERS = "os^Dv"
COLOURS = {"vae": "tab:blue", "cvae": "tab:purple", "metavae": "tab:orange", "hypervae": "tab:green"}
SEED = 0  # of every draw shown in a figure


def loss_curves(runs, path):
    """-ELBO on held-out images, and the training objective with its terms, over training; one line a run."""
    panels = (
        (HELD_OUT, "held-out images: -ELBO, nats per image\n(tasks as in Table 1: comparable)"),
        ("neg_elbo", "training objective, nats per image\n(not comparable between models)"),
        ("reconstruction", "training: reconstruction,\nnats per image"),
        ("kl_z", "training: KL(z), nats per image"),
        ("kl_u_of_task", "training: KL(u), nats per task"),
    )
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.6), layout="constrained")
    for axis, (column, title) in zip(axes, panels):
        for run in runs:
            model, log = run.settings.model, run.log.dropna(subset=[column])
            if column != "kl_u_of_task" or model == "hypervae":
                axis.plot(log["iteration"], log[column], ".-", color=COLOURS[model], label=NAMES[model])
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
    # The first iterations would hide the differences between the models.
    for axis, column in ((axes[0], HELD_OUT), (axes[1], "neg_elbo")):
        values = np.concatenate([run.log[column].dropna() for run in runs])
        if len(values):
            axis.set_ylim(values.min() * 0.97, max(values.min() * 1.3, np.median(values)))
    axes[1].legend()
    save(figure, path)


def reconstructions(runs, data, path, images_per_class=2, num_classes=6):
    """Test images above each model's reconstruction (decoder mean at the posterior mean of z).

    MetaVAE and HyperVAE see the images of one class as one task of 100, as in Table 1.
    """
    classes = np.unique(data.y_test)[:num_classes]
    rows, names = [[]], ["test image"]
    for run in runs:
        rows.append([])
        names.append(NAMES[run.settings.model])
    for label in classes:
        task = data.x_test[data.y_test == label][:100].astype(np.float32)
        rows[0] += list(task[:images_per_class] / runs[0].model.body.white)
        for row, run in zip(rows[1:], runs):
            theta, _ = run.model.weights_for(task[None], np.array([label], np.int32))
            shown = task[None, :images_per_class]
            row += list(run.model.pictures(run.model.encode(shown, theta).mean(), theta)[0])
    grid(rows, path, f"{data.name}: reconstructions at the posterior mean", grey(data.name), names)


def generated_vaes(model, data, path, num_models=8, num_images=10):
    """Each row a VAE of its own, generated from u ~ N(0, I), on the same draws of z; and what its theta changes."""
    u = np.random.default_rng(SEED).standard_normal((num_models, model.hyper_latent_dim)).astype(np.float32)
    images, differences = _beside_mean_theta(model, data, u, num_images)
    title = f"{data.name}: VAEs generated from u ~ N(0, I)"
    _images_and_differences(
        [("", images, differences, [f"VAE {i + 1}" for i in range(num_models)])], title, grey(data.name), path
    )


def walk(model, data, path, num_pairs=3, steps=6, num_images=8):
    """Straight walks in u-space between pairs of test tasks, farthest pairs first: how the family changes."""
    classes = np.unique(data.y_test)
    tasks = [data.x_test[data.y_test == label][:100].astype(np.float32)[None] for label in classes]
    codes = np.concatenate([model.infer_u(task).mean() for task in tasks])
    weight = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    name = data.class_names.__getitem__ if data.class_names else (lambda label: f"class {label}")
    blocks = []
    for first, second in farthest_pairs(codes, num_pairs):
        images, differences = _beside_mean_theta(
            model, data, (1 - weight) * codes[first] + weight * codes[second], num_images
        )
        ends = [f"u of {name(classes[first])}", f"u of {name(classes[second])}"]
        blocks.append((" to ".join(ends), images, differences, [ends[0], *[""] * (steps - 2), ends[1]]))
    _images_and_differences(blocks, f"{data.name}: straight walks in u-space", grey(data.name), path)


def farthest_pairs(codes, number):
    """Up to `number` pairs (i, j) of rows of codes (N, D), farthest apart first; no row is in two pairs."""
    apart = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    pairs = []
    while len(pairs) < min(number, len(codes) // 2):
        pair = np.unravel_index(np.argmax(apart), apart.shape)
        pairs.append(tuple(map(int, pair)))
        apart[pair, :], apart[:, pair] = -1, -1
    return pairs


def _beside_mean_theta(model, data, u, num_images):
    """Images of the VAEs of codes u from the same z, and theirs minus the mean theta's, the mean over channels.

    Returns:
        (codes, num_images, H, W), of coloured ones (codes, num_images, H, W, 3), and (codes, num_images, H, W).
    """
    z = np.random.default_rng(SEED).standard_normal((1, num_images, model.body.latent_dim)).astype(np.float32)
    images = np.asarray(model.pictures(np.repeat(z, len(u), 0), model.generate(u)))
    mean = np.asarray(model.average_vae(data.x_validation[:1000]).pictures(z[0]))
    return images[..., 0] if images.shape[-1] == 1 else images, (images - mean).mean(-1)


def _montage(images):
    """Images (rows, columns, H, W), or coloured ones (rows, columns, H, W, 3), as one, with white gaps between them."""
    channels = images.shape[4:]
    gaps = ((0, 0), (0, 0), (1, 1), (1, 1), *[(0, 0)] * len(channels))
    framed = np.pad(images, gaps, constant_values=1 if channels else np.nan)
    rows, columns, height, width = framed.shape[:4]
    return framed.swapaxes(1, 2).reshape(rows * height, columns * width, *channels)


def _images_and_differences(blocks, title, colours, path):
    """Blocks one below the other: images on the left, their differences from the mean theta's images on the right.

    Args:
        blocks: [(title, images and differences as `_beside_mean_theta` gives them, row names)].
    """
    rows, columns = sum(len(images) for _, images, _, _ in blocks), blocks[0][1].shape[1]
    size = (1.1 * columns + 2.2, 0.55 * rows + 0.5 * len(blocks) + 1.1)
    figure, axes = plt.subplots(len(blocks), 2, figsize=size, squeeze=False, layout="constrained")
    largest = max(np.abs(differences).max() for _, _, differences, _ in blocks)
    for (left, right), (name, images, differences, row_names) in zip(axes, blocks):
        left.imshow(_montage(images), cmap=colours, vmin=0, vmax=1)
        shown = right.imshow(_montage(differences), cmap="RdBu_r", vmin=-largest, vmax=largest)
        height = images.shape[2] + 2
        left.set_yticks([(i + 0.5) * height for i in range(len(images))], row_names, fontsize=8)
        right.set_yticks([])
        left.set_title(name, fontsize=9)
        for axis in (left, right):
            axis.set_xticks([])
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes[:, 1], shrink=0.6, label="difference in the pixels' means")
    figure.suptitle(
        f"{title}; columns share z ~ N(0, I)\nleft: images; right: their difference from the images of the mean theta, "
        f"{largest:.2g} at most",
        fontsize=10,
    )
    save(figure, path)


def samples_of_unseen(rows, number, class_names, name, path):
    """Each row an unseen class: its context, samples of the VAE that u makes of it, samples once that is fine-tuned.

    Args:
        rows: {class: images}, see unseen.samples; number: of context images; class_names: of all classes, or empty.
    """
    samples = (len(next(iter(rows.values()))) - number) // 2
    columns = ["context", *[""] * (number - 1), "u fitted", *[""] * (samples - 1), "tuned", *[""] * (samples - 1)]
    names = [class_names[label] if class_names else f"class {label}" for label in rows]
    title = f"{name}: {number} images of a class that no training saw, and samples of its VAE (mean of p(x|z))"
    grid(list(rows.values()), path, title, grey(name), names, columns)


def nats_by_method(table, title, path):
    """-ELBO (filled, with the seeds' standard deviation) and importance-sampled likelihood (hollow), a line a method.

    Args:
        table: columns method, words (what tells it from others of its name), told (the colour), neg_elbo_mean and
            neg_elbo_std, num_images, and where there are likelihoods nll_is_mean and nll_num_images; see
            new_tasks_report.by_method.
    """
    table = table.sort_values("neg_elbo_mean", ascending=False, kind="stable")
    figure, axis = plt.subplots(figsize=(8.0, 1.4 + 0.24 * len(table)), layout="constrained")
    places = dict(zip(table.index, range(len(table))))
    likelihoods = "nll_is_mean" in table and table["nll_is_mean"].notna().any()
    if likelihoods:  # of other images they are not comparable
        same = table["nll_num_images"] == table["nll_num_images"].mode().max()
        table = table.assign(nll_is_mean=table["nll_is_mean"].where(same))
    for number, (told, own) in enumerate(table.groupby("told", sort=False)):
        style = {"color": f"C{number}", "linestyle": "none"}
        y = [places[row] for row in own.index]
        axis.errorbar(own["neg_elbo_mean"], y, xerr=own["neg_elbo_std"].fillna(0), fmt="o", label=told, **style)
        if likelihoods:
            axis.plot(own["nll_is_mean"], y, marker="o", fillstyle="none", **style)
    most = table["num_images"].max()
    few = ["" if number == most else f"{number:,.0f} images" for number in table["num_images"]]
    names = [
        ", ".join(filter(None, [row.method.replace("_", " "), row.words, images]))
        for row, images in zip(table.itertuples(), few)
    ]
    axis.set_yticks(range(len(table)), names, fontsize=8)
    hollow = "; hollow: -log p, importance-sampled, where it is of the same images" if likelihoods else ""
    axis.set(xlabel=f"nats an image: -ELBO{hollow}")
    axis.grid(axis="x", alpha=0.3)
    figure.suptitle(title, fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7, title="told", title_fontsize=7)
    save(figure, path)


def nats_by_context(nats, differences, title, path):
    """-ELBO of unseen classes against the number of context images, and what is tuned beside the tuned VAE.

    Args:
        nats, differences: see unseen_report.drawn; without differences there is no second panel.
    """
    figure, axes = plt.subplots(1, 1 + bool(len(differences)), figsize=(9.6, 4.6), layout="constrained", squeeze=False)
    lines = [
        {"method": method, "words": words, "mean": dict(zip(own["num_context"], own["neg_elbo"]))}
        for (method, words), own in nats.groupby(["method", "words"], sort=False)
    ]
    styles = _drawn(lines)
    _lines(axes[0, 0], styles)
    axes[0, 0].set(
        xlabel="context images (0: u = 0, mixtures: the known tasks)",
        ylabel="-ELBO of other images of the class, nats an image",
    )
    for axis in axes[0, 1:]:
        own_style = {(line["method"], line["words"]): style for line, (_, _, style) in zip(lines, styles)}
        sizes = sorted(differences["num_context"].unique())
        groups = differences.groupby(["method", "words"], sort=False)
        for number, (name, own) in enumerate(groups):
            x = [sizes.index(size) + 0.08 * (number - (groups.ngroups - 1) / 2) for size in own["num_context"]]
            bars = [own["mean"] - own["low"], own["high"] - own["mean"]]
            axis.errorbar(x, own["mean"], yerr=bars, capsize=2, **own_style[name] | {"ms": 3})
        axis.axhline(0, color="grey", lw=1)
        axis.set_xticks(range(len(sizes)), sizes)
        axis.grid(alpha=0.3)
        rival = differences["rival"].iloc[0].replace("_", " ")
        axis.set(xlabel="context images", ylabel=f"less {rival}, nats (95 % over classes)")
    figure.suptitle(title, fontsize=9)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", fontsize=7, handlelength=4)
    save(figure, path)


def nats_by_drawings(lines, published, title, path):
    """-log p of unseen characters against the number of drawings given; the published figures in black.

    Args:
        lines: [{method, words, mean {drawings: nats}}] of one part, see new_tasks_report.lines_by_size.
        published: {name: {drawings: nats}}.
    """
    figure, axis = plt.subplots(figsize=(7.6, 4.6), layout="constrained")
    styles = [{"color": "black", "linestyle": style} for style in LINES.values()]
    _lines(axis, _drawn(lines) + [(name, nats, style) for (name, nats), style in zip(published.items(), styles)])
    axis.set(xlabel="drawings given (0: u from its prior)", ylabel="-log p of other drawings, nats an image")
    figure.suptitle(title, fontsize=9)
    figure.legend(loc="outside right center", fontsize=7)
    save(figure, path)


def _drawn(lines):
    """[(name, {size: nats}, style)] of lines {method, words, mean {size: nats}}; each of one method has its marker."""
    drawn, number = [], {}
    for line in lines:
        method = line["method"]
        suffix = next((end for end in LINES if end and method.endswith(end)), "")
        number[method] = number.get(method, -1) + 1
        style = {"color": PEER_COLOURS[method.removesuffix(suffix)], "linestyle": LINES[suffix]}
        style["marker"] = MARKERS[number[method] % len(MARKERS)]
        drawn.append((", ".join(filter(None, [method.replace("_", " "), line["words"]])), line["mean"], style))
    return drawn


def _lines(axis, lines):
    """Nats against sizes of a context, which stand at equal distances; of a model without use for one a level line.

    What costs far more without a context than all else is written at the upper edge: it would hide the differences.

    Args:
        lines: [(name, {size: nats}, style)]
    """
    sizes = sorted({size for _, nats, _ in lines for size in nats})
    for name, nats, style in lines:
        if set(nats) == {0}:
            axis.axhline(nats[0], lw=1, label=name, **{key: style[key] for key in ("color", "linestyle")})
            continue
        own = sorted(nats)
        look = {"marker": MARKERS[0], "ms": 3} | style
        axis.plot([sizes.index(size) for size in own], [nats[size] for size in own], label=name, **look)
    axis.set_xticks(range(len(sizes)), sizes)
    axis.grid(alpha=0.3)
    shown = [value for _, nats, _ in lines for size, value in nats.items() if size or set(nats) == {0}]
    far = [nats[0] for _, nats, _ in lines if nats.get(0, 0) > 2 * max(shown, default=0) - min(shown, default=0)]
    if shown and far:
        low, high = min(shown), max(shown)
        axis.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
        axis.text(0.1, high + 0.1 * (high - low), f"{', '.join(f'{value:.0f}' for value in far)} at 0", fontsize=7)
