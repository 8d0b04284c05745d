"""The share of requests that keep the objectives at a level, with its interval.

Requests of one turn are not independent, as one that is slow delays the next: turns are the samples. The interval of a
share (Wilson 1927) is that of as many independent requests as would differ so much from turn to turn, with Student's t
for the number of turns. Few turns may all have the same share by chance, such as 1, so it is never narrower than that
of as many independent requests as there were. Two backends are compared by the differences of their turns' shares.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Literal

from llmtui.model import Struct
from llmtui.stats.compare import percent
from llmtui.stats.correction import LEVEL, holm
from llmtui.stats.ranks import Shift, paired_shift
from llmtui.stats.rounds import Rounds
from llmtui.stats.student import reach
from llmtui.text import sanitize
from llmtui.text.format import plural

_NAME = 40
_DIGITS = 12
#: A number of rounds that is whole stays so.
_ROUNDING = 1e-9

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
    variance = statistics.variance(shares) / turns if turns > 1 else 0.0
    if not requests:
        half = reach(turns - 1, level) * math.sqrt(variance) if turns > 1 else 1.0
        return mean, max(0.0, mean - half), min(1.0, mean + half)
    inside = min(1.0, max(0.0, mean))
    low, high = _wilson(inside, requests, NormalDist().inv_cdf((1 + level) / 2))
    if variance > 0 and 0 < inside < 1:
        # As many independent requests would have this variance.
        fewer = inside * (1 - inside) / variance
        of_turns = _wilson(inside, fewer, reach(turns - 1, level))
        low, high = min(low, of_turns[0]), max(high, of_turns[1])
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


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


class AttainmentDifference(Struct, frozen=True):
    """How much larger a share of the requests kept the objectives on `more` than on `fewer`, round by round.

    `estimate` is a share of the requests (0.12: 12 points) with its interval at `level`, infinite without one; `p` is
    corrected for the number of pairs (Holm). Shares may be 0, so they have no ratio. `needed` is how many rounds can
    show a difference at that level.
    """

    more: str
    fewer: str
    rounds: int
    estimate: float
    low: float
    high: float
    p: float
    level: float
    needed: int

    @property
    def shown(self) -> bool:
        """Whether there is a difference, and not by chance."""
        return self.low > 0 and self.p <= 1 - self.level

    @property
    def sentence(self) -> str:
        """ "a keeps the objectives in 12 points more of the requests than b (95%: 5 to 19)"."""
        more, fewer = sanitize(self.more, _NAME), sanitize(self.fewer, _NAME)
        rounds = plural(self.rounds, "round")
        if not self.shown and (self.rounds >= self.needed or not self.estimate):
            return f"no clear difference between {more} and {fewer} in attainment ({rounds})"
        middle, low, high = (f"{100 * value:.3g}" for value in (self.estimate, self.low, self.high))
        points = "point" if middle == "1" else "points"
        if not self.shown:
            few = f"{rounds} {'is' if self.rounds == 1 else 'are'} too few to show it; {self.needed} can"
            return f"{more} kept the objectives in {middle} {points} more of the requests than {fewer}, but {few}"
        span = f"{percent(self.level)}: {low} to {high}"
        return f"{more} keeps the objectives in {middle} {points} more of the requests than {fewer} ({span})"


def attainment_differences(
    samples: Mapping[str, Rounds], comparable: Callable[[str, str], bool], level: float
) -> list[AttainmentDifference]:
    """Compare each pair of backends that took turns, by signed ranks of the differences of their turns' shares."""
    found: list[tuple[str, str, int, Shift]] = []
    for one, two in itertools.combinations(samples, 2):
        pairs = samples[one].pairs(samples[two], "attainment") if comparable(one, two) else []
        if pairs:
            # Rounded, as the last bits of equal differences differ, and ranks would count that.
            shift = paired_shift([round(a - b, _DIGITS) for a, b in pairs], 1 - level)
            found.append((one, two, len(pairs), shift))
    corrected = holm([shift.p for *_, shift in found])
    # n rounds that all differ the same way have p = 2 / 2^n; the smallest p of all pairs is multiplied by their number.
    needed = math.ceil(math.log2(2 * len(found) / (1 - level)) - _ROUNDING) if found else 0
    return [
        _difference(one, two, rounds, shift, p, level, needed)
        for (one, two, rounds, shift), p in zip(found, corrected, strict=True)
    ]


def _difference(
    one: str, two: str, rounds: int, shift: Shift, p: float, level: float, needed: int
) -> AttainmentDifference:
    estimate, low, high = shift.estimate, shift.low, shift.high
    if estimate < 0:
        one, two, (estimate, low, high) = two, one, (-estimate, -high, -low)
    return AttainmentDifference(one, two, rounds, estimate, low, high, p, level, needed)
