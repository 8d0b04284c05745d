"""The run's log: notes, failures and changes of state with the time of day. Keeps the newest entries."""

from __future__ import annotations

import dataclasses
import datetime
from collections import deque
from collections.abc import Callable

from llmtui.model import (
    AnyEvent,
    BackendChanged,
    BackendState,
    Earlier,
    Failure,
    Hello,
    Iteration,
    IterationDone,
    Note,
    Plan,
    RunChanged,
    RunState,
    Turn,
    TurnDone,
    is_news,
)
from llmtui.runview.launches import launch_words, launches_of
from llmtui.runview.loads import worded
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.text.format import STATE_ROLES, clock, name_text, state_word
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
    """Plain text with its time: when the monitor received it, or when it happened if that was before."""

    when: datetime.datetime
    role: Role
    text: str
    #: Whether it is of the run, and not of this monitor; and whether it is about an iteration or a turn.
    of_run: bool = False
    result: bool = False

    @property
    def at(self) -> str:
        """The time of day."""
        return f"{self.when:%H:%M:%S}"

    def lines(self, width: int) -> list[Line]:
        """Draw the entry in lines of at most `width` cells, the text beside the time."""
        first: Role = "dim"
        texts = wrap(self.text, max(1, width - _TIME - 1), _ENTRY_LINES) or [""]
        return [((f"{self.at if n == 0 else '':<{_TIME}}", first), (text, self.role)) for n, text in enumerate(texts)]


class RunLog:
    """The newest entries, oldest first. `count` is how many were ever added.

    What happened before the monitor connected arrives piece by piece: `recall` collects it, and `merge` puts it into
    its place when all has arrived, once.
    """

    def __init__(self, now: Callable[[], datetime.datetime] = local_now) -> None:
        self._now = now
        self.entries: deque[LogEntry] = deque(maxlen=MOST_ENTRIES)
        self.count = 0
        #: Changes when entries were put before others.
        self.merges = 0
        self._recalled: deque[LogEntry] = deque(maxlen=2 * MOST_ENTRIES)

    def note(self, text: str, level: str = "info") -> None:
        """Add a note that was shown on the screen. `text` is plain text."""
        self._add(_entry(self._now(), (text, _LEVELS.get(level, ""))))

    def _add(self, entry: LogEntry) -> None:
        self.entries.append(entry)
        self.count += 1

    def record(self, event: AnyEvent, run_view: RunView) -> None:
        """Add what `event` changes; `run_view` is the run before the event is applied."""
        match event:
            case BackendChanged(backend=state) if state.name in run_view.backends:
                words = _state_words(state, run_view) if is_news(run_view.backends[state.name].state, state) else None
            case IterationDone(iteration=iteration):
                words = _iteration_words(iteration)
            case TurnDone(turn=turn):
                words = _turn_words(turn, run_view.plan)
            case RunChanged(run=run) if run.phase != run_view.run.phase:
                words = _run_words(run, run_view.plan)
            case _:
                words = None
        if words is not None:
            result = isinstance(event, IterationDone | TurnDone)
            self._add(_entry(self._now(), words, of_run=True, result=result))

    def recall(self, event: Hello | Earlier, run_view: RunView) -> None:
        """Collect what happened before the monitor connected; `run_view` is the run after the event is applied."""
        if isinstance(event, Hello):
            self._forget(event)  # after a line was down, the log of the run comes again
        for logged in event.log if isinstance(event, Hello) else ():
            self._recall(logged.at_utc, _logged_words(logged.event, run_view))
        for iteration in event.iterations:
            self._recall(iteration.started_utc, _iteration_words(iteration), result=True)
        for turn in event.turns:
            self._recall(turn.started_utc, _turn_words(turn, run_view.plan), result=True)

    def _recall(self, at_utc: str, words: _Words | None, *, result: bool = False) -> None:
        if words is not None:
            self._recalled.append(_entry(_local(at_utc, self._now()), words, of_run=True, result=result))
            self.count += 1

    def _forget(self, hello: Hello) -> None:
        """Drop the entries that `hello` brings again; those of the monitor stay."""
        notes = {note_text(logged.event) for logged in hello.log if isinstance(logged.event, Note)}

        def stays(entry: LogEntry) -> bool:
            if entry.of_run:
                return entry.result and bool(hello.skipped)
            return entry.text not in notes

        self._recalled = deque(filter(stays, self._recalled), maxlen=self._recalled.maxlen)
        left = list(filter(stays, self.entries))
        if len(left) < len(self.entries):
            self.entries = deque(left, maxlen=MOST_ENTRIES)
            self.merges += 1

    def merge(self) -> None:
        """Put what was collected into its place."""
        if self._recalled:
            merged = sorted([*self._recalled, *self.entries], key=lambda entry: entry.when)
            self.entries = deque(merged, maxlen=MOST_ENTRIES)
            self._recalled.clear()
            self.merges += 1


