"""Launches as samples: Student's t over the mean log ratio of each launch."""

from __future__ import annotations

import math

import pytest

from llmtui.stats.board import narrow
from llmtui.stats.compare import Comparison, compare
from llmtui.stats.launches import launch_means, launch_shift, least_shown
from llmtui.stats.rounds import Rounds
from tests import build

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


#: How much longer the second of two servers takes in each of five launches.
LAUNCHES = (1.04, 1.06, 1.05, 1.07, 1.03)


def samples(name: str, factors: tuple[float, ...], each: int = 2, planned: int = 5) -> Rounds:
    """The samples of a server with `each` rounds in each of its launches."""
    return Rounds(
        (
            build.iteration(name, each * place + n, factor * (1 + 0.001 * n), launch=place + 1)
            for place, factor in enumerate(factors)
            for n in range(1, each + 1)
        ),
        launches=planned,
    )


def compared(factors: tuple[float, ...], each: int = 2, planned: int = 5) -> Comparison:
    same = (1.0,) * len(factors)
    (comparison,) = compare(
        {"a": samples("a", same, each, planned), "b": samples("b", factors, each, planned)}, "latency"
    )
    return comparison


def test_a_comparison_of_several_launches_has_them_as_its_samples() -> None:
    comparison = compared(LAUNCHES)
    assert (comparison.basis, comparison.launches, comparison.n, comparison.paired) == ("launches", 5, 10, True)
    logs = launch_shift([math.log(factor) for factor in LAUNCHES], 0.05)
    assert (comparison.ratio, comparison.p) == pytest.approx((math.exp(logs.estimate), logs.p))
    assert (comparison.low, comparison.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    assert comparison.decided and comparison.sentence.endswith("; 5 launches of 2 rounds)")
    # Rounds of the same launch do not make the interval narrower.
    assert compared(LAUNCHES, each=20).high == pytest.approx(comparison.high)


def test_launches_that_differ_decide_nothing_where_their_rounds_would() -> None:
    wide = (1.2, 0.95, 1.1, 1.15, 0.97)
    assert not compared(wide, each=10).decided and compared(wide, each=10, planned=1).decided
    assert "5 launches of 10 rounds would reveal one of" in compared(wide, each=10).outcome


def test_before_the_fifth_launch_there_is_no_verdict() -> None:
    comparison = compared(LAUNCHES[:4])
    assert (comparison.bounded, comparison.decided, comparison.could_show) == (False, False, None)
    assert comparison.outcome == "no verdict: 4 launches of 2 rounds are too few"
    first = compared(LAUNCHES[:1], each=10)
    assert first.basis == "launches" and not first.decided


def test_one_server_may_run_already() -> None:
    running = Rounds(build.iteration("a", n, 1.0 + 0.001 * (n % 2)) for n in range(1, 11))
    (comparison,) = compare({"a": running, "b": samples("b", LAUNCHES)}, "latency")
    assert (comparison.basis, comparison.launches) == ("launches", 5)


def test_a_launch_that_is_not_over_counts_with_the_rounds_that_it_has() -> None:
    rounds = [build.iteration(name, n, 1.0, launch=(n + 1) // 2) for name in "ab" for n in range(1, 10)]
    both = {name: Rounds((i for i in rounds if i.backend == name), launches=5) for name in "ab"}
    (comparison,) = compare(both, "latency")
    assert (comparison.launches, comparison.count) == (5, "9 rounds in 5 launches")
    assert comparison.limit == "all 9 rounds in 5 launches show the same"


def test_intervals_over_launches_are_narrow_when_launches_agree() -> None:
    def both(factors: tuple[float, ...]) -> dict[str, Rounds]:
        return {"a": samples("a", (1.0,) * len(factors)), "b": samples("b", factors)}

    assert narrow(both((1.05, 1.051, 1.049, 1.05, 1.052)), 0.05)
    assert not narrow(both((1.2, 0.95, 1.1, 1.15, 0.97)), 0.05)
