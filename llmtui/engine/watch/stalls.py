"""Whether llmtui itself stood still during an iteration: stopped (SIGSTOP, a debugger, a frozen container), suspended.

Being late because others had the processor is no such thing: the kernel stamps what arrives meanwhile, and the foreign
CPU tells of it. So what the thread ran, and what it waited for a processor (Linux: schedstat), is taken off.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from llmtui.model import Failure

BEAT_S = 0.05
#: Later than this, and it stood still.
LATE_S = 0.05
#: Where nobody tells whether the thread waited for a processor: a process does not starve for so long.
LATE_UNKNOWN_S = 1.0
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
#: Counts on while the machine sleeps, which the monotonic clock does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _busy_s() -> float | None:
    """Seconds that this thread has run or waited for a processor; None where the platform does not tell."""
    try:
        ran, waited = _SCHEDSTAT.read_bytes().split()[:2]
    except (OSError, ValueError):
        return None
    return (int(ran) + int(waited)) / 1e9


class Stalled:
    """Watches one stretch of time on the running event loop: `start`, then `stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._beat_at = 0.0
        self._busy: float | None = None
        self._stood_s = 0.0

    def start(self) -> None:
        """The stretch begins."""
        self._stood_s = 0.0
        self._next()

    def stop(self) -> float:
        """Seconds that this process stood still since `start`, stretches of up to `LATE_S` left out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            # What was ready before the beat may have been carried out before it.
            self._look()
        return self._stood_s

    def _next(self) -> None:
        self._busy = _busy_s()
        self._beat_at = time.clock_gettime(_CLOCK)
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        self._look()
        self._next()

    def _look(self) -> None:
        late_s = time.clock_gettime(_CLOCK) - self._beat_at - BEAT_S
        if late_s <= LATE_S:
            return
        busy = _busy_s()
        if busy is None or self._busy is None:
            self._stood_s += late_s if late_s > LATE_UNKNOWN_S else 0.0
        elif (stood_s := late_s - (busy - self._busy)) > LATE_S:
            self._stood_s += stood_s


def stalled_failure(stood_s: float) -> Failure | None:
    """Why an iteration during which llmtui stood still for so many seconds is no sample; None where it did not."""
    if not stood_s:
        return None
    message = f"llmtui itself was stopped for {stood_s:.1f} s"
    return Failure(kind="stopped", message=message, hint="this says nothing of the server; rerun it")
