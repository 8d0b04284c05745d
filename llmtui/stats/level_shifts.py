"""Did the level of a series shift, and where? For medians of runs in the order of time.

For each place with at least `LEAST` runs before and after it: the sum of the ranks before it, in units of its standard
deviation (Wilcoxon's statistic). The largest of all places is compared with the largest ones of random orders of the
same values, so p is corrected for the choice of the place, and assumes nothing about the shape of the noise. Both sides
of a shift that is shown are searched again (binary segmentation).

It assumes that runs without a shift could have come in any order. If the machine wanders, so that neighbours are alike,
a wander is a shift, too: tests/bench/trend.py measures how often.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from llmtui.model import Struct
from llmtui.stats.intervals import LEVEL
from llmtui.stats.ranks import group_shift

#: The fewest runs before and after a shift.
LEAST = 3
#: A shift is shown up to this p.
ALPHA = 0.01
#: Below this number of runs no shift can be shown: even the clearest one has a p above `ALPHA`.
SHOWN_FROM = 10
#: Random orders that are drawn, and after how many that are as clear no more are needed (Besag and Clifford 1991).
_ORDERS = 4_999
_ENOUGH = 50


class LevelShift(Struct, frozen=True):
    """The first run of the new level is number `at` of the series, from 0 on. `before` and `after` count runs.

    `ratio` is the new level over the old one, with its 95% interval `low` to `high` if the place is right; all are None
    if a value is 0 or negative, and the interval with too few runs. `p` is corrected for the choice of the place.
    """

    at: int
    before: int
    after: int
    p: float
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


def level_shifts(values: Sequence[float], alpha: float = ALPHA) -> list[LevelShift]:
    """Return the shifts of a series that are shown at `alpha`, in order. The same values give the same answer."""
    places = sorted(_search(values, 0, len(values), alpha))
    ends = [0, *(at for at, _ in places), len(values)]
    return [
        _shift(values[start:at], values[at:end], at, p)
        for (at, p), start, end in zip(places, ends, ends[2:], strict=False)
    ]


def clearest(values: Sequence[float]) -> tuple[int, float]:
    """Return the clearest place of a shift and its p; place 0 and p 1 if there are too few values, or all are equal."""
    n = len(values)
    if n < 2 * LEAST or len(set(values)) < 2:
        return 0, 1.0
    ordered = sorted(values)
    # Twice the rank less its mean: whole numbers, and ties share ranks.
    ranks = [bisect_left(ordered, v) + bisect_right(ordered, v) - n for v in values]
    weights = [1 / (k * (n - k)) for k in range(LEAST, n - LEAST + 1)]
    at, largest = _largest(ranks, weights)
    # Sums of the same squares in another order differ in the last digits.
    rng, least, clear = random.Random(0), largest * (1 - 1e-12), 0
    for drawn in range(1, _ORDERS + 1):
        rng.shuffle(ranks)
        clear += _largest(ranks, weights)[1] >= least
        if clear == _ENOUGH:
            return at, clear / drawn
    return at, (clear + 1) / (_ORDERS + 1)


def _largest(ranks: Sequence[int], weights: Sequence[float]) -> tuple[int, float]:
    """The place with the largest squared statistic, and this in units that are the same for all orders."""
    total = sum(ranks[: LEAST - 1])
    at, largest = 0, -1.0
    for k, weight in enumerate(weights, LEAST):
        total += ranks[k - 1]
        size = total * total * weight
        if size > largest:
            at, largest = k, size
    return at, largest


def _search(values: Sequence[float], start: int, end: int, alpha: float) -> list[tuple[int, float]]:
    at, p = clearest(values[start:end])
    if not at or p > alpha:
        return []
    middle = start + at
    return [(middle, p), *_search(values, start, middle, alpha), *_search(values, middle, end, alpha)]


def _shift(before: Sequence[float], after: Sequence[float], at: int, p: float) -> LevelShift:
    ratio, low, high = None, None, None
    if min(*before, *after) > 0:
        shift = group_shift([math.log(v) for v in after], [math.log(v) for v in before], 1 - LEVEL)
        ratio = math.exp(shift.estimate)
        if math.isfinite(shift.low):
            low, high = math.exp(shift.low), math.exp(shift.high)
    return LevelShift(at=at, before=len(before), after=len(after), p=p, ratio=ratio, low=low, high=high)
