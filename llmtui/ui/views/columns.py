"""The columns of the monitor's tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Generic, TypeVar

RowT = TypeVar("RowT")
SortValue = float | str | None


@dataclasses.dataclass(frozen=True)
class Column(Generic[RowT]):
    """One column: its key, its title, its width in cells, and how a row's cell and sort value are made.

    If there is no room, the column with the highest `rank` is dropped first; rank 0 is dropped last or never.
    """

    key: str
    title: str
    width: int
    rank: int
    #: The cell of a row as text, in at most so many cells.
    cell: Callable[[RowT, int], str]
    #: What rows are sorted by; None if the row has no value.
    value: Callable[[RowT], SortValue] = lambda _: None
    #: Whether the largest value is the best (or, of errors, the most telling) and goes first.
    most_first: bool = False
    #: Whether cells are aligned to the right.
    right: bool = True
