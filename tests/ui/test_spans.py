"""Lines of spans: cutting, padding, wrapping, frames, ASCII."""

from __future__ import annotations

import ctypes
import ctypes.util
import locale
import random
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from rich.cells import cell_len

from llmtui.text import sanitize
from llmtui.text.cells import cells_wide
from llmtui.ui.text.spans import (
    Line,
    Role,
    changed_cells,
    clip,
    even_text,
    fit,
    frame,
    justify,
    to_ascii,
    width_of,
    wrap,
)


def test_clip_counts_cells_not_characters() -> None:
    assert clip("模型模型", 5) == "模型…"
    assert cell_len(clip("模型模型", 4)) <= 4


def test_fit_returns_exactly_the_width() -> None:
    line: Line = (("llama", "title"), (".cpp 模型", "dim"), (" 12", ""))
    assert [width_of(fit(line, width)) for width in range(30)] == [*range(30)]


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
    blank: Line = (("●", "s1"), (" " * 19, ""))
    assert changed_cells(blank, (("●", "s1"), ("  ", ""), ("+", "s2"), (" " * 16, ""))) == (3, 4)
    assert changed_cells(blank, (("●", "s1"), (" " * 19, "dim"))) == (1, 20)


def test_no_cell_that_changed_is_left_out() -> None:
    roles: tuple[Role, ...] = ("", "dim", "s1")
    for seed in range(200):
        rng = random.Random(seed)
        lines: list[Line] = [
            fit([("".join(rng.choices("ab  ", k=rng.randint(0, 6))), rng.choice(roles)) for _ in range(4)], 20)
            for _ in range(2)
        ]
        old, new = ([(c, role) for text, role in line for c in text] for line in lines)
        start, end = changed_cells(*lines) or (0, 0)
        assert all(a == b for n, (a, b) in enumerate(zip(old, new, strict=True)) if not start <= n < end), lines


def test_to_ascii_keeps_every_cell_in_place() -> None:
    line: Line = (("┏━ ● ►×◆▲■◇△▽ ✓✗»…", ""),)
    translated = to_ascii(line)
    assert width_of(translated) == width_of(line)
    assert translated[0][0].isascii()
    assert "?" not in translated[0][0]


def test_a_mark_is_painted_with_its_letter() -> None:
    old: Line = (("\u0e01\u0e34 x", ""),)
    assert changed_cells(old, (("\u0e01\u0e35 x", ""),)) == (0, 3)
    assert changed_cells((("\u0e01 x", ""),), old) == (0, 3)


@pytest.fixture
def terminal_width() -> Iterator[Callable[[str], int]]:
    """The width of a sign in tmux, which asks the C library."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        pytest.skip("this machine has no C.UTF-8")
    wcwidth = ctypes.CDLL(ctypes.util.find_library("c")).wcwidth
    wcwidth.argtypes = [ctypes.c_wchar]
    yield lambda text: sum(wcwidth(character) for character in text)
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.mark.slow
def test_every_sign_is_as_wide_as_the_terminal_draws_it(terminal_width: Callable[[str], int]) -> None:
    # tmux/tmux issues 3923 and 5120, Textualize/rich issue 3897.
    for code in range(0xA0, 0x1F000 + 0x1000):
        sign = chr(code)
        # The many ideographs and Hangul syllables are alike.
        if 0x3400 <= code < 0x4DB0 or 0x4E00 <= code < 0x9F00 or 0xAC00 <= code < 0xD700 or 0x17000 <= code < 0x1AFF0:
            continue
        text = sanitize(f"a{sign}b")
        # Unknown to the C library of an older system.
        if len(text) < 3 or terminal_width(unicodedata.normalize("NFC", sign)) < 0:
            continue
        assert terminal_width(even_text(text)) == cell_len(text) == cell_len(even_text(text)), f"U+{code:04X}"
        if "?" not in even_text(text):
            assert terminal_width(text) == cells_wide(text), f"U+{code:04X}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u26a0\ufe0f sign", "\u26a0 sign"),
        ("\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f469\U0001f469\U0001f467"),
        ("\U0001f44d\U0001f3fd", "\U0001f44d"),
        ("1\ufe0f\u20e3", "1"),
        ("\U0001f1e9\U0001f1ea", "\U0001f1e9\U0001f1ea"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("e\u0301\u3164", "\u00e9"),
    ],
)
def test_signs_of_several_characters_are_reduced_to_what_every_terminal_draws(text: str, shown: str) -> None:
    assert sanitize(text) == shown
    assert even_text(shown) == shown


def test_vowels_that_terminals_place_apart_are_left_out_of_the_screen() -> None:
    assert even_text("\u0939\u093f\u0928\u094d\u0926\u0940") == "\u0939\u0928\u094d\u0926"
    assert even_text("\u2630 menu") == "?? menu"
