"""A column of a CSV file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

_T = TypeVar("_T")
Value = str | float | int | None


class Column(NamedTuple, Generic[_T]):
    """One column of a CSV file. `of` returns the value of its cell for one row, None when it is unknown."""

    name: str
    doc: str
    of: Callable[[_T], Value]
