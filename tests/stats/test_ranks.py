"""p-values of equal values, against all ways of giving out the ranks, and small groups beside large ones."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from llmtui.stats.ranks import group_shift, rank_sum_p, signed_rank_p


def mid_ranks(values: list[float]) -> list[float]:
    return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]


def signs_by_hand(differences: list[float]) -> float:
    values = [d for d in differences if d]
    ranks = mid_ranks([abs(d) for d in values])
    positive = sum(rank for rank, d in zip(ranks, values, strict=True) if d > 0)
    lower = min(positive, sum(ranks) - positive)
    ways = itertools.product((0, 1), repeat=len(values))
    below = sum(sum(itertools.compress(ranks, way)) <= lower for way in ways)
    return min(1.0, 2 * below / (1 << len(values)))


def groups_by_hand(first: list[float], second: list[float]) -> float:
    ranks = mid_ranks([*first, *second])
    seen = sum(ranks[: len(first)])
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(first))]
    return min(1.0, 2 * min(sum(s <= seen for s in sums), sum(s >= seen for s in sums)) / len(sums))


def test_p_of_equal_values_counts_the_ranks_that_occurred() -> None:
    assert signed_rank_p([-1, 1, 1, 2, 2, 4, 5]) == 0.0625, "without regard to ties it would be 0.047"
    rng = random.Random(3)
    for n in (2, 5, 8, 10):
        for _ in range(20):
            values = [float(rng.randint(-3, 5)) for _ in range(n)]
            assert signed_rank_p(values) == pytest.approx(signs_by_hand(values), rel=1e-12)
            first, second = values[: n // 2], [float(rng.randint(0, 4)) for _ in range(6)]
            assert rank_sum_p(first, second) == pytest.approx(groups_by_hand(first, second), rel=1e-12)


def test_p_is_exact_for_many_equal_values() -> None:
    assert signed_rank_p([1.0] * 60) == 2 / 2**60
    assert signed_rank_p([1.0] * 59 + [-1.0]) == 2 * 61 / 2**60
    assert rank_sum_p([0.0] * 30, [1.0] * 30) == 2 / math.comb(60, 30)
    assert rank_sum_p([1.0] * 30, [0.0] * 30) == 2 / math.comb(60, 30)


def test_two_samples_beside_hundreds_have_an_exact_interval() -> None:
    many = [float(n) for n in range(500)]
    shift = group_shift([1000.0, 1001.0], many, 0.01)
    assert shift.p == pytest.approx(2 / math.comb(502, 2))
    # The 49th of 1,000 differences from either end.
    differences = sorted(a - b for a in (1000.0, 1001.0) for b in many)
    assert (shift.low, shift.high) == (differences[48], differences[-49])
    assert rank_sum_p(many, [1000.0, 1001.0]) == shift.p
