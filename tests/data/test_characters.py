"""Few-shot Omniglot: every part has characters of its own, in the right ink, the right way up; bad files are named."""

import numpy as np
import pytest

from common.data import characters
from common.errors import InputError


def test_every_part_has_characters_of_its_own(character_files):
    data = characters.load(character_files)
    parts = [set(labels) for labels in (data.y, data.y_validation, data.y_test)]
    assert [len(part) for part in parts] == [2 * 2 * 8, 3 * 2, 4] and len(set.union(*parts)) == sum(map(len, parts))
    assert set(np.unique(data.x)) == {0, 1} and data.x.mean() < 0.2  # ink is 1
    plain = characters.load(character_files, turned=False)
    np.testing.assert_array_equal(plain.x[plain.y == 0], data.x[data.y == 0])  # the first form is the character itself
    assert (plain.x[:, 0, :3] == 1).all()
    seen = {image.tobytes() for image in data.x}
    assert not seen & {image.tobytes() for image in (*data.x_validation, *data.x_test)}


def test_the_eight_forms_are_those_of_a_square():
    image = np.arange(16).reshape(1, 4, 4, 1)
    forms = characters.forms(image)
    assert len({form.tobytes() for form in forms}) == 8
    corners = {tuple(form[0, [0, 0, -1, -1], [0, -1, 0, -1], 0]) for form in forms}
    assert {frozenset(corner) for corner in corners} == {frozenset((0, 3, 12, 15))}
    again = {turned.tobytes() for form in forms for turned in characters.forms(form)}
    assert again == {form.tobytes() for form in forms}  # a form of a form is a form


BAD = {
    "other values": lambda name, array: (name, array // 2),
    "another size": lambda name, array: (name, array[:, :100]),
    "one drawing": lambda name, array: (name, array[:1]),
    "another name": lambda name, array: (name.replace("/", "_"), array),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_such_file_is_refused(character_files, kind):
    path = character_files / "omniglot_characters" / characters.FILES[1]
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    name = sorted(arrays)[0]
    other, array = BAD[kind](name, arrays.pop(name))
    np.savez(path, **{other: array}, **arrays)
    with pytest.raises(InputError, match="test_small.npz"):
        characters.load(character_files)


def test_a_missing_file_and_too_few_alphabets_are_refused(character_files):
    path = character_files / "omniglot_characters" / characters.FILES[0]
    with np.load(path, allow_pickle=False) as archive:
        few = {name: archive[name] for name in archive.files if "/A0/" in name or "/A1/" in name}
    np.savez(path, **few)
    with pytest.raises(InputError, match="3 alphabets or fewer"):
        characters.load(character_files)
    path.unlink()
    with pytest.raises(InputError, match="train_small.npz is missing"):
        characters.load(character_files)
