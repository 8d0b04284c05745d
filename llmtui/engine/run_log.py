"""The newest entries of the run's log, for clients that connect late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from llmtui.model import AnyEvent, BackendChanged, BackendState, Logged, Note, RunChanged, is_news
from llmtui.text.times import utc_text

#: How many entries are in memory. Failed iterations are not among them: clients have them from the iterations.
MAX_LOGGED = 500


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.now(UTC)


class RunLog:
    """What a log shows of the events that the engine has emitted. `now` returns the time of day in UTC."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._entries: deque[Logged] = deque(maxlen=MAX_LOGGED)
        self._states: dict[str, BackendState] = {}
        self._phase = ""

    @property
    def entries(self) -> list[Logged]:
        """The newest entries, oldest first."""
        return list(self._entries)

    def record(self, event: AnyEvent) -> None:
        """Record an event that has just been emitted, if a log shows it."""
        match event:
            case Note():
                self._add(event)
            case RunChanged(run=run) if run.phase != self._phase:
                self._phase = run.phase
                self._add(event)
            case BackendChanged(backend=state):
                before = self._states.get(state.name) or BackendState(name=state.name)
                if is_news(before, state):
                    self._add(BackendChanged(backend=_shown(state)))
                self._states[state.name] = state

    def _add(self, event: BackendChanged | RunChanged | Note) -> None:
        at_utc = utc_text(self._now())
        self._entries.append(Logged(at_utc=at_utc, event=event))


def _shown(state: BackendState) -> BackendState:
    """Return a copy with only the fields that the log shows: hundreds of them go to each late client."""
    return BackendState(
        name=state.name,
        state=state.state,
        attempt=state.attempt,
        planned=state.planned,
        doing=state.doing,
        launch=state.launch,
        failure=state.failure,
    )
