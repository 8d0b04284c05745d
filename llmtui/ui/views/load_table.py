"""The summary table under a load: a row for each backend and level, in groups of levels.

Rows out of sight are not computed, and those in sight only if something in them has changed, so that a frame costs the
same at 16 levels as at one.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from llmtui.model import FAILED, Level
from llmtui.runview.backend import BackendView
from llmtui.runview.run import RunView
from llmtui.stats.metrics import MetricKey
from llmtui.ui.text.spans import Line, fit
from llmtui.ui.views.attempts import at_level, shown_attempt
from llmtui.ui.views.ranking import board
from llmtui.ui.views.scroll import out_of_sight, window
from llmtui.ui.views.sorting import AS_PLANNED, Sort, ordered
from llmtui.ui.views.table import TableLayout, heading, row_line, table_layout
from llmtui.ui.views.table_columns import TableRow

if TYPE_CHECKING:
    # Imported at run time with the first turn.
    from llmtui.stats.board import Board
    from llmtui.stats.checks import Check

#: A row: the number of its level, and its backend.
Key = tuple[int, str]
#: The rows that were drawn last, by metric, level and backend, each with what its figures come from.
_Kept = dict[tuple[MetricKey, int, str], tuple[TableRow, tuple[object, ...]]]
_ROWS: WeakKeyDictionary[RunView, _Kept] = WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class LoadTable:
    """What the table shows, and how: `level` is the one that the screen shows, `order` the rows from top to bottom."""

    run_view: RunView
    metric: MetricKey
    level: Level
    order: Sequence[Key]
    hidden: Collection[str] = ()
    sort: Sort = AS_PLANNED
    focused: str = ""
    cursor: bool = False

    @property
    def at(self) -> int:
        """The place of the row of the selected backend at the shown level."""
        key = (self.level.number, self.focused)
        return self.order.index(key) if key in self.order else 0

    def in_sight(self, rows: int) -> tuple[int, int]:
        """Which rows `[start, end)` have room in `rows` lines below the heading; one counts those without."""
        if len(self.order) <= rows:
            return 0, len(self.order)
        return window(len(self.order), max(1, rows - 1), self.at)

    def rows(self, keys: Sequence[Key]) -> list[TableRow]:
        """The rows of these keys. One that has not changed since it was drawn last is the same one."""
        levels = {level.number: level for level in self.run_view.plan.levels}
        kept = _ROWS.setdefault(self.run_view, {})
        # A run that was read again has other views; rows of levels that are not drawn would keep the old ones.
        views = self.run_view.backends
        for key in [key for key, (row, _) in kept.items() if row.backend_view is not views.get(key[2])]:
            del kept[key]
        rows = []
        for number, name in keys:
            row, parts = self._row(levels[number], name)
            before = kept.get((self.metric, number, name))
            if before is not None and before[0] == row and all(map(operator.is_, before[1], parts)):
                row = before[0]
            else:
                kept[self.metric, number, name] = (row, parts)
            rows.append(row)
        return rows

    def _row(self, level: Level, name: str) -> tuple[TableRow, tuple[object, ...]]:
        """A row, and what its figures come from: these are other objects as soon as one of them may have changed."""
        backend_view = self.run_view.backends[name]
        placed, checks = self._judged(level)
        voids = (c.code for c in checks if c.level == "void" and self.metric in c.spoils and name in c.backends)
        shown = shown_attempt(at_level(backend_view, level))
        row = TableRow(
            backend_view,
            shown,
            self.metric,
            placed.row(name) if placed is not None else None,
            name in self.hidden,
            level=level,
            here=level.number == self.level.number,
            void=next(voids, ""),
        )
        return row, (backend_view.state, shown.summary, row.samples.summary, row.figures)

    def _judged(self, level: Level) -> tuple[Board | None, list[Check]]:
        """The board at a level, and what was checked there."""
        number = _number(self.run_view, level)
        if number not in self._boards:
            placed = board(self.run_view, self.metric, number)
            checks = self.run_view.verdict(self.metric, number).checks if placed is not None else []
            self._boards[number] = placed, checks
        return self._boards[number]

    @functools.cached_property
    def _boards(self) -> dict[int, tuple[Board | None, list[Check]]]:
        return {}

    def layout(self, width: int, rows: int) -> TableLayout:
        """The columns that fit, for the rows in sight."""
        start, end = self.in_sight(rows)
        return table_layout(self.rows(self.order[start:end]), self.metric, width, self.sort)

    def lines(self, width: int, height: int) -> list[Line]:
        """Draw a heading and the rows that have room.

        A star marks the backend that is shown to be fastest at the level that counts, a dot the best one there without
        a star, and the one that is shown to be ahead at another level.
        """
        start, end = self.in_sight(height - 1)
        keys = self.order[start:end]
        rows = self.rows(keys)
        layout = table_layout(rows, self.metric, width, self.sort)
        lines = [heading(layout, self.metric, self.sort, width)]
        names = list(self.run_view.backends)
        for at, (key, row) in enumerate(zip(keys, rows, strict=True)):
            chosen = key == (self.level.number, self.focused)
            mark, index = self._mark(row, key[1]), names.index(key[1])
            lines.append(row_line(layout, row, at, index, mark, chosen, self.cursor, width))
        if end - start < len(self.order) and height > 2:
            lines.append(fit([("   " + out_of_sight(len(self.order), start, end), "dim")], width))
        return lines

    def _mark(self, row: TableRow, name: str) -> str:
        assert row.level is not None
        number, (placed, _) = _number(self.run_view, row.level), self._judged(row.level)
        if placed is None or placed.instead or name != placed.best:
            return ""
        if number:
            return "·" if placed.fastest == name else ""
        return "*" if self.run_view.verdict(self.metric).fastest == name else "·"


def _number(run_view: RunView, level: Level) -> int:
    """The number of a level as `RunView.verdict` takes it: 0 for the one that counts."""
    return 0 if level == run_view.plan.head_level else level.number


def load_order(run_view: RunView, metric: MetricKey, sort: Sort, shown: Level, room: int) -> list[Key]:
    """The rows from top to bottom: by level, and in it by `sort`; the shown level first if not all have `room`.

    At the shown level each backend that is there has a row, at the others those that have turns there.
    """
    groups: list[tuple[Level, list[str]]] = []
    for level in run_view.levels_shown or [shown]:
        names = ordered(run_view, metric, sort, level)
        there = [n for n in names if _listed(run_view.backends[n], level, level == shown)]
        groups.append((level, there))
    if sum(len(names) for _, names in groups) > room:
        groups.sort(key=lambda group: group[0] != shown)
    return [(level.number, name) for level, names in groups for name in names]


def _listed(backend_view: BackendView, level: Level, shown: bool) -> bool:
    if shown and backend_view.state.state not in FAILED:
        return True
    here = at_level(backend_view, level)
    return here.figures.measured > 0 or here.previous_attempt is not None
