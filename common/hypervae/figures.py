"""Figures of training, of the family of models and of outlier scores."""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.metrics import auc, roc_curve

from common.runs.figures import grid, save

NAMES = {"vae": "VAE", "metavae": "MetaVAE", "hypervae": "HyperVAE"}
COLOURS = {"vae": "tab:blue", "metavae": "tab:orange", "hypervae": "tab:green"}
SEED = 0  # of every draw shown in a figure


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
    grid(rows, path, f"{data.name}: reconstructions at the posterior mean", names)


def generated_vaes(model, path, num_models=8, num_images=12):
    """Each row a VAE of its own, generated from u ~ N(0, I); its images from the same draws of z."""
    rng = np.random.default_rng(SEED)
    u = rng.standard_normal((num_models, model.hyper_latent_dim)).astype(np.float32)
    z = rng.standard_normal((1, num_images, model.body.latent_dim)).astype(np.float32)
    images = model.decode(np.repeat(z, num_models, 0), model.generate(u)).mean()
    names = [f"VAE {i + 1}" for i in range(num_models)]
    grid(list(images), path, "VAEs generated from u ~ N(0, I); columns share z ~ N(0, I)", names)


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
    grid(list(images), path, f"{data.name}: a straight walk in u-space; columns share z", labels)


def roc_curves(by_model, outlier, title, path):
    """ROC curves of every score, a panel for each model and one for the baselines; by_model: {model: {score: {set: scores}}}."""
    panels = {name: by_model[model] for model, name in NAMES.items() if model in by_model}
    panels["baselines"] = {
        f"{model} {score}".removesuffix(" score").replace("_", " "): by_set
        for model, by_score in sorted(by_model.items())
        if model not in NAMES
        for score, by_set in by_score.items()
    }
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4 * len(panels), 6), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (name, by_score) in zip(axes[0], panels.items()):
        for score, by_set in by_score.items():
            label = np.concatenate([np.zeros(len(by_set["test"])), np.ones(len(by_set[outlier]))])
            fpr, tpr, _ = roc_curve(label, np.concatenate([by_set["test"], by_set[outlier]]))
            axis.plot(100 * fpr, 100 * tpr, lw=1.2, label=f"{score} ({100 * auc(fpr, tpr):.1f})")
        axis.plot([0, 100], [0, 100], color="grey", lw=0.6, ls=":")
        axis.set(title=name, xlabel="false positives, %", box_aspect=1)
        axis.legend(
            fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), title="score (AUC, %)", title_fontsize=7
        )
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
            axis.hist(
                by_set[name], bins, density=True, alpha=0.5, color=colour, label="normal" if name == "test" else outlier
            )
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
    grid([row for row in rows if len(row)], path, title, ["most outlying\nnormals", "least outlying\noutliers"])
