"""Tables for regression and their train/test splits: standard sets by name, or a user's CSV or .npz."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.data.readers import read_arrays
from common.errors import InputError

NAMES = ("boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine-red", "yacht")
NUM_SPLITS = 20
LEAST_ROWS = 20  # so that a split's test part and the part held out for sigma are two rows at least


@dataclass(frozen=True)
class Table:
    """Inputs x (N, d) and targets y (N,) in their own units, and the row numbers of each split's two parts."""

    name: str
    x: np.ndarray
    y: np.ndarray
    train_index: np.ndarray  # (splits, n_train)
    test_index: np.ndarray  # (splits, n_test)

    def fingerprint(self):
        """Short digest of all numbers."""
        found = hashlib.sha256(self.name.encode())
        for array in (self.x, self.y, self.train_index, self.test_index):
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:12]


def load(name, data_dir, target=None):
    """Read a table.

    Args:
        name: "diabetes" (scikit-learn's), one of NAMES in <data_dir>/uci/<name>/data.npz, or the path of a .csv or .npz.
        target: the column of a CSV to predict; in an .npz the name of the array (default "y", inputs are "x" or "X").

    Raises:
        InputError: unknown name, missing or damaged file, missing column, text, NaN, too few rows, a bad split.
    """
    if name == "diabetes":
        from sklearn.datasets import load_diabetes

        found = dict(zip(("x", "y"), load_diabetes(return_X_y=True, scaled=False)))
    elif name in NAMES:
        found = _read_npz(
            Path(data_dir) / "uci" / name / "data.npz", "y", f"put {name}'s data.npz there, or give --data-dir"
        )
    elif Path(name).suffix == ".npz":
        found = _read_npz(Path(name), target or "y", "give the path of an .npz with arrays x and y")
    elif Path(name).suffix == ".csv":
        found = _read_csv(Path(name), target)
    else:
        raise InputError(
            f"unknown data set '{name}': choose diabetes, {', '.join(NAMES)}, or the path of a .csv or .npz"
        )
    x, y = _checked(name, found["x"], found["y"])
    parts = [found.get("train_index"), found.get("test_index")]
    if all(part is None for part in parts):
        parts = standard_splits(len(y))
    return Table(Path(name).stem, x, y, *_checked_splits(name, *parts, len(y)))


def standard_splits(number):
    """The protocol of Hernandez-Lobato & Adams 2015: NUM_SPLITS draws from one stream, each cut at 90 %."""
    rng = np.random.RandomState(1)
    orders = np.array([rng.choice(range(number), number, replace=False) for _ in range(NUM_SPLITS)])
    cut = round(0.9 * number)
    return orders[:, :cut], orders[:, cut:]


def _read_npz(path, target, remedy):
    found = read_arrays(path, remedy)
    inputs = next((key for key in ("x", "X") if key in found), None)
    if inputs is None or target not in found:
        raise InputError(f"{path} has the arrays {sorted(found)}: it needs x and {target} (see --target)")
    return {
        "x": found[inputs],
        "y": found[target],
        **{k: found[k] for k in ("train_index", "test_index") if k in found},
    }


def _read_csv(path, target):
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: give the path of a CSV with a header line") from None
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(
            f"{path} cannot be read as CSV ({str(error).strip()}): it needs a header line and equal rows"
        ) from error
    if target not in table.columns:
        raise InputError(f"{path} has the columns {', '.join(map(str, table.columns))}: name one of them with --target")
    for column in table.columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        text = table.loc[numbers.isna() & table[column].notna(), column]
        if len(text):
            raise InputError(
                f"{path}: '{text.iloc[0]}' in column {column}, row {text.index[0] + 2}, is no number: encode or drop it"
            )
        table[column] = numbers
    return {"x": table.drop(columns=target).to_numpy(), "y": table[target].to_numpy()}


def _checked(name, x, y):
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.shape[1]:
        raise InputError(f"{name} has inputs {x.shape} and targets {y.shape}: (N, d) and (N,) are needed")
    if not all(np.issubdtype(part.dtype, np.number) for part in (x, y)):
        raise InputError(f"{name} holds {x.dtype} and {y.dtype}: numbers are needed")
    x, y = x.astype(np.float64), y.astype(np.float64)
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise InputError(f"{name} holds NaN or infinite values: drop or fill those rows")
    if len(y) < LEAST_ROWS:
        raise InputError(f"{name} has {len(y)} rows: at least {LEAST_ROWS} are needed")
    return x, y


def _checked_splits(name, train, test, number):
    if train is None or test is None or train.ndim != 2 or test.ndim != 2 or len(train) != len(test):
        raise InputError(f"{name}: train_index and test_index must both be there, (splits, rows) each")
    if not all(np.issubdtype(part.dtype, np.integer) for part in (train, test)):
        raise InputError(f"{name}: the splits must be whole numbers")
    train, test = train.astype(np.int64), test.astype(np.int64)
    if min(train.min(), test.min()) < 0 or max(train.max(), test.max()) >= number:
        raise InputError(f"{name}: a split names a row outside 0 to {number - 1}: write the splits again")
    for k, (own_train, own_test) in enumerate(zip(train, test)):
        if np.intersect1d(own_train, own_test).size:
            raise InputError(f"{name}: split {k} has rows in both parts: write the splits again")
    return train, test


class Members:
    """The models that are trained side by side: for each split one on all its training rows, then one companion each.

    A companion leaves out as many training rows as the test part has; on those it is measured. sigma and settings are chosen
    by them, inside each split.

    Attributes:
        rows: row numbers to train on, a list of 2 x splits arrays.
        x, y: what each is measured on, (2 x splits, rows, d) and (2 x splits, rows): test rows, then left-out ones.
        streams: numbers of the members' own random streams.
        statistics: of each member's training rows, see `statistics`.
    """

    def __init__(self, table, splits):
        held = table.test_index.shape[1]
        train, test = list(table.train_index[:splits]), list(table.test_index[:splits])
        self.splits = splits
        self.rows = train + [own[:-held] for own in train]
        evaluated = np.array(test + [own[-held:] for own in train])
        self.streams = [2 * k for k in range(splits)] + [2 * k + 1 for k in range(splits)]
        self.x, self.y = table.x[evaluated], table.y[evaluated]
        self.statistics = statistics(table.x, table.y, self.rows)


def statistics(x, y, rows):
    """Mean and standard deviation of inputs and targets over each member's training rows, and no other; constant columns get 1."""

    def spread(values):
        deviation = values.std(0)
        return np.where(deviation > 1e-12 * (1 + np.abs(values).max(0)), deviation, 1.0)

    found = [(x[own].mean(0), spread(x[own]), y[own].mean(), spread(y[own])) for own in rows]
    return [np.array(part) for part in zip(*found)]
