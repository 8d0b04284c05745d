"""The monitor: follows one engine's events onto the screen and sends it the user's commands. It never measures."""

from __future__ import annotations

import asyncio
import datetime
import functools
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize

from llmtui.config.schema import UiConfig
from llmtui.link.client import EngineLink
from llmtui.model import Logs, Plan
from llmtui.runview.run import RunView
from llmtui.ui import themes
from llmtui.ui.actions.command import Command
from llmtui.ui.actions.dispatch import ACTIONS, run_command
from llmtui.ui.actions.keys import resolve_keys
from llmtui.ui.actions.quit_question import QuitQuestion
from llmtui.ui.actions.registry import BY_ID, COMMANDS
from llmtui.ui.actions.rerun_question import RerunQuestion
from llmtui.ui.announcer import Announcer
from llmtui.ui.here import Here
from llmtui.ui.screens.prebuilt import Overlays
from llmtui.ui.screens.run import RunScreen
from llmtui.ui.session import Session
from llmtui.ui.terminal import Terminal, exempt_from_collections, go_behind
from llmtui.ui.text.spans import ascii_text, even_text
from llmtui.ui.textual_internals import (
    keep_text_readable_without_colour,
    start_with_theme,
    withdraw_notifications,
    write_to_terminal,
)
from llmtui.ui.trends import Trends
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.log import RunLog, local_now
from llmtui.ui.widgets.footer import Footer

if TYPE_CHECKING:
    # The first frame does not wait for what a past run needs.
    from llmtui.runview.against import Against
    from llmtui.ui.past import PastRun
    from llmtui.ui.screens.details import DetailsScreen
    from llmtui.ui.screens.requests import RequestsScreen


def _palette() -> type[Provider]:
    from llmtui.ui.actions.palette import CommandsProvider

    return CommandsProvider


