"""The monitor's side of one engine: connects, applies events to the view, sends commands, leaves."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from llmtui.link.client import EngineLink, LineLink
from llmtui.model import (
    AnyCommand,
    AnyEvent,
    BackendChanged,
    Earlier,
    Hello,
    IterationDone,
    Note,
    RequestBatch,
    Requests,
    RunChanged,
    Tick,
    TurnDone,
)
from llmtui.model.errors import CommandError
from llmtui.runview.loads import worded
from llmtui.text import sanitize
from llmtui.ui.history_requests import History, from_history
from llmtui.ui.line import show_line
from llmtui.ui.text.format import name_text
from llmtui.ui.views.attempts import attempt_sentence
from llmtui.ui.views.log import note_text

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp

#: After this many events in a row, other tasks run.
_EVENTS_PER_TURN = 200
#: How long to wait for an engine to receive the last command.
_LEAVE_S = 2.0
#: A held screen catches up when this many iterations wait: memory stays bounded.
HELD_AT_MOST = 2000


class Session:
    """One connection to an engine, from `open_link()` until the monitor leaves or the engine is lost."""

    def __init__(self, app: MonitorApp, open_link: Callable[[], Awaitable[EngineLink]]) -> None:
        self._app = app
        self._view = app.view
        self._open_link = open_link
        self._held: list[AnyEvent] = []
        self._hung_up = asyncio.Event()
        self._leaving = False
        self.engine: EngineLink | None = None
        #: Reads requests of a turn from the history, for a run that has ended.
        self.history: History | None = None
        #: The last command sent to the engine on leaving.
        self.farewell: AnyCommand | None = None
        #: How the engine was lost before the run was done, else empty.
        self.lost_reason = ""

    def send(self, command: AnyCommand) -> None:
        """Send a command to the engine, if there is one."""
        if self.engine is not None:
            self._app.run_worker(self.engine.send(command), name="send", exit_on_error=False)

    def ask(self, command: Requests) -> None:
        """Ask for requests of a turn: the engine, or the history if the run is over. They come as any event does."""
        if self._view.past is None and self._view.link == "up":
            self.send(command)
        else:
            single = command.place is not None
            self._app.run_worker(self._read(command), group=f"requests {single}", exclusive=True, exit_on_error=False)

    async def _read(self, command: Requests) -> None:
        async for batch in from_history(self.history, self._view.run_view, command):
            self._receive(batch)

    def start(self) -> None:
        """Open the link in the background, and apply its events until it ends. Errors are shown on the screen."""
        self._app.run_worker(self._run(), name="engine", exit_on_error=False)

    async def _run(self) -> None:
        try:
            await self._follow()
        finally:
            self._hung_up.set()

    async def _follow(self) -> None:
        try:
            self.engine = await self._open_link()
        except Exception as error:
            self._lose(f"the engine did not start: {sanitize(str(error)) or type(error).__name__}")
            return
        if isinstance(self.engine, LineLink):
            self.engine.on_line = functools.partial(show_line, self._app)
        self._view.link = "up"
        if not self._app.is_headless:
            self._app.run_worker(self._app.overlays.build_ahead(), name="screens", exit_on_error=False)
        count = 0
        try:
            async for event in self.engine.events():
                self._receive(event)
                count += 1
                if count % _EVENTS_PER_TURN == 0 or isinstance(event, Earlier | RequestBatch):
                    await asyncio.sleep(0)
        except Exception as error:
            said = sanitize(str(error), 400) or type(error).__name__
            self._lose(said if isinstance(error, CommandError) else f"cannot read the engine's messages: {said}")
            return
        self._lose("the engine has exited")

    def _lose(self, reason: str) -> None:
        """Show that the engine is lost, and what the user can still do."""
        if self._leaving:
            return
        self.catch_up()
        app, view = self._app, self._view
        view.link, view.run_view.ended = "gone", True
        self._end_catching_up()
        if view.run_view.run.phase != "done":
            self.lost_reason = reason
        hint = "e exports the results, q quits" if view.situation().results else "q quits"
        view.banner = (f"{reason}: {hint}", "bad")
        app.log_book.note(reason, "error")
        app.announcer.update_title()
        app.main.invalidate_all()
        app.main.request_numbers()

    def tick(self) -> None:
        """Redraw what changes by the second: the clock of the run, and of waits that have no progress to show."""
        view, app = self._view, self._app
        if view.link != "up":
            return
        waiting = view.waiting
        app.main.invalidate(*waiting)
        if view.ticking or waiting:
            app.main.request_numbers()
        app.announcer.update_title()

    # --- Events ---

    def _receive(self, event: AnyEvent) -> None:
        """Apply one event and redraw what it changed; while the screen is held, store it."""
        view = self._view
        if view.behind is None or view.catching_up:
            self._apply(event)
            return
        match event:
            case Hello():
                self.catch_up()
                self._apply(event)
            case RunChanged() | Note() | RequestBatch():
                # The progress of the run, notes, and what a key asked for are shown on a held screen too.
                self._apply(event)
            case _:
                self._held.append(event)
                if isinstance(event, IterationDone | TurnDone):
                    view.behind += 1
                    if view.behind >= HELD_AT_MOST:
                        self.catch_up()
                        words = f"the screen catches up: {HELD_AT_MOST} iterations were waiting"
                        self._app.report(worded(words, view.run_view.plan), "warning")
                self._app.main.request_numbers()

    def hold(self) -> None:
        """Keep the screen as it is while the run continues."""
        self._view.behind = 0
        # Drawn now: a key was pressed for it.
        self._app.main.show_numbers()

    def catch_up(self) -> None:
        """Apply what has happened since the screen was held."""
        if self._view.behind is None:
            return
        self._view.behind = None
        events, self._held = self._held, []
        for event in events:
            self._apply(event)
        self._app.main.show_changed()

    def _apply(self, event: AnyEvent) -> None:
        app, view, main = self._app, self._view, self._app.main
        phase_before, notes_before = view.phase, view.run_view.notes
        if isinstance(event, BackendChanged | IterationDone | TurnDone | RunChanged):
            app.log_book.record(event, view.run_view)
        try:
            change, name = view.run_view.apply(event)
        except KeyError:
            # No Hello has named this backend.
            return
        if isinstance(event, RequestBatch):
            if view.request_page is not None and view.request_page.requests.add(event):
                main.request_numbers()
            return
        if change not in ("sample", "progress"):
            main.figures_stale = True
        match change:
            case "all":
                view.catching_up = view.run_view.backlog is not None
                self._recall(event)
                self._replace_run(event, notes_before)
            case "iterations" if not name:
                # Earlier iterations, of any backend.
                self._recall(event)
                main.invalidate(*view.names)
                main.request_charts()
            case "iterations":
                view.state_changed(view.run_view.backends[name].state)
                main.invalidate(name)
                main.request_charts()
            case "state":
                self._backend_changed(name)
            case "run":
                view.run_changed()
                if view.phase != phase_before:
                    main.invalidate(*view.names)
                if view.phase == "done" != phase_before:
                    app.announcer.update_title()
                    app.announcer.announce_end()
            case "note":
                note = view.run_view.notes[-1]
                app.report(note_text(note), note.level)
            case "sample" | "progress":
                main.invalidate(name)
                if isinstance(event, Tick):
                    # The charts of a load show the turn under way; most ticks change nothing in them.
                    main.request_charts()
        main.request_numbers()

    def _recall(self, event: AnyEvent) -> None:
        """Put what happened before the monitor connected into the log, and end catching up with the last of it."""
        view = self._view
        if isinstance(event, Hello | Earlier):
            self._app.log_book.recall(event, view.run_view)
        if view.run_view.backlog is None:
            self._end_catching_up()

    def _end_catching_up(self) -> None:
        self._app.log_book.merge()
        if self._view.catching_up:
            self._view.catching_up = False
            self._app.main.show_all()

    def _replace_run(self, event: AnyEvent, notes_before: list[Note]) -> None:
        """Show the run of a Hello, whose backends may differ from those on the screen."""
        app, view = self._app, self._view
        # After a line was down, notes come again. The engine's log has them, with their time.
        for note in [note for note in view.run_view.notes if note not in notes_before]:
            app.report(note_text(note), note.level, timeout=10.0, log=not (isinstance(event, Hello) and event.log))
        if view.past is not None and view.run_view.against is not None:
            app.report(view.run_view.against.words(view.run_view, view.metric))
        app.announcer.update_title()
        view.structure_changed()
        app.main.invalidate(*view.names)
        app.call_later(app.main.match_panels)
        app.main.request_charts()

    def _backend_changed(self, name: str) -> None:
        """Show a backend's new state; after a rerun report how it compares with the previous attempt."""
        view = self._view
        backend_view = view.run_view.backends[name]
        view.state_changed(backend_view.state)
        self._app.main.invalidate(name)
        done = backend_view.state.state == "done" and not view.run_view.is_added(backend_view.state)
        if done and (comparison := attempt_sentence(backend_view, view.metric)):
            self._app.report(f"{name_text(name)}: {comparison}")

    # --- Leaving ---

    def end(self, farewell: AnyCommand | None = None) -> None:
        """Leave, with a last command to the engine. Without one the engine sees a lost connection."""
        self.farewell = farewell
        self._app.run_worker(self._leave(), name="leave", exit_on_error=False)

    async def _leave(self) -> None:
        """Send the last command, close the link, and exit the app."""
        if self._leaving:
            return
        self._leaving = self._app.announcer.muted = True
        if self.engine is not None:
            try:
                async with asyncio.timeout(_LEAVE_S):
                    if self.farewell is not None:
                        await self.engine.send(self.farewell)
                        # The engine hangs up when it has read the command. Closing first might reset the connection,
                        # and lose it.
                        await self._hung_up.wait()
                    await self.engine.close()
            except TimeoutError:
                # The program that started the engine stops it.
                pass
        self._app.exit()
