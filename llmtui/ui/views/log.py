"""The run's log: notes, failures and changes of state with the time of day. Keeps the newest entries."""

from __future__ import annotations

import dataclasses
import datetime
from collections import deque
from collections.abc import Callable

from llmtui.model import AnyEvent, BackendChanged, Failure, IterationDone, RunChanged
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.text.format import STATE_ROLES, clock, state_word
from llmtui.ui.text.spans import Line, Role, wrap

#: How many entries the log keeps.
MOST_ENTRIES = 1000
_TIME = 9
_ENTRY_LINES = 12
_LEVELS: dict[str, Role] = {"info": "", "warning": "warn", "error": "bad"}
_PHASES = {"starting": "is starting", "running": "is in progress", "paused": "is paused", "done": "is done"}


def local_now() -> datetime.datetime:
    """Return the local time of day."""
    return datetime.datetime.now().astimezone()


@dataclasses.dataclass(frozen=True)
class LogEntry:
    """Plain text with the time when the monitor received it."""

    at: str
    role: Role
    text: str

    def lines(self, width: int) -> list[Line]:
        """Draw the entry in lines of at most `width` cells, the text beside the time."""
        first: Role = "dim"
        texts = wrap(self.text, max(1, width - _TIME - 1), _ENTRY_LINES) or [""]
        return [((f"{self.at if n == 0 else '':<{_TIME}}", first), (text, self.role)) for n, text in enumerate(texts)]


class RunLog:
    """The newest entries, oldest first. `count` is how many were ever added."""

    def __init__(self, now: Callable[[], datetime.datetime] = local_now) -> None:
        self._now = now
        self.entries: deque[LogEntry] = deque(maxlen=MOST_ENTRIES)
        self.count = 0

    def note(self, text: str, level: str = "info") -> None:
        """Add a note that was shown on the screen. `text` is plain text."""
        self._add(text, _LEVELS.get(level, ""))

    def _add(self, text: str, role: Role) -> None:
        self.entries.append(LogEntry(f"{self._now():%H:%M:%S}", role, text))
        self.count += 1

    def record(self, event: AnyEvent, run_view: RunView) -> None:
        """Add what `event` changes; `run_view` is the run before the event is applied."""
        match event:
            case BackendChanged(backend=state) if state.name in run_view.backends:
                before = run_view.backends[state.name].state
                changed = (state.state, state.attempt, state.doing) != (before.state, before.attempt, before.doing)
                if not changed and state.failure == before.failure:
                    return
                if run_view.is_added(state) and state.state in ("waiting", "running", "done"):
                    return  # an added round: the run's own entries cover it
                attempt = f" (attempt {state.attempt})" if state.attempt > 1 else ""
                doing = f": {sanitize(state.doing)}" if state.doing and state.state in ("preparing", "loading") else ""
                why = f": {_failure(state.failure)}" if state.failure is not None else ""
                self._add(
                    f"{sanitize(state.name, 40)}{attempt} {state_word(state.state)}{doing or why}",
                    STATE_ROLES[state.state],
                )
            case IterationDone(iteration=iteration) if iteration.error is not None:
                which = "warm-up" if iteration.phase == "warmup" else "iteration"
                text = f"{sanitize(iteration.backend, 40)}: {which} {iteration.iteration} failed"
                self._add(f"{text}: {_failure(iteration.error)}", "bad")
            case RunChanged(run=run) if run.phase != run_view.run.phase:
                far = f", {run.finished} of {plural(run.total, 'iteration')}" if run.total else ""
                after = f" after {clock(run.elapsed_s)}" if run.elapsed_s >= 1 else ""
                self._add(f"the run {_PHASES.get(run.phase, run.phase)}{after}{far}", "title")


def _failure(failure: Failure) -> str:
    hint = f" ({sanitize(failure.hint)})" if failure.hint else ""
    return sanitize(failure.message) + hint
