"""An alarm of the event loop that goes off at an instant, to some ten microseconds.

The event loop's own timers are up to 1 ms late on Linux, since epoll counts in milliseconds. A timerfd
(timerfd_create(2)) is not: Python has it from 3.13 on, the C library in any case. Elsewhere the event loop's timers
have to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import sys
import time
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_SECOND_NS = 1_000_000_000


class _Timerspec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Alarm:
    """Calls `ring` on the running event loop at the instant of the last `set`. To be closed after use."""

    def __init__(self, ring: Callable[[], None], *, kernel: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._fd = _timerfd() if kernel else -1
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_timer)

    @property
    def exact(self) -> bool:
        """Whether the kernel has the timer, and not the event loop."""
        return self._fd >= 0

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` on the monotonic clock, soon if that has passed, in place of an earlier instant."""
        if self._fd >= 0:
            _set_time(self._fd, max(1, at_ns))
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later((at_ns - time.monotonic_ns()) / 1e9, self._ring)

    def close(self) -> None:
        """Do not ring again. Safe to call more than once."""
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_timer(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set to a later instant meanwhile
            return
        self._ring()


def _timerfd() -> int:
    """Return a new timer on the monotonic clock, -1 if the system has none."""
    if sys.platform not in ("linux", "android"):
        return -1
    with contextlib.suppress(OSError, AttributeError):
        # The flags are those of open(2).
        return int(_libc().timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    return -1


def _set_time(fd: int, at_ns: int) -> None:
    spec = _Timerspec(0, 0, at_ns // _SECOND_NS, at_ns % _SECOND_NS)
    _libc().timerfd_settime(fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
