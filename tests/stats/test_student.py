"""Student's t and Welch's test against closed forms and published tables."""

from __future__ import annotations

import math

import pytest

from llmtui.stats.student import reach, two_sided_p, welch


@pytest.mark.parametrize("t", [1e-9, 0.1, 1.0, 3.0, 50.0, 1e6, 1e200])
def test_p_has_closed_forms_for_one_and_two_degrees(t: float) -> None:
    assert two_sided_p(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-12)
    root = math.hypot(math.sqrt(2), t)
    assert two_sided_p(t, 2) == pytest.approx(2 / root / (root + t), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("t", [0.5, 2.0, 8.0])
def test_p_has_a_closed_form_for_four_degrees(t: float) -> None:
    x = t / math.sqrt(4 + t * t)
    assert two_sided_p(-t, 4) == pytest.approx(1 - x * (3 - x * x) / 2, rel=1e-9)


def test_p_is_normal_for_many_degrees() -> None:
    normal = math.erfc(2 / math.sqrt(2))
    assert two_sided_p(2, math.inf) == normal
    assert two_sided_p(2, 1e6) == pytest.approx(normal, rel=1e-5)
    assert two_sided_p(0, 7) == 1
    assert two_sided_p(math.inf, 7) == 0


@pytest.mark.parametrize(
    ("df", "t"),
    [
        (1, 12.706204736174694),
        (2, 4.302652729749464),
        (3, 3.1824463052837078),
        (4, 2.7764451051977934),
        (5, 2.5705818356363146),
        (10, 2.2281388519862735),
        (30, 2.0422724563012373),
        (math.inf, 1.959963984540054),
    ],
)
def test_quantiles_are_those_of_the_tables(df: float, t: float) -> None:
    assert reach(df, 0.95) == pytest.approx(t, rel=1e-12)
    assert two_sided_p(t, df) == pytest.approx(0.05, rel=1e-12)


@pytest.mark.parametrize("df", [0.7, 1.0, 3.3, 29.0, 61.5, 1e5])
@pytest.mark.parametrize("level", [0.01, 0.5, 0.99, 1 - 1e-9])
def test_the_quantile_inverts_p(df: float, level: float) -> None:
    assert two_sided_p(reach(df, level), df) == pytest.approx(1 - level, rel=1e-11)


def test_welch_of_unequal_variances() -> None:
    difference = welch([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 3.0])
    assert difference.estimate == pytest.approx(-1 / 6)
    assert difference.error == pytest.approx(math.sqrt(5 / 12 + 1 / 9))
    assert difference.df == pytest.approx((5 / 12 + 1 / 9) ** 2 / ((5 / 12) ** 2 / 3 + (1 / 9) ** 2 / 2))
    assert difference.p == pytest.approx(two_sided_p(difference.estimate / difference.error, difference.df))


def test_welch_without_any_noise() -> None:
    assert welch([1.0, 1.0], [1.0, 1.0, 1.0]).p == 1
    assert welch([1.0, 1.0], [2.0, 2.0]).p == 0


def test_what_has_no_distribution_is_refused() -> None:
    for df in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="positive degrees"):
            two_sided_p(1, df)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="level"):
            reach(3, level)
    with pytest.raises(ValueError, match="two values"):
        welch([1.0], [1.0, 2.0])
