"""Lines of spans: cutting, padding, wrapping, frames, ASCII."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from llmtui.ui.text.spans import Line, changed_cells, clip, fit, frame, justify, to_ascii, width_of, wrap


def test_clip_counts_cells_not_characters() -> None:
    assert clip("模型模型", 5) == "模型…"
    assert cell_len(clip("模型模型", 4)) <= 4


@pytest.mark.parametrize("width", range(0, 30))
def test_fit_returns_exactly_the_width(width: int) -> None:
    line: Line = (("llama", "title"), (".cpp 模型", "dim"), (" 12", ""))
    assert width_of(fit(line, width)) == width


def test_spread_out_keeps_both_ends_apart() -> None:
    assert "".join(t for t, _ in justify([("left", "")], [("right", "")], 12)) == "left   right"
    assert "".join(t for t, _ in justify([("leftmost", "")], [("right", "")], 12)) == "leftm… right"


def test_wrap_breaks_long_words_and_marks_the_cut() -> None:
    assert wrap("get one from github.com/x", 10, 9) == ["get one", "from", "github.com", "/x"]
    assert wrap("a b c d e f", 3, 2) == ["a b", "c …"]
    assert wrap("see github.com/Some-body/thing", 12, 9) == ["see", "github.com/", "Some-body/", "thing"]
    assert wrap("anything", 0, 3) == []


@pytest.mark.parametrize(("width", "height"), [(24, 13), (20, 5), (12, 3), (4, 2), (60, 8)])
def test_box_has_exactly_its_size(width: int, height: int) -> None:
    title, right, note = [("3 x HuggingFace", "")], [("Python", "dim")], [("a bridge is in front", "dim")]
    lines = frame([(("body", ""),)] * 20, width, height, left=title, right=right, bottom=note)  # type: ignore[arg-type]
    assert len(lines) == height
    assert all(width_of(line) == width for line in lines)


def test_difference_returns_the_cells_that_changed() -> None:
    old: Line = (("median ", "dim"), ("0.921", "strong"), (" s", "dim"))
    assert changed_cells(old, old) is None
    assert changed_cells(old, (("median ", "dim"), ("0.934", "strong"), (" s", "dim"))) == (10, 12)
    assert changed_cells(old, (("median ", "dim"), ("0.921", "bad"), (" s", "dim"))) == (7, 12)


def test_to_ascii_keeps_every_cell_in_place() -> None:
    line: Line = (("┏━ ● ►×◆▲■◇△▽ ✓✗»…", ""),)
    translated = to_ascii(line)
    assert width_of(translated) == width_of(line)
    assert translated[0][0].isascii()
    assert "?" not in translated[0][0]
