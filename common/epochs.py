"""Training by epochs with a record beside the weights, for models that are measured while they train; exact resume."""

import json
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from common.errors import InputError
from common.results import make_folder, write_atomically, write_json
from common.training import commit


def resume(folder, model):
    """Load the newest state of a run into the model, whose optimizer must have been built.

    Returns:
        its record {epoch, seconds, rows, commit}; a fresh one where nothing was saved.

    Raises:
        InputError: record or weights are damaged, or the folder cannot be made.
    """
    make_folder(folder)
    path = Path(folder) / "record.json"
    if not path.exists():
        return {"epoch": 0, "seconds": 0.0, "rows": [], "commit": commit()}
    try:
        record = json.loads(path.read_text())
        model.load_weights(_weights(folder, record["epoch"]))
    except Exception as error:  # json, h5py and Keras raise many kinds; all mean the same here
        raise InputError(f"{folder} is damaged ({type(error).__name__}): delete it and run again") from error
    return record


def _weights(folder, epoch):
    return Path(folder) / f"epoch{epoch}.weights.h5"


class Record(keras.callbacks.Callback):
    """A progress bar, a row of measures an epoch, and the state saved every `every` epochs.

    Args:
        folder: where record and weights are kept.
        record: of `resume`; it grows here.
        total: epochs of the whole run.
        measure: measure(model, epoch, logs) gives the epoch's row, or None for none.
        monitor: the loss among Keras' logs; training ends with `remedy` when it is no longer finite.
        shown: which of a row's values the bar shows.
    """

    def __init__(self, folder, record, total, every, measure, monitor, remedy, shown=()):
        super().__init__()
        self.folder, self.record, self.total, self.every = Path(folder), record, total, every
        self.measure, self.monitor, self.remedy, self.shown = measure, monitor, remedy, shown
        self.started, self.before = time.perf_counter(), record["seconds"]
        self.bar = tqdm(total=total, initial=record["epoch"], desc=f"{self.folder.parent.name} {self.folder.name}", mininterval=1)

    def on_epoch_end(self, epoch, logs=None):
        done, loss = epoch + 1, float(logs[self.monitor])
        if not np.isfinite(loss):
            raise InputError(f"training diverged in epoch {done}: {self.remedy}")
        row = self.measure(self.model, done, logs)
        self.record["seconds"] = self.before + time.perf_counter() - self.started
        if row is not None:
            self.record["rows"].append({"epoch": done, "seconds": self.record["seconds"], **row})
        if done % self.every == 0 or done == self.total:
            self._save(done)
        last = self.record["rows"][-1] if self.record["rows"] else {}
        values = {name: f"{last[name]:.4g}" for name in self.shown if name in last}
        self.bar.set_postfix({self.monitor: f"{loss:.4g}", **values}, refresh=False)
        self.bar.update(1)

    def _save(self, done):
        # Weights first: a kill between the two leaves a record of an earlier state, whose rows are made again.
        write_atomically(_weights(self.folder, done), self.model.save_weights)
        self.record["epoch"] = done
        write_json(self.folder / "record.json", self.record)
        for old in self.folder.glob("epoch*.weights.h5"):
            if old != _weights(self.folder, done):
                old.unlink()

    def on_train_end(self, logs=None):
        self.bar.close()
