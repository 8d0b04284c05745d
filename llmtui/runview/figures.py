"""The samples of one backend in a race, or at one level of a load, and the figures computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtui.model import Backend, BackendState, Iteration, Turn
from llmtui.stats.running import Running
from llmtui.stats.summary import Summary

if TYPE_CHECKING:
    # Imported at run time with the first iteration, so that the first frame does not wait for it.
    from llmtui.stats.checks import Evidence
    from llmtui.stats.rounds import Rounds


#: The newest attempts whose samples stay in memory, for the verdict on each.
REMEMBERED = 9
#: The figures of every attempt without iterations, which are asked for many times before each redraw.
_EMPTY = Running()


class SamplesView:
    """A backend with its samples at one level: the iterations of a race, or the turns of a load.

    `level` is 0 in a race. `launches` is how often its server is launched by plan.
    """

    def __init__(self, backend: Backend, state: BackendState, launches: int = 1, level: int = 0) -> None:
        self.backend = backend
        self.state = state
        self.launches = launches
        self.level = level
        #: How often the server refused with a time to wait, in all attempts.
        self.refused = 0
        #: How many rows of a list have an error, in all attempts and warm-ups: failed iterations, spoiled turns too.
        self.failed = 0
        self._attempts: dict[int, Running] = {}
        self._evidence: dict[int, Evidence] = {}
        self._rounds: dict[int, Rounds] = {}
        #: The newest attempt whose samples are not in memory any more, 0 if there is none.
        self.forgotten = 0

    def add_sample(self, iteration: Iteration, turn: Turn | None = None) -> None:
        """Add an iteration, or a `turn` as one (`Turn.as_sample`). Of a spoiled turn there is evidence only."""
        self.refused += iteration.refused
        self.failed += iteration.error is not None
        if turn is not None and turn.spoiled:
            self._add_spoiled(turn)
            return
        running = self._attempts.get(iteration.attempt)
        if running is None:
            running = self._attempts[iteration.attempt] = Running()
        running.add(iteration)
        if iteration.attempt <= self.forgotten:
            return
        from llmtui.stats.checks import Evidence
        from llmtui.stats.rounds import Rounds

        evidence = self._evidence.setdefault(iteration.attempt, Evidence())
        if turn is not None:
            evidence.add_turn(turn)
        else:
            evidence.add(iteration)
        if iteration.phase == "measured" and iteration.ok:
            if iteration.attempt not in self._rounds:
                self._rounds[iteration.attempt] = Rounds(launches=self.launches)
            self._rounds[iteration.attempt].add(iteration)
        if len(self._evidence) > REMEMBERED:
            self._forget(min(self._evidence))

    def _add_spoiled(self, turn: Turn) -> None:
        if turn.attempt > self.forgotten:
            from llmtui.stats.checks import Evidence

            self._evidence.setdefault(turn.attempt, Evidence()).add_turn(turn)

    def drop_old_attempts(self) -> None:
        """Drop the figures of all attempts but the previous one, and the current one or the one that is received."""
        previous, newest = self.previous_attempt, min(self.state.attempt, max(self._attempts, default=0))
        self._attempts = {a: r for a, r in self._attempts.items() if a == previous or a >= newest}

    def _forget(self, attempt: int) -> None:
        """Drop the samples of an attempt."""
        self.forgotten = attempt
        self._evidence.pop(attempt, None)
        self._rounds.pop(attempt, None)

    @property
    def sampled_attempts(self) -> list[int]:
        """The attempts that have samples in memory."""
        return list(self._rounds)

    def evidence_of(self, attempt: int) -> Evidence:
        """What the fairness checks need of one of the `sampled_attempts`. Do not change it."""
        return self._evidence[attempt]

    def rounds_of(self, attempt: int) -> Rounds:
        """The samples of one of the `sampled_attempts`. Do not change them."""
        return self._rounds[attempt]

    def attempt(self, number: int) -> Running:
        """Return the figures of the current attempt or the one before, empty if it has no iterations.

        Do not change them.
        """
        return self._attempts.get(number, _EMPTY)

    @property
    def figures(self) -> Running:
        """The figures of the current attempt."""
        return self.attempt(self.state.attempt)

    @property
    def latencies(self) -> Sequence[float]:
        """The latencies of the samples of the current attempt in s, ascending. Do not change them."""
        return self.figures.ordered("latency")

    @property
    def evidence(self) -> Evidence:
        """What the fairness checks need of the current attempt."""
        from llmtui.stats.checks import Evidence

        return self._evidence.get(self.state.attempt) or Evidence()

    @property
    def rounds(self) -> Rounds:
        """The samples of the current attempt that are compared with those of the others."""
        from llmtui.stats.rounds import Rounds

        rounds = self._rounds.get(self.state.attempt)
        return rounds.copy() if rounds is not None else Rounds()

    @property
    def previous_attempt(self) -> int | None:
        """The number of the newest earlier attempt with samples, or else with failures; None if there is none."""
        earlier = {a: r for a, r in self._attempts.items() if a < self.state.attempt and r.measured}
        return max([a for a, r in earlier.items() if r.summary.n] or earlier, default=None)

    @property
    def summary(self) -> Summary:
        """The summary of the current attempt."""
        return self.figures.summary

    @property
    def previous(self) -> Summary | None:
        """The summary of the `previous_attempt`, None if nothing was measured."""
        number = self.previous_attempt
        return self.attempt(number).summary if number is not None else None

    @property
    def outliers(self) -> int:
        """How many samples of the attempts with figures are outliers. They are part of every figure."""
        return sum(running.summary.outliers for running in self._attempts.values())

    @property
    def finished(self) -> int:
        """The number of measured iterations in the current attempt, failures included."""
        return self.figures.measured

    @property
    def last(self) -> Iteration | None:
        """The newest iteration of the current attempt, warm-up or measured."""
        return self.figures.last

    @property
    def weights(self) -> str:
        """The weights' format as the server reports it, or else the config."""
        return self.state.weights or self.backend.weights

    @property
    def model(self) -> str:
        """The model's name as the server reports it, or else the config."""
        return self.state.model or self.backend.model
