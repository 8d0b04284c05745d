"""Slow requests under load: p95 and p99 of two backends, from the requests of all rounds together.

A turn has too few requests for them, and requests of one turn are not independent. So whole rounds are drawn again and
again, both backends together (cluster bootstrap: Davison and Hinkley 1997, 3.8), and the interval is that of the ratio
in these draws. Of few rounds it is wider: its ends are those of Student's t (Hesterberg 2015). The draws are the same
for the same rounds.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import itemgetter
from statistics import NormalDist
from typing import Literal

from llmtui.model import Quantity, Struct, Turn
from llmtui.stats.buckets import FROM, Buckets, type_8, value_of
from llmtui.stats.compare import digits, percent
from llmtui.stats.correction import LEVEL
from llmtui.stats.metrics import METRICS
from llmtui.stats.student import reach
from llmtui.stats.summary import percentile
from llmtui.text import sanitize
from llmtui.text.format import percent_text, plural

#: Fewer rounds have no interval.
LEAST_ROUNDS = 10
#: More draws hardly move the ends.
DRAWS = 2_000
#: The percentiles that are compared, and of what.
SHARES = (0.95, 0.99)
QUANTITIES: tuple[Literal["ttft", "latency"], ...] = ("ttft", "latency")
_NAME = 40


class Tail(Struct, frozen=True):
    """A percentile of two backends: that of `slower` is `ratio` (1 or more) times that of `faster`.

    It has an interval from `low` to `high` at `level`, infinite without one: for fewer than `LEAST_ROUNDS` rounds, too
    few requests, or too many without an answer (`lost`, a share) for this percentile. `n` counts the
    requests of the backend with fewer.
    """

    quantity: Literal["ttft", "latency"]
    share: float
    slower: str
    faster: str
    slower_s: float
    faster_s: float
    ratio: float
    low: float
    high: float
    rounds: int
    n: int
    lost: float = 0.0
    level: float = LEVEL

    @property
    def title(self) -> str:
        """ "p95 of TTFT"."""
        return f"p{100 * self.share:g} of {METRICS[self.quantity].title}"

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.high)

    @property
    def shown(self) -> bool:
        """Whether the interval does not contain 1. It is of this percentile alone."""
        return self.bounded and self.low > 1

    @property
    def too_many_lost(self) -> bool:
        """Whether too many requests got no answer for this percentile."""
        return self.lost >= 1 - self.share

    @property
    def sentence(self) -> str:
        """The result in words: "p95 of TTFT: that of b is 1.31 times that of a (95%: 1.12 to 1.50; 10 rounds)"."""
        slower, faster = sanitize(self.slower, _NAME), sanitize(self.faster, _NAME)
        counts = f"{plural(self.rounds, 'round')}, {plural(self.n, 'request')}"
        if self.too_many_lost:
            return f"{self.title}: unknown, as {percent_text(self.lost)} of the requests got no answer"
        if not self.bounded:
            needs = f"{LEAST_ROUNDS} rounds and {FROM[self.share]} requests"
            return f"{self.title}: n too small ({counts}; an interval needs {needs})"
        ratio, low, high = digits(self.ratio, self.low, self.high)
        span = f"{percent(self.level)}: {low} to {high}; {counts}"
        if not self.shown:
            return f"{self.title}: no clear difference between {faster} and {slower} ({span})"
        return f"{self.title}: that of {slower} is {ratio} times that of {faster} ({span})"


def tails_of(
    one: str, two: str, turns: Mapping[str, Sequence[Turn]], quantity: Literal["ttft", "latency"]
) -> list[Tail]:
    """Compare p95 and p99 of two backends; `turns` are those of a level, by backend."""
    found = (compare_tails(one, two, turns, quantity, share) for share in SHARES)
    return [tail for tail in found if tail is not None]


def compare_tails(
    one: str,
    two: str,
    turns: Mapping[str, Sequence[Turn]],
    quantity: Literal["ttft", "latency"],
    share: float,
    level: float = LEVEL,
) -> Tail | None:
    """Compare a percentile of two backends over the rounds that both have; None without values."""
    pairs = _paired(turns[one], turns[two], quantity)
    first, second = (_Rounds([pair[side] for pair in pairs]) for side in (0, 1))
    if not first.n or not second.n:
        return None
    whole = range(len(pairs))
    mine, theirs = first.quantile(whole, share), second.quantile(whole, share)
    if mine <= 0 or theirs <= 0:
        return None
    low, high = 0.0, math.inf
    lost = max(_lost(turns[one]), _lost(turns[two]))
    if len(pairs) >= LEAST_ROUNDS and min(first.n, second.n) >= FROM[share] and lost < 1 - share:
        low, high = _span(first, second, len(pairs), share, level)
    slower, faster, slow, fast = (two, one, theirs, mine)
    if mine > theirs:
        slower, faster, slow, fast = (one, two, mine, theirs)
        low, high = 1 / high if high else math.inf, 1 / low if low else math.inf
    return Tail(
        quantity=quantity,
        share=share,
        slower=slower,
        faster=faster,
        slower_s=slow,
        faster_s=fast,
        ratio=slow / fast,
        low=low,
        high=high,
        rounds=len(pairs),
        n=min(first.n, second.n),
        lost=lost,
        level=level,
    )


def _lost(turns: Sequence[Turn]) -> float:
    """The share of the requests without an answer."""
    asked = sum(turn.requests for turn in turns)
    return 1 - sum(turn.finished for turn in turns) / asked if asked else 0.0


def _paired(one: Sequence[Turn], two: Sequence[Turn], quantity: Quantity) -> list[tuple[Buckets, Buckets]]:
    """The buckets of the rounds that both have, in order."""
    others = {turn.round: turn for turn in two}
    both = [(turn, others[turn.round]) for turn in sorted(one, key=lambda turn: turn.round) if turn.round in others]
    read = [(_read(first, quantity), _read(second, quantity)) for first, second in both]
    return [(first, second) for first, second in read if first.n and second.n]


def _read(turn: Turn, quantity: Quantity) -> Buckets:
    try:
        return Buckets.decoded(turn.buckets.get(quantity, ()))
    except ValueError:
        return Buckets()


class _Rounds:
    """The requests of one backend by round, so that a percentile of any draw of rounds is found by bisection."""

    def __init__(self, rounds: Sequence[Buckets]) -> None:
        counts = [dict(each.counts) for each in rounds]
        self._indexes = sorted({index for of in counts for index in of})
        self._totals = [each.n for each in rounds]
        self.n = sum(self._totals)
        #: For each bucket, how many requests of each round are in it or below.
        self._upto: list[tuple[int, ...]] = []
        so_far = [0] * len(rounds)
        for index in self._indexes:
            for place, of in enumerate(counts):
                so_far[place] += of.get(index, 0)
            self._upto.append(tuple(so_far))

    def quantile(self, drawn: Sequence[int], share: float) -> float:
        """The percentile in s of the requests of the drawn rounds."""
        pick = itemgetter(*drawn) if len(drawn) > 1 else itemgetter(slice(drawn[0], drawn[0] + 1))
        rank = round(type_8(sum(pick(self._totals)), share))
        place = bisect_left(self._upto, rank, key=lambda row: sum(pick(row)))
        return value_of(self._indexes[min(place, len(self._indexes) - 1)])


def _span(first: _Rounds, second: _Rounds, rounds: int, share: float, level: float) -> tuple[float, float]:
    """The interval of the second percentile over the first."""
    rng = random.Random(f"{rounds} {share}")
    places = range(rounds)
    ratios = []
    for _ in range(DRAWS):
        drawn = rng.choices(places, k=rounds)
        one, two = first.quantile(drawn, share), second.quantile(drawn, share)
        if one > 0 and two > 0:
            ratios.append(two / one)
    ratios.sort()
    # A percentile bootstrap of few rounds is too narrow, by this much of a normal distribution.
    wider = reach(rounds - 1, level) * math.sqrt(rounds / (rounds - 1))
    outside = NormalDist().cdf(-wider)
    return percentile(ratios, outside), percentile(ratios, 1 - outside)
