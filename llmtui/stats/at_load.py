"""The load that a verdict, a check or a sentence is about: one level of the run's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from llmtui.model import Level, Load, Turn
from llmtui.stats.metrics import CHARTED_OF_LOAD, CHARTED_OF_OBJECTIVES, METRICS, MetricKey


@dataclasses.dataclass(frozen=True)
class AtLoad:
    """One `level` of those of `load`. `counts`: it is the one that was fixed before the run.

    `objectives`: the load has some.
    """

    level: Level
    load: Load
    counts: bool = True
    objectives: bool = False

    @property
    def title(self) -> str:
        """ "8 streams", or "2 requests/s"."""
        return self.level.title

    def streams(self, turns: Iterable[Turn]) -> int:
        """How many requests were under way at most in these turns; of a closed loop how many should be.

        Users who think have fewer requests under way than there are users.
        """
        streams = self.level.streams if not self.level.think_s else 0
        return streams or max((turn.in_flight_most or 0 for turn in turns), default=0)

    @property
    def judged(self) -> list[MetricKey]:
        """The metrics by which backends are compared: in an open loop not by how much they give, which was asked."""
        charted = CHARTED_OF_OBJECTIVES if self.objectives else CHARTED_OF_LOAD
        return [metric for metric in charted if self.comparable(metric)]

    def comparable(self, metric: MetricKey) -> bool:
        """Whether backends are compared by this metric."""
        of = METRICS[metric]
        return not (self.level.open and of.of_turn and of.rate)
