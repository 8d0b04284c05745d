"""A chart below its title, drawn only when what it shows has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual.events import Click
from textual.message import Message

from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.chart_data import ChartData, Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.charts.kinds import cycle_of
from llmtui.ui.charts.legend import legend
from llmtui.ui.charts.load_chart_data import LoadChart
from llmtui.ui.text.spans import Line, Span, fit, width_of
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines


def inner_size(width: int, height: int) -> tuple[int, int]:
    """The columns and rows that a chart of this size has below its title; a blank column separates two charts."""
    return width - 1, height - 1


def title_line(title: str, notes: Sequence[str], width: int) -> Line:
    """The title of a chart in a line across it, with the first of `notes` at its end that has room."""
    left: list[Span] = [("─ ", "rule"), (title, "title"), (" ", "")] if title else []
    room = width - width_of(left)
    note = next((note for note in notes if len(note) + 4 <= room), "")
    right: list[Span] = [(f" {note} ", "dim"), ("─", "rule")] if note else []
    return fit([*left, ("─" * (room - width_of(right)), "rule"), *right], width)


class ChartView(Lines):
    """The scatter, or the one of statistics. `draws` counts how often it was drawn."""

    class Toggled(Message):
        """A backend's entry in the legend was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, view: ViewState, side: Literal["statistics", "scatter"], key: str, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._side = side
        #: The key of the next chart.
        self._next_key = key
        self._key: tuple[ChartData | LoadChart, int, int] | None = None
        self._drawn: list[Line] = []
        self.draws = 0

    @property
    def kind(self) -> Kind:
        """What this chart shows: its own kind, or the one that the user chose where there is room for one only."""
        return self.view.kind_at(self._side)

    @property
    def chart(self) -> ChartData | LoadChart | None:
        """What is drawn now."""
        return self._key[0] if self._key else None

    def content(self, width: int, height: int) -> list[Line]:
        if self.view.catching_up:
            self._key = None
            return [title_line("", (), width - 1)]
        chart = chart_of(self.view, self.kind)
        inner = inner_size(width, height)
        key = (chart, *inner)
        if key != self._key:
            self._drawn = draw(chart, *inner)
            self._key = key
            self.draws += 1
        cycle, notes = cycle_of(self.view.run_view.plan, self.view.layout.charts), []
        if chart.kind in cycle:
            place = f"{cycle.index(chart.kind) + 1} of {len(cycle)}"
            notes = [f"{self._next_key}: {word}{place}" for word in ("chart ", "")]
        return [title_line(chart.title, notes, inner[0]), *self._drawn]

    def on_click(self, event: Click) -> None:
        if self._key is None or not self._drawn:
            return
        if event.y != self.size.height - 1:
            return
        for start, end, index in legend(self._key[0], self._key[1])[1]:
            if start <= event.x < end:
                self.post_message(self.Toggled(index))
