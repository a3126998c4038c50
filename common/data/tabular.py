"""Tables for regression and their train/test splits: standard sets by name, or a user's CSV or .npz."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import delimited, fingerprints
from common.data.readers import read_arrays
from common.errors import InputError
from common.names import name_of_file

NAMES = ("boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine-red", "yacht")
DELIMITED = (".csv", ".tsv", ".txt")
NUM_SPLITS = 20
SPLIT_SEED = 0  # of the order of the rows in a user's own splits
FAR, ROUNDING = 1e3, 1e-12
LEAST_ROWS = 20  # so that a split's test part and the part held out for sigma are two rows at least


@dataclass(frozen=True)
class Table:
    """Inputs x (N, d) and targets y (N,) in their own units, and the row numbers of each split's two parts."""

    name: str
    x: np.ndarray
    y: np.ndarray
    train_index: np.ndarray  # (splits, n_train)
    test_index: np.ndarray  # (splits, n_test)
    notes: tuple = ()  # what was done in reading it, in words
    columns: delimited.Columns | None = None  # of delimited text

    def fingerprint(self):
        """Short digest of all numbers: what the table is, whatever it is called."""
        return fingerprints.fingerprint(self.x, self.y, self.train_index, self.test_index)


def load(name, data_dir, target=None, missing="refuse", text="refuse"):
    """Read a table.

    Args:
        name: "diabetes" (scikit-learn's), one of NAMES in <data_dir>/uci/<name>/data.npz, or the path of delimited text
            (.csv, .tsv or .txt) or of an .npz.
        target: the column to predict; in an .npz the name of the array (default "y", inputs are "x" or "X").
        missing, text: of delimited text, see `delimited.read`.

    Raises:
        InputError: unknown name, missing or damaged file, missing column, text, NaN, too few rows, a bad split.
    """
    path, notes, columns = Path(name), (), None
    if name == "diabetes":
        from sklearn.datasets import load_diabetes

        found = dict(zip(("x", "y"), load_diabetes(return_X_y=True, scaled=False)))
    elif name in NAMES:
        path = Path(data_dir) / "uci" / name / "data.npz"
        found = _read_npz(path, "y", f"put {name}'s data.npz there, or give --data-dir")
    elif path.suffix.lower() == ".npz":
        found = _read_npz(path, target or "y", "give the path of an .npz with arrays x and y")
    elif path.suffix.lower() in DELIMITED:
        columns = delimited.read(path, target, missing, text)
        found, notes = {"x": columns.x, "y": columns.y}, columns.notes
    else:
        known = f"diabetes, {', '.join(NAMES)}, or the path of a .csv or .npz"
        raise InputError(f"unknown data set '{name}': choose {known}")
    x, y = _checked(name, found["x"], found["y"])
    parts = [found.get("train_index"), found.get("test_index")]
    given = any(part is not None for part in parts)
    train, test = _checked_splits(name, *(parts if given else standard_splits(len(y))), len(y))
    if given and name not in NAMES:
        # Companions hold the last rows of a training part out: of a user's sorted ones they would be no fair sample.
        train = np.random.default_rng(SPLIT_SEED).permuted(train, axis=1)
    return Table(name if name in ("diabetes", *NAMES) else name_of_file(name), x, y, train, test, notes, columns)


def load_new(path, table):
    """Rows to predict, in the form of a Table: inputs (N, d) float64, what to call each row, and notes.

    Args:
        path: of delimited text with the table's columns (a target's column is not used), or of an .npz with x (N, d).

    Raises:
        InputError: as `load`; inputs that are not those of the table.
    """
    path = Path(path)
    if path.suffix.lower() in DELIMITED:
        if table.columns is None:
            raise InputError(f"{table.name} has no named columns: give the new rows as an .npz with x (N, d)")
        x, lines, notes = delimited.read_new(path, table.columns)
        return x, [f"line {line}" for line in lines], notes
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path} is no table: give a .csv with the columns of {table.name}, or an .npz with x")
    found = read_arrays(path, "give the rows to predict, a .csv or an .npz with x (N, d)")
    inputs = next((found[key] for key in ("x", "X") if key in found), None)
    wanted = table.x.shape[1]
    if inputs is None or inputs.ndim != 2 or inputs.shape[1] != wanted or not _is_real(inputs):
        has = f"arrays {sorted(found)}" if inputs is None else f"x of shape {inputs.shape} and type {inputs.dtype}"
        raise InputError(f"{path} has {has}: numbers x (N, {wanted}) are needed, as {table.name} has them")
    if not len(inputs) or not np.isfinite(inputs.astype(np.float64)).all():
        raise InputError(f"{path} has no rows, or NaN or infinite values: drop or fill those rows")
    return inputs.astype(np.float64), [str(i) for i in range(len(inputs))], ()


def centred(table):
    """The table with 0 as the mean of each column, and of the target, that lies FAR standard deviations or more from 0.

    Single precision would lose the digits in which such numbers differ. Errors and likelihoods do not see the shift.
    """

    def shifted(values):
        mean, deviation = values.mean(0), values.std(0)
        varies = deviation > ROUNDING * np.abs(mean)
        return values - np.where(varies & (np.abs(mean) > FAR * deviation), mean, 0.0)

    return dataclasses.replace(table, x=shifted(table.x), y=shifted(table.y))


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


def _is_real(array):
    return np.issubdtype(array.dtype, np.number) and not np.issubdtype(array.dtype, np.complexfloating)


def _checked(name, x, y):
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.shape[1]:
        raise InputError(f"{name} has inputs {x.shape} and targets {y.shape}: (N, d) and (N,) are needed")
    if not all(_is_real(part) for part in (x, y)):
        raise InputError(f"{name} holds {x.dtype} and {y.dtype}: numbers are needed")
    x, y = x.astype(np.float64), y.astype(np.float64)
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise InputError(f"{name} holds NaN or infinite values: drop or fill those rows")
    if len(y) < LEAST_ROWS:
        raise InputError(f"{name} has {len(y)} rows: at least {LEAST_ROWS} are needed")
    if np.all(y == y[0]):
        raise InputError(f"{name}: the target is {y[0]:g} in every row: there is nothing to predict")
    return x, y


def _checked_splits(name, train, test, number):
    if train is None or test is None or train.ndim != 2 or test.ndim != 2 or len(train) != len(test):
        raise InputError(f"{name}: train_index and test_index must both be there, (splits, rows) each")
    if not all(np.issubdtype(part.dtype, np.integer) for part in (train, test)):
        raise InputError(f"{name}: the splits must be whole numbers")
    if not train.size or not test.size or test.shape[1] >= train.shape[1]:
        raise InputError(
            f"{name}: splits of {train.shape[1]} and {test.shape[1]} rows: more are needed to train than to test"
        )
    train, test = train.astype(np.int64), test.astype(np.int64)
    if min(train.min(), test.min()) < 0 or max(train.max(), test.max()) >= number:
        raise InputError(f"{name}: a split names a row outside 0 to {number - 1}: write the splits again")
    for k, (own_train, own_test) in enumerate(zip(train, test)):
        if np.intersect1d(own_train, own_test).size:
            raise InputError(f"{name}: split {k} has rows in both parts: write the splits again")
    return train, test
