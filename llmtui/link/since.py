"""What a client has of a run after its line was down, and the rest of the run that it gets then.

Results (iterations, and turns of a load) come to every client in one order, that of the history. So what a client has
is a number of each, and the last of them proves that both ends count the same results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from llmtui.model import AnyEvent, Earlier, Hello, Iteration, IterationDone, Since, Turn, TurnDone

#: The most iterations, and the most turns, in a hello, and in each message with earlier ones.
HELLO_ITERATIONS = 64

_Result = TypeVar("_Result", Iteration, Turn)


class Received:
    """The results that a client has received."""

    def __init__(self) -> None:
        self._iterations = self._turns = 0
        self._iteration = self._turn = ""

    def add(self, event: AnyEvent) -> None:
        """Count the results of an event that was received."""
        match event:
            case Hello():
                if not event.skipped:
                    self._iterations = self._turns = 0
                self._count(event.iterations, event.turns)
            case Earlier():
                self._count(event.iterations, event.turns)
            case IterationDone():
                self._count([event.iteration], [])
            case TurnDone():
                self._count([], [event.turn])

    def _count(self, iterations: Sequence[Iteration], turns: Sequence[Turn]) -> None:
        self._iterations += len(iterations)
        self._turns += len(turns)
        if iterations:
            self._iteration = _mark(iterations[-1])
        if turns:
            self._turn = _mark(turns[-1])

    @property
    def since(self) -> Since | None:
        """The command for the rest of the run, None if nothing was received."""
        if not self._iterations and not self._turns:
            return None
        return Since(
            iterations=self._iterations,
            turns=self._turns,
            iteration=self._iteration if self._iterations else "",
            turn=self._turn if self._turns else "",
        )


def _mark(result: Iteration | Turn) -> str:
    """Return what tells this result from all others of its run."""
    number = result.iteration if isinstance(result, Iteration) else result.round
    return f"{result.attempt} {result.phase} {number} {result.seq} {result.started_utc} {result.backend}"


def rest_of(hello: Hello, since: Since | None) -> Hello:
    """Return `hello` without the results that a client has: whole, if they are not the first ones of this run."""
    if since is None or not (
        _begins(hello.iterations, since.iterations, since.iteration) and _begins(hello.turns, since.turns, since.turn)
    ):
        return msgspec.structs.replace(hello, skipped=0)
    return msgspec.structs.replace(
        hello,
        skipped=since.iterations + since.turns,
        iterations=hello.iterations[since.iterations :],
        turns=hello.turns[since.turns :],
    )


def _begins(results: Sequence[_Result], count: int, last: str) -> bool:
    """Whether `last` is the mark of the result that is the `count`-th."""
    return count == 0 or (0 < count <= len(results) and _mark(results[count - 1]) == last)


def pieces(hello: Hello) -> Iterator[Hello | Earlier]:
    """Yield `hello` with its first results, then the others, some at a time. The `last` of them is up to the caller."""
    most = HELLO_ITERATIONS
    iterations, turns = hello.iterations, hello.turns
    earlier = max(0, len(iterations) - most) + max(0, len(turns) - most)
    yield msgspec.structs.replace(hello, iterations=iterations[:most], turns=turns[:most], earlier=earlier)
    for start in range(most, len(iterations), most):
        yield Earlier(iterations=iterations[start : start + most])
    for start in range(most, len(turns), most):
        yield Earlier(iterations=[], turns=turns[start : start + most])
