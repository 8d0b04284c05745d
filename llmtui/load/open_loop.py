"""The open loop: requests are sent when they are due, whatever the server does."""

from __future__ import annotations

import asyncio

from llmtui.load.alarm import Alarm
from llmtui.load.arrivals import due_times
from llmtui.load.descriptors import connections
from llmtui.load.messages import Slice
from llmtui.load.sender import Sender, Taken

#: Requests that are due together are sent in groups of this size, so that answers are read in between.
_AT_ONCE = 64
#: The turn ends once this many requests have failed in a row and none is under way.
MOST_FAILURES = 10


async def run_open(of: Slice, sender: Sender) -> None:
    """Send each request when it is due, or as soon as the cap allows, until the turn is over.

    None is skipped: what is late is recorded. The last answers are waited for.
    """
    requests = of.requests or round(of.level.rate * of.duration_s)
    loop = _OpenLoop(of, sender, requests)
    try:
        await loop.run()
    finally:
        await loop.close()


class _OpenLoop:
    """The schedule of one turn. The next request to be sent is always the one that is due first."""

    def __init__(self, of: Slice, sender: Sender, requests: int) -> None:
        self._sender = sender
        self._course = sender.course
        most = connections()
        self._most = min(of.level.cap or most, most)
        self._dues = due_times(of.level, of.seed, of.settle, requests)
        self._due_s = next(self._dues)
        self._alarm = Alarm(self._send_due)
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._over = asyncio.Event()
        self._error: BaseException | None = None
        #: Whether the next request is due and waits for another one to end.
        self._waits = False
        #: Until when requests waited for the cap, in s since the turn began.
        self._waited_to_s = 0.0
        self._has_cap = 0 < of.level.cap <= most
        self._failures = 0

    async def run(self) -> None:
        """Send until the turn is over, and wait for the last answer."""
        self._send_due()
        await self._over.wait()
        self._alarm.close()
        if self._error is not None:
            raise self._error
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Cut off what is under way."""
        self._alarm.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _send_due(self) -> None:
        """Send what is due and may be sent, and set the alarm."""
        for _ in range(_AT_ONCE):
            now_s = self._sender.now_s
            due, room = self._due_s <= now_s, self._under_way < self._most
            if not (self._course.more(now_s) if due and room else self._course.tick(now_s)):
                self._over.set()
                return
            self._waits = due and not room
            if not (due and room):
                break
            self._send()
        at_s = [] if self._waits else [self._due_s]
        if (ends_s := self._course.due_to_end_s) is not None:
            at_s.append(ends_s)
        if at_s:
            self._alarm.set(self._sender.instant_ns(min(at_s)))
        self._sender.prepare()

    def _send(self) -> None:
        due_s, self._due_s = self._due_s, next(self._dues)
        self._under_way += 1
        waited_s = max(0.0, self._waited_to_s - due_s) if self._has_cap else 0.0
        task = asyncio.create_task(self._carry_out(self._sender.take(), due_s, waited_s))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _carry_out(self, taken: Taken, due_s: float, waited_s: float) -> None:
        error = await self._sender.send(taken, due_s=due_s, waited_s=waited_s)
        self._under_way -= 1
        self._failures = self._failures + 1 if error is not None else 0
        if error is not None and self._failures >= MOST_FAILURES and not self._under_way:
            self._sender.give_up(f"{self._failures} requests in a row failed", error.failure)
        elif self._course.over:
            self._over.set()
        elif self._waits:
            self._waited_to_s = self._sender.now_s
            self._send_due()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # an error in llmtui
            self._error = error
            self._over.set()
