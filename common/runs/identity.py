"""What a run is: all of its settings, one frozen record with one digest.

The digest names the run's checkpoint folder and cached scores, and is the column `run` of every results table. The
record itself is written beside them as `settings.json`. Repetitions of one experiment are records that differ in their
seeds alone.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

DIGEST_DIGITS = 12
LABELS = "labels"  # key of a stored record under which its labels stand
SEED = "seed"
ADDED = "added"  # key of a field's metadata under which the value stands that is not stored


def label(**options):
    """A dataclass field for the reader, such as a data set's name: no number depends on it, nor does the digest."""
    return dataclasses.field(metadata={"label": True}, **options)


def added(default, before=dataclasses.MISSING):
    """A dataclass field that came later: records from before it stay as they are, and so do their digests.

    Args:
        before: what was done before the field came (the default): this value is not stored.
    """
    return dataclasses.field(default=default, metadata={ADDED: default if before is dataclasses.MISSING else before})


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of the records, which are frozen dataclasses of strings, numbers, None, tuples and records.

    A field named `seed` tells repetitions of an experiment apart. One made by `label()` names something for the reader.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (float, float | None) and value is not None:  # 1 and 1.0 are one setting
                object.__setattr__(self, field.name, float(value))
            elif isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))

    def stored(self):
        """The record as JSON holds it; labels stand apart, under LABELS."""
        settings, labels = {}, {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if ADDED not in field.metadata or value != field.metadata[ADDED]:
                (labels if field.metadata.get("label") else settings)[field.name] = _plain(value)
        return settings | ({LABELS: labels} if labels else {})

    @classmethod
    def restored(cls, stored):
        """The record that `stored` gave, where it holds no other record."""
        return cls(**{name: value for name, value in stored.items() if name != LABELS}, **stored.get(LABELS, {}))

    @property
    def digest(self):
        """Twelve hex digits that stand for all settings, labels left out."""
        return digest(self.stored())

    @property
    def kind(self):
        """What the run's folder is called before its digest."""
        return type(self).__name__.lower()

    def folder(self, checkpoints):
        """<checkpoints>/<kind>-<digest>"""
        return Path(checkpoints) / f"{self.kind}-{self.digest}"


def _plain(value):
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.stored() if isinstance(value, Record) else value


def settings_of(stored, seeds=True):
    """A stored record without its labels, and with `seeds` False without its seeds, at every level."""
    left_out = {LABELS} if seeds else {LABELS, SEED}
    if isinstance(stored, dict):
        return {name: settings_of(value, seeds) for name, value in stored.items() if name not in left_out}
    if isinstance(stored, list | tuple):
        return [settings_of(value, seeds) for value in stored]
    return stored


def without(stored, names):
    """A stored record without some settings, at every level."""
    if not isinstance(stored, dict):
        return stored
    return {name: without(value, names) for name, value in stored.items() if name not in names}


def digest(stored):
    """The digest of a stored record: equal settings, equal digest, whatever their order and labels."""
    text = json.dumps(settings_of(stored), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def experiment(stored):
    """The digest of everything but the seeds: equal for the repetitions of one experiment."""
    return digest(settings_of(stored, seeds=False))


def flat(stored, prefix=""):
    """{dotted name: value} of a stored record's settings, without labels and seeds."""
    found = {}
    for name, value in settings_of(stored, seeds=False).items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def knows_data(stored):
    """Whether a stored record says by a fingerprint what data it is about."""
    return any(name.rpartition(".")[2] in ("fingerprint", "data") for name in flat(stored))


def differences(records, groups=None, of_a_group=()):
    """Which settings tell experiments apart, in words.

    Args:
        records: {key: stored record}.
        groups: {key: group} of experiments that differ by what they are: the settings `of_a_group` (with all that is
            in them) tell apart those of one group alone.

    Returns:
        {key: "learning_rate 0.001, summary mean"}; of records that are alike in all settings the text is empty. A
        dotted name is shortened to its last part where that is clear.
    """
    settings = {key: flat(record) for key, record in records.items()}
    names = list(dict.fromkeys(name for own in settings.values() for name in own))
    members = {key: [other for other in settings if not groups or groups[other] == groups[key]] for key in settings}

    def tells(name, key):
        among = members[key] if set(name.split(".")) & set(of_a_group) else settings
        return len({json.dumps(settings[other].get(name)) for other in among}) > 1

    telling = {key: [name for name in names if name in own and tells(name, key)] for key, own in settings.items()}
    last = [name.rpartition(".")[2] for name in names if any(name in own for own in telling.values())]

    def shown(name):
        short = name.rpartition(".")[2]
        return short if last.count(short) == 1 else name

    return {
        key: ", ".join(f"{shown(name)} {_in_words(settings[key][name])}" for name in own)
        for key, own in telling.items()
    }


def _in_words(value):
    if isinstance(value, list):
        return "-".join(map(_in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
