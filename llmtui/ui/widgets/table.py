"""The summary table: one line per backend, of a load one per backend and level.

Its order does not change while it has the focus.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message

from llmtui.stats.metrics import MetricKey
from llmtui.ui.text.spans import Line
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import sorting
from llmtui.ui.views.load_table import Key, LoadTable, load_order
from llmtui.ui.views.scroll import window
from llmtui.ui.views.sorting import Sort
from llmtui.ui.views.table import TableLayout, clip_table, column_at, table_layout, table_lines, table_rows
from llmtui.ui.widgets.painted import Lines


class SummaryTable(Lines, can_focus=True):
    """Every backend's figures for the current metric."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("home", "move(-1000)", show=False),
        Binding("end", "move(1000)", show=False),
    ]

    class Picked(Message):
        """A line was clicked, or the cursor moved to it: a backend, at a level of a load (0: a race)."""

        def __init__(self, backend: str, level: int = 0) -> None:
            super().__init__()
            self.backend = backend
            self.level = level

    class Opened(Message):
        """A line was double-clicked."""

    class Sorted(Message):
        """A heading was clicked."""

        def __init__(self, sort: Sort) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._order: list[Key] = []
        self._sorted_by: tuple[Sort, MetricKey] | None = None

    @property
    def order(self) -> list[Key]:
        """The rows from top to bottom; their level is 0 in a race."""
        view = self.view
        asked = (view.sort, view.metric)
        order = self._order
        kept = self.has_focus and asked == self._sorted_by and {name for _, name in order} == set(view.names)
        if not (kept and (view.level is None or any(number == view.level.number for number, _ in order))):
            self._sorted_by = asked
            if view.level is None:
                self._order = [(0, name) for name in sorting.ordered(view.run_view, view.metric, view.sort)]
            else:
                self._order = load_order(view.run_view, view.metric, view.sort, view.level, self.size.height - 1)
        return self._order

    def columns(self) -> list[str]:
        """The keys of the columns that fit."""
        return self._layout().keys

    def _layout(self) -> TableLayout:
        view = self.view
        if (load := self._load) is not None:
            return load.layout(self.size.width, self.size.height - 1)
        rows = list(table_rows(view.run_view, view.metric, frozenset(view.hidden)).values())
        return table_layout(rows, view.metric, self.size.width, view.sort)

    @property
    def _load(self) -> LoadTable | None:
        """The table of a load, None in a race."""
        view = self.view
        if view.level is None:
            return None
        return LoadTable(
            view.run_view, view.metric, view.level, self.order, frozenset(view.hidden), view.sort, view.selected,
            cursor=self.has_focus,
        )  # fmt: skip

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        if view.catching_up:
            return []
        if (load := self._load) is not None:
            return load.lines(width, height)
        lines = table_lines(
            view.run_view, view.metric, width, frozenset(view.hidden), view.selected,
            sort=view.sort, order=[name for _, name in self.order], cursor=self.has_focus,
        )  # fmt: skip
        return clip_table(lines, width, height, self._at)

    @property
    def _at(self) -> int:
        key = (self.view.level.number if self.view.level is not None else 0, self.view.selected)
        return self.order.index(key) if key in self.order else 0

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` lines."""
        order = self.order
        if order:
            self._pick(order[min(len(order) - 1, max(0, self._at + by))])

    def _pick(self, key: Key) -> None:
        self.post_message(self.Picked(key[1], key[0]))

    def on_click(self, event: Click) -> None:
        view, order = self.view, self.order
        if event.y == 0:
            column = column_at(event.x, self._layout())
            if column is not None:
                self.post_message(self.Sorted(sorting.clicked(view.sort, column)))
            return
        index = event.y - 1
        count, rows = len(order), self.size.height - 1
        if count > rows:
            # The last row counts the others.
            start, end = window(count, rows - 1, self._at)
            index = index + start if index < end - start else -1
        if 0 <= index < count:
            self._pick(order[index])
            if event.chain == 2:
                self.post_message(self.Opened())
