"""Rank statistics against values of SciPy, and the sentence on a pair."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.stats.compare import compare, digits, rounds
from llmtui.stats.correction import holm
from llmtui.stats.ranks import group_shift, paired_shift, rank_sum_p, signed_rank_p
from tests.examples import examples
from tests.stats.build import BASE, backend_view

#: Wilcoxon's p of SciPy 1.17 (method "exact"; above 60 "approx" with correction), Mann and Whitney's likewise.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_p_values_equal_scipy() -> None:
    assert signed_rank_p(DARWIN) == pytest.approx(0.041259765625)
    assert signed_rank_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(2 / 64)
    assert signed_rank_p([float(n) - 30.2 for n in range(100)]) == pytest.approx(7.623454584660259e-08, rel=1e-9)
    assert rank_sum_p([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert rank_sum_p([0.8, 0.83, 1.89, 1.04, 1.45], [1.15, 0.88, 0.9, 0.74, 1.21]) == pytest.approx(0.6904761904761905)
    assert rank_sum_p([n * 1.0 for n in range(40)], [n + 7.5 for n in range(40)]) == pytest.approx(0.008988007122138847)


def test_p_is_1_without_values_and_for_ties() -> None:
    assert signed_rank_p([]) == signed_rank_p([0.0, 0.0]) == rank_sum_p([], [1.0]) == 1.0
    assert signed_rank_p([1.0] * 100 + [-1.0] * 100) == 1.0
    assert rank_sum_p([1.0] * 40, [1.0] * 40) == 1.0


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
def test_shifts_are_order_statistics_of_averages_and_differences(one: list[float], two: list[float]) -> None:
    averages = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(one, 2)]
    differences = [a - b for a in one for b in two]
    for values, shift in ((averages, paired_shift(one, 0.05)), (differences, group_shift(one, two, 0.05))):
        assert shift.estimate == pytest.approx(statistics.median(values), abs=1e-9)
        for end in (shift.low, shift.high):
            assert math.isinf(end) or min(abs(end - v) for v in values) < 1e-9
        assert shift.low <= shift.estimate + 1e-9 and shift.estimate <= shift.high + 1e-9


@pytest.mark.parametrize("n", [6, 10, 25])
def test_interval_excludes_zero_exactly_when_p_is_small(n: int) -> None:
    rng = random.Random(n)
    for _ in range(200):
        values = [rng.gauss(0.6, 1) for _ in range(n)]
        shift = paired_shift(values, 0.05)
        assert (shift.low > 0 or shift.high < 0) == (shift.p <= 0.05)


def test_holm_correction() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_difference_is_reported_with_its_interval() -> None:
    slow = [1.31 * v * w for v, w in zip(BASE, [1, 1.01, 0.99, 1, 1.02, 1, 0.98, 1, 1.01, 0.99], strict=True)]
    (comparison,) = compare(
        {"llama.cpp": backend_view("llama.cpp", BASE), "mistral.rs": backend_view("mistral.rs", slow, begin=1)},
        "latency",
    )
    assert (comparison.slower, comparison.faster, comparison.paired, comparison.decided) == (
        "mistral.rs",
        "llama.cpp",
        True,
        True,
    )
    assert comparison.sentence == "mistral.rs takes 1.31x as long as llama.cpp (95%: 1.30 to 1.32)"
    (rate,) = compare({"a": backend_view("a", BASE), "b": backend_view("b", slow, begin=1)}, "tokens_per_s")
    assert rate.sentence == "a gives 1.31x as many tokens/s as b (95%: 1.30 to 1.32)"


def test_tie_reports_the_smallest_difference_it_could_show() -> None:
    (comparison,) = compare({"a": backend_view("a", BASE), "b": backend_view("b", BASE[::-1], begin=1)}, "latency")
    assert not comparison.decided
    assert comparison.sentence.endswith(": no clear difference (10 rounds would reveal one of 2.9% or more)")


def test_too_few_rounds_give_no_verdict() -> None:
    (comparison,) = compare({"a": backend_view("a", [1.0] * 5), "b": backend_view("b", [9.0] * 5, begin=1)}, "latency")
    assert comparison.sentence == "a and b: no verdict: 5 rounds are too few"
    assert compare({"a": backend_view("a", []), "b": backend_view("b", [1.0])}, "latency") == []


def test_difference_that_may_be_chance_among_many_pairs_is_undecided() -> None:
    shifted = [v * (1.03 if n != 4 else 0.995) for n, v in enumerate(BASE)]
    backend_views = {"a": backend_view("a", BASE), "b": backend_view("b", shifted, begin=1)}
    assert compare(backend_views, "latency")[0].decided
    many = backend_views | {
        name: backend_view(name, BASE[n:] + BASE[:n], begin=1) for n, name in enumerate("cdefgh", 1)
    }
    comparison = next(c for c in compare(many, "latency") if {c.slower, c.faster} == {"a", "b"})
    assert not comparison.decided
    assert "may be chance among 28 pairs" in comparison.sentence


def test_backends_without_turns_are_not_paired() -> None:
    assert len(rounds(backend_view("a", BASE), backend_view("b", BASE, begin=1))) == 10
    assert rounds(backend_view("a", BASE), backend_view("b", BASE, begin=100)) == []
    (comparison,) = compare(
        {"a": backend_view("a", BASE), "b": backend_view("b", [2 * v for v in BASE], begin=100)}, "latency"
    )
    assert (comparison.paired, comparison.basis, round(comparison.ratio, 2)) == (False, "apart", 2.0)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "words"),
    [
        (1.31, 1.22, 1.40, ("1.31", "1.22", "1.40")),
        (1.1301, 1.1282, 1.1318, ("1.130", "1.128", "1.132")),
        (1.008, 1.0031, 1.012, ("1.008", "1.003", "1.012")),
        (1.0, 0.98, 1.02, ("1.00", "0.98", "1.02")),
        (1.0, 0.997, 1.02, ("1.000", "0.997", "1.020")),
        (1.0, 1.0, 1.0, ("1.00", "1.00", "1.00")),
        (12.3, 11.2, 13.4, ("12.3", "11.2", "13.4")),
        (math.inf, 0.0, math.inf, ("inf", "0.00", "inf")),
    ],
)
def test_interval_has_enough_digits_to_separate_its_ends(
    ratio: float, low: float, high: float, words: tuple[str, str, str]
) -> None:
    assert digits(ratio, low, high) == words
