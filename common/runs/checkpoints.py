"""Checkpoints of Keras models that are trained by epochs: exact resume, and a record of what was measured on the way.

A run's folder holds settings.json (its record), progress.json (epoch, seconds, measured rows, commit, checksum of the
weights) and the newest weights with the optimiser's state, a plain .npz.
"""

import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from common.errors import InputError
from common.runs.storage import (
    commit,
    make_folder,
    read_json,
    sha256_of,
    write_json,
    write_npz,
    write_settings,
)


def resume(folder, record, model):
    """Load the newest state of a run into a model whose optimizer has been built.

    Args:
        folder: of the run.
        record: the run's Record; written there as settings.json.

    Returns:
        its progress {epoch, seconds, rows, trained_at}; a fresh one where nothing was saved.

    Raises:
        InputError: progress or weights are damaged, or the folder cannot be made.
    """
    folder, remedy = Path(folder), f"delete the folder {folder} and run again"
    make_folder(folder)
    write_settings(folder / "settings.json", record.stored())
    path = folder / "progress.json"
    if not path.exists():
        return {"epoch": 0, "seconds": 0.0, "rows": [], "trained_at": commit()}
    progress = read_json(path, remedy)
    try:
        _load_weights(_weights(folder, progress["epoch"]), progress.pop("weights_sha256"), model)
        commits = progress["trained_at"].split("+")
        progress = {name: progress[name] for name in ("epoch", "seconds", "rows", "trained_at")}
    except Exception as error:  # zip, NumPy, Keras and missing keys: all mean the same here
        raise InputError(f"{folder} is damaged ({type(error).__name__}: {error}): {remedy}") from error
    progress["resumed_at"] = "+".join([*commits, *({commit()} - set(commits))])
    return progress


def _weights(folder, epoch):
    return Path(folder) / f"epoch{epoch}.npz"


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def _load_weights(path, checksum, model):
    if sha256_of(path) != checksum:
        raise ValueError(f"{path.name} has another checksum")
    variables = _variables(model)
    with np.load(path, allow_pickle=False) as arrays:
        if [arrays[f"{i}"].shape for i in range(len(arrays.files))] != [tuple(v.shape) for v in variables]:
            raise ValueError(f"{path.name} holds another model's weights")
        for i, variable in enumerate(variables):
            variable.assign(arrays[f"{i}"])


def _save_weights(path, model):
    """Write all variables; returns the file's checksum."""
    arrays = {f"{i}": np.asarray(variable) for i, variable in enumerate(_variables(model))}
    return write_npz(path, arrays, compressed=False)  # weights hardly shrink


def check_loss(loss, epoch, remedy):
    """Raise InputError, with a remedy, where the loss of an epoch is not finite."""
    if not np.isfinite(loss):
        raise InputError(f"training diverged in epoch {epoch}: {remedy}")


class Checkpoint(keras.callbacks.Callback):
    """A progress bar, a row of measures an epoch, and the state saved every `every` epochs.

    Args:
        folder: of the run.
        progress: of `resume`; it grows here.
        total: epochs of the whole run.
        measure: measure(model, epoch, logs) gives the epoch's row, or None for none.
        monitor: the loss among Keras' logs; training ends with `remedy` when it is no longer finite.
        shown: which of Keras' logs or of the row's values the bar shows.
        unit: what the bar counts, how many of them an epoch has, and how many there are in all.

    Raises:
        InputError: the loss is not finite, or the state cannot be written.
    """

    def __init__(self, folder, progress, total, every, measure, monitor, remedy, shown=(), unit=None):
        super().__init__()
        self.folder, self.progress, self.total, self.every = Path(folder), progress, total, every
        self.measure, self.monitor, self.remedy, self.shown = measure, monitor, remedy, shown
        self.started, self.before = time.perf_counter(), progress["seconds"]
        name, self.size, number = unit or ("epochs", 1, total)
        options = dict(total=number, initial=progress["epoch"] * self.size, unit=f" {name}", mininterval=1)
        self.bar = tqdm(desc=self.folder.name, **options)

    def on_epoch_end(self, epoch, logs=None):
        done, loss = epoch + 1, float(logs[self.monitor])
        check_loss(loss, done, self.remedy)
        row = self.measure(self.model, done, logs)
        self.progress["seconds"] = self.before + time.perf_counter() - self.started
        if row is not None:
            self.progress["rows"].append({"epoch": done, "seconds": self.progress["seconds"], **row})
        if done % self.every == 0 or done == self.total:
            self._save(done)
        values = {self.monitor: loss, **{name: (row or logs).get(name, logs.get(name)) for name in self.shown}}
        self.bar.set_postfix(
            {name: f"{value:.4g}" for name, value in values.items() if value is not None}, refresh=False
        )
        self.bar.update(min(self.size, self.bar.total - self.bar.n))
        if done == self.total:
            self.bar.close()

    def _save(self, done):
        # Weights first: a kill between the two leaves the progress of an earlier state, whose rows are made again.
        checksum = _save_weights(_weights(self.folder, done), self.model)
        self.progress["epoch"] = done
        self.progress["trained_at"] = self.progress.pop("resumed_at", self.progress["trained_at"])
        write_json(self.folder / "progress.json", self.progress | {"weights_sha256": checksum})
        for old in self.folder.glob("epoch*.npz"):
            if old != _weights(self.folder, done):
                old.unlink(missing_ok=True)
