"""Trained models to start from: weights rounded to float16, each beside a card that says what it is and what it costs.

`load_pretrained("mnist")` is a HyperVAE like any other: it scores, adapts and hands out VAEs without data or training.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import keras
import numpy as np

from common.errors import InputError
from common.hypervae import density, training
from common.hypervae.density import Evaluation
from common.hypervae.task_mixture import images_of_tasks
from common.runs import identity, storage

FOLDER = Path(__file__).resolve().parents[2] / "pretrained"
FORMAT = 1
LARGEST_DIFFERENCE = 0.02  # nats an image that rounding may cost
PART = "test"


def pack(run, data, folder=FOLDER):
    """Write a model's weights as <folder>/<data set>-<model>.npz, float16, and its card as .json. Returns the card.

    The card has the Settings of the training, -ELBO on the test part before and after rounding (nats an image, by the
    protocol of Table 1), commits, and the checksum of the weights; of a HyperVAE also u of the tasks of training.

    Args:
        run: a training.TrainedModel; data: its Dataset.

    Raises:
        InputError: rounding costs more than LARGEST_DIFFERENCE, or another training stands there under that name;
            nothing is written then.
    """
    settings = run.settings
    path = _path(folder, data.name, settings.model)
    if path.with_suffix(".json").exists():
        there = model_card(data.name, settings.model, folder)["settings"]
        if identity.digest(there) != settings.digest:
            raise InputError(f"{path} is of another training: choose another --pack folder, or delete it and its .json")
    evaluation = Evaluation(settings, PART)

    def neg_elbo(model):
        return float(density.evaluate(model, *data.part(PART), **evaluation.options())["neg_elbo"])

    rounded = [np.asarray(variable).astype(np.float16) for variable in run.model.trainable_variables]
    card = {"format": FORMAT, "settings": settings.stored(), "image_shape": list(data.image_shape)}
    card |= {"num_classes": data.num_classes, "part": PART, "neg_elbo": neg_elbo(run.model)}
    model = _build(card)
    _assign(model, rounded)
    card["neg_elbo_float16"] = neg_elbo(model)
    lost = abs(card["neg_elbo_float16"] - card["neg_elbo"])
    if not lost <= LARGEST_DIFFERENCE:
        what = f"{data.name}'s {settings.model}"
        raise InputError(f"rounded to float16, {what} costs {lost:.3f} nats an image more or less: it is not packed")

    card |= known_codes(model, data) if model.has_u else {}
    card["weights_sha256"] = storage.write_npz(path, {f"{i}": weight for i, weight in enumerate(rounded)})
    card |= {"trained_at": run.trained_at, "packed_at": storage.commit()}
    storage.write_json(path.with_suffix(".json"), card)
    return card


def known_codes(model, data):
    """What a card has of the tasks that a HyperVAE was trained on: u of each, and numbers of training images."""
    codes = model.task_codes(images_of_tasks(data)).numpy()
    return {"task_codes": codes.round(6).tolist(), "task_images": np.bincount(data.y).tolist()}


def model_card(name, model="hypervae", folder=FOLDER):
    """The card of a packed model, see `pack`.

    Raises:
        InputError: there is none, it is damaged, or it has another format.
    """
    path = _path(folder, name, model).with_suffix(".json")
    if not path.exists():
        known = ", ".join(sorted(found.stem.replace("-", " ") for found in Path(folder).glob("*.json"))) or "none"
        raise InputError(f"there is no trained {model} of {name}: choose among {known}")
    card = storage.read_json(path, "get it again")
    if card.get("format") != FORMAT:
        raise InputError(f"{path} has format {card.get('format')}, this version reads {FORMAT}: get it again")
    return card


def load_pretrained(name, model="hypervae", folder=FOLDER):
    """A trained VAE or HyperVAE, a Keras model.

    Args:
        name: "mnist", "fashion_mnist" or "omniglot"; model: "hypervae" or "vae".

    Raises:
        InputError: there is none, or its files are damaged.
    """
    card, path = model_card(name, model, folder), _path(folder, name, model)
    try:
        if storage.sha256_of(path) != card["weights_sha256"]:
            raise ValueError("another checksum")
        built = _build(card)
        with np.load(path, allow_pickle=False) as arrays:
            _assign(built, [arrays[f"{i}"] for i in range(len(arrays.files))])
    except Exception as error:  # zip, NumPy, missing keys: all mean the same here
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}): get it again") from error
    return built


def load_task_mixture(name, folder=FOLDER):
    """The TaskMixture of the tasks that a packed HyperVAE was trained on: for images whose task nobody tells.

    Raises:
        InputError: there is none, or its files are damaged.
    """
    card = model_card(name, "hypervae", folder)
    return load_pretrained(name, "hypervae", folder).mixture_of_codes(
        np.array(card["task_codes"], np.float32), card["task_images"]
    )


class PackedModel(NamedTuple):
    """What a packed model is as a TrainedModel: its weights are rounded to float16, its log did not come with it."""

    model: keras.Model
    settings: training.Settings
    trained_at: str  # commit


def packed_model(settings):
    """The PackedModel of a training with exactly these Settings, on the same pixels; None where there is none."""
    which = settings.dataset, settings.model
    if not _path(FOLDER, *which).exists():
        return None
    card = model_card(*which)
    if identity.digest(card["settings"]) != settings.digest:
        return None
    return PackedModel(load_pretrained(*which), settings, card["trained_at"])


def stand_in(name, model):
    """What runs.settings_for asks of a Dataset, of the one that a model was trained on; None where there is none.

    Its pixels are not needed to know whether options ask for this model.
    """
    if not _path(FOLDER, name, model).exists():
        return None
    settings = settings_of(model_card(name, model))
    enough = np.zeros(settings.batch_size, int)  # labels: of each class, images for a step
    return SimpleNamespace(name=name, body=settings.body, fingerprint=lambda: settings.fingerprint, y=enough)


def _path(folder, name, model):
    return Path(folder) / f"{name}-{model}.npz"


def settings_of(card):
    """The Settings of a card's training."""
    return training.Settings.restored(card["settings"])


def _build(card):
    """An untrained model of a card's settings."""
    return training.networks_of(settings_of(card), card["image_shape"], card["num_classes"])


def _assign(model, weights):
    for variable, weight in zip(model.trainable_variables, weights, strict=True):
        variable.assign(weight.astype(np.float32))
