"""Numbers, durations and signs as short text."""

from __future__ import annotations

import pytest

from llmtui.ui.text.format import (
    ASCII_SHAPES,
    HIDDEN_SIGN,
    LOST_SIGN,
    SHAPES,
    STATE_SIGNS,
    clock,
    memory,
    number,
    percent,
    value_text,
)
from llmtui.ui.text.spans import ascii_text


def test_number_fits_six_cells_and_units_are_chosen_by_size() -> None:
    for value in (0.0, 0.00012, 0.9214, 9.9999, 12.3456, 123.456, 1234.5, 99_999.4, 100_000.0, 3.2e9, -1.5):
        assert len(number(value)) <= 6, value
    assert number(None) == "-"
    assert value_text("itl", 0.0123) == "12.30"
    assert value_text("latency", 0.9214) == "0.921"
    assert (clock(62), clock(3723)) == ("01:02", "1:02:03")
    assert (memory(241_000_000), memory(12_300_000_000)) == ("241 MB", "12.3 GB")
    assert percent(0.969, 1.0) == "-3.1%"
    assert percent(0.99999, 1.0) == "0.0%"


@pytest.mark.parametrize(
    ("value", "narrow", "wide"),
    [(0.00031, "3.1e-4", "0.00031"), (0.0012, "0.0012", "0.0012"), (0.005, "0.005", "0.005"), (0.0, "0.000", "0.000")],
)
def test_small_number_keeps_two_digits(value: float, narrow: str, wide: str) -> None:
    assert number(value) == narrow
    assert number(value, room=8) == wide
    assert len(number(value / 1e7)) <= 6


def test_state_signs_and_shapes_are_distinct() -> None:
    signs = {*STATE_SIGNS.values(), LOST_SIGN}
    assert not (signs | {HIDDEN_SIGN}) & set(SHAPES)
    assert HIDDEN_SIGN not in signs
    assert not {ascii_text(sign) for sign in signs | {HIDDEN_SIGN}} & set(ASCII_SHAPES)
