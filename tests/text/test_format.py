"""The digits of figures: three or more, in one unit and in line within a column, and never an exponent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.text.format import at_point, figure, figures, lined_up, percent_text, plural, plus_minus, scale_of, unit_of

#: From 0.01 ms to almost three hours.
DURATIONS = st.floats(min_value=1e-5, max_value=1e4)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.9214, "s", "0.921 s"),
        (1.366, "s", "1.37 s"),
        (12.345, "s", "12.3 s"),
        (509.4, "s", "509 s"),
        (5094.4, "s", "5094 s"),
        (0.1, "s", "0.100 s"),
        (0.09996, "s", "0.100 s"),
        (0.0994, "s", "99.4 ms"),
        (0.0123, "s", "12.3 ms"),
        (0.0005, "s", "0.500 ms"),
        (0.00001, "s", "0.0100 ms"),
        (0.25, "ms", "250 ms"),
        (0.0123, "ms", "12.3 ms"),
        (-0.0123, "s", "-12.3 ms"),
        (82.04, "tokens/s", "82.0 tok/s"),
        (7939.4, "tokens/s", "7939 tok/s"),
        (0.0, "s", "0.00 s"),
        (None, "s", "-"),
        (math.nan, "s", "-"),
        (math.inf, "tokens/s", "-"),
    ],
)
def test_one_figure(value: float | None, kind: str, text: str) -> None:
    assert figure(value, kind) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ([0.921, 1.366, 3.431], "s", ["0.921", "1.366", "3.431"]),
        ([1.366, 3.4, 12.0], "s", ["1.37", "3.40", "12.00"]),
        ([0.09, 0.071], "ms", ["90.0", "71.0"]),
        ([0.0005, 6.0], "ms", ["0.500", "6000.000"]),
        ([0.0005, 500.0, None], "ms", ["0.500", "500000.000", "-"]),
        ([0.0, 2.5], "s", ["0.00", "2.50"]),
        ([0.9999, 1.5], "s", ["1.00", "1.50"]),
        ([None], "s", ["-"]),
        ([], "s", []),
    ],
)
def test_a_column_has_one_unit_and_the_decimals_of_its_smallest_figure(
    values: list[float | None], unit: str, texts: list[str]
) -> None:
    assert figures(values, "s") == (unit, texts)


def test_a_column_may_have_the_unit_of_those_beside_it() -> None:
    assert unit_of([0.921, 0.5], "s") == "s"
    assert figures([0.041, 0.18], "s", "s") == ("s", ["0.0410", "0.1800"])


@given(st.lists(DURATIONS, min_size=1, max_size=9), st.sampled_from(["s", "ms", "tokens/s"]))
def test_no_figure_of_a_column_loses_a_digit(values: list[float], kind: str) -> None:
    unit, texts = figures(values, kind)  # type: ignore[arg-type]
    assert len({len(text.partition(".")[2]) for text in texts}) == 1
    for value, text in zip(values, texts, strict=True):
        assert "e" not in text
        assert float(text) / (1e3 if unit == "ms" else 1) == pytest.approx(value, rel=5.001e-3)


@given(DURATIONS, st.sampled_from(["s", "ms"]))
def test_a_figure_on_its_own_is_no_longer_than_it_must_be(value: float, kind: str) -> None:
    text = figure(value, kind).split()[0]  # type: ignore[arg-type]
    assert len(text.replace(".", "").lstrip("0")) == max(3, len(text.partition(".")[0]))


@given(st.lists(st.floats(min_value=1e-5, max_value=999), min_size=2, max_size=5))
def test_padded_figures_have_their_points_in_line(values: list[float]) -> None:
    texts = [at_point(scale_of([value], "s").text(value), 4, 4) for value in values]
    assert {len(text) for text in texts} == {9}
    assert {text.index(".") if "." in text else 4 for text in texts} == {4}


def test_ratios_of_different_decimals_have_their_points_in_line() -> None:
    assert lined_up(["1.00", "193", "25.4", "-", "differs"]) == ["1.00", "193   ", "25.4 ", "-", "differs"]
    assert lined_up(["3", "16"]) == ["3", "16"]


@pytest.mark.parametrize(("share", "text"), [(0.0281, "2.8%"), (0.5, "50%"), (12.3, "1230%"), (0.0012, "0.12%")])
def test_a_share_in_percent(share: float, text: str) -> None:
    assert percent_text(share) == text


@pytest.mark.parametrize(
    ("half", "text"), [(0.0138, "±0.014"), (0.25, "±0.25"), (12.0, "±12"), (0.0, "±0.0"), (None, "")]
)
def test_half_an_interval_has_two_digits(half: float | None, text: str) -> None:
    assert plus_minus(half, "s") == text


def test_plurals() -> None:
    assert (plural(1, "token"), plural(2, "token")) == ("1 token", "2 tokens")
