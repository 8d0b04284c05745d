"""Waits until an app that runs in a test has nothing to do, without the pauses of Textual's pilot.

The pilot sleeps for 20 ms at a time until the process used little CPU time meanwhile. That takes most of the time of a
test, and a process that got no CPU looks idle. Here the event loop itself says when nothing is left.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from textual.pilot import Pilot

from llmtui.ui.throttle import Throttle

#: Timers that are due within this time are waited for, s: a frame of Textual is 1/60 s.
FRAME_S = 0.02
#: A thread that has less than this processor time (s) in the other time (s) does not work, but waits.
WORK_S, WAITS_S = 0.004, 0.25
#: How often in a row the loop must have nothing to do: what comes from threads and sockets is seen between.
_ROUNDS = 3


class Together(Throttle):
    """A throttle that waits for no interval: it runs once for all that comes at once, and a pause waits for it."""

    def request(self) -> None:
        if not self._pending:
            self._pending = True
            self._later(0.001, self._due)


async def until_quiet(min_sleep: float = 0.0, max_sleep: float = 1.0, *, now: bool = False) -> None:
    """Wait until the event loop has nothing to do now or within a frame, at most `max_sleep` s.

    If `now`, wait for neither timers nor threads.

    On a busy machine it is at most that much processor time of this thread, which is up to 20 times as long.
    """
    loop: Any = asyncio.get_running_loop()
    began, cpu_s = loop.time(), time.thread_time()
    moved, others_s = began, _cpu_of_others_s()
    rounds = 0
    while rounds < _ROUNDS and (
        loop.time() < began + max_sleep
        or (loop.time() < began + 20 * max_sleep and time.thread_time() < cpu_s + max_sleep)
    ):
        await asyncio.sleep(0)
        due = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=began + 1e9)
        if loop._ready:
            rounds = 0
        elif not now and _threads_work(loop):
            rounds = 0
            if _cpu_of_others_s() > others_s + WORK_S:
                moved, others_s = loop.time(), _cpu_of_others_s()
            elif loop.time() > moved + WAITS_S:
                # It waits for something that the test does next.
                return
            await asyncio.sleep(0.002)
        elif not now and due < max(loop.time() + FRAME_S, began + min_sleep):
            await asyncio.sleep(max(0.0, due - loop.time()))
            rounds = 0
        else:
            rounds += 1


def _cpu_of_others_s() -> float:
    """The processor time of the other threads of this process, s."""
    return time.process_time() - time.thread_time()


async def until_screen_is_quiet(pilot: Pilot[Any], timeout: float = 30.0) -> bool:
    """Wait until the event loop has nothing to do now. Return whether the app goes on.

    In place of a method of the pilot that sends a message to every widget and waits for all answers: several pauses of
    a test took longer than the app that it started.
    """
    await until_quiet(now=True)
    return not pilot.app._exception_event.is_set()


def _threads_work(loop: Any) -> bool:
    """Whether a thread of the loop's executor works."""
    executor = loop._default_executor
    if executor is None:
        return False
    return bool(executor._work_queue.qsize() or executor._idle_semaphore._value < len(executor._threads))
