"""Waits until an app that runs in a test has nothing to do, without the pauses of Textual's pilot.

The pilot sleeps for 20 ms at a time until the process used little CPU time meanwhile. That takes most of the time of a
test, and a process that got no CPU looks idle. Here the event loop itself says when nothing is left.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

#: Timers that are due within this time are waited for, s: a frame of Textual is 1/60 s.
FRAME_S = 0.02
#: How often in a row the loop must have nothing to do: what comes from threads and sockets is seen between.
_ROUNDS = 3


async def until_quiet(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until the event loop has nothing to do now or within a frame, at most `max_sleep` s.

    On a busy machine it is at most that much processor time of this thread, which is up to 20 times as long.
    """
    loop: Any = asyncio.get_running_loop()
    began, cpu_s = loop.time(), time.thread_time()
    rounds = 0
    while rounds < _ROUNDS and (
        loop.time() < began + max_sleep
        or (loop.time() < began + 20 * max_sleep and time.thread_time() < cpu_s + max_sleep)
    ):
        await asyncio.sleep(0)
        due = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=began + 1e9)
        if loop._ready or _threads_work(loop):
            rounds = 0
            if not loop._ready:
                await asyncio.sleep(0.001)
        elif due < began + max(FRAME_S, min_sleep):
            await asyncio.sleep(max(0.0, due - loop.time()))
            rounds = 0
        else:
            rounds += 1


def _threads_work(loop: Any) -> bool:
    """Whether a thread of the loop's executor works."""
    executor = loop._default_executor
    if executor is None:
        return False
    return bool(executor._work_queue.qsize() or executor._idle_semaphore._value < len(executor._threads))
