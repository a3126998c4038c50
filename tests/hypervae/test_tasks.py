"""Mini-batches as tasks: of one class each, alike at every start, and without repetition where asked for."""

import numpy as np
import pytest

from common.hypervae.tasks import training_batches

Y = np.repeat(np.arange(3), [12, 5, 30])
X = np.arange(47, dtype=np.uint8)[:, None, None, None]  # an image's pixel is its number


def drawn(start=0, stop=200, images=5, **which):
    batches = training_batches(X, Y, 4, images, 7, start, stop, **({"mixed": False} | which))
    numbers, labels = zip(*((x.numpy()[..., 0, 0, 0], y.numpy()) for x, y in batches))
    return np.stack(numbers), np.stack(labels)


@pytest.mark.parametrize("distinct", [False, True])
def test_a_task_is_of_one_class_and_classes_come_by_their_size(distinct):
    numbers, labels = drawn(distinct=distinct)
    assert (Y[numbers] == labels[..., None]).all()
    np.testing.assert_allclose(np.bincount(labels.ravel()) / labels.size, np.bincount(Y) / len(Y), atol=0.05)
    of_class = numbers[labels == 2]
    share = np.bincount(of_class.ravel() - 17, minlength=30) / of_class.size  # every image alike often
    assert share.min() > 0.02 and share.max() < 0.05
    repeated = [len(set(task)) < 5 for task in numbers.reshape(-1, 5)]
    assert any(repeated) != distinct


@pytest.mark.parametrize("which", [{"mixed": True}, {}, {"distinct": True}])
def test_what_comes_later_does_not_depend_on_where_one_starts(which):
    for whole, part in zip(drawn(0, 9, **which), drawn(6, 9, **which)):
        np.testing.assert_array_equal(whole[6:], part)


def test_mixed_batches_are_of_the_whole_set():
    numbers, _ = drawn(mixed=True)
    assert len({tuple(np.unique(Y[task])) for task in numbers.reshape(-1, 5)}) > 3
    assert set(numbers.ravel()) == set(range(47))
