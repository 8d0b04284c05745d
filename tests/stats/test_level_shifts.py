"""Level shifts of a series: how often one is named that is none, and whether real ones are found."""

from __future__ import annotations

import itertools
import random

import pytest

from llmtui.stats.level_shifts import ALPHA, LEAST, SHOWN_FROM, clearest, level_shifts


def test_p_is_that_of_all_orders() -> None:
    """The p of a series of 7 values is the share of all its 5,040 orders whose largest statistic is as large."""
    values = [1.0, 2.0, 4.0, 3.0, 6.0, 5.0, 7.0]

    def statistic(order: tuple[float, ...]) -> float:
        sums = ((k, sum(v - 4 for v in order[:k])) for k in range(LEAST, len(order) - LEAST + 1))
        return max(total**2 / (k * (len(order) - k)) for k, total in sums)

    ours = statistic(tuple(values))
    exact = [statistic(order) >= ours - 1e-9 for order in itertools.permutations(values)]
    at, p = clearest(values)
    assert at in (3, 4)
    assert p == pytest.approx(sum(exact) / len(exact), rel=0.35)


@pytest.mark.parametrize(("series", "most"), [(80, 4), pytest.param(400, 10, marks=pytest.mark.slow)])
def test_without_a_shift_one_is_named_at_most_as_often_as_said(series: int, most: int) -> None:
    rng = random.Random(3)
    named = sum(bool(level_shifts([rng.gauss(5, 1) for _ in range(20)])) for _ in range(series))
    # 4 of 400 are expected; 11 or more have a chance of 0.3%, as have 5 or more of 80.
    assert named <= most


def test_two_shifts_are_found_with_their_sizes() -> None:
    rng = random.Random(1)
    levels = [1.0] * 12 + [1.2] * 12 + [0.9] * 12
    shifts = level_shifts([level * (1 + rng.gauss(0, 0.01)) for level in levels])
    assert [(shift.at, shift.before, shift.after) for shift in shifts] == [(12, 12, 12), (24, 12, 12)]
    for shift, ratio in zip(shifts, (1.2, 0.75), strict=True):
        assert shift.low is not None and shift.high is not None
        assert shift.low < ratio < shift.high and shift.p <= ALPHA


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 30, [float(v) for v in range(SHOWN_FROM - 1)]])
def test_too_few_or_equal_values_show_nothing(values: list[float]) -> None:
    assert level_shifts(values) == []


def test_the_fewest_runs_are_said_right() -> None:
    half = SHOWN_FROM // 2
    assert level_shifts([*range(half), *range(100, 100 + half)])
    zeros = level_shifts([0.0] * 8 + [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
    assert [(shift.at, shift.ratio) for shift in zeros] == [(8, None)]
