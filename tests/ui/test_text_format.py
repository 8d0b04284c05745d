"""Numbers, durations and signs as short text."""

from __future__ import annotations

from llmtui.ui.text.format import (
    ASCII_SHAPES,
    HIDDEN_SIGN,
    LOST_SIGN,
    SHAPES,
    STATE_SIGNS,
    clock,
    memory,
    parts_of,
    percent,
    with_unit,
)
from llmtui.ui.text.spans import ascii_text


def test_durations_sizes_and_changes() -> None:
    assert with_unit("itl", 0.0123) == "12.3 ms"
    assert with_unit("latency", 0.9214) == "0.921 s"
    assert parts_of("tokens_per_s", None) == ("-", "tok/s")
    assert (clock(62), clock(3723)) == ("01:02", "1:02:03")
    assert (memory(241_000_000), memory(12_300_000_000)) == ("241 MB", "12.3 GB")
    assert percent(0.969, 1.0) == "-3.1%"
    assert percent(0.99999, 1.0) == "0.0%"


def test_state_signs_and_shapes_are_distinct() -> None:
    signs = {*STATE_SIGNS.values(), LOST_SIGN}
    assert not (signs | {HIDDEN_SIGN}) & set(SHAPES)
    assert HIDDEN_SIGN not in signs
    assert not {ascii_text(sign) for sign in signs | {HIDDEN_SIGN}} & set(ASCII_SHAPES)
