"""Text in terminal cells: its width, cut, padded and wrapped, and what replaces letters that an encoding lacks."""

from __future__ import annotations

import pytest

from llmtui.text.cells import cells_wide, fit, fit_name, pad, plain, wrapped


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("模型", 4), ("e\u0301", 1), ("\u1112\u1161\u11ab", 2), ("\U0001f642", 2), ("हि", 2), ("เก็บ", 3)],
)
def test_the_width_of_a_text(text: str, width: int) -> None:
    assert cells_wide(text) == width
    assert cells_wide(pad(text, 9)) == 9


def test_a_text_is_cut_at_a_cell() -> None:
    assert fit("模型模型", 8) == "模型模型"
    assert fit("模型模型模", 8) == "模型..."
    assert fit("abcdef", 5) == "ab..."


def test_a_name_is_cut_in_its_middle() -> None:
    assert fit_name("abcdef", 6) == "abcdef"
    assert [fit_name(f"vLLM on node {n}", 12) for n in (1, 2)] == ["vLLM...de 1", "vLLM...de 2"]
    for width in range(3, 20):
        assert cells_wide(fit_name("模型e\u0301模型模型-" * 3, width)) <= width


def test_lines_are_as_wide_as_the_screen() -> None:
    text = "the server said: " + "模型" * 40 + " and no more"
    lines = wrapped(text, 40)
    assert max(map(cells_wide, lines)) <= 40
    assert "".join(line.strip() for line in lines).replace(" ", "") == text.replace(" ", "")
    assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("模型 ok…", "ascii", "???? ok."),
        ("é “a”", "ascii", 'e "a"'),
        ("é “a”", "latin-1", 'é "a"'),
        # Not 102 and 1.
        ("10² ½", "ascii", "10? ?"),
        ("\ud800", "utf-8", "?"),
    ],
)
def test_letters_that_an_encoding_lacks(text: str, encoding: str, shown: str) -> None:
    assert plain(text, encoding) == shown
    assert cells_wide(shown) == cells_wide(text)
