"""Is one backend really faster? Pairs of backends compared on one metric, with an interval and a sentence.

The ratio is that of typical values: where the backends took turns, the centre of the ratios round by round, so that
whatever slowed the machine down for a while slowed both; otherwise the centre of all ratios between the two groups
(llmtui.stats.ranks, on logarithms). Nothing is assumed about the shape of the noise, and no outlier is dropped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import msgspec

from llmtui.model import Iteration, Struct
from llmtui.stats.ranks import group_shift, holm, paired_shift
from llmtui.stats.summary import METRIC_TITLES, MORE_IS_BETTER, Metric, metric_value

LEVEL = 0.95
#: Of a verdict for which rounds were added until it was narrow (tests.bench.calibration --until).
LEVEL_OF_MORE = 0.965
#: From half the width of an interval to the difference that would be found four times out of five:
#: (z(0.975) + z(0.8)) / z(0.975).
POWER = 1.43


class Comparison(Struct, frozen=True):
    """`slower` against `faster` by `metric`; `ratio` >= 1 with its interval at `level` (`low` may lie below 1).

    `p` is corrected for the number of pairs. `decided`: a difference is shown. `could_show` is the smallest ratio that
    these samples would have shown four times out of five; None where they are too few for any interval.
    """

    metric: Metric
    slower: str
    faster: str
    n: int
    paired: bool
    ratio: float
    low: float
    high: float
    level: float
    p: float
    pairs: int
    decided: bool
    could_show: float | None

    @property
    def sentence(self) -> str:
        """What the data say, in words. Names are as configured: sanitise before showing."""
        of = "" if self.metric == "latency" else f" by {METRIC_TITLES[self.metric]}"
        span = f"({100 * self.level:.4g} %: {_times(self.low)} to {_times(self.high)})"
        both = f"{self.faster} and {self.slower}{of}"
        units = "rounds" if self.paired else "iterations each"
        if self.could_show is None:
            return f"{both}: no verdict, {self.n} {units} are too few"
        if self.decided:
            return f"{self.slower} is {_times(self.ratio)}x slower than {self.faster}{of} {span}"
        if self.low > 1:
            chance = f"may be chance among {self.pairs} pairs; more rounds would tell"
            return f"{both}: no verdict, {_times(self.ratio)}x {span} {chance}"
        return f"{both}: no difference shown; {self.n} {units} could have shown {100 * (self.could_show - 1):.2g} %"


def compare(lanes: Mapping[str, Sequence[Iteration]], metric: Metric, *, level: float = LEVEL) -> list[Comparison]:
    """Every pair of `lanes` (name to measured iterations of one attempt) that has samples, in the lanes' order."""
    found = [
        comparison
        for one, two in itertools.combinations(lanes, 2)
        if (comparison := _pair(one, lanes[one], two, lanes[two], metric, level)) is not None
    ]
    corrected = holm([c.p for c in found])
    return [_judged(c, p, len(found)) for c, p in zip(found, corrected, strict=True)]


def level_after(planned: int, made: int) -> float:
    """The level at which to judge when there are `made` iterations of a backend where `planned` were to be.

    Who adds rounds until a difference shows will find one: looking again is paid for with a wider interval.
    """
    return LEVEL if made <= planned else LEVEL_OF_MORE


def narrow(lanes: Mapping[str, Sequence[Iteration]], within: float) -> bool:
    """Whether the latency of every pair is known to `within` (0.05: 5 %) to either side, whichever way it goes."""
    found = compare(lanes, "latency", level=LEVEL_OF_MORE)
    return all(c.could_show is not None and math.sqrt(c.high / c.low) - 1 <= within for c in found)


def rounds(first: Sequence[Iteration], second: Sequence[Iteration]) -> list[tuple[Iteration, Iteration]]:
    """Iterations of the same number, where the two truly took turns: each round over before the next began. Else []."""
    others = {i.iteration: i for i in second}
    pairs = [(i, others[i.iteration]) for i in first if i.iteration in others]
    pairs.sort(key=lambda pair: pair[0].iteration)
    for (a, b), (c, d) in itertools.pairwise(pairs):
        if max(a.started_utc, b.started_utc) > min(c.started_utc, d.started_utc):
            return []
    return pairs


def _pair(
    one: str, first: Sequence[Iteration], two: str, second: Sequence[Iteration], metric: Metric, level: float
) -> Comparison | None:
    sign = -1.0 if metric in MORE_IS_BETTER else 1.0
    taken = [
        (math.log(a), math.log(b))
        for x, y in rounds(first, second)
        if (a := metric_value(x, metric)) is not None and (b := metric_value(y, metric)) is not None and a > 0 < b
    ]
    paired = bool(taken)
    if paired:
        n = len(taken)
        shift = paired_shift([sign * (a - b) for a, b in taken], 1 - level)
    else:
        left, right = (
            [sign * math.log(v) for i in side if (v := metric_value(i, metric)) is not None and v > 0]
            for side in (first, second)
        )
        n = min(len(left), len(right))
        if not n:
            return None
        shift = group_shift(left, right, 1 - level)
    slower, faster, (centre, low, high) = one, two, shift[:3]
    if centre < 0:
        slower, faster, (centre, low, high) = two, one, (-centre, -high, -low)
    known = math.isfinite(low)
    return Comparison(
        metric=metric,
        slower=slower,
        faster=faster,
        n=n,
        paired=paired,
        ratio=math.exp(centre),
        low=math.exp(low) if known else 0.0,
        high=math.exp(high) if known else math.inf,
        level=level,
        p=shift.p,
        pairs=1,
        decided=False,
        could_show=math.exp(POWER * (high - low) / 2) if known else None,
    )


def _judged(comparison: Comparison, p: float, pairs: int) -> Comparison:

    decided = comparison.could_show is not None and comparison.low > 1 and p <= 1 - comparison.level
    return msgspec.structs.replace(comparison, p=p, pairs=pairs, decided=decided)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.3g}"
