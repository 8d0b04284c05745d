"""Corrections for several comparisons, against the distribution of the range, and how many rounds can decide."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest

from llmtui.stats.correction import (
    LEVEL,
    against_best,
    best_p,
    cannot_decide,
    range_p,
    rounds_to_decide,
    single_p,
)

#: The 95th percentile of the range of n standard normal values (tables of the studentized range, infinite freedom).
RANGE_95 = {3: 3.314, 4: 3.633, 5: 3.858, 6: 4.030, 8: 4.286, 10: 4.474, 12: 4.622}


@pytest.mark.parametrize(("backends", "width"), RANGE_95.items())
def test_corrected_p_is_that_of_the_range(backends: int, width: float) -> None:
    p = 2 * NormalDist().cdf(-width / math.sqrt(2))
    assert range_p(p, backends) == pytest.approx(0.05, abs=1e-4)
    assert best_p(single_p(0.05, backends), backends) == pytest.approx(0.05, rel=1e-6)
    assert 0.85 * p < single_p(0.05, backends) <= p * (1 + 2e-3)


def test_two_backends_need_no_correction() -> None:
    assert range_p(0.03, 2) == against_best([0.03])[0] == 0.03
    assert single_p(0.05, 2) == 0.05


def test_corrected_p_grows_with_p_and_with_the_backends() -> None:
    ps = [10.0**-power for power in range(12, 0, -1)]
    for backends in (3, 5, 9, 20):
        corrected = [range_p(p, backends) for p in ps]
        assert corrected == sorted(corrected)
        assert all(p <= c <= min(1.0, p * math.comb(backends, 2)) for p, c in zip(ps, corrected, strict=True))
        assert [range_p(p, backends + 1) >= c for p, c in zip(ps, corrected, strict=True)] == [True] * len(ps)


def test_others_are_compared_among_one_backend_fewer() -> None:
    worst, next_, last = 1e-6, 0.01, 0.04
    corrected = against_best([last, worst, next_])
    assert corrected[1] == best_p(worst, 4)
    # All three are shown by the largest p: the best beats every one of them.
    assert corrected[2] == best_p(next_, 3) < last and corrected[0] == last


def test_correction_is_between_none_and_that_for_all_pairs() -> None:
    rng = random.Random(3)
    for _ in range(50):
        ps = [rng.random() ** 4 for _ in range(rng.randint(1, 9))]
        every_pair = math.comb(len(ps) + 1, 2)
        for p, mine in zip(ps, against_best(ps), strict=True):
            assert p <= mine
        assert min(against_best(ps)) <= min(1.0, min(ps) * every_pair) + 1e-12


@pytest.mark.parametrize(("level", "rounds"), [(LEVEL, 6), (0.99, 8), (0.995, 9), (0.999, 11)])
def test_least_number_of_rounds(level: float, rounds: int) -> None:
    assert rounds_to_decide(level) == rounds
    for backends in (2, 3, 9, 100):
        assert cannot_decide(rounds, backends, level) == ""
        assert cannot_decide(rounds - 1, backends, level).endswith(f"; set iterations to {rounds} or more")


def test_words_on_too_few_rounds() -> None:
    assert cannot_decide(5, 12) == "5 rounds cannot decide among 12 backends; set iterations to 6 or more"
    assert cannot_decide(10, 12) == ""
    assert cannot_decide(5, 2) == "5 rounds cannot decide between two backends; set iterations to 6 or more"
    assert cannot_decide(1, 1) == ""
