"""The GPyOpt loop: what is worked round, resume, and that it finds more than random search does."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import ROOT
from scipy.integrate import quad
from scipy.stats import norm

from common.discovery.acquisitions import ACQUISITIONS, ExpectedFeasibleImprovement, GPyOpt, log_improvement
from common.discovery.bayesopt import BayesianOptimizer
from common.errors import InputError

BOX = [(-5, 5)] * 4


def bowl(x):
    """Smallest, 0, at (1, -2, 3, 0); flat far away, as a decoder is."""
    return 1 - np.exp(-np.sum((x - [1, -2, 3, 0]) ** 2) / 20)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_beats_random_search(acquisition):
    found = BayesianOptimizer(BOX, seed=1, acquisition=acquisition).run(bowl, 30)[1]
    random = min(bowl(x) for x in np.random.default_rng(1).uniform(-5, 5, (30, 4)))
    assert found < 0.05 < random


@pytest.mark.parametrize("trust_region", [False, True])
def test_a_resumed_run_asks_for_the_same_points(tmp_path, trust_region):
    options = {"seed": 2, "trust_region": trust_region}
    whole = BayesianOptimizer(BOX, **options)
    whole.run(bowl, 14)
    for stop in (3, 7, 12, 14):
        np.random.seed(stop)  # the global state plays no part
        part = BayesianOptimizer(BOX, **options, history=tmp_path / "history.json")
        part.run(bowl, stop)
    np.testing.assert_array_equal(part.x, whole.x)
    np.testing.assert_array_equal(part.ask(), whole.ask())
    assert not np.array_equal(BayesianOptimizer(BOX, seed=3).ask(), whole.x[0])


def test_numpys_global_random_state_is_left_alone():
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    optimizer = BayesianOptimizer(BOX)
    optimizer.run(bowl, 6)
    optimizer.ask()
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_the_trust_region_holds_the_next_point_and_follows_gains_and_failures():
    optimizer = BayesianOptimizer(BOX, first=[[0, 0, 0, 0]], num_initial=0, trust_region=True)
    optimizer.tell(optimizer.ask(), 1.0)
    for value, side in ((0.9, 0.4), (0.8, 0.8), *[(2.0, 0.8)] * 4, (2.0, 0.4)):  # 2 gains, 5 failures
        x = optimizer.ask()
        assert np.all(np.abs(x - optimizer.best[0]) <= optimizer._side() * 10 / 2 + 1e-9)
        optimizer.tell(x, value)
        assert optimizer._side() == pytest.approx(side)


def test_known_values_teach_the_model_and_are_not_evaluated_again():
    points = np.random.default_rng(0).uniform(-5, 5, (60, 4))
    points[0] = [1, -2, 3, 0.3]
    known = (points, np.array([bowl(x) for x in points]))
    optimizer = BayesianOptimizer(BOX, num_initial=0, known=known, trust_region=True)
    optimizer.run(bowl, 4)
    assert len(optimizer.y) == 4 and optimizer.best[1] < known[1].min()


def test_first_points_come_first():
    first = [[1.0, -2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    optimizer = BayesianOptimizer(BOX, first=first, num_initial=3)
    optimizer.run(bowl, 5)
    np.testing.assert_array_equal(optimizer.x[:2], first)
    assert optimizer.best[1] == 0 and len(np.unique(optimizer.x, axis=0)) == 5


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
@pytest.mark.parametrize("trust_region", [False, True])
def test_a_point_is_never_asked_for_twice(acquisition, trust_region):
    """A slope, along which the model sees nothing but the best corner, and a basin of a tenth of its length."""

    def slope(x):
        return x[0] - 2 * np.exp(-0.5 * ((x[0] - 0.83) / 0.03) ** 2)

    optimizer = BayesianOptimizer([(0, 1)], seed=1, acquisition=acquisition, trust_region=trust_region)
    assert optimizer.run(slope, 25)[1] < -1.1
    assert len(np.unique(optimizer.x.round(6), axis=0)) == 25


def ring(x):
    """A slope, and how far a point is outside a ring that its lowest points are not on: the best has x[0] = -2."""
    radius = np.sqrt(x[0] ** 2 + x[1] ** 2)
    return x[0] + 0.1 * x[2] ** 2, [radius - 2, 1.5 - radius]


def test_limits_are_kept_where_the_lowest_value_is_elsewhere():
    optimizer = BayesianOptimizer([(-3, 3)] * 3, seed=1, num_limits=2, trust_region=True)
    optimizer.run(ring, 22)
    x, y = optimizer.best
    assert y == pytest.approx(-2, abs=0.1) and max(ring(x)[1]) <= 0
    assert (optimizer.y < y).any()  # points that keep no limits are lower, and do not count


def test_until_a_point_keeps_all_limits_the_least_excess_leads():
    optimizer = BayesianOptimizer([(-5, 5)] * 3, num_initial=0, num_limits=2)
    for x, y, excess in ((0, -9.0, [3, -1]), (1, 9.0, [0.5, 0.4]), (2, 0.0, [2, -5])):
        optimizer.tell(np.full(3, x), y, excess)
    assert optimizer.best[1] == 9.0
    optimizer.tell(np.full(3, 3.0), 20.0, [0.0, -1])
    assert optimizer.best[1] == 20.0


def test_a_resumed_run_with_limits_asks_for_the_same_points(tmp_path):
    options = {"seed": 2, "trust_region": True, "num_limits": 2}
    whole = BayesianOptimizer([(-5, 5)] * 3, **options)
    whole.run(ring, 10)
    for stop in (3, 7, 10):
        part = BayesianOptimizer([(-5, 5)] * 3, **options, history=tmp_path / "history.json")
        part.run(ring, stop)
    np.testing.assert_array_equal(part.x, whole.x)
    np.testing.assert_array_equal(part.excess, whole.excess)
    with pytest.raises(InputError, match="another search"):
        BayesianOptimizer([(-5, 5)] * 3, **(options | {"num_limits": 1}), history=tmp_path / "history.json")


@pytest.mark.parametrize("constant", [0.5, 1.2, 1000.0, -0.1])
def test_a_limit_that_tells_no_points_apart_drowns_no_other(constant):
    """Every point has the same excess over it, as of a phase that no alloy so far has."""
    optimizer = BayesianOptimizer([(-3, 3)] * 2, seed=1, num_initial=10, num_limits=2, trust_region=True)
    optimizer.run(lambda x: (0.0, [x[0] ** 2 + x[1] ** 2 - 0.5, constant]), 16)
    assert (optimizer.excess[10:, 0] <= 0).sum() >= 4
    alone = BayesianOptimizer([(-3, 3)] * 2, seed=1, num_initial=10, num_limits=1, trust_region=True)
    alone.run(lambda x: (0.0, [x[0] ** 2 + x[1] ** 2 - 0.5]), 11)
    if constant > 0:  # no point keeps all limits: the other's probability is all that there is
        np.testing.assert_allclose(optimizer.x[10], alone.x[10], atol=0.5)


@pytest.mark.parametrize("excess", [[1.0], [np.nan, 0], [np.inf, 0], 1.0])
def test_what_is_no_excess_is_refused(excess):
    optimizer = BayesianOptimizer([(-5, 5)] * 3, num_limits=2)
    with pytest.raises(InputError, match="2 finite numbers are due"):
        optimizer.tell(optimizer.ask(), 1.0, excess)


def test_the_logarithm_of_the_expected_improvement_and_its_slope():
    u = np.array([-38.0, -10.001, -9.999, -3.0, 0.0, 4.0])

    def moment(v, power):
        return quad(lambda t: t**power * np.exp(v * t - t**2 / 2), 0, np.inf, epsabs=0)[0]

    # phi(u) + u Phi(u) is phi(u) times the first moment, and its derivative Phi(u) that times the zeroth one.
    exact = [norm.logpdf(v) + np.log(moment(v, 1)) for v in u]
    value, derivative = log_improvement(u)
    np.testing.assert_allclose(value, exact, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(derivative, [moment(v, 0) / moment(v, 1) for v in u], rtol=1e-3)


def test_the_acquisitions_gradient_is_that_of_its_values():
    rng = np.random.default_rng(0)
    x = rng.random((12, 3))
    model = GPyOpt.models.GPModel(exact_feval=True, optimize_restarts=1, verbose=False)
    model.updateModel(x, rng.standard_normal((12, 1)), None, None)
    space = GPyOpt.Design_space([{"name": "x", "type": "continuous", "domain": (0, 1), "dimensionality": 3}])
    for excess in (rng.standard_normal((12, 2)), 1 + rng.random((12, 2))):  # with points that keep both, and without
        acquisition = ExpectedFeasibleImprovement(model, space, None, x, excess)
        for at in rng.random((4, 3)):
            steps = 1e-5 * np.eye(3)
            numeric = [
                (acquisition._compute_acq(at + step) - acquisition._compute_acq(at - step)).item() / 2e-5
                for step in steps
            ]
            np.testing.assert_allclose(acquisition._compute_acq_withGradients(at)[1][0], numeric, rtol=1e-3, atol=1e-4)


def test_stays_in_the_box():
    optimizer = BayesianOptimizer([(0, 1), (10, 30)])
    optimizer.run(lambda x: x[0] + x[1], 15)  # the lowest value lies in a corner
    assert optimizer.x[:, 0].min() >= 0 and optimizer.x[:, 1].min() >= 10
    np.testing.assert_allclose(optimizer.best[0], [0, 10], atol=0.05)


def test_the_acquisition_is_searched_near_the_best_points():
    """In ten dimensions GPyOpt's own starts are uniform, 12 away from the best point on average."""
    rng = np.random.default_rng(0)
    optimizer = BayesianOptimizer([(-5, 5)] * 10, num_initial=0)
    centre = np.full(10, 2.0)
    for x in np.concatenate([rng.uniform(-5, 5, (40, 10)), centre + 0.5 * rng.standard_normal((40, 10))]):
        optimizer.tell(x, 1 - np.exp(-np.sum((x - 2.2) ** 2) / 20))
    best, value = optimizer.best
    asked = optimizer.ask()
    assert np.linalg.norm(asked - best) < 5
    assert 1 - np.exp(-np.sum((asked - 2.2) ** 2) / 20) < value


