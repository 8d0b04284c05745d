"""The monitor: follows one engine's events onto the screen and sends it the user's commands. It never measures."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.widgets import Static

from llmtui.config.schema import UiConfig
from llmtui.link.client import EngineLink
from llmtui.model import AnyCommand, AnyEvent, BackendChanged, Earlier, Hello, IterationDone, Note, Plan, RunChanged
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.ui import escapes as signals
from llmtui.ui import themes
from llmtui.ui.actions.registry import BY_ID, COMMANDS, resolve_keys
from llmtui.ui.actions.run_actions import Actions
from llmtui.ui.screens.overlay import Main
from llmtui.ui.terminal import Terminal
from llmtui.ui.textual_internals import keep_text_readable_without_colour, write_to_terminal
from llmtui.ui.throttle import Pace
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.attempts import attempt_sentence
from llmtui.ui.views.log import RunLog, local_now
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, More, Said, Verdict
from llmtui.ui.widgets.panel import Panel
from llmtui.ui.widgets.table import SummaryTable

#: Numbers follow at most four times a second, charts at most twice.
NUMBERS_S = 0.25
CHARTS_S = 0.5
#: After so many events in a row the screen gets its turn.
_BREATH = 200
_LEAVE_S = 2.0
#: A held screen goes on by itself when so many iterations wait: nothing is lost, and memory stays flat.
HELD_AT_MOST = 2000


class MonitorApp(Actions, App[None]):
    """Shows the plan at once, then awaits `link()` and follows the engine behind it.

    After `run()` has returned, `run_view` holds all that the engine told, and `engine_lost` says in words how the
    engine was lost before the run was done (else it is empty).
    """

    TITLE = "llmtui"
    CSS_PATH = "llmtui.tcss"
    ENABLE_COMMAND_PALETTE = True
    AUTO_FOCUS = "Panel"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(c.key, f"command('{c.id}')", c.label, id=c.id, show=False) for c in COMMANDS),
        *(Binding(str(n), f"select({n})", show=False) for n in range(1, 10)),
        Binding("ctrl+c,ctrl+q", "command('quit')", show=False, priority=True),
        Binding("right,down", "step(1)", show=False),
        Binding("left,up", "step(-1)", show=False),
    ]

    def __init__(
        self,
        plan: Plan,
        link: Callable[[], Awaitable[EngineLink]],
        *,
        ui: UiConfig,
        export_dir: Path | None = None,
    ) -> None:
        super().__init__()
        keep_text_readable_without_colour(self)
        self.view = ViewState(plan, ui)
        self.keys = resolve_keys(ui.keys)
        self.export_dir = export_dir
        self.engine: EngineLink | None = None
        self._open = link
        self.wall: Callable[[], datetime.datetime] = local_now
        self.log_book = RunLog(lambda: self.wall())
        self._held: list[AnyEvent] = []
        #: Whether the terminal was given a title.
        self.titled = False
        self._title = ""
        self.farewell: AnyCommand | None = None
        self.engine_lost = ""
        self._hung_up = asyncio.Event()
        self._leaving = False
        self._quit_asked = float("-inf")
        # Each frame of an animation is one more repaint, down the whole line.
        self.animation_level = "none"
        #: The backends whose panels are behind, and whether the rest of the figures is.
        self._stale: set[str] = set()
        self._figures_stale = True
        self._kept: dict[str, Screen[Any]] = {}
        self._numbers = Pace(NUMBERS_S, self._show_numbers, self.set_timer, self.view.now)
        self._charts = Pace(CHARTS_S, self._show_charts, self.set_timer, self.view.now)
        for theme in (themes.DARK, themes.LIGHT, themes.ANSI):
            self.register_theme(theme)
        if self.view.ascii_only:
            # The palette draws signs and frames of its own.
            self.use_command_palette = False
            self.add_class("-ascii")
        self.set_keymap({i: k for i, k in self.keys.items() if k != BY_ID[i].key})

    @property
    def run_view(self) -> RunView:
        """All that is known of the run."""
        return self.view.run_view

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULT_VARIABLES

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        situation = self.view.situation()
        for command in COMMANDS:
            if command.applies(situation):
                yield SystemCommand(command.word(situation), command.help, lambda i=command.id: self.action_command(i))

    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()
        # Not where a browser or a test is the terminal.
        return Terminal if chosen is LinuxDriver else chosen

    def get_default_screen(self) -> Main:
        return Main(id="_default")

    def compose(self) -> ComposeResult:
        yield Header(self.view, id="header")
        with Container(id="panels"):
            for index in range(len(self.view.names)):
                yield Panel(self.view, index)
        yield More(self.view, id="more")
        with Container(id="charts"):
            yield ChartView(self.view, "statistics", id="bars")
            yield ChartView(self.view, "scatter", id="scatter")
        yield Said(self.view, id="said")
        yield SummaryTable(self.view, id="table")
        yield Static(id="spacer")
        yield Verdict(self.view, id="verdict")
        yield Footer(self.view, self.keys, id="footer")

    def on_mount(self) -> None:
        wanted = self.view.options.theme
        name = themes.SHORT.get(wanted, wanted) or themes.by_terminal()
        if name in self.available_themes:
            self.theme = name
        else:
            self.theme = themes.by_terminal()
            self.say(f'no theme "{sanitize(wanted, 40)}"; there are dark, light, ansi and those of Textual', "warning")
        self.arrange()
        if not self.is_headless:
            # The server under test goes before the screen.
            os.nice(5)
            # Whoever ends the monitor gets the terminal back as it was.
            for number in (signal.SIGTERM, signal.SIGHUP):
                # Also under nohup: without its terminal a monitor has nothing to do.
                asyncio.get_running_loop().add_signal_handler(number, self.end)
        # Whoever had the terminal meanwhile wrote over it, and only what differs would be painted.
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh())
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._connect)

    def _connect(self) -> None:
        self.run_worker(self._follow(), name="engine", exit_on_error=False)

    async def _follow(self) -> None:
        try:
            await self._follow_events()
        finally:
            self._hung_up.set()

    async def _follow_events(self) -> None:
        """Open the link and fold its events until it ends. What goes wrong is told in words."""
        try:
            self.engine = await self._open()
        except Exception as error:
            # Whatever keeps the engine from starting, the person watching reads it on the screen.
            self.lost(f"the engine did not start: {sanitize(str(error)) or type(error).__name__}")
            return
        self.view.link = "up"
        if not self.is_headless:
            self.run_worker(self.build_ahead(), name="screens", exit_on_error=False)
        count = 0
        try:
            async for event in self.engine.events():
                self.take(event)
                count += 1
                if count % _BREATH == 0 or isinstance(event, Earlier):
                    await asyncio.sleep(0)
        except Exception as error:
            self.lost(f"the engine's words were not understood: {sanitize(str(error)) or type(error).__name__}")
            return
        self.lost("the engine has gone")

    def lost(self, words: str) -> None:
        """There is no engine any more: say so, and what is left to do."""
        if self._leaving:
            return
        self.let_go()
        self.view.link = "gone"
        if self.run_view.run.phase != "done":
            self.engine_lost = words
        left = "e exports what was measured, q quits" if self.view.situation().results else "q quits"
        self.view.banner = (f"{words}: {left}", "bad")
        self.log_book.say(words, "error")
        self._tell_title()
        self._all_stale()
        self._numbers.request()

    def take(self, event: AnyEvent) -> None:
        """Fold one event and have what it changed redrawn, at the pace of the screen; or keep it while that is held."""
        if self.view.behind is None:
            self._fold(event)
            return
        match event:
            case Hello():
                self.let_go()
                self._fold(event)
            case RunChanged() | Note():
                # How far the run is, and what is said, is told also on a held screen.
                self._fold(event)
            case _:
                self._held.append(event)
                if isinstance(event, IterationDone):
                    self.view.behind += 1
                    if self.view.behind >= HELD_AT_MOST:
                        self.let_go()
                        self.say(f"the screen goes on: {HELD_AT_MOST} iterations were waiting", "warning")
                self._numbers.request()

    def hold(self) -> None:
        """Keep what stands on the screen; the run goes on."""
        self.view.behind = 0
        # A key was pressed for it: not at the pace of what the engine tells.
        self._show_numbers()

    def let_go(self) -> None:
        """Catch up with all that has happened since the screen was held."""
        if self.view.behind is None:
            return
        self.view.behind = None
        events, self._held = self._held, []
        for event in events:
            self._fold(event)
        self.show_all()

    def _fold(self, event: AnyEvent) -> None:
        was = self.view.phase
        if isinstance(event, BackendChanged | IterationDone | RunChanged):
            self.log_book.hear(event, self.run_view)
        try:
            change, name = self.run_view.apply(event)
        except KeyError:
            # An event of a backend that no Hello named: nothing to show it on.
            return
        view = self.view
        if change not in ("sample", "progress"):
            self._figures_stale = True
        match change:
            case "all":
                for note in self.run_view.notes:
                    self.say(sanitize(note.text), note.level, timeout=10.0)
                self._tell_title()
                view.structure_changed()
                self._stale.update(view.names)
                self.call_later(self._match_panels)
                self._charts.request()
            case "iterations" if not name:
                # More of the past: of any backend.
                self._stale.update(view.names)
                self._charts.request()
            case "iterations":
                view.state_changed(self.run_view.backends[name].state)
                self._stale.add(name)
                self._charts.request()
            case "state":
                backend_view = self.run_view.backends[name]
                view.state_changed(backend_view.state)
                self._stale.add(name)
                done = backend_view.state.state == "done" and not self.run_view.is_added(backend_view.state)
                if done and (compared := attempt_sentence(backend_view, view.metric)):
                    self.say(f"{sanitize(name, 40)}: {compared}")
            case "run":
                view.run_changed()
                if view.phase == "done" != was:
                    self._tell_title()
                    self._tell_end()
            case "note":
                note = self.run_view.notes[-1]
                self.say(
                    f"{sanitize(note.backend, 40)}: {sanitize(note.text)}" if note.backend else sanitize(note.text),
                    note.level,
                )
            case "sample" | "progress":
                self._stale.add(name)
        self._numbers.request()

    async def _match_panels(self) -> None:
        """As many panels as backends: the engine may know of others than the plan that the screen began with."""
        panels = self.main.query_one("#panels")
        have, want = len(panels.children), len(self.view.names)
        if have < want:
            await panels.mount(*(Panel(self.view, index) for index in range(have, want)))
        elif have > want:
            await panels.remove_children(list(panels.children)[want:])
        self.arrange()

    def _tick(self) -> None:
        """The one clock: seconds of the run, and of waits that have no progress to show. Nothing else moves by it."""
        waiting = self.view.waiting if self.view.link == "up" else []
        self._stale.update(waiting)
        if self.view.ticking or waiting:
            self._numbers.request()
        if self.view.link == "up":
            self._tell_title()

    # --- What the terminal is told ---

    def tell(self, sequence: str) -> None:
        """Write an escape sequence to the terminal."""
        write_to_terminal(self, sequence)

    def _tell_title(self) -> None:
        """Keep the terminal's title up to date: at most once a second, and only when it changes."""
        words = signals.title_words(self.run_view.run, self.view.phase)
        if not self.view.options.title or words == self._title or self._leaving:
            return
        self.tell(("" if self.titled else signals.KEEP_TITLE) + signals.set_title(words))
        self._title, self.titled = words, True

    def _tell_end(self) -> None:
        """The run has just been done: say so, in the way that the config asks for."""
        run = self.run_view.run
        words = f"llmtui: the run is done, {run.finished} of {run.total} iterations"
        match self.view.options.notify:
            case "bell":
                self.tell(signals.BELL)
            case "desktop":
                self.tell(signals.notification(words, os.environ))

    # --- Leaving ---

    def end(self, farewell: AnyCommand | None = None) -> None:
        """Leave without asking, with a last word to the engine. Without one it does as on any lost connection."""
        self.farewell = farewell
        self.run_worker(self.leave(), name="leave", exit_on_error=False)

    async def leave(self) -> None:
        """Take leave of the engine, and close the screen."""
        if self._leaving:
            return
        self._leaving = True
        if self.engine is not None:
            try:
                async with asyncio.timeout(_LEAVE_S):
                    if self.farewell is not None:
                        await self.engine.send(self.farewell)
                        # The engine hangs up once it has heard it; a reset by our closing first might swallow it.
                        await self._hung_up.wait()
                    await self.engine.close()
            except TimeoutError:
                # An engine that does not listen is ended by whoever started it.
                pass
        self.exit()
