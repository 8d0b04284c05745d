"""What the monitor's commands do: one method `do_<id>` for every command of the registry."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmtui.model import AnyCommand, Detach, Logs, More, Pause, Rerun, Resume, Shutdown, Stop
from llmtui.plain import plain
from llmtui.ui import board_view, exporting, sorting, themes
from llmtui.ui.commands import BY_ID, key_word
from llmtui.ui.lines import ascii_text
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.panel import Panel
from llmtui.ui.widgets.table import SummaryTable

if TYPE_CHECKING:
    from textual.app import App

    from llmtui.engine.client import EngineLink
    from llmtui.ui.runlog import RunLog
    from llmtui.ui.screens.details import DetailsScreen
    from llmtui.ui.screens.log import LogScreen
    from llmtui.ui.screens.verdict import VerdictScreen
    from llmtui.ui.view import View

    _Base = App[None]
else:
    _Base = object

#: Why a command that the engine would carry out does not apply without one.
NO_ENGINE = "there is no engine any more"
#: What only informs leaves soon.
_BRIEF_S = 2.0
#: Within so many seconds the second press of the quit key counts.
QUIT_AGAIN_S = 3.0


class Actions(_Base):
    """The half of the monitor that keys and clicks reach."""

    view: View
    keys: dict[str, str]
    engine: EngineLink | None
    export_dir: Path | None
    log_book: RunLog
    wall: Callable[[], datetime.datetime]
    _quit_asked: float

    if TYPE_CHECKING:

        def arrange(self) -> None: ...
        def show_all(self) -> None: ...
        def scroll_panels(self) -> None: ...
        def hold(self) -> None: ...
        def let_go(self) -> None: ...
        def end(self, farewell: AnyCommand | None = None) -> None: ...

    def say(self, words: str, level: Literal["info", "warning", "error"] = "info", timeout: float = 6.0) -> None:
        """Tell the person watching something once; all but a brief answer to a key is in the log. `words` is plain."""
        if timeout != _BRIEF_S:
            self.log_book.say(words, level)
        severity: Literal["information", "warning", "error"] = "information" if level == "info" else level
        if self.view.ascii_only:
            words = ascii_text(words)
        self.notify(words, severity=severity, timeout=timeout, markup=False)

    def action_command(self, command_id: str) -> None:
        """Carry out a command of the registry, or say why it does not apply."""
        command = BY_ID[command_id]
        if self.view.behind is not None and command.engine and command_id not in ("pause", "detach"):
            # It acts on what is, not on what was.
            self.let_go()
        if command.applies(self.view.situation()):
            getattr(self, f"do_{command_id}")()
        elif command.engine and self.view.link != "up":
            gone = self.view.link == "gone"
            self.say(NO_ENGINE if gone else "the engine is still starting", timeout=_BRIEF_S)
        elif command.refusal:
            name = f"{plain(self.view.selected, 40)} is " if command.group == "Backend" else ""
            self.say(f"{name}{command.refusal}", timeout=_BRIEF_S)

    async def action_quit(self) -> None:
        """Textual's own way out takes the same road."""
        self.action_command("quit")

    def on_footer_chosen(self, message: Footer.Chosen) -> None:
        self.action_command(message.command)

    def _send(self, command: AnyCommand) -> None:
        if self.engine is not None:
            self.run_worker(self.engine.send(command), name="send", exit_on_error=False)

    # --- Choosing a backend ---

    def on_panel_selected(self, message: Panel.Selected) -> None:
        self.view.selected = message.backend
        self._show_selected()

    def _show_selected(self) -> None:
        for widget in self.screen_stack[0].query("Panel, Footer, SummaryTable"):
            if isinstance(widget, Panel | Footer | SummaryTable):
                widget.redraw()

    def on_panel_opened(self) -> None:
        self.action_command("maximise")

    def on_summary_table_picked(self, message: SummaryTable.Picked) -> None:
        self.view.selected = message.backend
        self.scroll_panels()
        self._show_selected()

    def on_summary_table_opened(self) -> None:
        self.action_command("maximise")

    def on_summary_table_sorted(self, message: SummaryTable.Sorted) -> None:
        self._sort(message.sort)

    def action_select(self, number: int) -> None:
        """Choose the backend with this number (1 is the first)."""
        names = self.view.names
        if 1 <= number <= len(names):
            self.view.selected = names[number - 1]
            self.focus_selected()
            if self.view.details:
                self.follow_details()

    def action_step(self, by: int) -> None:
        """Choose the next or the previous backend."""
        names = self.view.names
        if names and not (self.view.details or self.view.verdict_shown):
            at = names.index(self.view.selected) if self.view.selected in names else 0
            self.action_select((at + by) % len(names) + 1)

    def action_focus_next(self) -> None:
        """Tab reaches the backends that are out of sight too."""
        if len(self.screen_stack) > 1:
            self.screen.focus_next()
        else:
            self._step_focus(1)

    def action_focus_previous(self) -> None:
        """The same the other way round."""
        if len(self.screen_stack) > 1:
            self.screen.focus_previous()
        else:
            self._step_focus(-1)

    def _step_focus(self, by: int) -> None:
        """From backend to backend, and between the last and the first into the table."""
        table, names = self._table, self.view.names
        edge = names[-1 if by > 0 else 0] if names else ""
        if table.has_focus:
            self.action_select(1 if by > 0 else len(names))
        elif table.display and self.view.selected == edge:
            table.focus()
        else:
            self.action_step(by)

    @property
    def _table(self) -> SummaryTable:
        return self.screen_stack[0].query_one(SummaryTable)

    def focus_selected(self) -> None:
        """Put the focus on the panel of the selected backend, and that into sight."""
        main = self.screen_stack[0]
        self.scroll_panels()
        for panel in main.query(Panel):
            if panel.index < len(self.view.names) and panel.backend == self.view.selected:
                main.set_focus(panel)

    # --- Backend ---

    def do_rerun(self) -> None:
        self._send(Rerun(backend=self.view.selected))

    def do_stop(self) -> None:
        self._send(Stop(backend=self.view.selected))

    # --- Run ---

    def do_rerun_all(self) -> None:
        self._send(Rerun())

    def do_pause(self) -> None:
        self._send(Resume() if self.view.phase == "paused" else Pause())

    def do_more(self) -> None:
        self._send(More())
        self.say("rounds are added until every interval reaches no further than 5 % to either side", timeout=_BRIEF_S)

    def do_detach(self) -> None:
        self.end(Detach())

    def do_export(self) -> None:
        form = exporting.FORMATS[0]
        folder = self.export_dir or Path.cwd()
        try:
            path = exporting.write_new(self.view.board, form, folder / exporting.file_name(form, self.wall()))
        except exporting.ExportError as error:
            self.say(f"not exported: {error}", "error", timeout=10.0)
        else:
            self._exported(path.absolute())

    def do_export_as(self) -> None:
        from llmtui.ui.screens.export import ExportScreen

        self.push_screen(ExportScreen(self.view, self.export_dir or Path.cwd(), self.wall()), self._exported)

    def _exported(self, path: Path | None) -> None:
        if path is not None:
            # The clipboard is UTF-8, a path need not be.
            self.copy_to_clipboard(str(path).encode("utf-8", "replace").decode())
            self.say(f"written, and the path sent to the clipboard: {plain(str(path), 400)}", timeout=10.0)

    # --- View ---

    def do_hide(self) -> None:
        self.view.hidden ^= {self.view.selected}
        self.show_all()

    def do_metric(self) -> None:
        self.view.metric = board_view.next_metric(self.view.metric)
        self.show_all()

    def do_chart(self) -> None:
        if self.view.table_shown and self.view.layout.shared:
            self.view.table_shown = False
        else:
            self.view.next_chart()
        self.arrange()

    def do_scale(self) -> None:
        self.view.other_scale()
        self.show_all()

    def on_chart_view_toggled(self, message: ChartView.Toggled) -> None:
        self.view.hidden ^= {self.view.names[message.index]}
        self.show_all()

    def do_table(self) -> None:
        self.view.table_shown = not self.view.table_shown
        self.arrange()

    def do_sort(self) -> None:
        self._sort(sorting.following(self.view.sort, self._table.columns()))

    def do_reverse(self) -> None:
        sort = self.view.sort
        self._sort(sorting.Sort(sort.column, not sort.reverse))

    def _sort(self, sort: sorting.Sort) -> None:
        self.view.sort = sort
        self._show_selected()

    def do_hold(self) -> None:
        if self.view.behind is None:
            self.hold()
        else:
            self.let_go()

    def do_log(self) -> None:
        if self.view.log_shown:
            self.do_back()
            return
        from llmtui.ui.screens.log import LogScreen

        self.view.log_shown = True
        # All of it stands in the log, and would lie over its newest lines.
        self.clear_notifications()
        self.push_screen(LogScreen(self.view, self.keys, self.log_book))

    def do_verdict(self) -> None:
        if self.view.verdict_shown:
            self.do_back()
            return
        from llmtui.ui.screens.verdict import VerdictScreen

        self.view.verdict_shown = True
        self.push_screen(VerdictScreen(self.view, self.keys))

    def do_server_log(self) -> None:
        from llmtui.ui.screens.details import DetailsScreen

        for screen in self.screen_stack:
            if isinstance(screen, DetailsScreen):
                screen.toggle_log()

    def on_details_screen_log_wanted(self, message: DetailsScreen.LogWanted) -> None:
        self._send(Logs(backend=message.backend))

    def do_maximise(self) -> None:
        from llmtui.ui.screens.details import DetailsScreen

        self.view.details = True
        self.push_screen(DetailsScreen(self.view, self.keys))

    def do_back(self) -> None:
        if not self.view.covered:
            self.let_go()
            return
        self.view.details = self.view.log_shown = self.view.verdict_shown = False
        self.pop_screen()
        self.focus_selected()
        self.show_all()

    def follow_details(self) -> None:
        """Bring the screen that lies over all backends up to date."""
        from llmtui.ui.screens.details import DetailsScreen
        from llmtui.ui.screens.log import LogScreen
        from llmtui.ui.screens.verdict import VerdictScreen

        for screen in self.screen_stack:
            if isinstance(screen, DetailsScreen | LogScreen | VerdictScreen) and screen.is_mounted:
                shown: DetailsScreen | LogScreen | VerdictScreen = screen
                shown.follow()

    # --- Application ---

    def do_theme(self) -> None:
        ring = themes.RING
        self.theme = ring[(ring.index(self.theme) + 1) % len(ring)] if self.theme in ring else ring[0]

    def do_help(self) -> None:
        from llmtui.ui.screens.help import HelpScreen

        def chosen(command: str | None) -> None:
            if command:
                self.action_command(command)

        self.push_screen(HelpScreen(self.keys), chosen)

    def do_quit(self) -> None:
        going = self.view.situation().phase in ("connecting", "starting", "running", "paused")
        now = self.view.now()
        if going and now - self._quit_asked > QUIT_AGAIN_S:
            self._quit_asked = now
            key, away = key_word(self.keys["quit"]), key_word(self.keys["detach"])
            self.say(
                f"the run is still going: {key} again ends it and its servers, {away} leaves it going",
                "warning",
                QUIT_AGAIN_S,
            )
            return
        self.end(Shutdown())
