"""What the monitor draws, in which order, and where it has its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, get_args

from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen

from llmtui.ui.layout import layout_for
from llmtui.ui.screens.overlay import Over
from llmtui.ui.textual_internals import ToastRack, build_screen, lay_out, paint_now
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, More, Said, Verdict
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.panel import Panel
from llmtui.ui.widgets.table import SummaryTable

if TYPE_CHECKING:
    from textual.app import App

    from llmtui.ui.view_state import ViewState
    from llmtui.ui.views.log import RunLog

    _Base = App[None]
else:
    _Base = object

#: The screens that are built once.
Samples = Literal["details", "help", "log", "verdict"]
#: They are built ahead when the first frame stands, with a rest before each: the run begins meanwhile.
_REST_S = 0.3


class Drawing(_Base):
    """The half of the monitor that draws."""

    view: ViewState
    keys: dict[str, str]
    log_book: RunLog
    _stale: set[str]
    _figures_stale: bool
    _kept: dict[str, Screen[Any]]

    if TYPE_CHECKING:

        def focus_selected(self) -> None: ...

    @property
    def main(self) -> Screen[object]:
        """The screen with all backends, whatever is on top of it."""
        return self.screen_stack[0]

    @property
    def seen(self) -> Screen[object]:
        """The topmost screen through which nothing shines: what lies below is not drawn."""
        stack = self.screen_stack
        return next((screen for screen in reversed(stack) if screen.styles.background.a == 1), stack[0])

    # --- The other screens ---

    def kept(self, name: Samples) -> Screen[Any]:
        """The screen of this name, built when it is asked for first."""
        if name not in self._kept:
            self._kept[name] = self._built(name)
            self.install_screen(self._kept[name], name)
        return self._kept[name]

    def _built(self, name: Samples) -> Screen[Any]:
        match name:
            case "details":
                from llmtui.ui.screens.details import DetailsScreen

                return DetailsScreen(self.view, self.keys)
            case "help":
                from llmtui.ui.screens.help import HelpScreen

                return HelpScreen(self.view, self.keys)
            case "log":
                from llmtui.ui.screens.log import LogScreen

                return LogScreen(self.view, self.keys, self.log_book)
            case "verdict":
                from llmtui.ui.screens.verdict import VerdictScreen

                return VerdictScreen(self.view, self.keys)

    async def build_ahead(self, rest_s: float = _REST_S) -> None:
        """Build the screens that keys open, so that the first key finds them built."""
        for name in get_args(Samples):
            await asyncio.sleep(rest_s)
            if not self.is_running:
                return
            screen = self.kept(name)
            await build_screen(self, screen)
            if self.is_running and not screen.is_current:
                # With a place for every part it is painted once when it opens, else three times.
                if isinstance(screen, Over):
                    screen.place(self.size)
                lay_out(screen, self.size)

    # --- Places ---

    def on_resize(self, event: Resize) -> None:
        # The app's own size still is the old one here.
        self.arrange(event.size)

    def arrange(self, size: Size | None = None) -> None:
        """Give every part its place at the terminal's present size (or at `size`, which it is about to have)."""
        if not self.is_running or not self.screen_stack:
            return
        view, main = self.view, self.main
        view.layout = layout = layout_for(*(size or self.size), len(view.names))
        panels = main.query_one("#panels")
        rows = -(-(layout.lines or len(view.names)) // layout.panel_columns)
        with self.batch_update():
            self.scroll_panels()
            panels.styles.grid_size_columns = layout.panel_columns
            panels.styles.grid_size_rows = rows
            panels.styles.height = rows * layout.panel_height
            main.query_one("#header").styles.height = layout.header
            main.query_one("#header").display = layout.header > 0
            table_shown = layout.table or view.table_shown
            chart_shown = layout.charts > 0 and not (layout.shared and view.table_shown)
            charts = main.query_one("#charts")
            charts.display = chart_shown
            main.query_one("#bars").display = layout.charts == 2
            table = main.query_one("#table")
            table.display = table_shown and layout.table_rows >= 2
            table.styles.height = layout.table_rows
            said = main.query_one(Said)
            said.display = layout.said if table.display else layout.said_alone and chart_shown
            used = layout.header + rows * layout.panel_height + layout.scrolls + layout.verdict + layout.footer
            used += layout.table_rows * table.display + said.display
            # Even an empty filler takes a row.
            main.query_one("#spacer").display = not chart_shown and used < (size or self.size).height
            main.query_one("#verdict").display = layout.verdict
            main.query_one("#footer").display = layout.footer
            # What is said once lies over the charts: table, verdict and keys stay in sight.
            below = layout.table_rows * table.display + said.display if chart_shown else 0
            below += layout.verdict + layout.footer
            main.query(ToastRack).set_styles(f"margin-bottom: {below};")
        self.call_after_refresh(self.show_all)
        if main.focused is None and view.selected:
            self.focus_selected()

    def scroll_panels(self) -> None:
        """Have just those lines displayed that have a place, the selected one among them."""
        main, layout = self.main, self.view.layout
        start, end = self.view.in_sight
        for panel in main.query(Panel):
            panel.display = start <= panel.index < end
        main.query_one("#more").display = layout.scrolls
        main.query_one(More).redraw()

    # --- What is drawn ---

    def _all_stale(self) -> None:
        """Whatever has a figure may have another one."""
        self._stale.update(self.view.names)
        self._figures_stale = True

    def show_all(self) -> None:
        """Redraw what differs, everywhere: the charts cost most, and come when the rest stands."""
        self._all_stale()
        self._show_numbers(whole=True)
        self.call_later(self._show_charts)

    def show_again(self) -> None:
        """The same where the screen is about to be painted as a whole, because another one was taken off it."""
        self._all_stale()
        self._redraw_numbers()
        self.call_after_refresh(self._show_charts)

    def paint(self) -> None:
        """Paint what was redrawn, now and in one piece."""
        paint_now(self, Lines)

    def follow(self) -> None:
        """Bring the screen that lies over all backends up to date."""
        if isinstance(seen := self.seen, Over) and seen.is_mounted:
            seen.follow()
            self.paint()

    def _show_numbers(self, whole: bool = False) -> None:
        if not self.is_running:
            return
        if self.seen is not self.main:
            self.follow()
            return
        main = self.main
        if self.view.behind is not None and not whole:
            main.query_one(Header).redraw()
            main.query_one(Footer).redraw()
            self.paint()
            return
        self._redraw_numbers()
        self.paint()

    def _redraw_numbers(self) -> None:
        main = self.main
        stale, self._stale = self._stale, set()
        # Tokens that arrive, memory and clocks change nothing but panels and header, four times a second.
        parts = (Header, More, Said, SummaryTable, Verdict, Footer) if self._figures_stale else (Header,)
        self._figures_stale = False
        for panel in main.query(Panel):
            if panel.index < len(self.view.names) and panel.backend in stale:
                panel.redraw()
        for part in parts:
            main.query_one(part).redraw()

    def _show_charts(self) -> None:
        self._show_charts_from(0)

    def _show_charts_from(self, first: int) -> None:
        """One chart, and the next when that stands: a key that was pressed meanwhile goes before."""
        if not self.is_running or self.seen is not self.main:
            return
        charts = list(self.main.query(ChartView))
        if first < len(charts):
            charts[first].redraw()
            self.paint()
            self.call_later(self._show_charts_from, first + 1)
