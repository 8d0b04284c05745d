"""Is one backend really faster? Pairs of backends compared by one metric, with an interval and a sentence.

The ratio is one of typical values. If the backends took turns, it is the centre of the ratios round by round, so a
temporary slowdown of the machine affects both; otherwise it is the centre of all ratios between the two groups
(llmtui.stats.ranks, on logarithms). Both assume nothing about the shape of the noise, and drop no outlier.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

from llmtui.model import Iteration, Struct
from llmtui.stats.correction import LEVEL, holm, single_p
from llmtui.stats.launches import launch_means, launch_shift, least_shown
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.ranks import EXACT_PAIRS, Shift, group_shift, paired_shift
from llmtui.stats.rounds import Rounds, as_rounds, took_turns
from llmtui.text.format import plural

#: A difference below this share is not worth a star, and is shown as "under 0.1%".
LEAST_SHARE = 0.001
#: The power at which `could_show` is the smallest ratio.
POWER = 0.8
#: The largest logarithm of a ratio: beyond, exp() overflows.
_FURTHEST = 700.0

#: What a comparison stands on: rounds in turns, launches of the servers (each a sample), samples that were not taken
#: in turns, so that a drift of the machine looks like a difference, or whole runs.
Basis = Literal["rounds", "launches", "apart", "runs"]
Samples = Rounds | Sequence[Iteration]
#: A name with the samples of one attempt.
Group = tuple[str, Samples]


class Comparison(Struct, frozen=True):
    """`slower` against `faster` by `metric`: `ratio` (>= 1) with its interval at `level` (`low` may be below 1).

    `n` counts rounds, or the samples of the backend with fewer (`n_more` those of the other). `p` is corrected: for
    the number of `pairs`, or for the choice of the best among `rivals` (0: `pairs` is what counts). `decided`: a
    difference is shown. `could_show` is the smallest ratio that these samples show four times out of five after this
    correction, None if they show none. `basis` is what it stands on, `launches` the number of launches of each server
    that were compared, 0 unless they are the basis; `unit` is what a sample is, an iteration or a turn. With
    the basis "apart" there is a ratio, but no interval, no level and no decision: what the machine did in between may
    explain it.
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
    rivals: int = 0
    basis: Basis = "rounds"
    launches: int = 0
    unit: str = "iteration"

    @property
    def bounded(self) -> bool:
        """Whether there is an interval: there are enough samples for one, and they were taken in turns."""
        return math.isfinite(self.high)

    @property
    def tiny(self) -> bool:
        """Whether the whole interval is within `LEAST_SHARE` of 1."""
        return self.bounded and is_tiny(self.low, self.high)

    @property
    def count(self) -> str:
        """What was compared: "10 rounds", "6 iterations each", "6 and 500 iterations"."""
        if self.launches and self.n % self.launches == 0:
            return f"{plural(self.launches, 'launch', 'es')} of {plural(self.n // self.launches, 'round')}"
        if self.launches:
            return f"{plural(self.n, 'round')} in {plural(self.launches, 'launch', 'es')}"
        if self.paired:
            return f"{plural(self.n, 'round')}"
        if self.n_more > self.n:
            return f"{self.n} and {self.n_more} {self.unit}s"
        return f"{plural(self.n, self.unit)} each"

    @property
    def among(self) -> str:
        """ " among 9 backends", " among 36 pairs": what the result is corrected for; "" for a single comparison."""
        if self.rivals > 2:
            return f" among {self.rivals} backends"
        return f" among {self.pairs} pairs" if self.pairs > 1 and not self.rivals else ""

    @property
    def limit(self) -> str:
        """Why no difference was shown: too few samples, or the smallest difference that they would reveal."""
        are = "is" if self.n == 1 and self.n_more <= 1 else "are"
        if not self.bounded or self.could_show is None:
            return f"{self.count} {are} too few{self.among if self.bounded else ''}"
        share = self.could_show - 1
        if share < 1e-9:
            return f"all {self.count} show the same"
        least = f"{100 * share:.2g}%" if share < 0.995 else f"{self.could_show:.{int(self.could_show < 10)}f}x"
        return f"{self.count} would reveal one of {least} or more"

    @property
    def figures(self) -> tuple[str, str, str]:
        """The ratio and the ends of its interval as every place shows them: "1.31", "1.30", "1.32"."""
        return digits(self.ratio, self.low, self.high)

    @property
    def span(self) -> str:
        """The interval as every place shows it: "1.30 to 1.32", or "under 0.1%"."""
        return span_of(self.ratio, self.low, self.high)

    @property
    def relation(self) -> str:
        """ "b takes 1.31x as long as a (95%: 1.30 to 1.32)", with names as configured: sanitize them first."""
        metric = METRICS[self.metric]
        if self.tiny:
            return f"{self.slower} and {self.faster} differ by {self.span}{metric.by} ({percent(self.level)})"
        ratio, apart = self.figures[0], self.basis == "apart"
        if metric.rate:
            gives = "gave" if apart else "gives"
            claim = f"{self.faster} {gives} {ratio}x as many {metric.title} as {self.slower}"
        else:
            claim = f"{self.slower} {'took' if apart else 'takes'} {ratio}x as long as {self.faster}{metric.by}"
        over = f"; {self.count}" if self.launches else ""
        return claim if apart else f"{claim} ({percent(self.level)}: {self.span}{over})"

    @property
    def names_both(self) -> bool:
        """Whether `outcome` has both names."""
        return self.decided or self.basis == "apart"

    @property
    def outcome(self) -> str:
        """The result in words, without the names unless it says a ratio: "no clear difference (...)"."""
        if self.decided:
            return self.relation
        if self.basis == "apart":
            return f"{self.relation} ({self.count}), but not in turns: the machine may explain it"
        by = METRICS[self.metric].by
        if self.bounded and self.low > 1:
            more = "launches" if self.launches else "rounds" if self.paired else f"{self.unit}s"
            return f"no verdict: {self.relation}, which may be chance{self.among}; measure more {more}"
        if self.could_show is None:
            return f"no verdict{by}: {self.limit}"
        return f"no clear difference{by} ({self.limit})"

    @property
    def sentence(self) -> str:
        """The result in words, with names as configured: sanitize them first."""
        return self.outcome if self.names_both else f"{self.faster} and {self.slower}: {self.outcome}"


