"""From phases to composition, of a class that the map has not seen."""

import dataclasses

import numpy as np
import pytest

from common.discovery import alloy_options, alloys, inverse_map
from common.discovery.inverse_map import REGRESSORS, InverseMap


def test_compositions_of_a_class_that_the_map_has_not_seen():
    data = alloys.load(alloys.SHIPPED)
    diagrams, compositions = alloys.class_means(data)
    label = data.names.index("2218")
    known = data.y != label
    inverse = InverseMap("ridge", data.matrices[known], data.compositions[known])
    assert alloys.element_error(inverse(diagrams[[label]])[0], compositions[label]) < 5
    # Half a percent of a phase of which a single known alloy has a trace must not throw the map off.
    matrices = data.matrices.copy()
    unseen = data.phases.index("AL3TI_L")
    matrices[:, unseen] = 0
    matrices[0, unseen] = 1e-4
    inverse = InverseMap("ridge", matrices[known], data.compositions[known])
    plain, trace = diagrams[[label]].copy(), diagrams[[label]].copy()
    plain[:, unseen], trace[:, unseen] = 0, 0.005
    np.testing.assert_allclose(inverse(trace), inverse(plain), atol=0.5)


def test_a_refined_composition_is_that_of_the_diagram():
    """Diagrams that bend with composition, which a linear map cannot follow; its own are known, so it can be told."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((3, 12))

    def realise(composition):
        return np.abs(composition @ mix + 0.05 * (composition**2) @ mix[::-1]).reshape(4, 3)

    known = rng.uniform(0, 1, (200, 3))
    inverse = InverseMap("ridge", np.stack([realise(own) for own in known]), known)
    true = np.array([1.4, 1.2, 1.3])  # outside of what the map has seen
    off = [
        np.abs(inverse.refined(realise(true), realise, steps) - true).max() if steps else
        np.abs(inverse(realise(true)[None])[0] - true).max()
        for steps in (0, 1, 8)
    ]  # fmt: skip
    assert off[0] > 0.02 and off[1] < off[0] and off[2] < 0.003
    calls = []
    inverse.refined(realise(true), lambda own: calls.append(1) or realise(own), 3)
    assert len(calls) == 4


def test_refinements_are_tried_on_classes_that_the_map_has_not_seen(monkeypatch):
    data = alloys.load(alloys.SHIPPED)
    few = np.flatnonzero(np.isin(data.y, [3, 8, 14]))
    names = tuple(data.names[label] for label in (3, 8, 14))
    labels = np.searchsorted([3, 8, 14], data.y[few])
    data = dataclasses.replace(
        data, matrices=data.matrices[few], compositions=data.compositions[few], y=labels, names=names
    )
    real = {own.tobytes(): matrix for own, matrix in zip(data.compositions, data.matrices)}
    asked = []

    def realise(composition):
        asked.append(composition)
        return real.get(composition.tobytes(), data.matrices[0])

    rows = inverse_map.try_refinement("ridge", data, realise, 2)
    ends = ["of each", "of each, refined 1 times", "of each, refined 2 times"]
    assert [row["held_out"].endswith(end) for row, end in zip(rows, ends)] == [True] * 3
    assert all(row["num_alloys"] == 3 for row in rows) and len(asked) == 3 * 3


def test_features_of_phases():
    rng = np.random.default_rng(0)
    matrices = rng.random((3, 2, len(inverse_map.TEMPERATURES)))
    found = inverse_map.phase_features(matrices.reshape(3, -1)).reshape(3, -1, 2)
    np.testing.assert_allclose(found[:, 0], matrices[:, :, :4].mean(2))
    np.testing.assert_allclose(found[:, 7], matrices[:, :, 28:].mean(2))
    np.testing.assert_allclose(found[:, 8], matrices.max(2))
    np.testing.assert_allclose(found[:, 9], matrices[:, :, 0])


@pytest.mark.parametrize("kind", ["ridge_features", "lasso", "gaussian_process"])
def test_maps_on_features_read_a_class_that_they_have_not_seen(kind):
    """Closer than the nearest known class, whose composition is what one would guess without a map."""
    data = alloys.load(alloys.SHIPPED)
    few = dataclasses.replace(data, **{name: getattr(data, name)[::10] for name in ("matrices", "compositions", "y")})
    rest, own = few.without("2618"), few.y == few.names.index("2618")
    found = InverseMap(kind, rest.matrices, rest.compositions)(few.matrices[own])
    nearest = [np.abs(rest.matrices - own).sum((1, 2)).argmin() for own in few.matrices[own]]
    off, guessed = (
        np.mean([alloys.element_error(*pair) for pair in zip(what, few.compositions[own])])
        for what in (found, rest.compositions[nearest])
    )
    assert (found >= 0).all() and off < 15 < guessed


def test_what_is_read_is_read_by_a_map_of_other_classes():
    """Compositions that only the own class could teach, and are not learned."""
    data = alloys.load(alloys.SHIPPED)
    kept = data.y < 5
    data = dataclasses.replace(
        data, matrices=np.ones_like(data.matrices[kept]), compositions=np.eye(5)[data.y[kept]], y=data.y[kept],
        names=data.names[:5],
    )  # fmt: skip
    read = inverse_map.read_unseen("ridge", data, data.matrices)
    assert np.abs(read[np.arange(len(read)), data.y]).max() < 1e-9


def test_the_options_know_every_regressor():
    assert alloy_options.REGRESSORS == tuple(REGRESSORS)
