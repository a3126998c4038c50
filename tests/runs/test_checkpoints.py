"""Exact resume of any Keras model, and what damaged or foreign state says."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest

from common.errors import InputError
from common.runs import storage
from common.runs.checkpoints import Checkpoint, resume
from common.runs.identity import Record

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
EPOCHS = 6


@dataclass(frozen=True)
class Run(Record):
    seed: int = 0


def train(folder, epochs=EPOCHS, every=2, stop_after=None):
    """A tiny regression, without randomness but for its start; the finished model and its progress."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    model.optimizer.build(model.trainable_variables)
    progress = resume(folder, Run(), model)

    def measure(_, epoch, logs):
        if epoch == stop_after:
            raise KeyboardInterrupt
        return {"loss": float(logs["loss"])}

    callback = Checkpoint(folder, progress, epochs, every, measure, "loss", "lower the rate")
    if progress["epoch"] < epochs:
        options = dict(batch_size=40, shuffle=False, verbose=0, callbacks=[callback])
        model.fit(X, X.sum(1), initial_epoch=progress["epoch"], epochs=epochs, **options)
    return model, progress


def outcome(model, progress):
    return [w.numpy().tolist() for w in model.weights], [(r["epoch"], r["loss"]) for r in progress["rows"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return outcome(*train(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("stop_after", [1, 3, 4, EPOCHS])
def test_a_run_stopped_anywhere_ends_as_an_uninterrupted_one(tmp_path, whole, stop_after):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_after=stop_after)
    assert outcome(*train(tmp_path)) == whole
    assert outcome(*train(tmp_path)) == whole  # and a finished one is only loaded
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"epoch{EPOCHS}.npz", "progress.json", "settings.json"]


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{", b"\x00\xff", b'{"epoch": 6}', b'{"epoch": "a", "rows": []}']
)
def test_damaged_progress_is_named(tmp_path, content):
    train(tmp_path)
    (tmp_path / "progress.json").write_bytes(content)
    with pytest.raises(InputError, match="damaged.*delete"):
        train(tmp_path)


def test_flipped_and_missing_weights_are_named(tmp_path):
    train(tmp_path)
    path = tmp_path / f"epoch{EPOCHS}.npz"
    good = path.read_bytes()
    for damaged in (good[:-50], good[:200] + bytes(b ^ 1 for b in good[200:264]) + good[264:], b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{tmp_path.name}.*damaged.*delete"):
            train(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="damaged.*delete"):
        train(tmp_path)


def test_a_run_resumed_by_another_commit_names_both(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_after=3)
    path = tmp_path / "progress.json"
    storage.write_json(path, storage.read_json(path, "") | {"trained_at": "0123456789"})
    assert train(tmp_path)[1]["trained_at"].startswith("0123456789+")


def test_a_loss_that_is_not_finite_ends_with_the_remedy(tmp_path):
    callback = Checkpoint(tmp_path, {"epoch": 0, "seconds": 0.0, "rows": []}, 3, 1, None, "loss", "lower the rate")
    with pytest.raises(InputError, match="diverged in epoch 1: lower the rate"):
        callback.on_epoch_end(0, {"loss": float("nan")})
