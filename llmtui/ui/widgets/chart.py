"""A framed chart that is drawn only when what it shows has changed."""

from __future__ import annotations

from llmtui.ui.charts import Chart, Kind, draw
from llmtui.ui.lines import Line, box
from llmtui.ui.view import View
from llmtui.ui.widgets.lines import Lines


class ChartView(Lines):
    """Bars or scatter. `draws` counts how often plotext was asked."""

    def __init__(self, view: View, kind: Kind | None, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._kind = kind
        self._key: tuple[Chart, int, int] | None = None
        self._drawn: list[Line] = []
        self.draws = 0

    @property
    def kind(self) -> Kind:
        """What this chart shows: its own kind, or the one that the user chose where there is room for one only."""
        return self._kind if self._kind and self.view.layout.charts == 2 else self.view.chart

    @property
    def chart(self) -> Chart | None:
        """What is drawn now."""
        return self._key[0] if self._key else None

    def content(self, width: int, height: int) -> list[Line]:
        chart = self.view.chart_data(self.kind)
        framed = height >= 12 and width >= 40
        inner = (width - 4, height - 2) if framed else (width, height - 1)
        key = (chart, *inner)
        if key != self._key:
            self._drawn = draw(chart, *inner)
            self._key = key
            self.draws += 1
        if framed:
            return box(self._drawn, width, height, left=[(chart.title, "title")])
        return [((f" {chart.title}", "title"),), *self._drawn]
