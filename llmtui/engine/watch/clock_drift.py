"""A clock that runs too fast and is set back again and again, as that of a virtual machine may be (WSL2).

There the monotonic clock, by which all times are measured, runs as fast. How far the wall clock is set back, by NTP or
by the host, shows by how much.
"""

from __future__ import annotations

import time
from typing import NamedTuple

#: A smaller step, in s, is noise of two readings. Slewing (NTP) moves both clocks, or on macOS one by far less.
STEP_S = 0.02
#: A clock that is off by less than this changes no conclusion.
LEAST = 0.002
#: No clock runs this fast: a person has set it.
MOST = 0.25
#: Continues while the machine is suspended, as the wall clock does.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clocks(NamedTuple):
    """Both clocks at one moment, in s."""

    steady_s: float
    wall_s: float


def read_clocks() -> Clocks:
    """Read both clocks."""
    return Clocks(time.clock_gettime(_STEADY), time.time())


class ClockDrift:
    """Finds out whether the clock runs too fast, by two or more steps of the wall clock back.

    A step forward says nothing: a virtual machine that was paused, or a person, has the clock set so.
    """

    def __init__(self, now: Clocks | None = None) -> None:
        self._last = now or read_clocks()
        #: When the wall clock was set back, and by how many s.
        self._steps: list[tuple[float, float]] = []
        self._said = False

    def look(self, now: Clocks | None = None) -> str:
        """Compare both clocks with the last look. Return what a person should know, once; else ""."""
        now, last = now or read_clocks(), self._last
        self._last = now
        passed_s = now.steady_s - last.steady_s
        ahead_s = now.wall_s - last.wall_s - passed_s
        if self._said or abs(ahead_s) <= max(STEP_S, LEAST * passed_s):
            return ""
        if ahead_s > 0:
            self._steps.clear()
            return ""
        self._steps.append((now.steady_s, -ahead_s))
        # What was wrong before the first step grew from a time that is unknown.
        in_s = now.steady_s - self._steps[0][0]
        back_s = sum(step_s for _, step_s in self._steps[1:])
        if not back_s:
            return ""
        if back_s > MOST * in_s:
            del self._steps[:-1]
            return ""
        if back_s < LEAST * in_s:
            return ""
        self._said = True
        return (
            f"the clock of this machine runs about {100 * back_s / in_s:.2g}% too fast: it was set back by "
            f"{back_s:.2g} s in {in_s:.0f} s. All times are too long by this share, for all backends alike: "
            "compare ratios, not seconds"
        )
