"""The page to walk in the space of VAEs: one HTML file with a trained HyperVAE in it, which needs no server.

Its files lie beside this one: explorer.js computes (in a worker), SCRIPTS show, page.css and page.html are its looks.
"""

import base64
import gzip
import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.names import is_file_name
from common.runs import storage

FOLDER = Path(__file__).parent
SCRIPTS = ("basics.js", "space.js", "map.js", "pictures.js", "pad.js", "yours.js", "start.js")  # in this order
TASK_IMAGES = 1_000  # of each class, at most: q(u|D) is of so many of its training images
MEAN_IMAGES = 1_000  # validation images whose theta is averaged, as in 01's figures
INK = 0.01  # share of the training images' ink that lies beyond each side of the frame in which to draw


def html(hyper, plain, data, precision=np.float16):
    """The page of a trained HyperVAE, as text.

    Args:
        hyper: the TrainedModel of the HyperVAE, whose body is "conv", or what else has model, settings and trained_at.
        plain: the same of a VAE of the same body, trained on the same data, to compare code lengths with.
        data: the Dataset, whose classes are the tasks of the map.
        precision: of the weights, float16 or float32.
    """
    arrays = weights_of(hyper.model, plain.model, data)
    contents = {
        "model": config_of(hyper.model, arrays, precision),
        "map": map_of(*tasks_of(hyper.model, data)),
        "data": {"name": data.name, "tasks": task_names(data), "frame": frame_of(data.x)},
        "about": words_about(hyper, plain, data, np.dtype(precision)),
    }
    contents["data"]["ink"] = not is_file_name(data.name)  # ink on paper; a user's pictures are shown as they are
    styles, explorer, *scripts = (_text(name) for name in ("page.css", "explorer.js", *SCRIPTS))
    shown = '"use strict";\n{\n' + "\n".join(scripts) + "}\n"  # one block: no name leaves it
    parts = {
        "policy": _policy(styles, [explorer, shown]),
        "styles": styles,
        "explorer": explorer,
        "page": shown,
        # "<" could end the script element: a user's class names are text, whatever they hold.
        "contents": json.dumps(contents, allow_nan=False).replace("<", "\\u003c"),
        "weights": packed(arrays.values(), precision),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _text("page.html"))


def _text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def words_about(hyper, plain, data, precision):
    """{term: text}: what the page says of its making."""
    settings = hyper.settings
    counts = [f"{run.model.count_params():,}" for run in (hyper, plain)]
    summary = {"draw": "one of them", "mean": "the mean of what it finds in each", "set": "them as a set"}
    size = (
        f"{settings.iterations:,} steps of {settings.batch_size} images, recipe {settings.recipe}, seed {settings.seed}"
    )
    commits = ", ".join(dict.fromkeys(run.trained_at for run in (hyper, plain)))
    images = f"{len(data.x):,} training images in {data.num_classes} tasks"
    return {
        "Data": f"{data.name}: {images}, binarized ({settings.binarize})",
        "Models": f"HyperVAE ({counts[0]} parameters) and plain VAE ({counts[1]}), each {size}",
        "Told": f"of a task HyperVAE sees images, and takes {summary[settings.summary]}; the plain VAE sees no task",
        "Ellipses": f"q(u|D) of at most {TASK_IMAGES:,} training images of each task, two standard deviations",
        "Mean theta": f"made from the mean of H over at most {MEAN_IMAGES:,} validation images, each a task of its own",
        "Weights": f"rounded to {precision.name}",
        "Runs": f"HyperVAE {settings.digest}, VAE {plain.settings.digest}; trained at commit {commits}",
        "Page": f"made at commit {storage.commit()} by 11_explore.py",
    }


