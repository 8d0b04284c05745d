"""The trend page: a backend over the runs of the history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size

from llmtui.stats.metrics import ALL_METRICS
from llmtui.text.format import plural, unit_of
from llmtui.ui.charts.trend import draw_trend
from llmtui.ui.layout import CHART_LEAST_WIDTH, TALL_HEADER, TREND_TITLE_WIDTH, trend_chart_rows
from llmtui.ui.screens.overlay import Overlay
from llmtui.ui.text.format import name_text
from llmtui.ui.text.spans import Line, Span, justify, series_role, width_of, wrap
from llmtui.ui.trends import Trends
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.trend import trend_lines
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.scrolling import ScrollingLines

_MEASURING = (
    "a run is being measured, and reading the history would disturb it: pause the run, or wait until it has ended"
)


class TrendTitle(Lines):
    """Whose trend it is, and of what."""

    def __init__(self, view: ViewState, trends: Trends, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._trends = trends

    def content(self, width: int, height: int) -> list[Line]:
        trends = self._trends
        names, name = trends.names(self.view), trends.backend(self.view)
        at = f"{names.index(name) + 1} of {len(names)}" if name in names else ""
        where = f"backend {at}: up, down " if width >= TREND_TITLE_WIDTH else f"{at} "
        right: list[Span] = [(where, "dim")] if len(names) > 1 else []
        left: list[Span] = [(" trend", "title"), (f"  {name_text(name)}", "strong")]
        shown = trends.current(self.view)
        if shown is not None and (series := shown.series) is not None:
            level = f" at {series.level}" if series.level else ""
            metric = ALL_METRICS[series.metric]
            titled = metric.titled(unit_of([point.median for point in series.points], metric.unit))
            left.append((f"{level}: {titled}, {plural(len(series.points), 'run')}", ""))
            setup: Span = (" of one setup", "dim")
            if width_of([*left, setup, *right]) < width:
                left.append(setup)
        return [justify(left, right, width)]


class TrendChart(Lines):
    """The medians of the runs with their intervals."""

    def __init__(self, view: ViewState, trends: Trends, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._trends = trends

    def content(self, width: int, height: int) -> list[Line]:
        shown = self._trends.current(self.view)
        if shown is None or (series := shown.series) is None or not series.points:
            return []
        names = self.view.names
        role = series_role(names.index(series.backend)) if series.backend in names else "accent"
        # A blank column on both sides.
        return [((" ", ""), *line) for line in draw_trend(series, role, width - 2, height)]


class TrendLines(ScrollingLines):
    """Sentences and the runs. The arrows choose the backend, pages scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left,k", "step_backend(-1)", show=False),
        Binding("down,right,j", "step_backend(1)", show=False),
    ]

    def __init__(self, view: ViewState, trends: Trends, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._trends = trends
        self._top = 0
        #: How many lines are below the visible ones.
        self.below = 0

    def content(self, width: int, height: int) -> list[Line]:
        lines = self._lines(width)
        self._top = max(0, min(self._top, len(lines) - height))
        self.below = max(0, len(lines) - height - self._top)
        return lines[self._top : self._top + height]

    def _lines(self, width: int) -> list[Line]:
        trends, shown = self._trends, self._trends.current(self.view)
        if shown is not None and shown.series is not None:
            return trend_lines(shown.series, shown.left_out, width)
        if trends.read is None:
            text = trends.out_of_reach
        elif shown is not None:
            text = shown.problem
        else:
            text = _MEASURING if self.view.situation().measuring and not trends.reading else "reading the history..."
        return [((" ", ""), (piece, "dim")) for piece in wrap(text, width - 2, 9)]

    def on_resize(self) -> None:
        self.redraw()
        self.after_scroll()

    def forget(self) -> None:
        self._top = 0
        self._trends.forget()

    def move_by(self, rows: int) -> None:
        self._top = max(0, self._top + rows)

    def after_scroll(self) -> None:
        self.screen.query_one(MoreBelow).redraw()

    def action_step_backend(self, by: int) -> None:
        """Choose another backend."""
        self._trends.step(self.view, by)
        self._top = 0
        assert isinstance(self.screen, TrendScreen)
        self.screen.follow()


class MoreBelow(Lines):
    """How many lines are out of sight."""

    def __init__(self, view: ViewState, body: TrendLines, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._body = body

    def content(self, width: int, height: int) -> list[Line]:
        below = f"{self._body.below} more below: page down " if self._body.below else ""
        return [justify((), [(below, "warn")], width)]


class TrendScreen(Overlay):
    """A backend over the runs of the history. What is missing is read when the page is on the screen."""

    AUTO_FOCUS = "TrendLines"

    def __init__(self, view: ViewState, keys: Mapping[str, str], trends: Trends) -> None:
        super().__init__(view, keys)
        self._trends = trends

    def compose(self) -> ComposeResult:
        body = TrendLines(self.view, self._trends, id="trend")
        yield Header(self.view, id="header")
        yield TrendTitle(self.view, self._trends, id="trend-title")
        yield TrendChart(self.view, self._trends, id="trend-chart")
        yield body
        yield MoreBelow(self.view, body, id="trend-below")
        yield Footer(self.view, self._keys, id="footer")

    def place(self, size: Size) -> None:
        header = 2 if size.height >= TALL_HEADER else 1
        self.query_one(Header).styles.height = header
        chart = self.query_one(TrendChart)
        rows = trend_chart_rows(size.height - header - 3) if size.width >= CHART_LEAST_WIDTH + 2 else 0
        shown = self._trends.current(self.view)
        chart.display = rows > 0 and shown is not None and shown.series is not None and bool(shown.series.points)
        chart.styles.height = max(1, rows)

    def follow(self) -> None:
        self._read_missing()
        self.place(self.app.size)
        for part in self.query(Lines):
            part.redraw()

    # --- Reading ---

    def _wanted(self) -> bool:
        trends = self._trends
        missing = trends.read is not None and trends.answered != trends.asked(self.view)
        return missing and self.is_current and not self.view.situation().measuring

    def _not_wanted(self) -> bool:
        """Whether to stop reading, from any thread: the monitor ends, or a run has been resumed."""
        return self._trends.ended.is_set() or self.view.situation().measuring

    def _read_missing(self) -> None:
        """Read what the page is to show, unless that would disturb a measurement."""
        if self._wanted() and not self._trends.reading:
            self._trends.reading = True
            self.app.run_worker(self._read(), name="trend", exit_on_error=False)

    async def _read(self) -> None:
        trends = self._trends
        try:
            while self._wanted() and trends.read is not None:
                asked = trends.asked(self.view)
                shown = await asyncio.to_thread(trends.read, asked, self._not_wanted)
                if self._not_wanted():
                    break
                trends.shown, trends.answered = shown, asked
        except asyncio.CancelledError:
            trends.ended.set()
            raise
        finally:
            trends.reading = False
        if self.is_current and self.is_mounted:
            self.follow()
