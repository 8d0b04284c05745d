"""The change of one backend between two runs, or between two groups of runs, by logarithms of its times.

Every iteration of a run shares what the machine was like then, so the iterations of one run cannot show how much runs
differ. A change stands on several runs of each side, each of which is one sample (Welch's t on their medians); or on
one run of each and the spread between earlier runs (Student's t); or on one run of each where something common to both
runs has been taken off before (rank sums).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from llmtui.model.spread import Between
from llmtui.stats.between import apart, mean_of
from llmtui.stats.compare import POWER, Comparison, Measured, measure_logs
from llmtui.stats.metrics import MetricKey
from llmtui.stats.ranks import Shift
from llmtui.stats.student import reach, two_sided_p, welch

#: Fewer runs of a side are no sample of runs.
LEAST_RUNS = 2
#: The names of the two sides in a comparison.
SIDES = ("A", "B")
_FURTHEST = 700.0


@dataclasses.dataclass(frozen=True)
class Change:
    """`a` and `b` have a list of logarithms for each run of their side; more is slower.

    `spread` is the one between earlier runs, for one run of each side.
    """

    metric: MetricKey
    level: float
    a: Sequence[Sequence[float]]
    b: Sequence[Sequence[float]]
    names: tuple[str, str] = SIDES
    spread: Between | None = None

    @property
    def by_t(self) -> bool:
        """Whether it stands on several runs, or on the spread between earlier ones."""
        return self._by_t is not None

    @functools.cached_property
    def whole(self) -> Shift:
        """How far B is behind A, with its interval at the level and its p, uncorrected."""
        if self._by_t is None:
            return self._measured.whole
        estimate, error, df = self._by_t
        if not error:
            return Shift(estimate, estimate, estimate, 0.0 if estimate else 1.0)
        half = reach(df, self.level) * error
        return Shift(estimate, estimate - half, estimate + half, two_sided_p(estimate / error, df))

    def comparison(self, p: float, tests: int) -> Comparison:
        """The comparison with its `p`, which was corrected for this number of tests."""
        if self._by_t is None:
            return self._measured.comparison(p, pairs=tests)
        _, error, df = self._by_t
        estimate, low, high, _ = self.whole
        slower, faster = self.names[1], self.names[0]
        if estimate < 0:
            slower, faster, estimate, low, high = faster, slower, -estimate, -high, -low
        counts = sorted(sum(map(len, side)) if self.spread is not None else len(side) for side in (self.a, self.b))
        alpha = 1 - self.level
        could = (reach(df, 1 - alpha / tests) + NormalDist().inv_cdf(POWER)) * error
        return Comparison(
            metric=self.metric,
            slower=slower,
            faster=faster,
            n=counts[0],
            n_more=counts[1],
            paired=False,
            ratio=_ratio(estimate),
            low=_ratio(low),
            high=_ratio(high),
            level=self.level,
            p=p,
            pairs=tests,
            decided=_ratio(low) > 1 and p <= alpha,
            could_show=_ratio(could),
            basis="runs",
        )

    @functools.cached_property
    def _measured(self) -> Measured:
        return measure_logs(self.names[1], self.names[0], self.b[-1], self.a[-1], self.metric, self.level)

    @functools.cached_property
    def _by_t(self) -> tuple[float, float, float] | None:
        """The estimate, its standard error and the degrees of freedom; None for rank sums."""
        if min(len(self.a), len(self.b)) >= LEAST_RUNS:
            of_runs = welch(*([statistics.median(run) for run in side] for side in (self.a, self.b)))
            return of_runs.estimate, of_runs.error, of_runs.df
        if self.spread is None or not (self.a and self.b):
            return None
        one, two = mean_of(self.a[-1]), mean_of(self.b[-1])
        if one is None or two is None:
            return None
        df = self.spread.n - 1
        low, high = apart(one, two, self.spread, self.level)
        return (low + high) / 2, (high - low) / 2 / reach(df, self.level), df


def _ratio(logarithm: float) -> float:
    return math.exp(max(-_FURTHEST, min(_FURTHEST, logarithm)))
