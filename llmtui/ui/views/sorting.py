"""The order of the summary table: by which column, and which way round."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from llmtui.model import Level
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.ui.views.attempts import at_level, shown_attempt
from llmtui.ui.views.columns import Column, SortValue
from llmtui.ui.views.load_columns import load_columns
from llmtui.ui.views.ranking import board
from llmtui.ui.views.table_columns import BY_RATIO, TableRow, table_columns

#: The columns that the sort key goes through, if the table has room for them; "" is the plan's order.
RING = ("", "median", "min", "max", "p95", "TTFT", "tok/s", "J/token", "err", "backend")
#: The same of a load.
RING_OF_LOAD = ("", "median", "requests/s", "TTFT", "TTFTp95", "tpot", "J/token", "kept", "err", "backend")


@dataclasses.dataclass(frozen=True)
class Sort:
    """The key of a column of the table ("" is the plan's order), and whether the order is reversed."""

    column: str = ""
    reverse: bool = False

    def reversed(self) -> Sort:
        """Return the other direction."""
        return Sort(self.column, not self.reverse)


AS_PLANNED = Sort()


def sorted_column(sort: Sort, metric: MetricKey) -> str:
    """The key of the column of the table that it is sorted by: the shown metric has its medians under "median"."""
    return "median" if sort.column and sort.column == METRICS[metric].column else sort.column


def _column(sort: Sort, metric: MetricKey, load: bool) -> Column[TableRow] | None:
    key = sorted_column(sort, metric)
    columns = load_columns(metric) if load else table_columns(metric)
    return next((column for column in columns if column.key == key), None)


def descending(sort: Sort, metric: MetricKey, *, load: bool = False) -> bool:
    """Whether the largest value is on top: the best is (the most errors are) unless the order is reversed."""
    column = _column(sort, metric, load)
    return (column is not None and column.most_first) != sort.reverse


def ordered(run_view: RunView, metric: MetricKey, sort: Sort, level: Level | None = None) -> list[str]:
    """Return the backends in the order of the table. Those without a value are last, in the plan's order.

    Of a load it is their order at a `level`.
    """
    names = list(run_view.backends)
    number = level.number if level is not None and level != run_view.plan.head_level else 0
    column = _column(sort, metric, level is not None)
    if column is None:
        return names
    placed = board(run_view, metric, number) if column.key in BY_RATIO else None
    values: dict[str, SortValue] = {}
    for name, backend_view in run_view.backends.items():
        standing = placed.row(name) if placed is not None else None
        shown = shown_attempt(at_level(backend_view, level))
        values[name] = column.value(TableRow(backend_view, shown, metric, standing, level=level))
    valued = [name for name in names if values[name] is not None]

    def key(name: str) -> tuple[float, str]:
        value = values[name]
        return (0.0, value) if isinstance(value, str) else (value or 0.0, "")

    valued.sort(key=key, reverse=descending(sort, metric, load=level is not None))
    return valued + [name for name in names if values[name] is None]


def following(sort: Sort, columns: Collection[str], *, load: bool = False) -> Sort:
    """Return what the sort key changes to, among the table's `columns`."""
    ring = [column for column in (RING_OF_LOAD if load else RING) if not column or column in columns]
    at = ring.index(sort.column) if sort.column in ring else 0
    return Sort(ring[(at + 1) % len(ring)])


def clicked(sort: Sort, column: str) -> Sort:
    """Return what a click on a heading changes to: its order, then the reverse, then the plan's order."""
    if sort.column != column:
        return Sort(column)
    return Sort() if sort.reverse else Sort(column, reverse=True)
