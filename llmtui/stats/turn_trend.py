"""Whether a server became slower within a turn, and whether an open loop asked for more than it can do."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.stats.trend import rise_p

#: A turn is cut in this many parts for its trend, ...
FEWEST_PARTS, MOST_PARTS = 5, 10
#: ... each of at least this many requests, and of those that are under way at a time: these are not independent.
LEAST_IN_PART = 4
_LEAST_FOR_MORE = 8

#: A backlog that grows with the time has three times as many requests after three thirds of it as after one: these are
#: the factors and the least difference from which on it counts as such.
_GROWN = 2.0
_LAST_GROWN = 1.25
_GROWN_BY = 10


def parts_for(requests: int, in_flight: float) -> int:
    """How many parts a window of this many requests is cut in for its trend, 0 if it has too few of them."""
    parts = min(MOST_PARTS, max(FEWEST_PARTS, int(requests / max(_LEAST_FOR_MORE, in_flight))))
    return parts if requests >= LEAST_IN_PART * parts else 0


def drift(means: Sequence[float]) -> tuple[float, float]:
    """The change from the first of these means to the last as a share, and the p-value of a trend that way.

    The parts are long enough to be taken as independent. Needs 2 means or more.
    """
    change = means[-1] / means[0] - 1
    return change, rise_p(means if change >= 0 else [-mean for mean in means])


def grows(backlog: Sequence[int]) -> bool:
    """Whether a backlog, with its largest value up to one, two and three thirds of the time, goes on growing.

    Its largest value over the time that has passed does not fall, as it does for every server that keeps up.
    """
    one, two, three = backlog
    return three - one >= _GROWN_BY and three >= _GROWN * one and two > one and three >= _LAST_GROWN * two
