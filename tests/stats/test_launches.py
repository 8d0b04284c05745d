"""Launches as samples: Student's t over the mean log ratio of each launch."""

from __future__ import annotations

import math

import pytest

from llmtui.stats.launches import launch_means, launch_shift, least_shown

#: The extra sleep of ten patients (Student 1908, in "The probable error of a mean"): t = 4.0621, p = 0.002833.
STUDENT = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_the_mean_of_each_launch_is_one_value() -> None:
    assert launch_means([(1, 1), (1, 1), (2, 2), (1, 1)], [1.0, 2.0, 5.0, 3.0]) == [2.0, 5.0]


def test_the_interval_and_the_p_are_those_of_students_t() -> None:
    shift = launch_shift(STUDENT, 0.05)
    assert shift.estimate == pytest.approx(1.58)
    assert (shift.low, shift.high) == pytest.approx((0.7001142, 2.4598858), rel=1e-6)
    assert shift.p == pytest.approx(0.00283289, rel=1e-5)


def test_fewer_than_five_launches_have_no_interval() -> None:
    assert launch_shift(STUDENT[:4], 0.05)[1:] == (-math.inf, math.inf, 1.0)
    assert least_shown(STUDENT[:4], 0.05, 0.8) is None
    assert math.isfinite(launch_shift(STUDENT[:5], 0.05).low)


def test_launches_that_all_show_the_same() -> None:
    assert launch_shift([0.0] * 5, 0.05) == (0.0, 0.0, 0.0, 1.0)
    assert launch_shift([0.25] * 5, 0.05) == (0.25, 0.25, 0.25, 0.0)
    assert least_shown([0.25] * 5, 0.05, 0.8) == 0.0


def test_the_least_difference_that_is_shown_four_times_out_of_five() -> None:
    # t(9) at 97.5% and at 80%, times the standard error 0.388961.
    assert least_shown(STUDENT, 0.05, 0.8) == pytest.approx((2.262157 + 0.883404) * 0.388961, rel=1e-5)
