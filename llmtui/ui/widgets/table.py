"""The summary table: one line per backend, the best marked."""

from __future__ import annotations

from textual.events import Click
from textual.message import Message

from llmtui.ui import board_view
from llmtui.ui.lines import Line
from llmtui.ui.widgets.lines import Lines


class SummaryTable(Lines):
    """Every backend's figures for the metric that is shown."""

    class Picked(Message):
        """A line was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        lines = board_view.table(view.board, view.metric, width, frozenset(view.hidden), view.selected)
        return board_view.clipped(lines, width, height, self._at)

    @property
    def _at(self) -> int:
        names = self.view.names
        return names.index(self.view.selected) if self.view.selected in names else 0

    def on_click(self, event: Click) -> None:
        index = event.y - 1
        count, rows = len(self.view.names), self.size.height - 1
        if count > rows:
            # The last row says how many there are besides.
            start, end = board_view.window(count, rows - 1, self._at)
            index = index + start if index < end - start else -1
        if 0 <= index < len(self.view.names):
            self.post_message(self.Picked(index))