#: The text of an entry and its role.
_Words = tuple[str, Role]


def _entry(when: datetime.datetime, words: _Words, *, of_run: bool = False, result: bool = False) -> LogEntry:
    return LogEntry(when, words[1], words[0], of_run, result)


def _local(at_utc: str, now: datetime.datetime) -> datetime.datetime:
    """The local time of `at_utc`, or `now` if `at_utc` is not a time."""
    try:
        when = datetime.datetime.fromisoformat(at_utc)
        return when.astimezone(now.tzinfo) if when.tzinfo is not None else now
    except (ValueError, OverflowError):
        return now  # the calendar has an end


def _logged_words(event: BackendChanged | RunChanged | Note, run_view: RunView) -> _Words | None:
    match event:
        case BackendChanged(backend=state):
            return _state_words(state, run_view)
        case RunChanged(run=run):
            return _run_words(run, run_view.plan)
        case Note():
            return note_text(event), _LEVELS.get(event.level, "")


def note_text(note: Note) -> str:
    """A note as plain text, with the backend that it is about."""
    prefix = f"{sanitize(note.backend, 40)}: " if note.backend else ""
    return prefix + sanitize(note.text)


def _state_words(state: BackendState, run_view: RunView) -> _Words | None:
    if run_view.is_added(state) and state.state in ("waiting", "running", "done"):
        return None  # an added round: the run's own entries cover it
    attempt = f" (attempt {state.attempt})" if state.attempt > 1 else ""
    doing = f": {sanitize(state.doing)}" if state.doing and state.state in ("preparing", "loading") else ""
    backend_view = run_view.backends.get(state.name)
    if state.state == "loading" and backend_view is not None:
        launches = launches_of(run_view.plan.config, backend_view.backend, state)
        doing = f": {words}" if (words := launch_words(state, launches)) else doing
    why = f": {_failure(state.failure)}" if state.failure is not None else ""
    return f"{name_text(state.name)}{attempt} {state_word(state.state)}{doing or why}", STATE_ROLES[state.state]


def _turn_words(turn: Turn, plan: Plan) -> _Words | None:
    good = turn.error is None and turn.state == "whole" and turn.finished == turn.requests
    if good or not 1 <= turn.level <= len(plan.levels):
        return None
    which = "warm-up turn" if turn.phase == "warmup" else "turn"
    attempt = f" of attempt {turn.attempt}" if turn.attempt > 1 else ""
    text = f"{sanitize(turn.backend, 40)}: {which} {turn.round} at {plan.levels[turn.level - 1].title}{attempt}"
    if turn.error is not None and turn.spoiled:
        return f"{text} does not count: {_failure(turn.error)}", "warn"
    if turn.error is not None:
        return f"{text} failed: {_failure(turn.error)}", "bad"
    if turn.state != "whole":
        return f"{text} was stopped before its end", "warn"
    return f"{text}: {turn.requests - turn.finished} of {plural(turn.requests, 'request')} did not succeed", "warn"


def _iteration_words(iteration: Iteration) -> _Words | None:
    if iteration.error is None:
        return None
    which = "warm-up" if iteration.phase == "warmup" else "iteration"
    attempt = f" of attempt {iteration.attempt}" if iteration.attempt > 1 else ""
    text = f"{sanitize(iteration.backend, 40)}: {which} {iteration.iteration}{attempt} failed"
    return f"{text}: {_failure(iteration.error)}", "bad"


def _run_words(run: RunState, plan: Plan) -> _Words:
    far = worded(f", {run.finished} of {plural(run.total, 'iteration')}", plan) if run.finished else ""
    after = f" after {clock(run.elapsed_s)}" if run.elapsed_s >= 1 else ""
    return f"the run {_PHASES.get(run.phase, run.phase)}{after}{far}", "title"


def _failure(failure: Failure) -> str:
    hint = f" ({sanitize(failure.hint)})" if failure.hint else ""
    return sanitize(failure.message) + hint
