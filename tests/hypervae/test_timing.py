"""Tables 2 and 3: parameters by the book, times that add up."""

import numpy as np
import pytest
from hypervae.toy import bars

from common.hypervae import timing
from common.hypervae.hypervae import HyperVAE

IMAGES = ("conv", (28, 28, 1), 10, 10, 10)


def test_parameter_counts():
    """Section 4.2 as written has 335 thousand parameters an encoder, where Table 2 says 445."""
    found = {(m, g): timing.table2(timing.Networks(m, g, *IMAGES)) for m, g in timing.VARIANTS}
    assert found["vae", "none"] == {"inference": 334_536, "generative": 336_589, "total": 671_125}
    assert found["metavae", "none"] == {"inference": 334_536, "generative": 3_365_890, "total": 3_700_426}
    assert found["hypervae", "layerwise"] == {"inference": 334_536, "generative": 934_265, "total": 1_268_801}
    assert found["hypervae", "block"]["inference"] == 334_536


def test_what_a_set_encoder_adds_is_of_the_posterior(small_networks):
    sizes = dict(image_shape=(8, 8, 1), latent_dim=2)
    counts = [HyperVAE(summary=summary, **sizes).parameter_counts() for summary in ("mean", "set")]
    assert counts[1]["generative"] == counts[0]["generative"] and counts[1]["inference"] > counts[0]["inference"]


@pytest.mark.parametrize("number", range(4))
def test_times_are_positive_and_the_total_is_their_sum(number, small_networks, uncompiled):
    networks = timing.variants(bars(), 2, 3)[number]
    times = timing.table3(timing.Timing(networks, "draw"), repeats=3)
    parts = ["x", "z", "theta", "u"] if networks.model == "hypervae" else ["x", "z"]
    extra = {"theta_uncompiled"} if networks.model == "hypervae" else set()
    assert set(times) == {*parts, "total"} | extra
    assert all(np.isfinite(value) and value > 0 for value in times.values())
    assert np.isclose(times["total"], sum(times[part] for part in parts))


def test_the_median_ignores_warm_up_and_a_slow_call(monkeypatch):
    clock = iter(np.cumsum([0, 0.001, 0, 0.002, 0, 0.5]))  # three timed calls: 1, 2 and 500 ms
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    calls = []
    assert np.isclose(timing.median_milliseconds(calls.append, "x", repeats=3, warm_up=4), 2)
    assert calls == ["x"] * 7