def compare(
    contenders: Mapping[str, Samples], metric: MetricKey, *, level: float = LEVEL, basis: Basis = "rounds"
) -> list[Comparison]:
    """Every pair of `contenders` (name to the samples of one attempt) with samples, in their order."""
    pairs = list(itertools.combinations([(name, as_rounds(samples)) for name, samples in contenders.items()], 2))
    return [c for c in compare_pairs(pairs, metric, level=level, basis=basis) if c is not None]


def compare_pairs(
    pairs: Sequence[tuple[Group, Group]], metric: MetricKey, *, level: float = LEVEL, basis: Basis = "rounds"
) -> list[Comparison | None]:
    """Compare these pairs and correct for their number; None for a pair without samples. For `basis` see `measure`."""
    measured = [measure(one, two, metric, level=level, basis=basis) for one, two in pairs]
    corrected = iter(holm([m.whole.p for m in measured if m is not None]))
    count = sum(m is not None for m in measured)
    return [m.comparison(next(corrected), pairs=count) if m is not None else None for m in measured]


def measure(
    one: Group, two: Group, metric: MetricKey, *, level: float = LEVEL, basis: Basis = "rounds"
) -> Measured | None:
    """The ratio of these two; None without samples, and if one has zeros: without them it would look slower.

    `basis` is "rounds" for backends of one run, whose basis becomes "apart" if they did not take turns, and "apart" if
    they were not asked to. It is "runs" for groups of different runs, even if their numbers match.
    """
    first, second = as_rounds(one[1]), as_rounds(two[1])
    logs = _logs(first, second, metric, basis == "rounds")
    if logs is None:
        return None
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    left, right = ([sign * v for v in side] for side in logs[:2])
    actual: Basis = "apart" if basis == "rounds" and not logs.paired else basis
    launches: list[tuple[int, int]] = []
    if logs.paired and max(first.launches, second.launches) > 1:
        actual, launches = "launches", first.launches_of_pairs(second, metric)
    return Measured(one[0], two[0], metric, level, _Logs(left, right, logs.paired), actual, launches, first.unit)


