"""The share of requests that keep the objectives at a level, with its interval.

Requests of one turn are not independent, as one that is slow delays the next: turns are the samples. Their mean has an
interval by Student's t. Few turns may all have the same share by chance, such as 1, so the interval is never narrower
than that of independent requests (Wilson 1927).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from llmtui.stats.student import reach

LEVEL = 0.95

#: Whether a level keeps the objectives: surely, surely not, or it cannot be told yet.
Answer = Literal["yes", "no", "undecided"]


def attainment(shares: Sequence[float], requests: int = 0, level: float = LEVEL) -> tuple[float, float, float]:
    """Return the mean of the turns' `shares` with its interval within [0, 1]: mean, low, high.

    `requests` is how many requests of these turns were judged, 0 if it is unknown. One turn without that has the
    interval (0, 1). Raises ValueError without shares.
    """
    if not shares:
        raise ValueError("an attainment needs at least one turn")
    mean, turns = statistics.fmean(shares), len(shares)
    low, high = (0.0, 1.0) if turns < 2 and not requests else (mean, mean)
    if turns > 1:
        half = reach(turns - 1, level) * statistics.stdev(shares) / math.sqrt(turns)
        low, high = mean - half, mean + half
    if requests:
        of_requests = _wilson(min(1.0, max(0.0, mean)), requests, level)
        low, high = min(low, of_requests[0]), max(high, of_requests[1])
    return mean, max(0.0, low), min(1.0, high)


def keeps(shares: Sequence[float], share: float, requests: int = 0, level: float = LEVEL) -> Answer:
    """Return whether `share` of the requests keep the objectives, by the turns' `shares`.

    That all of them do (1) can be refuted by a single one, and cannot be shown.
    """
    if not shares:
        return "undecided"
    if share >= 1:
        return "no" if min(shares) < 1 else "undecided"
    _, low, high = attainment(shares, requests, level)
    return "yes" if low > share else "no" if high < share else "undecided"


def _wilson(share: float, n: int, level: float) -> tuple[float, float]:
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = share + z2 / (2 * n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
