"""The main screen: header, one panel per backend, charts, summary table, ranking and footer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from llmtui.ui import levels
from llmtui.ui.actions.keys import key_word
from llmtui.ui.screens import run_layout
from llmtui.ui.screens.overlay import Overlay
from llmtui.ui.textual_internals import PaintedOnceScreen, paint_now
from llmtui.ui.throttle import Throttle
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.sorting import Sort
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, OutOfSight, Presence, Ranking, VerdictLine
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.panel import Panel
from llmtui.ui.widgets.table import SummaryTable
from llmtui.ui.widgets.turn_strip import TurnStrip

#: Numbers follow at most four times a second, charts at most twice.
NUMBERS_S = 0.25
CHARTS_S = 0.5


class RunScreen(PaintedOnceScreen[None]):
    """Composes and draws the run.

    The focused widget shows its focus by a few cells of its own, so a change of focus repaints nothing else. Redraws
    are scheduled on the app's queue, where keys arrive: a key that was pressed meanwhile goes first.
    """

    AUTO_FOCUS = "Panel"

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__(id="_default")
        self.view = view
        #: Set when all parts are mounted.
        self.composed = asyncio.Event()
        self.header = Header(view, id="header")
        self.panels = Container(*(Panel(view, index) for index in range(len(view.names))), id="panels")
        self.out_of_sight = OutOfSight(view, id="out-of-sight")
        self.presence = Presence(view, key_word(keys["here"]), id="presence")
        next_chart = key_word(keys["chart"])
        self.bars = ChartView(view, "statistics", next_chart, id="bars")
        self.scatter = ChartView(view, "scatter", next_chart, id="scatter")
        self.charts = Container(self.bars, self.scatter, id="charts")
        self.strip = TurnStrip(view, id="strip")
        self.verdict_line = VerdictLine(view, key_word(keys["verdict"]), id="verdict-line")
        self.table = SummaryTable(view, id="table")
        self.spacer = Static(id="spacer")
        self.ranking = Ranking(view, id="ranking")
        self.footer = Footer(view, keys, id="footer")
        #: The backends whose panels are out of date, and whether table, verdict and footer are.
        self._stale: set[str] = set()
        self.figures_stale = True
        self.reach, self.level = view.reach, view.level
        self._numbers = Throttle(NUMBERS_S, self.show_numbers, self.app.set_timer, view.now)
        self._charts = Throttle(CHARTS_S, self.show_charts, self.app.set_timer, view.now)

    def compose(self) -> ComposeResult:
        yield from (self.header, self.panels, self.out_of_sight, self.presence, self.charts, self.strip)
        yield from (self.verdict_line, self.table, self.spacer, self.ranking, self.footer)

    def on_mount(self) -> None:
        self.composed.set()

    async def match_panels(self) -> None:
        """Have one panel per backend: the engine may run other backends than the plan of the first frame."""
        await run_layout.match_panels(self)
        self.arrange_parts()

    # --- Selection ---

    def select(self, number: int) -> None:
        """Select the backend with this number (1 is the first)."""
        names = self.view.names
        if 1 <= number <= len(names):
            self.view.selected = names[number - 1]
            self.focus_selected()
            if self.view.covered:
                self._follow(topmost_opaque(self.app.screen_stack))
            else:
                self.show_selected()

    def step(self, by: int) -> None:
        """Select the next or the previous backend."""
        names = self.view.names
        if names and not self.view.details and self.view.page in ("", "log"):
            at = names.index(self.view.selected) if self.view.selected in names else 0
            self.select((at + by) % len(names) + 1)

    def focus_next(self, selector: object = "*") -> Widget | None:
        """Focus the next backend, also one that is out of sight."""
        return self._step_focus(1)

    def focus_previous(self, selector: object = "*") -> Widget | None:
        """Focus the previous backend."""
        return self._step_focus(-1)

    def _step_focus(self, by: int) -> Widget | None:
        """From backend to backend, and between the last and the first to the table."""
        table, names = self.table, self.view.names
        edge = names[-1 if by > 0 else 0] if names else ""
        if table.has_focus:
            self.select(1 if by > 0 else len(names))
        elif table.display and self.view.selected == edge:
            table.focus()
        else:
            self.step(by)
        return self.focused

    def focus_selected(self) -> None:
        """Focus the panel of the selected backend, and bring it into sight."""
        self.scroll_panels()
        for panel in run_layout.panels_of(self):
            if panel.index < len(self.view.names) and panel.backend == self.view.selected:
                self.set_focus(panel)

    def show_selected(self) -> None:
        """Redraw what shows which backend is selected."""
        for panel in run_layout.wrongly_marked(self):
            panel.redraw()
        self.table.redraw()
        self.footer.redraw()
        self.paint()

    def on_panel_selected(self, message: Panel.Selected) -> None:
        if message.backend != self.view.selected:
            self.view.selected = message.backend
            self.show_selected()

    def on_summary_table_picked(self, message: SummaryTable.Picked) -> None:
        self.view.selected = message.backend
        self.scroll_panels()
        if levels.pick(self.view, message.level):
            self.show_all()
        self.show_selected()

    def on_summary_table_sorted(self, message: SummaryTable.Sorted) -> None:
        self.sort_table(message.sort)

    def sort_table(self, sort: Sort) -> None:
        """Sort the table."""
        self.view.sort = sort
        self.show_selected()

    def on_chart_view_toggled(self, message: ChartView.Toggled) -> None:
        name = self.view.names[message.index]
        self.view.hidden ^= {name}
        self.show_changed(name)

    # --- Layout ---

    def arrange_parts(self, size: Size | None = None) -> None:
        """Give every part its place at the terminal's present size, or at `size`, which it is about to have."""
        if not self.app.is_running or not self.panels.is_attached:
            return
        view, size = self.view, run_layout.choose(self, size or self.app.size)
        with self.app.batch_update():
            self.scroll_panels()
            run_layout.apply(self, view.layout, size)
        self.app.call_after_refresh(self.show_all)
        if self.focused is None and view.selected:
            self.focus_selected()

    def scroll_panels(self) -> None:
        """Display the panels that have room, the selected one among them."""
        run_layout.scroll_panels(self)

    # --- Drawing ---

    def invalidate(self, *backends: str) -> None:
        """Mark the panels of these backends as out of date."""
        self._stale.update(backends)

    def invalidate_all(self) -> None:
        """Mark every panel and figure as out of date."""
        self._stale.update(self.view.names)
        self.figures_stale = True

    def request_numbers(self) -> None:
        """Redraw what is out of date, at the pace of the screen."""
        self._numbers.request()

    def request_charts(self) -> None:
        """Redraw the charts, at the pace of the screen."""
        self._charts.request()

    def show_all(self) -> None:
        """Redraw everything."""
        self.show_changed(*self.view.names)

    def show_changed(self, *backends: str) -> None:
        """Redraw what is out of date, with the panels of these backends. The charts take longest and come last."""
        self.invalidate(*backends)
        self.figures_stale = True
        self.show_numbers(whole=True)
        self.app.call_later(self.show_charts)

    def show_uncovered(self) -> None:
        """Redraw what has changed below a screen that is taken off this one. Textual is about to paint it whole."""
        if self.view.covered:
            # By the page below the one that is taken off.
            return
        if changed := run_layout.wrongly_marked(self):
            # The table shows the selection too.
            self.invalidate(*(each.backend for each in changed))
            self.figures_stale = True
        self._redraw_numbers()
        self.footer.redraw()
        self.app.call_after_refresh(self.show_charts)

    def show_charts_first(self) -> None:
        """Redraw all after a change that shows in the charts above all."""
        self.show_charts()
        self.invalidate_all()
        self.app.call_later(self.show_numbers, True)

    def paint(self) -> None:
        """Paint what was redrawn, now and in one write."""
        paint_now(self.app, Lines)

    def show_numbers(self, whole: bool = False) -> None:
        """Redraw what is out of date; while the screen is held only header and footer, unless `whole`."""
        if not self.app.is_running:
            return
        top = topmost_opaque(self.app.screen_stack)
        if top is not self:
            self._follow(top)
            return
        if self.view.behind is not None and not whole:
            self.header.redraw()
            self.footer.redraw()
        else:
            self._redraw_numbers()
        self.paint()

    def _follow(self, top: Screen[object]) -> None:
        """Bring the screen that covers this one up to date."""
        if isinstance(top, Overlay) and top.is_mounted:
            top.follow()
            self.paint()

    def _redraw_numbers(self) -> None:
        run_layout.keep_up(self)
        if run_layout.outdated(self.view, self.figures_stale):
            self.app.call_later(self.arrange_parts)
        stale, self._stale = self._stale, set()
        for panel in run_layout.panels_of(self):
            if panel.index < len(self.view.names) and panel.backend in stale:
                panel.redraw()
        self.header.redraw()
        # Arriving tokens, memory and clocks change panels and header only, four times a second.
        if self.figures_stale:
            self.figures_stale = False
            for part in (self.out_of_sight, self.presence, self.verdict_line, self.table, self.ranking, self.footer):
                part.redraw()

    def show_charts(self) -> None:
        """Redraw the charts."""
        self._show_charts_from(0)

    def _show_charts_from(self, first: int) -> None:
        """Redraw one chart, and later the next: a key that was pressed meanwhile goes first."""
        if not self.app.is_running or topmost_opaque(self.app.screen_stack) is not self:
            return
        charts = (self.bars, self.scatter, self.strip)
        if first < len(charts):
            charts[first].redraw()
            self.paint()
            self.app.call_later(self._show_charts_from, first + 1)


def topmost_opaque(stack: list[Screen[object]]) -> Screen[object]:
    """The topmost screen with an opaque background: the screens below it are not drawn."""
    return next((screen for screen in reversed(stack) if screen.styles.background.a == 1), stack[0])
