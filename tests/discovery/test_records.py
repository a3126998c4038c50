"""Every setting of a search is part of what it is: its folder, its rows, and the protocol that reports group by."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from common.data.fingerprints import fingerprint
from common.discovery import records
from common.discovery.records import Discovery, FoundAlloys, SearchSettings, Target, ThroughCalphad
from common.runs.identity import Record, experiment, label

SEARCH = SearchSettings("total", 300, 3, "EI", 0)
IMAGE = np.eye(4)


@dataclasses.dataclass(frozen=True)
class Training(Record):
    fingerprint: str
    model: str
    seed: int
    recipe: str = label(default="ours")
    iterations: int = 100
    binarize: str = label(default="none")
    body: str = "matrix"


def discovery(**changes):
    parts = dict(vae=Training("f", "vae", 0), hypervae=Training("f", "hypervae", 0), search=SEARCH)
    parts |= dict(target=Target("4", "17", "e"), target_kind="binary", objective="cosine", known_tasks=False)
    return Discovery(**{"dataset": "mnist", "data": "d"} | parts | changes)


FOUND = FoundAlloys(discovery(), "ridge", "t")
THROUGH = ThroughCalphad(FOUND, 100)


def changed(value):
    """The same kind of value, another one; a record once for each of its fields."""
    if isinstance(value, Record):
        for field in dataclasses.fields(value):
            if not field.metadata.get("label"):
                yield from (
                    dataclasses.replace(value, **{field.name: own}) for own in changed(getattr(value, field.name))
                )
    elif isinstance(value, bool):
        yield not value
    else:
        yield value + (1 if isinstance(value, int) else "x")


@pytest.mark.parametrize("record", [SEARCH, discovery(), FOUND, THROUGH], ids=lambda record: record.kind)
def test_another_value_of_any_field_is_another_run_and_folder(record, tmp_path):
    others = list(changed(record))
    folders = {other.folder(tmp_path) for other in others}
    assert len(folders) == len(others) >= 5 and record.folder(tmp_path) not in folders


def test_labels_name_and_nothing_else():
    assert discovery(dataset="elsewhere").digest == discovery().digest
    assert discovery(vae=Training("f", "vae", 0, recipe="custom")).digest == discovery().digest


def test_a_single_step_has_nothing_to_share():
    one = dataclasses.replace(SEARCH, steps=1)
    assert one.digest == dataclasses.replace(one, budget="per-step").digest
    assert SEARCH.digest != dataclasses.replace(SEARCH, budget="per-step").digest


def protocol(record):
    return records.digest(records.shared_settings(record.stored()))


def seeds(record, seed):
    """A record with another seed at every level."""
    parts = {
        "vae": dataclasses.replace(record.vae, seed=seed),
        "hypervae": dataclasses.replace(record.hypervae, seed=seed),
    }
    return dataclasses.replace(record, **parts, search=dataclasses.replace(record.search, seed=seed))


def test_a_protocol_is_all_but_the_seeds_the_target_and_what_training_left_out_for_it():
    record = discovery()
    another_class = discovery(
        vae=Training("g", "vae", 0), hypervae=Training("g", "hypervae", 0), target=Target("5", "3", "h")
    )
    assert experiment(seeds(record, 7).stored()) == experiment(record.stored()) != experiment(another_class.stored())
    assert protocol(record) == protocol(seeds(record, 7)) == protocol(another_class)
    for other in changed(record):
        same = other.target != record.target or seeds(other, 0) == record
        same |= other.vae.fingerprint != "f" or other.hypervae.fingerprint != "f"
        assert (protocol(other) == protocol(record)) == same, other


def test_a_search_through_calphad_stands_in_the_table_of_those_it_went_on_from():
    assert protocol(THROUGH) == protocol(FOUND) == protocol(ThroughCalphad(FOUND, 50))
    assert protocol(FOUND) != protocol(dataclasses.replace(FOUND, tdb="")) != protocol(discovery())
    rows = pd.DataFrame({"run": [record.digest for record in (THROUGH, FOUND, THROUGH)]})
    both = {record.digest: record.stored() for record in (THROUGH, FOUND)}
    found = records.with_protocol(rows, both)
    assert found["protocol"].nunique() == found["target"].nunique() == 1


def test_fingerprints_know_values_shapes_and_types(tmp_path):
    arrays = [IMAGE, IMAGE.reshape(2, 8), IMAGE.astype(np.float32), IMAGE + np.finfo(float).eps]
    assert len({fingerprint(array) for array in arrays}) == 4
    assert fingerprint(IMAGE) == fingerprint(np.asfortranarray(IMAGE))
    for name, text in (("a.tdb", "one"), ("b.tdb", "one"), ("c.tdb", "two")):
        (tmp_path / name).write_text(text)
    a, b, c = (records.file_fingerprint(tmp_path / f"{name}.tdb") for name in "abc")
    assert a == b != c and records.file_fingerprint(None) == ""
