"""The spread between launches or runs."""

from __future__ import annotations

import math

import pytest

from llmtui.model.spread import Between
from llmtui.stats.between import LEAST, Mean, apart, between, mean_of, widened


def test_the_noise_within_is_no_part_of_the_spread() -> None:
    means = [Mean(value, 0.01) for value in (-0.04, -0.02, 0.0, 0.02, 0.04)]
    found = between(means)
    assert found is not None
    assert found.tau == pytest.approx(math.sqrt(0.001 - 0.0001))
    assert found.n == 5


def test_means_that_differ_by_no_more_than_their_noise_have_no_spread() -> None:
    assert between([Mean(value, 0.1) for value in (-0.04, -0.02, 0.0, 0.02, 0.04)]) == Between(tau=0.0, n=5)


def test_few_launches_have_no_spread() -> None:
    assert between([Mean(0.0, 0.0)] * (LEAST - 1)) is None


def test_a_mean_has_the_error_of_its_logarithms() -> None:
    assert mean_of([0.0]) is None
    assert mean_of([0.1, 0.3]) == pytest.approx((0.2, 0.1))


def test_intervals_contain_the_spread() -> None:
    spread = Between(tau=0.02, n=5)
    t = 2.7764451051977934
    assert widened(0.03, spread, 0.95) == pytest.approx(math.hypot(0.03, t * 0.02))
    assert widened(0.03, Between(tau=0.0, n=5), 0.95) == pytest.approx(0.03)
    low, high = apart(Mean(1.0, 0.01), Mean(1.1, 0.02), spread, 0.95)
    half = t * math.sqrt(0.01**2 + 0.02**2 + 2 * 0.02**2)
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half))
