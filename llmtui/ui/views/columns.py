"""The columns of the monitor's tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Generic, TypeVar

from llmtui.text.format import Kind

RowT = TypeVar("RowT")
SortValue = float | str | None
Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Column(Generic[RowT]):
    """One column: its key, its title, its width in cells, and how a row's cell and sort value are made.

    If the columns do not fit, the one with the highest `rank` is dropped first; rank 0 is dropped last or never.
    A column of figures has a `kind`: its `value` is the figure, in s or tokens/s, and its heading has a unit.
    """

    key: str
    title: str
    width: int
    rank: int
    #: Return the cell of a row as text, in at most this many cells.
    cell: Callable[[RowT, int], str] = lambda *_: ""
    #: Return what a row is sorted by, None if it has no value.
    value: Callable[[RowT], SortValue] = lambda _: None
    #: Whether the largest value is the best (or, of errors, the most telling) and goes first.
    most_first: bool = False
    #: Whether cells are aligned to the right.
    right: bool = True
    kind: Kind | None = None
    #: Return the limit of a row's figure, which is shown after it in parentheses.
    limit: Callable[[RowT], float | None] | None = None
    #: Return the interval of a row's figure, which the column shows in its place.
    span: Callable[[RowT], Interval | None] | None = None
    #: Whether it has no room if no row has a value.
    optional: bool = False
    #: Whether it is text, of which a longer one is cut.
    text: bool = False
