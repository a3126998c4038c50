"""From phases to composition, of a class that the map has not seen."""

import numpy as np

from common.discovery import alloy_options, alloys
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


def test_the_options_know_every_regressor():
    assert alloy_options.REGRESSORS == tuple(REGRESSORS)
