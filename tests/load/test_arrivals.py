"""When the requests of an open loop are due: mean, spread, and the same for all backends of a round."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import pytest

from llmtui.load.arrivals import due_times
from llmtui.model import Level


def dues(number: int, *, seed: str = "s", settle: int = 0, requests: int = 1000, **level: Any) -> list[float]:
    times = due_times(Level(number=1, rate=5.0, **level), seed, settle, requests)
    return list(itertools.islice(times, number))


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in itertools.pairwise(times)]


@pytest.mark.parametrize(
    ("level", "cv"),
    [
        ({"arrival": "constant"}, 0.0),
        ({"arrival": "poisson", "burstiness": 9.0}, 1.0),
        ({"arrival": "gamma", "burstiness": 4.0}, 0.5),
        ({"arrival": "gamma", "burstiness": 1.0}, 1.0),
        ({"arrival": "gamma", "burstiness": 0.25}, 2.0),
    ],
)
def test_gaps_have_the_mean_of_the_rate_and_the_spread_of_their_shape(level: dict[str, Any], cv: float) -> None:
    of = gaps(dues(20_001, **level))
    assert statistics.fmean(of) == pytest.approx(0.2, rel=1e-6)
    assert statistics.pstdev(of) / statistics.fmean(of) == pytest.approx(cv, abs=0.05 * (cv or 1e-6))


@pytest.mark.parametrize("level", [{"arrival": "poisson"}, {"arrival": "gamma", "burstiness": 0.02}])
def test_a_window_has_the_rate_that_was_asked_for(level: dict[str, Any]) -> None:
    times = dues(7 + 40 + 40 + 1, settle=7, requests=40, **level)
    assert times[0] == 0.0 and times == sorted(times)
    assert [times[7], times[47], times[87]] == pytest.approx([7 / 5, 47 / 5, 87 / 5])


def test_all_backends_of_a_round_get_the_same_times_and_each_round_others() -> None:
    assert dues(50, seed="1/run/measured/3/2") == dues(50, seed="1/run/measured/3/2")
    assert dues(50, seed="1/run/measured/3/2") != dues(50, seed="1/run/measured/4/2")


def test_gaps_that_are_all_zero_become_even_ones() -> None:
    assert dues(4, requests=3, arrival="gamma", burstiness=1e-9)[3] == pytest.approx(0.6)
