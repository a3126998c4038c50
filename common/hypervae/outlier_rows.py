"""Rows of Table 4 told apart: which were made alike on every pair of sets, and what pairs are called."""

from common.hypervae.options import NAMES_OF_TASKS, OF_SOME_MODELS
from common.hypervae.outlier_sets import CHANGES, HELD_OUT_CLASS, WITHOUT
from common.runs import identity
from common.runs.summaries import over_seeds

MEASURES = ["auc", "fpr", "fnr", "average_precision", "fpr_at_95_tpr", "fpr_held_out", "fnr_held_out"]


def method_of(stored):
    """The settings of a row of Table 4 but for its data: what was done alike on every pair of sets."""
    found = identity.without(stored, {"fingerprint", "outlier_fingerprint"})
    return found | {"binarize": stored["scored"]["labels"]["binarize"]}


def protocol_of(stored):
    """Those of `method_of` that models do not differ in by themselves: by what is alike in these they are compared."""
    return identity.experiment(
        identity.without(method_of(stored), {"model", "hidden", "fit_u", "scores", *OF_SOME_MODELS})
    )


def outlier_rows(rows, records):
    """Table 4's rows with the columns `method` (all settings but the data), `protocol` (but the model's own, too),
    `pair` (of sets), `own` (outliers are changed normal images, or classes) and `tasks`.
    """
    methods = {run: identity.experiment(method_of(stored)) for run, stored in records.items()}
    table = rows.assign(
        method=rows["run"].map(methods),
        protocol=rows["run"].map({run: protocol_of(stored) for run, stored in records.items()}),
        normal_fingerprint=[records[run]["scored"]["fingerprint"] for run in rows["run"]],
        outlier_fingerprint=[records[run]["outlier_fingerprint"] for run in rows["run"]],
    )
    return table.assign(
        pair=table["normal_fingerprint"] + " " + table["outlier_fingerprint"],
        own=table["outlier"].isin([*CHANGES, HELD_OUT_CLASS]),
        tasks=table["normal"].map(_tasks),
    )


def summary_of(table, records):
    """The measures of `outlier_rows` over seeds; and {method: its stored record}."""
    of_method = {method: method_of(records[run]) for method, run in zip(table["method"], table["run"])}
    return over_seeds(table, MEASURES, by=["score"]), of_method


def _tasks(normal):
    """What a normal set's tasks are, by its name: "labels", or a key of NAMES_OF_TASKS."""
    return next((tasks for tasks, ending in NAMES_OF_TASKS.items() if normal.endswith(ending)), "labels")


def baseline_name(model, score):
    """What a baseline is called, in words: compressors are one model, whose scores have their names."""
    return (score if model == "compressor" else model).replace("_", " ")


def pair_names(summary):
    """{pair: "normal / outlier"}; sets of one name are told apart by their fingerprints, held-out classes are not."""
    first = summary.drop_duplicates("pair")
    held_out = first["outlier"] == HELD_OUT_CLASS
    whole = first["normal"].where(~held_out, first["normal"].str.partition(WITHOUT)[0])
    names = (whole + " / " + first["outlier"]).tolist()
    return {
        pair: name if alike or names.count(name) == 1 else f"{name} ({pair})"
        for pair, name, alike in zip(first["pair"], names, held_out)
    }