class MonitorApp(App[None]):
    """Shows the plan immediately, then awaits `link()` and follows the engine behind it.

    After `run()` has returned, `run_view` has all that the engine reported, and `session` says how it ended.
    """

    TITLE = "llmtui"
    CSS_PATH = "llmtui.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(c.key, f"command('{c.id}')", c.label, id=c.id, show=False) for c in COMMANDS),
        *(Binding(str(n), f"select({n})", show=False) for n in range(1, 10)),
        Binding("ctrl+c,ctrl+q", "command('quit')", show=False, priority=True),
        Binding("right,down", "step(1)", show=False),
        Binding("left,up", "step(-1)", show=False),
    ]
    # What the command palette searches; imported when it opens for the first time.
    COMMANDS = {_palette}
    main: RunScreen

    def __init__(
        self,
        plan: Plan,
        link: Callable[[], Awaitable[EngineLink]],
        *,
        ui: UiConfig,
        export_dir: Path | None = None,
        attached: bool = False,
        past: PastRun | None = None,
        against: Against | None = None,
        here: Here | None = None,
        far: bool = False,
    ) -> None:
        super().__init__()
        keep_text_readable_without_colour(self)
        # A run that has been going on is not shown before it is here.
        self.view = ViewState(plan, ui, catching_up=attached or past is not None, past=past)
        self.view.run_view.against = against
        self.keys = resolve_keys(ui.keys)
        self.export_dir = export_dir
        #: Whether the engine and its servers are on another machine.
        self.far = far
        self.wall: Callable[[], datetime.datetime] = local_now
        self.log_book = RunLog(lambda: self.wall())
        self.announcer = Announcer(self.view, functools.partial(write_to_terminal, self))
        self.quit_question = QuitQuestion(self)
        self.rerun_question = RerunQuestion(self)
        self.here = here or Here()
        self.trends = Trends()
        self.overlays = Overlays(self)
        self.session = Session(self, link)
        # Each frame of an animation is one more repaint, down the whole line.
        self.animation_level = "none"
        for theme in (themes.DARK, themes.LIGHT, themes.ANSI):
            self.register_theme(theme)
        theme_name, self._theme_problem = themes.choose(ui.theme, self.available_themes)
        start_with_theme(self, theme_name)
        if self.view.ascii_only:
            # The palette draws signs and frames of its own.
            self.use_command_palette = False
            self.add_class("-ascii")
        if "0" not in self.keys.values():
            # Not reserved, as 1 to 9 are: a config may give this key to a command.
            self.bind("0", "select(10)", show=False)
        self.set_keymap({i: k for i, k in self.keys.items() if k != BY_ID[i].key})

    @property
    def run_view(self) -> RunView:
        """What the engine has reported of the run."""
        return self.view.run_view

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULT_VARIABLES

    def get_driver_class(self) -> type[Driver]:
        driver_class = super().get_driver_class()
        # Not if the terminal is a browser or a test.
        return Terminal if driver_class is LinuxDriver else driver_class

    def get_default_screen(self) -> RunScreen:
        self.main = RunScreen(self.view, self.keys)
        return self.main

    async def on_mount(self) -> None:
        if self._theme_problem:
            self.report(self._theme_problem, "warning")
        # The first frame has every part in its place.
        await self.main.composed.wait()
        self.main.arrange_parts()
        if not self.is_headless:
            if not self.far:
                go_behind()
            exempt_from_collections()
            for number in (signal.SIGTERM, signal.SIGHUP):
                # Restore the terminal first. Also under nohup: a monitor without a terminal has nothing to do.
                asyncio.get_running_loop().add_signal_handler(number, self.session.end)
        # Other programs wrote over the screen while this one was suspended, and only differences are painted.
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh())
        self.set_interval(1.0, self.session.tick)
        self.call_after_refresh(self.session.start)
        if not self.run_view.backends:
            # Nothing is raced: the user chooses.
            self.action_command("here")

    def on_resize(self, event: Resize) -> None:
        # The app's own size still is the old one here.
        self.main.arrange_parts(event.size)

    def report(
        self,
        message: str,
        level: Literal["info", "warning", "error"] = "info",
        timeout: float = 6.0,
        *,
        log: bool = True,
    ) -> None:
        """Show plain text as a toast, and add it to the log."""
        if log:
            self.log_book.note(message, level)
        severity: Literal["information", "warning", "error"] = "information" if level == "info" else level
        message = ascii_text(message) if self.view.ascii_only else even_text(message)
        # On a small screen a second toast would cover the first chart, which is the only one.
        withdraw_notifications(self, message if self.view.layout.charts == 2 else None)
        self.notify(message, severity=severity, timeout=timeout, markup=False)

    # --- Keys and clicks ---

    def execute(self, command: Command) -> None:
        """Run a command that applies."""
        ACTIONS[command.id](self)

    def action_command(self, command_id: str) -> None:
        """Run a command of the registry, or say why it does not apply."""
        run_command(self, command_id)

    def choose_command(self, command_id: str) -> None:
        """Run a command that was chosen by name: unlike its key, it answers no question."""
        self.rerun_question.withdraw()
        self.action_command(command_id)

    async def action_quit(self) -> None:
        """Ask as the quit key does."""
        self.action_command("quit")

    def action_select(self, number: int) -> None:
        """Select the backend with this number (1 is the first)."""
        self.rerun_question.withdraw()
        if self.view.request_page is not None and self.view.details and not self.view.page:
            # The requests are those of another backend.
            self.action_command("back")
        self.main.select(number)

    def action_step(self, by: int) -> None:
        """Select the next or the previous backend."""
        self.rerun_question.withdraw()
        self.main.step(by)

    def on_footer_chosen(self, message: Footer.Chosen) -> None:
        self.action_command(message.command)

    def on_requests_screen_wanted(self, message: RequestsScreen.Wanted) -> None:
        self.session.ask(message.command)

    def on_details_screen_log_wanted(self, message: DetailsScreen.LogWanted) -> None:
        self.session.send(Logs(backend=message.backend))

    def on_here_lines_chosen(self) -> None:
        self.execute_on_page("choose")

    def on_here_lines_look_wanted(self) -> None:
        self.execute_on_page("look")

    def on_here_lines_write_wanted(self) -> None:
        self.execute_on_page("write")

    def execute_on_page(self, name: Literal["choose", "look", "write"]) -> None:
        """Do what a key of the page of what is here says."""
        from llmtui.ui.actions import here

        # The keys of these two are those that answer the question, which is below the page.
        if not self.rerun_question.answered_by({"choose": "maximise", "look": "rerun"}.get(name, "")):
            {"choose": here.choose, "look": here.look, "write": here.write}[name](self)

    def on_panel_opened(self) -> None:
        self.choose_command("maximise")

    def on_summary_table_opened(self) -> None:
        self.choose_command("maximise")
