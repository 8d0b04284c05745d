"""A framed chart that is drawn only when what it shows has changed."""

from __future__ import annotations

from typing import Literal

from textual.events import Click
from textual.message import Message

from llmtui.ui.charts.chart_data import ChartData, Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.charts.legend import legend
from llmtui.ui.layout import CHART_FRAME_HEIGHT, CHART_FRAME_WIDTH
from llmtui.ui.text.spans import Line, frame
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines


def inner_size(width: int, height: int) -> tuple[int, int]:
    """The columns and rows that a chart of this size has within its frame, or below its title without a frame."""
    # Without frames a blank column separates two charts.
    return (width - 4, height - 2) if framed(width, height) else (width - 1, height - 1)


def framed(width: int, height: int) -> bool:
    """Whether a chart of this size has a frame."""
    return height >= CHART_FRAME_HEIGHT and width >= CHART_FRAME_WIDTH


class ChartView(Lines):
    """The scatter, or the one of statistics. `draws` counts how often it was drawn."""

    class Toggled(Message):
        """A backend's entry in the legend was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, view: ViewState, side: Literal["statistics", "scatter"], *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._side = side
        self._key: tuple[ChartData, int, int] | None = None
        self._drawn: list[Line] = []
        self.draws = 0

    @property
    def kind(self) -> Kind:
        """What this chart shows: its own kind, or the one that the user chose where there is room for one only."""
        if self.view.layout.charts != 2:
            return self.view.chart_kind
        return "scatter" if self._side == "scatter" else self.view.statistics_kind

    @property
    def chart(self) -> ChartData | None:
        """What is drawn now."""
        return self._key[0] if self._key else None

    def content(self, width: int, height: int) -> list[Line]:
        if self.view.catching_up:
            self._key = None
            return frame([], width, height, left=[]) if framed(width, height) else []
        chart = self.view.chart_data(self.kind)
        inner = inner_size(width, height)
        key = (chart, *inner)
        if key != self._key:
            self._drawn = draw(chart, *inner)
            self._key = key
            self.draws += 1
        if framed(width, height):
            return frame(self._drawn, width, height, left=[(chart.title, "title")])
        return [((f" {chart.title}", "title"),), *self._drawn]

    def on_click(self, event: Click) -> None:
        if self._key is None or not self._drawn:
            return
        in_frame = framed(*self.size)
        if event.y != self.size.height - (2 if in_frame else 1):
            return
        for start, end, index in legend(self._key[0], self._key[1])[1]:
            if start <= event.x - (2 if in_frame else 0) < end:
                self.post_message(self.Toggled(index))