@pytest.mark.parametrize(
    "bad, message", [(np.nan, "gave nan"), (np.inf, "gave inf"), (np.zeros(2), "one finite number")]
)
def test_no_number_is_reported_with_its_point_and_the_history_stays(tmp_path, bad, message):
    optimizer = BayesianOptimizer(BOX, history=tmp_path / "h.json")
    optimizer.run(bowl, 4)
    with pytest.raises(InputError, match=message) as caught:
        optimizer.run(lambda x: bad, 6)
    assert f"{optimizer.design[4][0]:.6g}" in str(caught.value)
    assert len(json.loads((tmp_path / "h.json").read_text())["y"]) == 4


def test_an_objective_that_raises_is_reported_with_its_point(tmp_path):
    optimizer = BayesianOptimizer(BOX, history=tmp_path / "h.json")

    def broken(x):
        raise RuntimeError("no licence")

    with pytest.raises(InputError, match=r"failed at \[.*no licence"):
        optimizer.run(broken, 3)


def test_what_threads_change_in_a_networks_codes_is_no_other_search(tmp_path):
    """The box and the first points are computed by a network, in the last digits otherwise with other threads."""
    path, first = tmp_path / "h.json", np.full((1, 4), 0.3)
    box = np.array(BOX, float)
    BayesianOptimizer(box, first=first, history=path).run(bowl, 7)
    again = BayesianOptimizer(box * (1 + 1e-7), first=first + 1e-7, history=path)
    again.run(bowl, 9)
    whole = BayesianOptimizer(box, first=first)
    whole.run(bowl, 9)
    np.testing.assert_array_equal(again.x, whole.x)
    for other in ({"first": first + 0.1}, {"bounds": box * 1.01, "first": first}, {"first": np.empty((0, 4))}):
        with pytest.raises(InputError, match="another search"):
            BayesianOptimizer(**({"bounds": box} | other), history=path)


@pytest.mark.parametrize("content, message", [("{", "damaged"), ('{"x": []}', "damaged"), ("other", "another search")])
def test_a_bad_history_is_named(tmp_path, content, message):
    path = tmp_path / "h.json"
    if content == "other":
        BayesianOptimizer([(0, 1)], history=path).run(lambda x: x[0], 2)
    else:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        BayesianOptimizer(BOX, history=path)


def test_import_leaves_the_warning_filters_and_true_errors_visible():
    code = (
        "import warnings; import common.discovery.bayesopt; import numpy as np;"
        "assert not [f for f in warnings.filters if f[0] == 'ignore' and f[1] is None and f[2] is Warning];"
        "assert np.linalg.linalg.LinAlgError is np.linalg.LinAlgError"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_loop_does_not_silence_warnings():
    optimizer = BayesianOptimizer(BOX)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        optimizer.run(bowl, 6)
        warnings.warn("still heard", stacklevel=1)
    assert any("still heard" in str(w.message) for w in seen)