def _policy(styles, scripts):
    """The page's Content-Security-Policy: its own scripts and nothing else; no request leaves it."""

    def known(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    scripts = " ".join(map(known, scripts))
    return f"default-src 'none'; script-src {scripts}; style-src {known(styles)}; worker-src blob:; form-action 'none'"


# The model


def weights_of(model, plain, data):
    """{name: array} of all that explorer.js computes with."""
    arrays = {f"hyper_encoder/{name.removeprefix('/')}": w for name, w in model.theta.items()}
    if model.summary == "set":
        arrays |= {f"hyper_encoder/pooling/{part}": getattr(model.pooling, part) for part in ("kernel", "bias")}
    dense = [layer for layer in getattr(model.hyper_decoder, "layers", ()) if hasattr(layer, "kernel")]
    for number, layer in enumerate(dense, 1):
        arrays |= {f"hyper_decoder/dense{number}/{part}": getattr(layer, part) for part in ("kernel", "bias")}
    arrays |= _generator_weights(model)
    arrays |= {f"plain/{name}": w for name, w in plain.theta.items()}
    arrays["mean_code"] = model.mean_code(data.x_validation[:MEAN_IMAGES])[0]
    return {name: np.asarray(w, np.float32) for name, w in arrays.items()}


def _generator_weights(model):
    generator = model.generator
    if model.generator_name == "block":
        return {f"blocks/{part}": getattr(generator, part) for part in ("left", "right", "base")}
    arrays = {f"theta/{name}/base": w for name, w in generator.shared.items()}
    if model.generator_name == "concatenation":
        return arrays | {f"theta/{name}/of_u": w for name, w in generator.columns.items()}
    layers = dict(zip((name for name in generator.names if name not in generator.shared), generator.matrix_layers))
    layers |= {f"{name}/scale": layer for name, layer in generator.scales.items()}
    for name, layer in layers.items():
        arrays |= {f"theta/{name}/{part}": getattr(layer, part) for part in ("base", "left", "right")}
    return arrays


def config_of(model, arrays, precision):
    """What explorer.js has to know of a model besides its weights."""
    shapes = model.body.shapes()
    config = {
        "image": model.body.image_shape[:2],
        "latent_dim": model.body.latent_dim,
        "hyper_latent_dim": model.hyper_latent_dim,
        "summary": model.summary,
        "generator": model.generator_name,
        "side": model.hyper_matrix,
        "shapes": list(shapes.items()),
        "theta_size": sum(math.prod(shape) for shape in shapes.values()),
        "arrays": [(name, array.shape) for name, array in arrays.items()],
        "bytes": np.dtype(precision).itemsize,
    }
    if model.generator_name == "block":
        sizes = np.cumsum([0, *model.generator.sizes])[:-1]
        config |= {"block": model.generator.block, "blocks": model.generator.num_blocks, "starts": sizes.tolist()}
    return config


def packed(arrays, precision):
    """Arrays one after the other as base64 of gzip; all lowest bytes first, which makes the text a tenth shorter."""
    numbers = np.concatenate([array.ravel() for array in arrays]).astype(np.dtype(precision).newbyteorder("<"))
    planes = numbers.view(np.uint8).reshape(len(numbers), -1).T
    return base64.b64encode(gzip.compress(planes.tobytes(), 9, mtime=0)).decode()


# The map


def tasks_of(model, data):
    """q(u|D) of each class's training images: means and standard deviations, each (classes, hyper_latent_dim).

    A HyperVAE whose summary is one image has as many posteriors as images: theirs together are taken for the class.
    """
    means, deviations = [], []
    for label in range(data.num_classes):
        images = tf.cast(data.x[data.y == label][:TASK_IMAGES], tf.float32)
        q_u = model.infer_u(images[:, None] if model.summary == "draw" else images[None])
        mean, variance = q_u.mean().numpy(), q_u.variance().numpy()
        means.append(mean.mean(0))
        deviations.append(np.sqrt(mean.var(0) + variance.mean(0)))
    return np.stack(means), np.stack(deviations)


def map_of(means, deviations):
    """The tasks on the axes along which they differ most.

    Returns:
        center (D,) and axes (D, D), one a row, orthonormal: u = center + sum_i c_i axes[i]; shares (D,) of the means'
        spread along each axis, in percent; tasks' means and deviations, as they came.
    """
    center = means.mean(0)
    _, spread, axes = np.linalg.svd(means - center)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # a sign of its own is no direction
    spread = np.pad(spread, (0, max(0, len(axes) - len(spread))))[: len(axes)] ** 2
    shares = 100 * spread / max(spread.sum(), np.finfo(np.float32).tiny)
    found = {"center": center, "axes": axes, "shares": shares, "means": means, "deviations": deviations}
    return {name: np.round(np.asarray(numbers, float), 5).tolist() for name, numbers in found.items()}


def task_names(data):
    """The classes' names; where they have none, their numbers."""
    return [str(name).replace("_", " ") for name in data.class_names or range(data.num_classes)]


def frame_of(images):
    """[top, left, bottom, right] in pixels of the box that holds nearly all ink of images (N, H, W, 1)."""
    ink = images[..., 0].mean(0, dtype=np.float64)
    if not ink.any():
        return [0, 0, *ink.shape]

    def ends(along):
        total = np.cumsum(along) / along.sum()
        return int(np.searchsorted(total, INK)), int(min(np.searchsorted(total, 1 - INK) + 1, len(along)))

    (top, bottom), (left, right) = ends(ink.sum(1)), ends(ink.sum(0))
    return [top, left, bottom, right]
