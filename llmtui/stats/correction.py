"""Corrections of p-values for several comparisons, so that equal backends get a winner in no more than 5% of races.

"a is the fastest" is one claim: a beats each of the others. It holds if every one of these comparisons has a p of at
most alpha, without a correction (intersection-union test, Berger 1982), so 6 rounds are enough for any number of
backends.

"b is slower than the best" is one of several claims. The best was chosen from the same data, so its comparison with the
worst is one of the whole range, and Holm's correction for n - 1 comparisons would be wrong in up to 15% of races
(tests.bench.calibration --equal). The corrected p is that of the range of n normal values (Tukey 1953), or of a best
that beats all others: the chance that equal backends show either. Once the worst is shown to be slower, the others are
compared among one backend fewer.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from llmtui.text.format import plural

_NORMAL = NormalDist()
#: The level of a finished race.
LEVEL = 0.95
#: Half the width and the step of the integral over the smallest of the values, in standard deviations.
_REACH = 8.0
_STEP = 0.1
#: Below this p, the number of pairs is the correction.
_TINY = 1e-7
#: Above this, no level is at stake.
_CLEARLY_CHANCE = 0.5
#: Each step leaves a tenth of the distance to the level, or less.
_STEPS_TO_LEVEL = 3


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979)."""
    return _step_down(ps, lambda p, left: min(1.0, left * p))


def against_best(ps: Sequence[float], *, ahead: bool = True) -> list[float]:
    """The p-values of the best one's comparisons with each of the others, corrected for the choice of the best.

    `ahead`: it is ahead of all others. Then the largest p is that of "it is the fastest", which implies each of them.
    """
    corrected = _step_down(ps, lambda p, left: best_p(p, left + 1))
    largest = max(ps, default=1.0) if ahead else 1.0
    return [min(p, largest) for p in corrected]


def best_p(p: float, backends: int) -> float:
    """The chance that this many equal backends differ with a p of `p` or less, or that one of them beats all others.

    Both at the same level, which is therefore the result: some 0.5 points above the 5% of `range_p` for three backends,
    and 0.2 for four.
    """
    chance = range_p(p, backends)
    if backends <= 2 or p < _TINY or chance > _CLEARLY_CHANCE:
        return chance
    width = _width(p)
    result = chance
    for _ in range(_STEPS_TO_LEVEL):
        result = chance + _beats_all(width, _width(result), backends)
    return min(1.0, result)


def range_p(p: float, backends: int) -> float:
    """The chance that the best and the worst of this many equal backends differ with a p of `p` or less."""
    if backends <= 2 or p >= 1:
        return p
    most = min(1.0, p * math.comb(backends, 2))
    return most if p < _TINY else min(most, 1 - _within(_width(p), backends))


@functools.lru_cache(maxsize=256)
def single_p(alpha: float, backends: int) -> float:
    """The largest p of a comparison with the best of this many backends that is at most `alpha` when corrected."""
    if backends <= 2:
        return alpha
    low, high = math.log(alpha / math.comb(backends, 2)), math.log(alpha)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if best_p(math.exp(middle), backends) <= alpha else (low, middle)
    return math.exp(low)


def least_p(n: int) -> float:
    """The smallest two-sided p of n signs."""
    return min(1.0, 2 * 0.5**n)


@functools.lru_cache(maxsize=256)
def rounds_to_decide(level: float) -> int:
    """The least number of rounds that can show a backend to be the fastest, of any number of backends."""
    return next(n for n in itertools.count(1) if least_p(n) <= 1 - level)


def cannot_decide(planned: int, backends: int, level: float = LEVEL) -> str:
    """ "5 rounds cannot decide among 12 backends; set iterations to 6 or more"; "" if they can."""
    enough = rounds_to_decide(level)
    if planned >= enough or backends < 2:
        return ""
    between = f"among {backends} backends" if backends > 2 else "between two backends"
    return f"{plural(planned, 'round')} cannot decide {between}; set iterations to {enough} or more"


def _step_down(ps: Sequence[float], correct: Callable[[float, int], float]) -> list[float]:
    corrected = [0.0] * len(ps)
    largest = 0.0
    for step, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, correct(ps[index], len(ps) - step))
        corrected[index] = largest
    return corrected


def _within(width: float, n: int) -> float:
    """The chance that the range of n standard normal values is at most `width`."""
    total, steps = 0.0, round(2 * _REACH / _STEP)
    for step in range(steps + 1):
        least = -_REACH + step * _STEP
        share = _tail(least) - _tail(least + width)
        total += math.exp(-least * least / 2) * share ** (n - 1)
    return min(1.0, n * total * _STEP / math.sqrt(2 * math.pi))


def _beats_all(width: float, gap: float, n: int) -> float:
    """The chance that the smallest of n standard normal values is `gap` or more below all others, all in `width`."""
    total, steps = 0.0, round(2 * _REACH / _STEP)
    for step in range(steps + 1):
        least = -_REACH + step * _STEP
        share = max(0.0, _tail(least + gap) - _tail(least + width))
        total += math.exp(-least * least / 2) * share ** (n - 1)
    return n * total * _STEP / math.sqrt(2 * math.pi)


def _width(p: float) -> float:
    """The difference of two standard normal values that has this two-sided p."""
    return math.sqrt(2) * -_NORMAL.inv_cdf(p / 2)


def _tail(value: float) -> float:
    return 0.5 * math.erfc(value / math.sqrt(2))
