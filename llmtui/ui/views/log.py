"""The run's log: what was said once, and every change of state, with the time of day. Pure; the newest are kept."""

from __future__ import annotations

import dataclasses
import datetime
from collections import deque
from collections.abc import Callable

from llmtui.format import plural
from llmtui.model import AnyEvent, BackendChanged, Failure, IterationDone, RunChanged
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.ui.text.format import STATE_ROLES, clock, state_word
from llmtui.ui.text.spans import Line, Role, wrap

#: So many entries are kept.
KEPT = 1000
_TIME = 9
_ENTRY_LINES = 12
_LEVELS: dict[str, Role] = {"info": "", "warning": "warn", "error": "bad"}
_PHASES = {"starting": "starts", "running": "is going on", "paused": "is paused", "done": "is done"}


def local_now() -> datetime.datetime:
    """The time of day here."""
    return datetime.datetime.now().astimezone()


@dataclasses.dataclass(frozen=True)
class Entry:
    """Plain text with the time when the monitor heard of it ("" where that was before it came)."""

    at: str
    role: Role
    words: str

    def lines(self, width: int) -> list[Line]:
        """The entry in lines of at most `width` cells, the words beside the time."""
        first: Role = "dim"
        texts = wrap(self.words, max(1, width - _TIME - 1), _ENTRY_LINES) or [""]
        return [((f"{self.at if n == 0 else '':<{_TIME}}", first), (text, self.role)) for n, text in enumerate(texts)]


class RunLog:
    """The newest entries, in order. `count` is how many there ever were."""

    def __init__(self, now: Callable[[], datetime.datetime] = local_now) -> None:
        self._now = now
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.count = 0

    def say(self, words: str, level: str = "info", *, earlier: bool = False) -> None:
        """Something that the person watching was told. `words` is plain text."""
        self._add(words, _LEVELS.get(level, ""), "earlier" if earlier else None)

    def _add(self, words: str, role: Role, at: str | None = None) -> None:
        self.entries.append(Entry(f"{self._now():%H:%M:%S}" if at is None else at, role, words))
        self.count += 1

    def hear(self, event: AnyEvent, run_view: RunView) -> None:
        """Note what `event` changes on `run_view`, which does not know it yet."""
        match event:
            case BackendChanged(backend=state) if state.name in run_view.backends:
                before = run_view.backends[state.name].state
                changed = (state.state, state.attempt, state.doing) != (before.state, before.attempt, before.doing)
                if not changed and state.failure == before.failure:
                    return
                if run_view.is_added(state) and state.state in ("waiting", "running", "done"):
                    return  # a round that was added: the run's own lines tell of all of them
                attempt = f" (attempt {state.attempt})" if state.attempt > 1 else ""
                doing = f": {sanitize(state.doing)}" if state.doing and state.state in ("preparing", "loading") else ""
                why = f": {_failure(state.failure)}" if state.failure is not None else ""
                self._add(
                    f"{sanitize(state.name, 40)}{attempt} {state_word(state.state)}{doing or why}",
                    STATE_ROLES[state.state],
                )
            case IterationDone(iteration=iteration) if iteration.error is not None:
                which = "warm-up" if iteration.phase == "warmup" else "iteration"
                words = f"{sanitize(iteration.backend, 40)}: {which} {iteration.iteration} failed"
                self._add(f"{words}: {_failure(iteration.error)}", "bad")
            case RunChanged(run=run) if run.phase != run_view.run.phase:
                far = f", {run.finished} of {plural(run.total, 'iteration')}" if run.total else ""
                after = f" after {clock(run.elapsed_s)}" if run.elapsed_s >= 1 else ""
                self._add(f"the run {_PHASES.get(run.phase, run.phase)}{after}{far}", "title")


def _failure(failure: Failure) -> str:
    hint = f" ({sanitize(failure.hint)})" if failure.hint else ""
    return sanitize(failure.message) + hint
