"""llmtui asks before a large grid, but not before a small one, or one that the user wants."""

from __future__ import annotations

import msgspec
import pytest

from llmtui.cli.grids import confirm
from llmtui.model import Cells, Load, Plan
from llmtui.model.errors import UsageError
from tests import build


def plan(lengths: int, **load: float) -> Plan:
    cells = Cells(max_tokens=list(range(1, lengths + 1)))
    return msgspec.structs.replace(build.plan("a", "b", iterations=10), load=Load(cells=cells, **load))  # type: ignore[arg-type]


def test_a_small_grid_is_carried_out() -> None:
    confirm(plan(25), yes=False)


def test_a_large_grid_is_not() -> None:
    with pytest.raises(UsageError) as caught:
        confirm(plan(26), yes=False)
    assert str(caught.value) == (
        "the grid has 52 cells: 2 backends at 26 levels, 10 rounds; to carry it out add --yes, or list fewer values in "
        "[[sweep]]"
    )
    confirm(plan(26), yes=True)


def test_a_grid_of_more_than_an_hour_is_not() -> None:
    confirm(plan(10, duration_s=16.0), yes=False)
    with pytest.raises(UsageError) as caught:
        confirm(plan(10, duration_s=17.0), yes=False)
    assert "20 cells: 2 backends at 10 levels, 10 rounds, at least 62 min" in str(caught.value)
