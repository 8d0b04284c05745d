"""What a person is told about a load and its prompts before it starts, and once it is known how long it takes."""

from __future__ import annotations

from llmtui.engine.run import Run
from llmtui.load.dealing import most_workers
from llmtui.load.descriptors import does_not_fit
from llmtui.model import Level, Note, Plan
from llmtui.runview.loads import time_left_sentence
from llmtui.runview.objective_words import missed_from_the_start
from llmtui.runview.prompts import before_sentences


def workers_of(plan: Plan, level: Level) -> int:
    """Return how many workers a level has at least."""
    return 1 if plan.workers.count == "auto" else min(plan.workers.count, most_workers(level))


class LoadNotes:
    """Adds notes about the load and the prompts of a run: none to a plain race, and to a resumed run only how long it
    takes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # How many levels a search takes is not known before its end.
        self._timed = not run.plan.levels or bool(run.plan.load.search)
        #: How many turns were looked at, and the backends that were reported to miss objectives from the start.
        self._seen = len(run.turns)
        self._missing: set[str] = set()

    def begin(self) -> None:
        """Say back the load and the prompts, and what speaks against it."""
        plan = self._run.plan
        if self._run.turns or self._run.iterations or not (plan.levels or plan.prompts.given):
            return
        for text in before_sentences(plan):
            self._run.add_note(Note(text=text))
        failures = list(filter(None, (does_not_fit(level, workers_of(plan, level)) for level in plan.levels)))
        for failure in failures[:1] if plan.load.search else failures:
            self._run.add_note(Note(text=str(failure), level="warning"))

    def step(self, eta_s: float | None) -> None:
        """Say once how long the rest takes, when every level has had a turn. `eta_s` is that in s, None if unknown.

        Say once of each backend which objectives it misses at the smallest level.
        """
        self._say_what_is_missed()
        if not self._timed and eta_s and self._all_had_turns():
            self._timed = True
            self._run.add_note(Note(text=time_left_sentence(eta_s)))

    def _say_what_is_missed(self) -> None:
        plan, turns = self._run.plan, self._run.turns
        if not plan.slo.limits:
            return
        smallest = min(plan.levels, key=lambda level: (level.streams, level.rate))
        for turn in turns[self._seen :]:
            if turn.level != smallest.number or turn.backend in self._missing:
                continue
            if text := missed_from_the_start(turn, plan.slo, smallest):
                self._missing.add(turn.backend)
                self._run.add_note(Note(backend=turn.backend, text=text, level="warning"))
        self._seen = len(turns)

    def _all_had_turns(self) -> bool:
        """Whether every backend with work left has had a turn at each level."""
        had = {(turn.backend, turn.level) for turn in self._run.turns if not turn.spoiled}
        levels = [level.number for level in self._run.plan.levels]
        left = [backend_run.name for backend_run in self._run.backends if backend_run.queue]
        return all((name, level) in had for name in left for level in levels)
