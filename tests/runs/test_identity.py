"""A run is all of its settings: any change of one gives another digest, labels and order give the same."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.runs import identity
from common.runs.identity import Record, label


@dataclass(frozen=True)
class Training(Record):
    dataset: str = label()
    fingerprint: str
    seed: int
    rate: float
    hidden: tuple


@dataclass(frozen=True)
class Evaluation(Record):
    training: Training
    part: str
    limit: int | None = None
    scale: float | None = None
    note: str = label(default="")


texts = st.text(max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
trainings = st.builds(
    Training, texts, texts, st.integers(0, 2**40), numbers, st.lists(st.integers(0, 999), max_size=3).map(tuple)
)
evaluations = st.builds(Evaluation, trainings, texts, st.none() | st.integers(0, 9), st.none() | numbers, texts)


def changed(value):
    """Another value of the same type."""
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, 1)
    return 1 if value is None else value + 1 if abs(value) < 1e6 else value / 2


@given(evaluations)
def test_each_field_counts_but_for_labels(record):
    for field in dataclasses.fields(Evaluation):
        if field.name == "training":
            continue
        other = dataclasses.replace(record, **{field.name: changed(getattr(record, field.name))})
        assert (other.digest == record.digest) == (field.name == "note")
    for field in dataclasses.fields(Training):
        own = dataclasses.replace(record.training, **{field.name: changed(getattr(record.training, field.name))})
        other = dataclasses.replace(record, training=own)
        assert (
            (other.digest == record.digest)
            == (own.folder("c") == record.training.folder("c"))
            == (field.name == "dataset")
        )
        alike = identity.experiment(other.stored()) == identity.experiment(record.stored())
        assert alike == (field.name in ("dataset", "seed"))


@given(evaluations)
def test_the_stored_record_has_the_records_digest(record):
    stored = record.stored()
    shuffled = dict(reversed(stored.items()))
    assert identity.digest(stored) == identity.digest(shuffled) == record.digest
    assert len(record.digest) == identity.DIGEST_DIGITS


def test_one_and_one_point_zero_are_one_setting():
    one, same = Training("a", "f", 0, 1, [2, 3]), Training("b", "f", 0, 1.0, (2, 3))
    assert one.digest == same.digest
    assert Evaluation(one, "test", scale=10).digest == Evaluation(same, "test", scale=10.0).digest
    assert Evaluation(one, "test", limit=10).stored()["scale"] is None


def test_what_json_cannot_hold_exactly_is_no_setting():
    for value in (np.float32(0.1), float("nan"), {1, 2}):
        with pytest.raises((TypeError, ValueError)):
            assert Training("a", value, 0, 1.0, ()).digest


def test_differences_name_what_tells_experiments_apart():
    one = Evaluation(Training("a", "f", 0, 0.002, (100, 50)), "test")
    two = Evaluation(Training("a", "f", 1, 0.001, (100, 20)), "test")
    words = identity.differences({"one": one.stored(), "two": two.stored()})
    assert words == {"one": "rate 0.002, hidden 100-50", "two": "rate 0.001, hidden 100-20"}
    assert identity.differences({"one": one.stored()}) == {"one": ""}
    # What is a method's own tells apart its own experiments alone.
    three = Evaluation(Training("a", "f", 1, 0.001, (100, 30)), "test")
    stored = {"one": one.stored(), "two": two.stored(), "three": three.stored()}
    words = identity.differences(stored, {"one": "x", "two": "y", "three": "y"}, {"hidden"})
    assert words == {"one": "rate 0.002", "two": "rate 0.001, hidden 100-20", "three": "rate 0.001, hidden 100-30"}


def test_a_field_that_came_later_leaves_older_digests_as_they_are():
    @dataclasses.dataclass(frozen=True)
    class Before(identity.Record):
        rate: float

    @dataclasses.dataclass(frozen=True)
    class Now(identity.Record):
        rate: float
        same: str = identity.added("a")
        better: int | None = identity.added(16, before=None)

    assert Now(0.1, better=None).digest == Before(0.1).digest
    assert Now(0.1).stored() == {"rate": 0.1, "better": 16}
    assert Now(0.1, "b", None).stored() == {"rate": 0.1, "same": "b"}