def measure_logs(
    one: str, two: str, first: Sequence[float], second: Sequence[float], metric: MetricKey, level: float
) -> Measured:
    """Two groups of logarithms of times, from different runs; more is slower, also of a rate."""
    return Measured(one, two, metric, level, _Logs(list(first), list(second), False), "runs")


def rounds(first: Sequence[Iteration], second: Sequence[Iteration]) -> list[tuple[Iteration, Iteration]]:
    """Iterations of the same number if the two took turns, each round done before the next one started. Else []."""
    others = {i.iteration: i for i in second}
    pairs = [(i, others[i.iteration]) for i in first if i.iteration in others]
    pairs.sort(key=lambda pair: pair[0].iteration)
    if all(a.seq and b.seq for a, b in pairs):
        in_turns = took_turns([float(a.seq) for a, _ in pairs], [float(b.seq) for _, b in pairs])
    else:
        in_turns = took_turns([a.started_utc for a, _ in pairs], [b.started_utc for _, b in pairs])
    return pairs if in_turns else []


class _Logs(NamedTuple):
    """Logarithms of the values of two backends, from the same rounds if `paired`."""

    first: list[float]
    second: list[float]
    paired: bool


def zeros_in(name: str, count: int) -> str:
    """ "7 samples of a are 0"."""
    return f"{plural(count, 'sample')} of {name} {'is' if count == 1 else 'are'} 0"


def _logs(first: Rounds, second: Rounds, metric: MetricKey, turns: bool) -> _Logs | None:
    """None without samples or with zeros: dropping the zeros would make a backend look slower."""
    if first.zeros(metric) or second.zeros(metric):
        return None
    if pairs := first.pairs(second, metric) if turns else []:
        return _Logs([math.log(a) for a, _ in pairs], [math.log(b) for _, b in pairs], True)
    one, two = ([math.log(value) for value in side.values(metric)] for side in (first, second))
    return _Logs(one, two, False) if one and two else None


@dataclasses.dataclass(frozen=True)
class Measured:
    """Two backends by one metric, before a correction for other comparisons.

    `launches` are those of both servers in each round if they are the samples, empty if rounds are.
    """

    one: str
    two: str
    metric: MetricKey
    level: float
    logs: _Logs
    basis: Basis = "rounds"
    launches: Sequence[tuple[int, int]] = ()
    unit: str = "iteration"

    @functools.cached_property
    def _means(self) -> list[float]:
        """The mean log ratio of each launch, empty if launches are not the samples."""
        ratios = zip(self.logs.first, self.logs.second, strict=True) if self.launches else ()
        return launch_means(self.launches, [a - b for a, b in ratios])

    @functools.cached_property
    def whole(self) -> Shift:
        """How far `one` is behind `two`: the logarithm of the ratio of their times, its interval, and its p."""
        return self.shift(1 - self.level)

    def shift(self, alpha: float) -> Shift:
        """The same, with an interval that misses the truth at most `alpha` of the time."""
        if self.launches:
            return launch_shift(self._means, alpha)
        if self.logs.paired:
            return paired_shift([a - b for a, b in zip(self.logs.first, self.logs.second, strict=True)], alpha)
        return group_shift(self.logs.first, self.logs.second, alpha)

    def _could_show(self, alpha: float, alone: float, power: float = POWER) -> float | None:
        """The smallest ratio that has a p of `alone` or less with this probability."""
        if self.launches:
            least = least_shown(self._means, alone, power)
            return _ratio(least) if least is not None else None
        shift, given = self.whole, alpha
        if alone != alpha and min(len(self.logs.first), len(self.logs.second)) <= EXACT_PAIRS:
            shift, given = self.shift(alone), alone
        if not math.isfinite(shift.low):
            return None
        # The width of an interval from many samples follows the normal distribution.
        z, wanted = (NormalDist().inv_cdf(1 - share / 2) for share in (given, alone))
        return _ratio((wanted + NormalDist().inv_cdf(power)) / z * (shift.high - shift.low) / 2)

    def comparison(self, p: float, *, pairs: int = 1, rivals: int = 0) -> Comparison:
        """The comparison with its corrected `p`: for this number of pairs, or for the best among `rivals` backends."""
        slower, faster, (centre, low, high) = self.one, self.two, self.whole[:3]
        if centre < 0:
            slower, faster, (centre, low, high) = faster, slower, (-centre, -high, -low)
        bounded = math.isfinite(low) and self.basis != "apart"
        alpha = 1 - self.level
        least = _ratio(low) if bounded else 0.0
        could_show = self._could_show(alpha, single_p(alpha, rivals) if rivals else alpha / pairs) if bounded else None
        if rivals > 2 and bounded and (whole := self._could_show(alpha, alpha, POWER ** (1 / (rivals - 1)))):
            # Or it beats all others at once, each without a correction.
            could_show = min(could_show or math.inf, whole)
        return Comparison(
            metric=self.metric,
            slower=slower,
            faster=faster,
            n=min(len(self.logs.first), len(self.logs.second)),
            paired=self.logs.paired,
            ratio=_ratio(centre),
            low=least,
            high=_ratio(high) if bounded else math.inf,
            level=self.level,
            p=p,
            pairs=pairs,
            decided=bounded and least > 1 and p <= alpha,
            could_show=could_show,
            n_more=max(len(self.logs.first), len(self.logs.second)),
            rivals=rivals,
            basis=self.basis,
            launches=len(self._means),
            unit=self.unit,
        )


