"""What `llmtui run` prints of a run on another machine whose line was down: each result and each note once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmtui.cli.output import report
from llmtui.model import AnyEvent, Earlier, Hello, Iteration, IterationDone, Note, Turn, TurnDone


class LateEvents:
    """Tells what is new in the `Hello` of a line that is up again, which brings everything once more."""

    def __init__(self) -> None:
        #: Whether no further `Hello` has come.
        self.first = True
        self._hellos = 0
        self._seen: set[tuple[object, ...]] = set()
        self._notes: set[tuple[str, str]] = set()

    def new_results(self, event: AnyEvent) -> Iterator[Iteration | Turn]:
        """Yield what ended, as far as it was not yielded. Results from before the first `Hello` are not new."""
        match event:
            case IterationDone(iteration=iteration):
                yield from self._new([iteration])
            case TurnDone(turn=turn):
                yield from self._new([turn])
            case Hello() | Earlier():
                self._hellos += isinstance(event, Hello)
                self.first = self._hellos < 2
                new = [*self._new(event.iterations), *self._new(event.turns)]
                yield from () if self.first else new

    def _new(self, results: Iterable[Iteration | Turn]) -> Iterator[Iteration | Turn]:
        for one in results:
            if (key := _key(one)) not in self._seen:
                self._seen.add(key)
                yield one

    def new_notes(self, notes: Iterable[Note], again: bool) -> list[Note]:
        """Return `notes`; if they may have come before (`again`), those that did not."""
        new = [note for note in notes if not again or (note.backend, note.text) not in self._notes]
        self._notes.update((note.backend, note.text) for note in new)
        return new


def _key(result: Iteration | Turn) -> tuple[object, ...]:
    if isinstance(result, Turn):
        return "turn", result.backend, result.seq
    return "iteration", result.backend, result.attempt, result.phase, result.iteration, result.started_utc


class LineReports:
    """Reports that the line dropped, and that it is up again, but not each further try."""

    def __init__(self) -> None:
        self._down = False

    def __call__(self, reason: str) -> None:
        if not reason or not self._down:
            report(
                f"{reason}; the run goes on there, and the line is opened again" if reason else "the line is up again"
            )
        self._down = bool(reason)
