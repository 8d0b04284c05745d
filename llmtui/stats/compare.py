"""Is one backend really faster? Pairs of backends compared on one metric, with an interval and a sentence.

The ratio is that of typical values: where the backends took turns, the centre of the ratios round by round, so that
whatever slowed the machine down for a while slowed both; otherwise the centre of all ratios between the two groups
(llmtui.stats.ranks, on logarithms). Nothing is assumed about the shape of the noise, and no outlier is dropped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import msgspec

from llmtui.format import plural
from llmtui.model import Iteration, Struct
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.ranks import Shift, group_shift, holm, paired_shift

LEVEL = 0.95
#: Of a verdict for which rounds were added until it was narrow. Whoever adds them has looked once before, at `LEVEL`:
#: the second look takes the errors of both to 6 % and not to 9 (tests.bench.calibration --until).
LEVEL_OF_MORE = 0.99
#: Who looks after every round, and stops when he likes what he sees, is wrong once for this many looks in a hundred.
#: Spread over the rounds planned it comes to 1 to 2 % of races, whether there are ten rounds or 200 (--early).
_EARLY_SHARE = 0.1
_EARLY_LEAST = 10
#: Rounds are added up to so many times those planned.
MORE_TIMES = 10
#: What could have been shown is what would have been found so often.
FOUND = 0.8
#: Zeros have no logarithm, and what is as far apart as this is no longer a number.
_FURTHEST = 700.0

#: A name, and measured iterations of one attempt.
Group = tuple[str, Sequence[Iteration]]


class Comparison(Struct, frozen=True):
    """`slower` against `faster` by `metric`; `ratio` >= 1 with its interval at `level` (`low` may lie below 1).

    `n` counts rounds, or samples of the one that has fewer (`n_more` those of the other). `p` is corrected for the
    number of pairs. `decided`: a difference is shown. `could_show` is the smallest ratio that these samples would have
    shown four times out of five, among so many pairs; None where no ratio would have been.
    """

    metric: MetricKey
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
    n_more: int = 0

    @property
    def known(self) -> bool:
        """Whether there are samples enough for an interval."""
        return math.isfinite(self.high)

    @property
    def count(self) -> str:
        """How much was compared: "10 rounds", "6 iterations each", "6 and 500 iterations"."""
        if self.paired:
            return f"{plural(self.n, 'round')}"
        if self.n_more > self.n:
            return f"{self.n} and {self.n_more} iterations"
        return f"{plural(self.n, 'iteration')} each"

    @property
    def unknown(self) -> str:
        """Why no difference was shown, or could have been, in a few words."""
        are = "is" if self.n == 1 and self.n_more <= 1 else "are"
        if not self.known:
            return f"{self.count} {are} too few"
        if self.could_show is None:
            return f"{self.count} {are} too few" + (f" for {self.pairs} pairs" if self.pairs > 1 else "")
        share = self.could_show - 1
        if share < 1e-9:
            return f"all {self.count} show the same"
        least = f"{100 * share:.2g} %" if share < 0.995 else f"{self.could_show:.{int(self.could_show < 10)}f}x"
        return f"{self.count} could have shown {least}"

    @property
    def sentence(self) -> str:
        """What the data say, in words. Names are as configured: sanitise before showing."""
        of = METRICS[self.metric].by
        ratio, low, high = told(self.ratio, self.low, self.high)
        span = f"({100 * self.level:.4g} %: {low} to {high})"
        both = f"{self.faster} and {self.slower}{of}"
        if not self.known:
            return f"{both}: no verdict, {self.unknown}"
        if self.decided:
            return f"{self.slower} is {ratio}x slower than {self.faster}{of} {span}"
        if self.low > 1:
            chance = f"may be chance among {self.pairs} pairs; more rounds would tell"
            return f"{both}: no verdict, {ratio}x {span} {chance}"
        if self.could_show is None:
            return f"{both}: no verdict, {self.unknown}"
        return f"{both}: no difference shown; {self.unknown}"


def compare(
    contenders: Mapping[str, Sequence[Iteration]], metric: MetricKey, *, level: float = LEVEL
) -> list[Comparison]:
    """Every pair of `contenders` (name to measured iterations of one attempt) that has samples, in their order."""
    pairs = list(itertools.combinations(contenders.items(), 2))
    return [c for c in compare_pairs(pairs, metric, level=level) if c is not None]


def compare_pairs(
    pairs: Sequence[tuple[Group, Group]], metric: MetricKey, *, level: float = LEVEL, turns: bool = True
) -> list[Comparison | None]:
    """Each of these pairs, corrected for all of them; None for one without samples.

    `turns` is False where the two groups never took turns (they are of different runs), whatever their numbers say.
    """
    logs = [_logs(one[1], two[1], metric, turns) for one, two in pairs]
    count = sum(both is not None for both in logs)
    found = [
        _pair(one[0], two[0], both, metric, level, count) if both is not None else None
        for (one, two), both in zip(pairs, logs, strict=True)
    ]
    corrected = iter(holm([c.p for c in found if c is not None]))
    return [_judged(c, next(corrected)) if c is not None else None for c in found]


def level_after(planned: int, made: int, *, early: bool = False) -> float:
    """The level at which to judge when there are `made` iterations of a backend where `planned` were to be.

    `early`: more are to come, or some backend was stopped before its end.

    Who looks before the end, or adds rounds until a difference shows, will find one: looking more than once is paid for
    with a wider interval.
    """
    looks = max(_EARLY_LEAST, planned)
    if made > planned:
        return 1 - _EARLY_SHARE / (MORE_TIMES * looks) if early else LEVEL_OF_MORE
    return 1 - _EARLY_SHARE / looks if early or made < planned else LEVEL


def level_of(raced: Iterable[tuple[str, int]], planned: int, *, done: bool) -> float:
    """The level of a race: `raced` has the state of each backend, and how many iterations of it were measured.

    It is stricter while more is to come, and where somebody stopped a backend before its end; where rounds were being
    added, nothing but their own end is one.
    """
    known = list(raced)
    made = max((measured for _, measured in known), default=0)
    stopped = [measured for state, measured in known if state == "stopped" and measured]
    return level_after(planned, made, early=not done or any(n < planned or made > planned for n in stopped))


def narrow(contenders: Mapping[str, Sequence[Iteration]], within: float, metric: MetricKey = "latency") -> bool:
    """Whether every pair's ratio by `metric` is known to `within` (0.05: 5 %) to either side, whichever way it goes.

    A difference that may be chance among so many pairs is not known yet, and without samples nothing is.
    """
    found = compare(contenders, metric, level=LEVEL_OF_MORE)
    return bool(found) and all(
        c.known and math.sqrt(c.high / c.low) - 1 <= within and (c.decided or c.low <= 1) and c.could_show is not None
        for c in found
    )


def rounds(first: Sequence[Iteration], second: Sequence[Iteration]) -> list[tuple[Iteration, Iteration]]:
    """Iterations of the same number, where the two truly took turns: each round over before the next began. Else []."""
    others = {i.iteration: i for i in second}
    pairs = [(i, others[i.iteration]) for i in first if i.iteration in others]
    pairs.sort(key=lambda pair: pair[0].iteration)
    for (a, b), (c, d) in itertools.pairwise(pairs):
        if max(a.started_utc, b.started_utc) > min(c.started_utc, d.started_utc):
            return []
    return pairs


class _Logs(NamedTuple):
    """Logarithms of what two backends took: of the same rounds where `paired`."""

    first: list[float]
    second: list[float]
    paired: bool


def zeros(iterations: Iterable[Iteration], metric: MetricKey) -> int:
    """How many of these have a value that nothing is a multiple of: 0, as the gap of tokens that came in one burst."""
    return sum(v <= 0 for i in iterations if (v := METRICS[metric].of(i)) is not None)


def _logs(first: Sequence[Iteration], second: Sequence[Iteration], metric: MetricKey, turns: bool) -> _Logs | None:
    """None without samples, and where there are zeros: to leave them out would make the one that has them slower."""
    if zeros(first, metric) or zeros(second, metric):
        return None
    taken = [
        (math.log(a), math.log(b))
        for x, y in (rounds(first, second) if turns else ())
        if (a := METRICS[metric].of(x)) is not None and (b := METRICS[metric].of(y)) is not None
    ]
    if taken:
        return _Logs([a for a, _ in taken], [b for _, b in taken], True)
    one, two = ([math.log(v) for i in side if (v := METRICS[metric].of(i)) is not None] for side in (first, second))
    return _Logs(one, two, False) if one and two else None


def _pair(one: str, two: str, logs: _Logs, metric: MetricKey, level: float, pairs: int) -> Comparison:
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    left, right = ([sign * v for v in side] for side in logs[:2])

    def shift(alpha: float) -> Shift:
        if logs.paired:
            return paired_shift([a - b for a, b in zip(left, right, strict=True)], alpha)
        return group_shift(left, right, alpha)

    found = shift(1 - level)
    slower, faster, (centre, low, high) = one, two, found[:3]
    if centre < 0:
        slower, faster, (centre, low, high) = two, one, (-centre, -high, -low)
    known = math.isfinite(low)
    return Comparison(
        metric=metric,
        slower=slower,
        faster=faster,
        n=min(len(left), len(right)),
        paired=logs.paired,
        ratio=_ratio(centre),
        low=_ratio(low) if known else 0.0,
        high=_ratio(high) if known else math.inf,
        level=level,
        p=found.p,
        pairs=pairs,
        decided=False,
        could_show=_could_show(found if pairs == 1 else shift((1 - level) / pairs), (1 - level) / pairs),
        n_more=max(len(left), len(right)),
    )


def _could_show(shift: Shift, alpha: float) -> float | None:
    if not math.isfinite(shift.low):
        return None
    z = NormalDist().inv_cdf(1 - alpha / 2)
    return _ratio((z + NormalDist().inv_cdf(FOUND)) / z * (shift.high - shift.low) / 2)


def _ratio(logarithm: float) -> float:
    return math.exp(max(-_FURTHEST, min(_FURTHEST, logarithm)))


def _judged(comparison: Comparison, p: float) -> Comparison:
    decided = comparison.known and comparison.low > 1 and p <= 1 - comparison.level
    return msgspec.structs.replace(comparison, p=p, decided=decided)


def times(ratio: float, decimals: int = 2) -> str:
    """A ratio in three digits, or with so many decimals."""
    return f"{ratio:.{decimals}f}" if ratio < 10 else f"{ratio:.{decimals + 1}g}"


def told(ratio: float, low: float, high: float) -> tuple[str, str, str]:
    """A ratio and its interval, in digits enough to tell the ends apart and from 1 (4 decimals at most)."""

    def apart(decimals: int) -> bool:
        ends = [float(times(end, decimals)) for end in (low, high)]
        return ends[0] != ends[1] and all(shown != 1 or end == 1 for shown, end in zip(ends, (low, high), strict=True))

    decimals = next((n for n in (2, 3, 4) if apart(n)), 2)
    return times(ratio, decimals), times(low, decimals), times(high, decimals)