def _ratio(logarithm: float) -> float:
    return math.exp(max(-_FURTHEST, min(_FURTHEST, logarithm)))


def times(ratio: float, decimals: int = 2) -> str:
    """A ratio in three digits, or with this number of decimals; from 1000 on without, from a million on as 1.2e6."""
    if ratio < 10:
        return f"{ratio:.{decimals}f}"
    if ratio < 999.5:
        return f"{ratio:.{max(0, decimals - (1 if ratio < 99.95 else 2))}f}"
    return f"{ratio:.0f}" if ratio < 1e6 else f"{ratio:.1e}".replace("e+0", "e").replace("e+", "e")


def percent(share: float) -> str:
    """ "95%", "99.998%": never rounded to 100%."""
    texts = (f"{100 * share:.{places}g}" for places in range(4, 17))
    return next(text for text in texts if share >= 1 or float(text) < 100) + "%"


def jointly(comparisons: Sequence[Comparison]) -> str:
    """What several intervals say together; "" for fewer than two."""
    level = next((c.level for c in comparisons if c.bounded), LEVEL)
    if sum(c.bounded for c in comparisons) < 2:
        return ""
    share = f"{100 * level:g} of 100" if level == LEVEL else f"{percent(level)} of"
    return f"each of these intervals holds the true ratio in {share} races, all of them together in fewer"


def is_tiny(low: float, high: float) -> bool:
    """Whether an interval of a ratio is within `LEAST_SHARE` of 1 on both sides."""
    return 1 / (1 + LEAST_SHARE) < low <= high < 1 + LEAST_SHARE


def span_of(ratio: float, low: float, high: float) -> str:
    """The interval of a ratio in words: "1.30 to 1.32", or "under 0.1%"."""
    if is_tiny(low, high):
        return f"under {100 * LEAST_SHARE:g}%"
    _, least, most = digits(ratio, low, high)
    return f"{least} to {most}"


def digits(ratio: float, low: float, high: float) -> tuple[str, str, str]:
    """A ratio and its interval, with enough digits to separate the ends from each other and from 1 (at most 4).

    If all is within 0.1% of 1, two: nothing more is to be seen.
    """

    def apart(decimals: int) -> bool:
        ends = [float(times(end, decimals)) for end in (low, high)]
        return ends[0] != ends[1] and all(shown != 1 or end == 1 for shown, end in zip(ends, (low, high), strict=True))

    decimals = 2 if is_tiny(low, high) else next((n for n in (2, 3, 4) if apart(n)), 2)
    return times(ratio, decimals), times(low, decimals), times(high, decimals)
