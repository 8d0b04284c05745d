"""Commands of clients: pause, rerun, stop, more rounds, detach, shut down.

A command takes effect between two steps of the coordinator, or cancels the step under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from llmtui.engine.backend_run import NOT_WAITING, BackendRun
from llmtui.engine.rounds import ExtraRounds
from llmtui.engine.run import Run
from llmtui.model import (
    RESTING,
    AnyCommand,
    Detach,
    Logs,
    LogTail,
    More,
    Note,
    Pause,
    Rerun,
    Resume,
    Shutdown,
    Stop,
)

#: The newest lines of a server's log that a client gets.
LOG_LINES = 100


class Control:
    """Carries out commands, and decides what happens when the last client leaves."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.rounds = ExtraRounds(run)
        #: Whether the last client left.
        self.unwatched = False
        self._detached = False
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next command, or for the last client to leave."""
        await self._changed.wait()
        self._changed.clear()

    def handle_command(self, command: AnyCommand) -> None:
        """Carry out one command. One for an unknown backend is refused and changes nothing."""
        run = self._run
        if unknown := [name for name in _named(command) if name not in run.by_name]:
            names = ", ".join(run.by_name)
            run.emit(Note(text=f"no backend is named {unknown[0]!r}; this run has {names}", level="error"))
            return
        match command:
            case Pause():
                run.paused = True
            case Resume():
                run.paused = False
            case Rerun():
                run.reopen()
                self._rerun(dict.fromkeys(_named(command)) or list(run.by_name))
            case Stop(backend=name):
                for backend_run in self._selected(name):
                    self._stop(backend_run)
            case Logs(backend=name):
                if name:
                    self._send_log(run.by_name[name])
                return
            case More():
                self.rounds.request(command)
            case Detach():
                self._detached = True
            case Shutdown():
                self.shut_down()
                return
        self._changed.set()
        run.emit_run()

    def set_watched(self, watched: bool) -> None:
        """A first client connected, or the last one left: then the run continues or stops, as `on_disconnect` says.

        A run without clients does not stay paused.
        """
        self.unwatched = not watched
        if watched:
            self._detached = False
        elif self._detached or self._run.config.on_disconnect == "finish":
            self._run.paused = False
            self._changed.set()
        else:
            self.shut_down()

    def shut_down(self) -> None:
        """Cancel what is under way; the coordinator then stops the servers and returns."""
        self._run.stopping = True
        self._changed.set()
        for backend_run in self._run.backends:
            backend_run.cancel()

    def _selected(self, name: str) -> list[BackendRun]:
        return [self._run.by_name[name]] if name else self._run.backends

    def _rerun(self, names: Iterable[str]) -> None:
        """Start one new attempt of these backends: its number is new in the run, as is each look at a result."""
        attempt = 1 + max(backend_run.state.attempt for backend_run in self._run.backends)
        for name in names:
            backend_run = self._run.by_name[name]
            backend_run.cancel()
            backend_run.plan_attempt(self._run.config)
            self._run.set_state(
                backend_run,
                state="waiting",
                attempt=attempt,
                planned=self._run.config.iterations,
                failure=None,
                launch=1,
                loads_s=[],
                log_tail=[],
                **NOT_WAITING,
            )

    def _stop(self, backend_run: BackendRun) -> None:
        if not backend_run.queue and not backend_run.busy and backend_run.state.state in RESTING:
            return
        # The iteration under way is dropped too; a bring-up is not one.
        backend_run.dropped = len(backend_run.queue) + backend_run.asking
        backend_run.queue.clear()
        backend_run.asked_at = None
        self._run.set_state(backend_run, state="stopped", **NOT_WAITING)
        backend_run.cancel()

    def _send_log(self, backend_run: BackendRun) -> None:
        self._run.emit(LogTail(backend=backend_run.name, lines=backend_run.target.log_tail(LOG_LINES)))


def _named(command: AnyCommand) -> list[str]:
    """The backends that a command names; none for a command for the run, or for all backends."""
    match command:
        case Rerun(backend=name, also=also):
            return [name, *also] if name else []
        case Stop(backend=name) | Logs(backend=name):
            return [name] if name else []
    return []
