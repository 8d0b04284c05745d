"""Energy over a stretch of time from the readings of one meter, with a bound on what the readings can hide."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from llmtui.engine.watch.meters import Reading

_T = TypeVar("_T")
#: The power between two readings of a counter is known if they are this far apart or more.
_APART_S = 0.05


class Energy(NamedTuple):
    """Energy in J, and the most by which it may be off: by when the meter was read, not by its calibration."""

    joules: float
    error_j: float


def energy(
    readings: Sequence[Reading],
    from_s: float,
    to_s: float,
    grain_j: float,
    update_s: float,
    idle_w: float | None = None,
) -> Energy | None:
    """Return the energy between two instants on the monotonic clock, None if the readings do not tell it.

    A counter is interpolated between two readings; power is integrated (trapezoids). Either shows a new value every
    `update_s`, so that the ends of the stretch are uncertain by that much: a counter lacks energy that it has not
    counted yet, and power that changed meanwhile is not seen. `grain_j` is the step of the counter. `idle_w` is the
    power from which a short answer rises, which its own readings may not show. A counter that falls, or a reading
    without one among others, was reset: that tells no energy.
    """
    counters = [(r.at_s, r.joules) for r in readings if r.joules is not None]
    powers = [(r.at_s, r.watts) for r in readings if r.watts is not None]
    if to_s <= from_s:
        return None
    if len(counters) >= 2:
        reset = any(b < a for (_, a), (_, b) in _pairs(counters))
        if reset or any(r.joules is None and r.watts is None for r in readings):
            return None
        times = [at_s for at_s, _ in counters]
        joules = _between(counters, times, to_s) - _between(counters, times, from_s)
        inside = sum(_gap(times, end_s) for end_s in (from_s, to_s)) * _swing(_watts(counters, update_s), None)
        return Energy(joules, grain_j + update_s * joules / (to_s - from_s) + inside)
    if len(powers) >= 2:
        times = [at_s for at_s, _ in powers]
        within = [from_s, *(t for t in times if from_s < t < to_s), to_s]
        at = [_between(powers, times, t) for t in within]
        joules = sum((b - a) * (p + q) / 2 for (a, b), (p, q) in zip(_pairs(within), _pairs(at), strict=True))
        longest = max(b - a for a, b in _pairs(within))
        return Energy(joules, (longest + update_s) * _swing(at, idle_w))
    return None


def mean(
    readings: Sequence[Reading], of: Callable[[Reading], float | None], from_s: float, to_s: float
) -> float | None:
    """Return the mean over time of what a meter showed between two instants, None without a reading."""
    known = [(r.at_s, value) for r in readings if (value := of(r)) is not None]
    if not known:
        return None
    times = [at_s for at_s, _ in known]
    within = [from_s, *(t for t in times if from_s < t < to_s), to_s]
    at = [_between(known, times, t) for t in within]
    area = sum((b - a) * (p + q) / 2 for (a, b), (p, q) in zip(_pairs(within), _pairs(at), strict=True))
    return area / (to_s - from_s) if to_s > from_s else at[0]


def _watts(counters: Sequence[tuple[float, float]], update_s: float) -> list[float]:
    """The power between readings that are so far apart that the steps of the counter hide little."""
    watts, (last_s, last_j) = [], counters[0]
    for at_s, joules in counters[1:]:
        if at_s - last_s >= max(_APART_S, 2 * update_s):
            watts.append((joules - last_j) / (at_s - last_s))
            last_s, last_j = at_s, joules
    return watts


def _pairs(values: Sequence[_T]) -> list[tuple[_T, _T]]:
    return list(itertools.pairwise(values))


def _between(points: Sequence[tuple[float, float]], times: Sequence[float], at_s: float) -> float:
    """The value at an instant, on the line between the readings around it; beyond them that of the nearest."""
    place = bisect.bisect_left(times, at_s)
    if place == 0:
        return points[0][1]
    if place == len(points):
        return points[-1][1]
    (before_s, before), (after_s, after) = points[place - 1], points[place]
    return before + (after - before) * (at_s - before_s) / (after_s - before_s)


def _gap(times: Sequence[float], at_s: float) -> float:
    """How far the nearest reading is from an instant."""
    place = bisect.bisect_left(times, at_s)
    return min(abs(t - at_s) for t in times[max(0, place - 1) : place + 1])


def _swing(watts: Sequence[float], idle_w: float | None) -> float:
    """How far the power went up and down."""
    low = min(watts, default=0.0) if idle_w is None else min(idle_w, *watts)
    high = max(watts, default=0.0) if idle_w is None else max(idle_w, *watts)
    return high - low
