"""The figures of many requests of one turn, column by column: a hundred thousand of them are read in a second."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from llmtui.model.base import Numbers, Outside, Own, Struct
from llmtui.model.sample import Failure

#: Fields of a request in s.
SECONDS = (
    "latency_s",
    "ttft_s",
    "ttfo_s",
    "itl_s",
    "tpot_s",
    "tokens_per_s",
    "written_s",
    "due_s",
    "waited_s",
    "server_load_s",
)
#: Fields that are whole numbers.
WHOLES = ("request", "output_tokens", "prompt_tokens", "in_flight", "refused")
#: Fields whose values repeat.
REPEATED = ("share", "prompt", "finish_reason", "error")
#: Stands for a whole number that is unknown.
NONE = -1

_V = TypeVar("_V")


class RequestColumns(Struct, frozen=True):
    """The light figures of `count` requests, in the order in which they ended.

    `seconds` have floats of 8 bytes, NaN where a request has none, and `wholes` integers of 8 bytes, -1 where it has
    none; a column that is left out has no value at all. `codes` have integers of 4 bytes: the place of each request's
    value among the `shares`, `prompts`, `finish_reasons` or `errors`; a column that is left out is 0 throughout. Bytes
    are in little-endian order.
    """

    count: int
    seconds: dict[Own, Numbers] = {}
    wholes: dict[Own, Numbers] = {}
    codes: dict[Own, Numbers] = {}
    shares: list[Own] = []
    prompts: list[Own] = []
    finish_reasons: list[Outside | None] = []
    errors: list[Failure | None] = []

    def values(self, field: str) -> Sequence[Any]:
        """Return the different values of one of the `REPEATED` fields."""
        every: dict[str, Sequence[Any]] = {
            "share": self.shares,
            "prompt": self.prompts,
            "finish_reason": self.finish_reasons,
            "error": self.errors,
        }
        return every[field]

    def seconds_of(self, field: str) -> array[float]:
        """Return a column of seconds. Raises ValueError for a damaged one."""
        return self._column("d", self.seconds.get(field), float("nan"))

    def wholes_of(self, field: str) -> array[int]:
        """Return a column of whole numbers. Raises ValueError for a damaged one."""
        return self._column("q", self.wholes.get(field), NONE)

    def codes_of(self, field: str) -> array[int]:
        """Return the places of the values of a repeated field. Raises ValueError for a damaged column."""
        codes: array[int] = self._column("i", self.codes.get(field), 0)
        if self.count and not 0 <= min(codes) <= max(codes) < len(self.values(field)):
            raise ValueError(f"a column of {field} is damaged")
        return codes

    def _column(self, kind: Literal["d", "q", "i"], data: bytes | None, missing: float) -> array[Any]:
        column: array[Any] = array(kind)
        if data is None:
            return array(kind, [missing]) * self.count
        if len(data) != self.count * column.itemsize:
            raise ValueError("a column has another number of values")
        column.frombytes(data)
        return _ordered(column)


def columns_of(count: int, columns: dict[str, Sequence[Any]], common: Any) -> RequestColumns:
    """Return the columns of `count` requests: of the fields in `columns`, and of all others the value of `common`."""
    seconds, wholes, codes = {}, {}, {}
    for name in SECONDS:
        values = columns.get(name)
        if values is not None:
            seconds[name] = _bytes(array("d", [float("nan") if value is None else value for value in values]))
        elif (value := getattr(common, name)) is not None:
            seconds[name] = _bytes(array("d", [value]) * count)
    for name in WHOLES:
        values = columns.get(name)
        if values is not None:
            wholes[name] = _bytes(array("q", [NONE if value is None else value for value in values]))
        elif (value := getattr(common, name)) is not None:
            wholes[name] = _bytes(array("q", [value]) * count)
    different: dict[str, list[Any]] = {}
    for name in REPEATED:
        values = columns.get(name)
        if values is None:
            different[name] = [getattr(common, name)]
            continue
        numbers: dict[Any, int] = {}
        codes[name] = _bytes(array("i", [numbers.setdefault(value, len(numbers)) for value in values]))
        different[name] = list(numbers)
    return RequestColumns(
        count=count,
        seconds=seconds,
        wholes=wholes,
        codes=codes,
        shares=different["share"],
        prompts=different["prompt"],
        finish_reasons=different["finish_reason"],
        errors=different["error"],
    )


def _bytes(column: array[Any]) -> bytes:
    return _ordered(column).tobytes()


def _ordered(column: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        column.byteswap()
    return column
