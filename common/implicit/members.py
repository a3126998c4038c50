"""The models that are trained side by side on one table: what each may see, and what it is measured on."""

import numpy as np

from common.data.tabular import ROUNDING


class Members:
    """For each split one model on all its training rows, then for each split a companion.

    A companion leaves out as many training rows as the test part has (the last ones; `tabular.load` sees to their
    order); on those it is measured. They give a split's sigma, and those of all splits choose settings.

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


def is_constant(values):
    """Which columns (or whether a target) of rows (N, ...) differ by no more than rounding."""
    return values.std(0) <= ROUNDING * np.abs(values).max(0)


def statistics(x, y, rows):
    """Mean and standard deviation of inputs and targets over each member's training rows; constant columns get 1."""

    def spread(values):
        return np.where(is_constant(values), 1.0, values.std(0))

    found = [(x[own].mean(0), spread(x[own]), y[own].mean(), spread(y[own])) for own in rows]
    return [np.array(part) for part in zip(*found)]
