"""One backend as a client sees it: its state, its iterations or turns, and the figures computed from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import msgspec

from llmtui.model import Backend, BackendState, Iteration, Progress, Tick, Turn
from llmtui.runview.figures import SamplesView
from llmtui.runview.samples import Samples
from llmtui.text.format import plural

if TYPE_CHECKING:
    # Imported at run time with the first turn.
    from llmtui.runview.level_figures import LevelFigures, LevelSums


class BackendView(SamplesView):
    """One backend as a client sees it. `iterations` contains all attempts, in order of completion.

    `keep` is the number of newest iterations that keep text and arrivals (None: all). Its figures are those of the
    race, or of the level that counts; `at` returns those of another level.
    """

    def __init__(
        self,
        backend: Backend,
        state: BackendState,
        keep: int | None = None,
        launches: int = 1,
        levels: Sequence[int] = (),
        level: int = 0,
    ) -> None:
        super().__init__(backend, state, launches, level)
        self.iterations = Samples(keep)
        #: What a page about the backend lists: the iterations of a race, the turns of a load as samples.
        self.listed = Samples(keep) if level else self.iterations
        self.progress: Progress | None = None
        #: The turns of a load at all levels, in order of completion, and how far the one under way is.
        self.turns: list[Turn] = []
        self.tick: Tick | None = None
        self.rss_bytes: int | None = None
        self.cpu_cores: float | None = None
        #: The last lines of the server's log, when it was last requested.
        self.log_tail: list[str] = []
        self._sums: dict[tuple[int, int], LevelSums] = {}
        self._others = {n: SamplesView(backend, state, launches, n) for n in levels if n != level}

    def at(self, level: int) -> SamplesView:
        """Return the backend with its samples at a level."""
        if level == self.level:
            return self
        view = self._others[level]
        view.state = self.state
        return view

    @property
    def slots_words(self) -> str:
        """How many requests its server computes at a time: "8 slots"; "" in a race, or if that is unknown."""
        return plural(self.state.slots, "slot") if self.level and self.state.slots else ""

    def go_on(self, state: BackendState) -> Self:
        """Take its present state after a line was down, and keep its samples."""
        self.state, self.progress, self.tick = state, None, None
        return self

    def add(self, iteration: Iteration) -> None:
        """Add an iteration."""
        # Each decoded iteration has its own copy of these strings, which are always the same few.
        iteration = msgspec.structs.replace(
            iteration,
            run=sys.intern(iteration.run),
            backend=sys.intern(iteration.backend),
            finish_reason=sys.intern(iteration.finish_reason) if iteration.finish_reason is not None else None,
        )
        self.iterations.append(iteration)
        self.add_sample(iteration)

    def add_turn(self, turn: Turn) -> None:
        """Add a turn of a load, warm-up or measured, whole or partial."""
        self.tick = None
        self.turns.append(turn)
        if turn.phase == "measured":
            key = (turn.attempt, turn.level)
            if key not in self._sums:
                from llmtui.runview.level_figures import LevelSums

                self._sums[key] = LevelSums()
            self._sums[key].add(turn)
        sample = turn.as_sample
        self.listed.append(sample)
        self.at(turn.level).add_sample(sample, turn)

    def at_level(self, level: int, attempt: int = 0) -> LevelFigures:
        """Return what the turns of an attempt (by default the current one) at a level say together."""
        from llmtui.runview.level_figures import LevelFigures

        sums = self._sums.get((attempt or self.state.attempt, level))
        return sums.figures if sums is not None else LevelFigures()

    @property
    def levels_with_turns(self) -> set[int]:
        """The levels at which the current attempt has measured turns, and those of attempts that are still shown."""
        return {level for _, level in self._sums}

    def drop_old_attempts(self) -> None:
        """Drop the figures of all attempts but the previous one, and the current one or the one that is received."""
        super().drop_old_attempts()
        oldest = min([*self._attempts, self.state.attempt])
        self._sums = {key: sums for key, sums in self._sums.items() if key[0] >= oldest}
        for level in self._others:
            self.at(level).drop_old_attempts()

    @property
    def current(self) -> list[Iteration]:
        """The iterations of the current attempt. Slow: all of them are decompressed."""
        return [i for i in self.iterations if i.attempt == self.state.attempt]

    @property
    def measured(self) -> list[Iteration]:
        """The measured iterations of the current attempt, failures included. Slow, like `current`."""
        return [i for i in self.current if i.phase == "measured"]
