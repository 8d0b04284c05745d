"""What a backend's turns at one level say together: counts, rates, and percentiles pooled over the rounds."""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

from llmtui.model import Objective, Struct, TalkTurn, Turn
from llmtui.model.turn import Percentiles, Quantity
from llmtui.stats.attainment import Answer, attainment, keeps
from llmtui.stats.buckets import Buckets
from llmtui.stats.objectives import JUDGEMENTS
from llmtui.stats.talks import together

#: The quantities whose percentiles are shown.
QUANTITIES: tuple[Quantity, ...] = ("ttft", "tpot", "latency", "probe")
#: Figures of a turn of which the median over the turns is shown.
RATES = ("output_tokens_per_s", "requests_per_s", "delivered_rate", "in_flight", "late_s", "goodput_per_s", "thinking")
#: Turns with a remark, by the counter that they have in `LevelFigures`.
REMARKS: dict[str, Callable[[Turn], bool]] = {
    "unsettled": lambda turn: turn.unsettled,
    "drifting": lambda turn: turn.drifts,
    "beyond_capacity": lambda turn: turn.beyond_capacity,
}
#: What became of the requests of a window.
OUTCOMES = ("requests", "finished", "failed", "refused", "timed_out", "unfinished")
#: Requests beside the load, and conversations that ended early.
_BESIDE = ("probes", "probes_failed", "talks_failed", "talks_full")


class LevelFigures(Struct, frozen=True):
    """The measured turns of an attempt at one level. Rates are medians over the whole `turns`, None without any.

    `partial` turns were stopped, or failed. Percentiles are of all requests in the windows of the whole turns, in s,
    None where their number is too small. Counts of requests are of the whole turns, and of those that the server
    ended: spoiled turns (`Turn.spoiled`) are in `partial` only. `unsettled`, `drifting` and `beyond_capacity` count
    whole turns: without a steady state, by a server that became slower, and beyond its capacity.

    With objectives, the requests of the whole turns are `kept`, `missed` or `undetermined`; `objectives` has these
    three counts for each alone (see `Turn`), and `shares` the share that kept all of them in each whole turn.
    """

    turns: int = 0
    partial: int = 0
    requests: int = 0
    finished: int = 0
    failed: int = 0
    refused: int = 0
    timed_out: int = 0
    unfinished: int = 0
    output_tokens_per_s: float | None = None
    requests_per_s: float | None = None
    delivered_rate: float | None = None
    in_flight: float | None = None
    late_s: float | None = None
    ttft: Percentiles | None = None
    tpot: Percentiles | None = None
    latency: Percentiles | None = None
    unsettled: int = 0
    drifting: int = 0
    beyond_capacity: int = 0
    kept: int = 0
    missed: int = 0
    undetermined: int = 0
    objectives: dict[Objective, list[int]] = {}
    goodput_per_s: float | None = None
    shares: list[float] = []
    probes: int = 0
    probes_failed: int = 0
    probe: Percentiles | None = None
    thinking: float | None = None
    talks_failed: int = 0
    talks_full: int = 0
    talk_turns: list[TalkTurn] = []

    @property
    def attainment(self) -> float | None:
        """The share of the requests that kept all objectives, None without objectives or requests."""
        return self.kept / (self.kept + self.missed) if self.kept + self.missed else None

    @property
    def attainment_interval(self) -> tuple[float, float] | None:
        """Its 95% interval over the turns, None without a turn."""
        return attainment(self.shares, self.kept + self.missed)[1:] if self.shares else None

    def keeps(self, share: float) -> Answer:
        """Whether this share of the requests keep the objectives."""
        return keeps(self.shares, share, self.kept + self.missed)

    @property
    def unsuccessful(self) -> int:
        """How many requests of the windows did not succeed."""
        return self.requests - self.finished


class LevelSums:
    """The turns of an attempt at one level, added one by one. `figures` costs the same however many there are."""

    def __init__(self) -> None:
        self._turns = self._partial = 0
        self._counts: Counter[str] = Counter()
        self._rates: dict[str, array[float]] = {name: array("d") for name in RATES}
        self._buckets: dict[Quantity, Buckets] = {quantity: Buckets() for quantity in QUANTITIES}
        self._kept: Counter[str] = Counter()
        self._objectives: dict[Objective, list[int]] = {}
        self._shares = array("d")
        self._talks: list[TalkTurn] = []
        self._figures: LevelFigures | None = None

    def add(self, turn: Turn) -> None:
        """Add a measured turn."""
        self._figures = None
        if turn.spoiled:
            self._partial += 1
            return
        for name in (*OUTCOMES, *_BESIDE):
            self._counts[name] += getattr(turn, name)
        if not turn.as_sample.ok:
            self._partial += 1
            return
        for name, holds in REMARKS.items():
            self._counts[name] += holds(turn)
        self._turns += 1
        if turn.talk_turns:
            self._talks = together((self._talks, turn.talk_turns))
        self._judge(turn)
        for name, values in self._rates.items():
            if (value := getattr(turn, name)) is not None:
                values.append(value)
        for quantity, buckets in self._buckets.items():
            try:
                buckets.merge(Buckets.decoded(turn.buckets.get(quantity, ())))
            except ValueError:
                # A history of others may contain anything.
                continue

    def _judge(self, turn: Turn) -> None:
        for name in JUDGEMENTS:
            self._kept[name] += getattr(turn, name)
        for objective, counts in turn.objectives.items():
            sums = self._objectives.setdefault(objective, [0] * len(JUDGEMENTS))
            self._objectives[objective] = [total + count for total, count in zip(sums, counts, strict=False)]
        if (share := turn.attainment) is not None:
            self._shares.append(share)

    @property
    def figures(self) -> LevelFigures:
        """The figures of all turns so far."""
        if self._figures is None:
            of: dict[str, Any] = {name: self._counts[name] for name in (*OUTCOMES, *_BESIDE, *REMARKS)}
            of |= {name: statistics.median(values) if values else None for name, values in self._rates.items()}
            of |= {quantity: buckets.percentiles() for quantity, buckets in self._buckets.items()}
            of |= {name: self._kept[name] for name in JUDGEMENTS}
            of |= {"objectives": dict(self._objectives), "shares": list(self._shares)}
            of |= {"talk_turns": self._talks}
            self._figures = LevelFigures(turns=self._turns, partial=self._partial, **of)
        return self._figures
