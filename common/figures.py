"""Figures of training, of the family of models and of outlier scores, written as PNG."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator
from sklearn.metrics import auc, roc_curve

from common.results import write_atomically

NAMES = {"vae": "VAE", "metavae": "MetaVAE", "hypervae": "HyperVAE"}
COLOURS = {"vae": "tab:blue", "metavae": "tab:orange", "hypervae": "tab:green"}
SEED = 0  # of every draw shown in a figure


def save(figure, path):
    """Write a figure as PNG, atomically, and close it."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120, bbox_inches="tight"))
    plt.close(figure)


def loss_curves(runs, path):
    """The code length and its three terms over training, one line a run."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4))
    panels = (
        ("neg_elbo", "objective (Eq. 9), nats per image"),
        ("reconstruction", "reconstruction, nats per image"),
        ("kl_z", "KL(z), nats per image"),
        ("kl_u", "KL(u), nats per task"),
    )
    for axis, (column, title) in zip(axes, panels):
        for run in runs:
            model = run.settings.model
            if column != "kl_u" or model == "hypervae":
                axis.plot(run.log["iteration"], run.log[column], ".-", color=COLOURS[model], label=NAMES[model])
        axis.set(title=title, xlabel="iteration")
        axis.grid(alpha=0.3)
    # The first epochs would hide the differences between the models.
    values = np.concatenate([run.log["neg_elbo"] for run in runs])
    axes[0].set_ylim(values.min() * 0.97, max(values.min() * 1.3, np.median(values)))
    axes[0].legend()
    save(figure, path)


def _grid(rows, path, title, row_names=None, column_names=None):
    """rows: a list of arrays (columns, H, W, 1) in [0, 1], drawn dark on white."""
    columns = len(rows[0])
    figure, axes = plt.subplots(len(rows), columns, figsize=(0.62 * columns + 1.2, 0.62 * len(rows) + 0.7), squeeze=False)
    for r, images in enumerate(rows):
        for c, image in enumerate(images):
            axis = axes[r, c]
            axis.imshow(np.asarray(image)[..., 0], cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            if row_names and c == 0:
                axis.set_ylabel(row_names[r], rotation=0, ha="right", va="center", fontsize=8)
            if column_names and r == 0:
                axis.set_title(column_names[c], fontsize=8)
    figure.suptitle(title, fontsize=10, y=1.0)
    figure.subplots_adjust(wspace=0.06, hspace=0.06, top=1 - 0.45 / (0.62 * len(rows) + 0.7))
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
        rows[0] += list(task[:images_per_class])
        for row, run in zip(rows[1:], runs):
            theta, _ = run.model.weights_for(task[None], np.array([label], np.int32))
            shown = task[None, :images_per_class]
            row += list(run.model.decode(run.model.encode(shown, theta).mean(), theta).mean()[0])
    _grid(rows, path, f"{data.name}: reconstructions at the posterior mean", names)


def generated_vaes(model, path, num_models=8, num_images=12):
    """Each row a VAE of its own, generated from u ~ N(0, I); its images from the same draws of z."""
    rng = np.random.default_rng(SEED)
    u = rng.standard_normal((num_models, model.hyper_latent_dim)).astype(np.float32)
    z = rng.standard_normal((1, num_images, model.body.latent_dim)).astype(np.float32)
    images = model.decode(np.repeat(z, num_models, 0), model.generate(u)).mean()
    names = [f"VAE {i + 1}" for i in range(num_models)]
    _grid(list(images), path, "VAEs generated from u ~ N(0, I); columns share z ~ N(0, I)", names)


def walk(model, data, path, steps=8, num_images=12):
    """Between the two test tasks that lie farthest apart in u: how the family of models changes on the way."""
    classes = np.unique(data.y_test)
    tasks = [data.x_test[data.y_test == label][:100].astype(np.float32)[None] for label in classes]
    codes = np.concatenate([model.infer_u(task).mean() for task in tasks])
    apart = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    first, second = np.unravel_index(np.argmax(apart), apart.shape)
    weight = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    u = (1 - weight) * codes[first] + weight * codes[second]
    z = np.random.default_rng(SEED).standard_normal((1, num_images, model.body.latent_dim)).astype(np.float32)
    images = model.decode(np.repeat(z, steps, 0), model.generate(u)).mean()
    name = data.class_names.__getitem__ if data.class_names else (lambda label: f"class {label}")
    labels = [f"u of {name(classes[first])}"] + [""] * (steps - 2) + [f"u of {name(classes[second])}"]
    _grid(list(images), path, f"{data.name}: a straight walk in u-space; columns share z", labels)


def roc_curves(by_model, outlier, title, path):
    """ROC curves of every score, a panel for each model and one for the baselines; by_model: {model: {score: {set: scores}}}."""
    panels = {name: by_model[model] for model, name in NAMES.items() if model in by_model}
    panels["baselines"] = {
        f"{model} {score}".removesuffix(" score").replace("_", " "): by_set
        for model, by_score in sorted(by_model.items())
        if model not in NAMES
        for score, by_set in by_score.items()
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 6), sharey=True, squeeze=False, layout="constrained")
    for axis, (name, by_score) in zip(axes[0], panels.items()):
        for score, by_set in by_score.items():
            label = np.concatenate([np.zeros(len(by_set["test"])), np.ones(len(by_set[outlier]))])
            fpr, tpr, _ = roc_curve(label, np.concatenate([by_set["test"], by_set[outlier]]))
            axis.plot(100 * fpr, 100 * tpr, lw=1.2, label=f"{score} ({100 * auc(fpr, tpr):.1f})")
        axis.plot([0, 100], [0, 100], color="grey", lw=0.6, ls=":")
        axis.set(title=name, xlabel="false positives, %", box_aspect=1)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), title="score (AUC, %)", title_fontsize=7)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("true positives, %")
    figure.suptitle(title, y=1.05)
    save(figure, path)


def score_histograms(by_model, outlier, title, path):
    """Histograms of normal and outlying scores, one panel a score, of VAE, MetaVAE and HyperVAE."""
    panels = [(m, s, by_set) for m in NAMES if m in by_model for s, by_set in by_model[m].items()]
    columns = 5
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 2.4 * rows), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (model, score, by_set) in zip(axes.flat, panels):
        both = np.concatenate([by_set["test"], by_set[outlier]])
        bins = np.linspace(*np.quantile(both, [0.002, 0.998]), 60)
        for name, colour in (("test", "tab:blue"), (outlier, "tab:red")):
            axis.hist(by_set[name], bins, density=True, alpha=0.5, color=colour, label="normal" if name == "test" else outlier)
        axis.set_title(f"{NAMES[model]}: {score}", fontsize=8)
        axis.tick_params(labelsize=6)
        axis.set_yticks([])
        axis.set_xlabel("nats per image", fontsize=7)
    axes[0, 0].legend(fontsize=7)
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path)


def extremes(image_sets, by_set, outlier, title, path, number=20):
    """The normal images with the largest scores above the outliers with the smallest: where a score errs."""
    most = np.argsort(by_set["test"])[::-1][:number]
    least = np.argsort(by_set[outlier])[:number]
    rows = [image_sets["test"][most], image_sets[outlier][least]]
    _grid([row for row in rows if len(row)], path, title, ["most outlying\nnormals", "least outlying\noutliers"])


METHOD_NAMES = {
    "vae": "VAE + BO",
    "hypervae_once": "HyperVAE + BO, once",
    "hypervae_iterated": "HyperVAE + BO, iterated",
    "hypervae_iterated_vae_init": "HyperVAE + BO, iterated from the VAE's best",
    "hypervae_joint": "HyperVAE + BO, joint over (u, z)",
    "random_vae": "VAE, random search",
    "random_hypervae": "HyperVAE, random search",
}


def discovery_curves(rows, bounds, title, path, by):
    """Figure 3a: best distance so far over evaluations, a panel each held-out class (column `by`); median and quartiles over targets and seeds."""
    classes = sorted(rows[by].unique())
    columns = min(5, len(classes))
    lines = -(-len(classes) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.2 * columns, 2.9 * lines + 1.2), sharex=True, squeeze=False, layout="constrained")
    for axis in axes.flat[len(classes) :]:
        axis.axis("off")
    for axis, label in zip(axes.flat, classes):
        own, limits = rows[rows[by] == label], bounds[bounds[by] == label]
        for colour, (method, name) in enumerate(METHOD_NAMES.items()):
            curves = own[own["method"] == method].groupby("evaluation")["best_so_far"].quantile([0.25, 0.5, 0.75]).unstack()
            random = method.startswith("random")
            axis.plot(curves.index, curves[0.5], color=f"C{colour}", lw=1.3, ls=":" if random else "-", label=name)
            if not random:
                axis.fill_between(curves.index, curves[0.25], curves[0.75], color=f"C{colour}", alpha=0.12, lw=0)
        for family, style in (("vae", "--"), ("hypervae_joint", "-.")):
            limit = limits[limits["method"] == family]["cosine_distance"].median()
            axis.axhline(limit, color="grey", lw=0.9, ls=style, label=f"best that gradients find: {METHOD_NAMES[family].split(' + ')[0]}")
        lowest = limits["cosine_distance"].min()
        top = own[own["evaluation"] == min(10, own["evaluation"].max())].groupby("method")["best_so_far"].median().max()
        axis.set(title=f"{by} {label} held out", yscale="log", ylim=(lowest * 0.9, top * 1.1), xlabel="designs evaluated")
        axis.grid(alpha=0.3, which="both")
        axis.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        for numbers in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            numbers("{x:.2g}")  # not powers of ten: the range is narrow
    for axis in axes[:, 0]:
        axis.set_ylabel("cosine distance to the target")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(title)
    save(figure, path)


def discovered_designs(by_digit, title, path):
    """Figure 2: for each held-out class a row of the target and of what each search found, at each of its steps."""
    short = {"vae": "VAE", "hypervae_once": "once", "hypervae_iterated": "iterated", "hypervae_joint": "joint"}
    short["hypervae_iterated_vae_init"] = "from VAE"
    names = ["target"]
    for method, label in short.items():
        steps = len(next(iter(by_digit.values()))[method])
        names += [label if steps == 1 else f"{label}\nstep {step + 1}" for step in range(steps)]
    rows = [np.concatenate([np.asarray(designs[m]) for m in ("target", *short)]) for designs in by_digit.values()]
    _grid(rows, path, title, [str(digit) for digit in by_digit], names)


def phase_diagrams(diagrams, phases, temperatures, title, path, least=0.01):
    """Stacked areas of phase fractions over temperature; diagrams: {name: (phases, temperatures, 1)}.

    Phases that hold at least `least` somewhere have a colour of their own; the others are drawn together in grey.
    """
    arrays = {name: np.asarray(diagram)[..., 0] for name, diagram in diagrams.items()}
    shown = np.flatnonzero(np.max([array.max(1) for array in arrays.values()], 0) >= least)
    colours = plt.get_cmap("tab20")(np.arange(len(shown)) % 20)
    figure, axes = plt.subplots(1, len(arrays), figsize=(3.1 * len(arrays), 4.2), sharey=True, squeeze=False, layout="constrained")
    for axis, (name, array) in zip(axes[0], arrays.items()):
        rest = np.delete(array, shown, 0).sum(0)
        axis.stackplot(temperatures, *array[shown], rest, colors=[*colours, "lightgrey"], labels=[phases[i] for i in shown] + ["others"])
        axis.set(title=name.replace(" + BO, ", " + BO,\n"), xlabel="temperature, K", xlim=(temperatures[0], temperatures[-1]), ylim=(0.8, 1))
        axis.title.set_fontsize(8)
    axes[0, 0].set_ylabel("mole fraction of phases (from 0.8 up)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7)
    figure.suptitle(title)
    save(figure, path)
