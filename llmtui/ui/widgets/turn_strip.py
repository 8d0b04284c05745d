"""The newest turn of a load second by second, in a few rows below the charts."""

from __future__ import annotations

from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.charts.load_chart_data import LoadChart
from llmtui.ui.text.spans import Line, fit
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.chart import inner_size, title_line
from llmtui.ui.widgets.painted import Lines


class TurnStrip(Lines):
    """A second a column: tokens/s, requests in flight, those that finished, and what went wrong.

    It is drawn when a second of the turn is complete.
    """

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._key: tuple[ChartData | LoadChart, int, int] | None = None
        self._drawn: list[Line] = []

    def content(self, width: int, height: int) -> list[Line]:
        if self.view.catching_up or self.view.run_view.course is None:
            self._key = None
            return [title_line("", (), width - 1)]
        chart = chart_of(self.view, "turn")
        key = (chart, width, height)
        if key != self._key:
            self._key, self._drawn = key, _drawn(chart, *inner_size(width, height))
        return self._drawn


def _drawn(chart: ChartData | LoadChart, width: int, height: int) -> list[Line]:
    # Imported with the first turn, so that the first frame of a race does not wait for it.
    from llmtui.ui.charts.load_chart_data import TurnChart
    from llmtui.ui.charts.turn_course import draw_low, words_below

    assert isinstance(chart, TurnChart)
    if not chart.drawable or height < 2:
        return [title_line(chart.title, (), width), fit([(f"  {chart.reason}", "dim")], width)]
    return [title_line(chart.title, words_below(chart, width), width), *draw_low(chart, width, height)]
