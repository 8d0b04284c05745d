"""Student's t distribution and Welch's test, by the standard library alone.

p-values come from the incomplete beta function by its continued fraction (Press et al., Numerical Recipes, 6.4);
degrees of freedom may be fractional, as Welch's are.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from llmtui.model import Struct

_NORMAL = NormalDist()
#: The continued fraction and the quantile are exact to about this relative error.
_PRECISION = 1e-15
_TINY = 1e-300
#: From here on a ratio of gamma functions comes from its asymptotic series, as the difference of two large logarithms
#: would lose digits.
_LARGE = 30.0


class Difference(Struct, frozen=True):
    """The difference of two means, its standard error, and the degrees of freedom and two-sided p of Welch's test."""

    estimate: float
    error: float
    df: float
    p: float


def two_sided_p(t: float, df: float) -> float:
    """The chance that Student's t with `df` degrees of freedom is at least this far from 0.

    Raises ValueError for degrees of freedom that are not positive.
    """
    if not df > 0:
        raise ValueError(f"Student's t needs positive degrees of freedom, not {df}")
    if math.isinf(df):
        return math.erfc(abs(t) / math.sqrt(2))
    odds = (t / math.sqrt(df)) * (t / math.sqrt(df))
    if odds == 0:
        return 1.0
    if math.isinf(odds):
        return 0.0
    a, b = df / 2, 0.5
    front = math.exp(_gamma_ratio(a) - a * math.log1p(odds) + b * (math.log(odds) - math.log1p(odds)))
    front /= math.sqrt(math.pi)
    x, y = 1 / (1 + odds), odds / (1 + odds)
    if x < (a + 1) / (a + b + 2):
        return min(1.0, front * _fraction(x, a, b) / a)
    return max(0.0, 1 - front * _fraction(y, b, a) / b)


@functools.lru_cache(maxsize=1024)
def reach(df: float, level: float) -> float:
    """The t that holds `level` (0 to 1) of Student's distribution between -t and t: 2.228 for 10 and 0.95.

    Raises ValueError for another level, and for degrees of freedom that are not positive.
    """
    if not 0 < level < 1:
        raise ValueError(f"a level is between 0 and 1, not {level}")
    alpha = 1 - level
    t = _NORMAL.inv_cdf(1 - alpha / 2)
    if math.isinf(df):
        return t
    # Newton's method on logarithms of both: p is concave there, so after one step every step comes from the same side.
    for _ in range(200):
        p = two_sided_p(t, df)
        step = p * math.log(p / alpha) / (2 * t * _density(t, df))
        t *= math.exp(step)
        if abs(step) < 4 * _PRECISION:
            break
    return t


def welch(one: Sequence[float], two: Sequence[float]) -> Difference:
    """The mean of `two` minus that of `one`, without the assumption of equal variances (Welch 1947).

    Raises ValueError for fewer than two values on either side. If all values of each side are equal, the error is 0
    and p is 0 or, for equal means, 1.
    """
    if min(len(one), len(two)) < 2:
        raise ValueError("Welch's test needs two values on either side")
    shares = [statistics.variance(side) / len(side) for side in (one, two)]
    estimate, total = statistics.fmean(two) - statistics.fmean(one), sum(shares)
    if total == 0:
        return Difference(estimate, 0.0, float(len(one) + len(two) - 2), 0.0 if estimate else 1.0)
    parts = [share / total for share in shares]
    df = 1 / sum(part * part / (len(side) - 1) for part, side in zip(parts, (one, two), strict=True))
    error = math.sqrt(total)
    return Difference(estimate, error, df, two_sided_p(estimate / error, df))


def _density(t: float, df: float) -> float:
    tail = (df + 1) / 2 * math.log1p((t / math.sqrt(df)) ** 2)
    return math.exp(_gamma_ratio(df / 2) - tail) / math.sqrt(math.pi * df)


def _gamma_ratio(a: float) -> float:
    """The logarithm of gamma(a + 1/2) / gamma(a)."""
    if a < _LARGE:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5) + 17 / (14336 * a**7)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, _inverse(1 - (a + b) * x / (a + 1))
    value, m = d, 0
    while True:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for factor in (even, odd):
            d, c = _inverse(1 + factor * d), _nonzero(1 + factor / c)
            value *= c * d
        if abs(c * d - 1) < _PRECISION:
            return value


def _inverse(value: float) -> float:
    return 1 / _nonzero(value)


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
