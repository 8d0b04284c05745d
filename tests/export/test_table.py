"""The summary table: golden at two widths, and never wider than it may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.engine.board import Board
from llmtui.export.table import summary_table
from llmtui.model import Backend, Plan, RunConfig
from tests.export.boards import board

FIXTURES = Path(__file__).parent.parent / "fixtures" / "export"


@pytest.mark.parametrize("width", [80, 120, 200])
def test_golden(width: int) -> None:
    assert summary_table(board(), width) == (FIXTURES / f"table_{width}.txt").read_text()


@pytest.mark.parametrize("width", range(60, 220, 7))
def test_fits_and_keeps_what_matters(width: int) -> None:
    text = summary_table(board(), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text and text.endswith("\n")
    title = text.splitlines()[1]
    assert "backend" in title and "median" in title and "x fastest" in title


def test_the_fastest_and_nobody_else_is_marked() -> None:
    marked = [line for line in summary_table(board(), 200).splitlines() if line.startswith("*")]
    assert len(marked) == 1 and "llama.cpp" in marked[0]


def test_columns_that_nobody_fills_are_left_out() -> None:
    plain = Board(Plan(run="r", created_utc="", config=RunConfig(), backends=[Backend(name="b")]))
    title = summary_table(plain, 200).splitlines()[1]
    assert "language" not in title and "weights" not in title and "stddev" in title


def test_wide_characters_stay_in_their_columns() -> None:
    names = [Backend(name="模型", framework="x"), Backend(name="abcdef", framework="y"), Backend(name="長" * 40)]
    lines = summary_table(Board(Plan(run="r", created_utc="", config=RunConfig(), backends=names)), 300).splitlines()
    assert lines[2].index("x") + 2 == lines[3].index("y")
    assert "..." in lines[4]


def test_no_backend_at_all() -> None:
    empty = Board(Plan(run="r", created_utc="", config=RunConfig(), backends=[]))
    assert summary_table(empty, 80).splitlines()[1].split()[0] == "backend"
