"""What the monitor's commands do: one method `do_<id>` for every command of the registry."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmtui.format import plural
from llmtui.model import AnyCommand, Detach, Logs, More, Pause, Rerun, Resume, Shutdown, Stop
from llmtui.text import sanitize
from llmtui.ui import themes
from llmtui.ui.actions import export_files as exporting
from llmtui.ui.actions.registry import BY_ID, key_word
from llmtui.ui.render import Drawing
from llmtui.ui.screens.overlay import Over
from llmtui.ui.text.spans import ascii_text
from llmtui.ui.textual_internals import redraw_notifications, withdraw_notifications
from llmtui.ui.views import sorting
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.panel import Panel
from llmtui.ui.widgets.table import SummaryTable

if TYPE_CHECKING:
    from llmtui.link.client import EngineLink
    from llmtui.ui.screens.details import DetailsScreen

#: Why a command that the engine would carry out does not apply without one.
NO_ENGINE = "there is no engine any more"
#: What only informs leaves soon.
_BRIEF_S = 2.0
#: Within so many seconds the second press of the quit key counts.
QUIT_AGAIN_S = 3.0


class Actions(Drawing):
    """The half of the monitor that keys and clicks reach."""

    engine: EngineLink | None
    export_dir: Path | None
    wall: Callable[[], datetime.datetime]
    _quit_asked: float

    if TYPE_CHECKING:

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
        withdraw_notifications(self, words)
        self.notify(words, severity=severity, timeout=timeout, markup=False)

    def action_command(self, command_id: str) -> None:
        """Carry out a command of the registry, or say why it does not apply."""
        command = BY_ID[command_id]
        if command_id == "back" and self._take_back():
            return
        if self.view.behind is not None and command.engine and command_id not in ("pause", "detach"):
            # It acts on what is, not on what was.
            self.let_go()
        if command.applies(self.view.situation()):
            getattr(self, f"do_{command_id}")()
        elif command.engine and self.view.link != "up":
            gone = self.view.link == "gone"
            self.say(NO_ENGINE if gone else "the engine is still starting", timeout=_BRIEF_S)
        elif command.refusal:
            name = f"{sanitize(self.view.selected, 40)} is " if command.group == "Backend" else ""
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
        if message.backend != self.view.selected:
            self.view.selected = message.backend
            self._show_selected()

    def _show_selected(self) -> None:
        main = self.screen_stack[0]
        for panel in main.query(Panel):
            if panel.index < len(self.view.names) and panel.marked != (panel.backend == self.view.selected):
                panel.redraw()
        self._table.redraw()
        main.query_one(Footer).redraw()
        self.paint()

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
            if self.view.covered:
                self.follow()
            else:
                self._show_selected()

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
        # By what leads where the metric on the screen is not comparable.
        # The engine says what comes of it.
        self._send(More(metric=self.view.run_view.verdict(self.view.metric).used))

    def do_detach(self) -> None:
        self.end(Detach())

    def do_export(self) -> None:
        form = exporting.FORMATS[0]
        folder = self.export_dir or Path.cwd()
        try:
            path = exporting.write_beside(self.view.run_view, form, folder / exporting.file_name(form, self.wall()))
        except exporting.ExportError as error:
            self.say(f"not exported: {error}", "error", timeout=10.0)
        else:
            self._exported(path.absolute())

    def do_export_as(self) -> None:
        from llmtui.ui.screens.export import ExportScreen

        def closed(path: Path | None) -> None:
            self._take_back()
            self.show_again()
            self._exported(path)

        self.push_screen(ExportScreen(self.view, self.export_dir or Path.cwd(), self.wall()), closed)

    def _exported(self, path: Path | None) -> None:
        if path is not None:
            # The clipboard is UTF-8, a path need not be.
            self.copy_to_clipboard(str(path).encode("utf-8", "replace").decode())
            behind = self.view.behind
            without = f"without the {plural(behind, 'iteration')} since the screen was held, " if behind else ""
            self.say(f"written, {without}and the path sent to the clipboard: {sanitize(str(path), 400)}", timeout=10.0)

    # --- View ---

    def do_hide(self) -> None:
        self.view.hidden ^= {self.view.selected}
        self.show_all()

    def do_metric(self) -> None:
        self.view.next_metric()
        self.show_all()

    def do_chart(self) -> None:
        if self.view.table_shown and self.view.layout.shared:
            self.view.table_shown = False
            self.arrange()
        else:
            self.view.next_chart()
            self._charts_before_all()

    def do_scale(self) -> None:
        self.view.toggle_scale()
        self._charts_before_all()

    def _charts_before_all(self) -> None:
        """For what changes little besides the charts."""
        self._show_charts()
        self._all_stale()
        self.call_later(self._show_numbers, True)

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
        self.view.log_shown = True
        # All of it stands in the log, and would lie over its newest lines.
        self.clear_notifications()
        self.push_screen(self.kept("log"))

    def do_verdict(self) -> None:
        if self.view.verdict_shown:
            self.do_back()
            return
        self.view.verdict_shown = True
        self.push_screen(self.kept("verdict"))

    def do_server_log(self) -> None:
        from llmtui.ui.screens.details import DetailsScreen

        for screen in self.screen_stack:
            if isinstance(screen, DetailsScreen):
                screen.toggle_log()

    def on_details_screen_log_wanted(self, message: DetailsScreen.LogWanted) -> None:
        self._send(Logs(backend=message.backend))

    def do_maximise(self) -> None:
        self.view.details = True
        self.push_screen(self.kept("details"))

    def do_back(self) -> None:
        if not self.view.covered:
            self.let_go()
            return
        self.view.details = self.view.log_shown = self.view.verdict_shown = False
        left = self.screen
        self.pop_screen()
        if isinstance(left, Over):
            left.forget()
        self.focus_selected()
        self.show_again()

    # --- Application ---

    def do_theme(self) -> None:
        ring = themes.RING
        self.theme = ring[(ring.index(self.theme) + 1) % len(ring)] if self.theme in ring else ring[0]
        # When the stylesheet has been read again.
        self.call_next(self.paint)

    def do_help(self) -> None:
        def chosen(command: str | None) -> None:
            self._take_back()
            self.show_again()
            if command:
                self.action_command(command)

        self.push_screen(self.kept("help"), chosen)

    def do_quit(self) -> None:
        going = self.view.situation().phase in ("connecting", "starting", "running", "paused")
        if going and not self._asked:
            self._quit_asked = self.view.now()
            self.say(self._question, "warning", QUIT_AGAIN_S)
            return
        self.end(Shutdown())

    @property
    def _question(self) -> str:
        quits, away, back = (key_word(self.keys[command]) for command in ("quit", "detach", "back"))
        return f"still going: {quits} again ends it and its servers, {away} leaves it going, {back} stays"

    @property
    def _asked(self) -> bool:
        """Whether the question of the quit key stands: its next press counts."""
        return self.view.now() - self._quit_asked <= QUIT_AGAIN_S

    def _take_back(self) -> bool:
        """Let the question of the quit key fall, and its words with it. Whether there was one."""
        asked, self._quit_asked = self._asked, float("-inf")
        if withdraw_notifications(self, self._question):
            redraw_notifications(self)
        return asked
