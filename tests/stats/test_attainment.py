"""The share of requests that keep the objectives: its interval holds the truth, and few turns decide nothing."""

from __future__ import annotations

import random

import pytest

from llmtui.stats.attainment import attainment, keeps


def test_mean_and_interval_by_hand() -> None:
    """Student's t of 3 degrees of freedom is 3.1824; the standard deviation of the four is 0.0129."""
    mean, low, high = attainment([0.90, 0.92, 0.91, 0.93])
    assert mean == pytest.approx(0.915)
    assert (low, high) == pytest.approx((0.8945, 0.9355), abs=1e-4)


def test_interval_stays_a_share() -> None:
    assert attainment([0.9, 1.0, 1.0])[2] == 1.0 and attainment([0.1, 0.0, 0.0])[1] == 0.0


def test_equal_shares_of_few_requests_are_not_certain() -> None:
    """Of a server that keeps 90%, two turns of 10 requests keep all of them one time in eight."""
    assert attainment([1.0, 1.0]) == (1.0, 1.0, 1.0), "how many requests is not known"
    assert attainment([1.0, 1.0], requests=20)[1] == pytest.approx(20 / (20 + 1.959964**2))
    assert keeps([1.0, 1.0], 0.95, requests=20) == "undecided"
    assert keeps([1.0, 1.0], 0.95, requests=80) == "yes"


def test_one_turn_has_the_interval_of_its_requests() -> None:
    assert attainment([0.5]) == (0.5, 0.0, 1.0)
    assert keeps([1.0], 0.95) == "undecided" and keeps([0.2], 0.95, requests=40) == "no"


def test_answers() -> None:
    assert keeps([0.99, 0.98, 0.99, 0.98], 0.95) == "yes"
    assert keeps([0.80, 0.82, 0.81, 0.79], 0.95) == "no"
    assert keeps([0.90, 0.99, 0.95, 0.97], 0.95) == "undecided"
    assert keeps([], 0.95) == "undecided"


def test_all_requests_can_only_be_refuted() -> None:
    assert keeps([1.0] * 50, 1.0, requests=5000) == "undecided"
    assert keeps([1.0, 0.99], 1.0, requests=200) == "no"


def test_without_shares() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        attainment([])


@pytest.mark.parametrize(("turns", "wander"), [(6, 0.0), (6, 0.05), (10, 0.02)])
def test_interval_holds_the_truth(turns: int, wander: float) -> None:
    """1,000 runs of turns of 40 requests, of a server whose share differs from turn to turn."""
    rng, truth, held = random.Random(7), 0.9, 0
    for _ in range(1000):
        shares = []
        for _ in range(turns):
            share = truth + rng.uniform(-wander, wander)
            shares.append(sum(rng.random() < share for _ in range(40)) / 40)
        _, low, high = attainment(shares, requests=40 * turns)
        held += low <= truth <= high
    assert held >= 930
