"""Stalls of llmtui itself during an iteration: SIGSTOP, a debugger, a frozen container, a suspended machine.

Waiting for a processor is not a stall: the kernel still stamps what arrives meanwhile, and the CPU of other processes
is reported. So the time that the thread ran, or waited to run (Linux: schedstat), is subtracted.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from llmtui.model import Failure

BEAT_S = 0.05
#: A beat that is later than this counts as a stall.
LATE_S = 0.05
#: The same without schedstat: a thread does not wait this long for a processor.
LATE_UNKNOWN_S = 1.0
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
#: Continues while the machine is suspended, unlike the monotonic clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _busy_s() -> float | None:
    """Return how long this thread has run or waited to run (s), None without schedstat."""
    try:
        ran, waited = _SCHEDSTAT.read_bytes().split()[:2]
    except (OSError, ValueError):
        return None
    return (int(ran) + int(waited)) / 1e9


def reports_short_stalls() -> bool:
    """Whether stalls below `LATE_UNKNOWN_S` are told from waiting for a processor here."""
    return _busy_s() is not None


class StallMeter:
    """Measures stalls between `start` and `stop`, by a timer on the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._beat_at = 0.0
        self._busy: float | None = None
        self._stalled_s = 0.0

    def start(self) -> None:
        """Start measuring."""
        self._stalled_s = 0.0
        self._next()

    def stop(self) -> float:
        """Return how long this process was stalled since `start` (s), not counting stalls of up to `LATE_S`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            # The loop may have run other callbacks before an overdue beat.
            self._check()
        return self._stalled_s

    def _next(self) -> None:
        self._busy = _busy_s()
        self._beat_at = time.clock_gettime(_CLOCK)
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        self._check()
        self._next()

    def _check(self) -> None:
        late_s = time.clock_gettime(_CLOCK) - self._beat_at - BEAT_S
        if late_s <= LATE_S:
            return
        busy = _busy_s()
        if busy is None or self._busy is None:
            self._stalled_s += late_s if late_s > LATE_UNKNOWN_S else 0.0
        elif (stalled_s := late_s - (busy - self._busy)) > LATE_S:
            self._stalled_s += stalled_s


def stall_failure(stalled_s: float) -> Failure | None:
    """Return why an iteration with a stall of `stalled_s` is not a sample, None if there was no stall."""
    if not stalled_s:
        return None
    message = f"llmtui itself was stopped for {stalled_s:.1f} s"
    return Failure(kind="stopped", message=message, hint="the server is not at fault; rerun it")
