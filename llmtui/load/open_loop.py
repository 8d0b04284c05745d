"""The open loop: requests are sent when they are due, whatever the server does."""

from __future__ import annotations

import asyncio
import functools
import heapq
import math
from collections.abc import Iterator

from llmtui.load.alarm import Alarm
from llmtui.load.arrivals import due_times
from llmtui.load.dealing import Deal, deal_of
from llmtui.load.descriptors import connections
from llmtui.load.messages import Slice
from llmtui.load.sender import Sender, Taken

#: This long before it is due, in s, a request gets its connection.
AHEAD_S = 0.003
#: This long before it is due, in s, a request is woken, and then watches the clock: a thread is never woken on time.
WATCH_S = 0.0001
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
        most, deal = connections(), deal_of(of)
        cap = len(deal.own(of.level.cap))
        self._most = min(cap or most, most)
        self._dues = self._own_dues(due_times(of.level, of.seed, of.settle, requests), deal)
        self._due_s = next(self._dues)
        self._alarm = Alarm(self._on_alarm)
        #: Requests with a connection that are not due yet: when they are, and what wakes them.
        self._held: list[tuple[float, int, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._over = asyncio.Event()
        self._error: BaseException | None = None
        #: Whether the next request is due and waits for another one to end.
        self._waits = False
        #: Until when requests waited for the cap, in s since the turn began.
        self._waited_to_s = 0.0
        self._has_cap = 0 < cap <= most
        self._failures = 0
        self._at_once = of.begin_ns == 0
        sender.on_release = self._over.set

    def _own_dues(self, dues: Iterator[float], deal: Deal) -> Iterator[float]:
        """Yield when the requests of this worker are due. All workers compute the schedule of all requests."""
        if deal.workers == 1:
            yield from dues
        for number, due_s in enumerate(dues, 1):
            if due_s == math.inf:
                yield from dues
            self._course.of_schedule(number, due_s)
            if deal.has(number):
                yield due_s

    async def run(self) -> None:
        """Send until the turn is over, and wait for the last answer."""
        if self._at_once:
            self._sender.begin_at(self._sender.instant_ns(self._sender.now_s + 2 * AHEAD_S))
        self._send_due()
        await self._over.wait()
        if self._error is not None:
            raise self._error
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Cut off what is under way."""
        self._alarm.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_alarm(self) -> None:
        while self._held and self._held[0][0] - WATCH_S <= self._sender.now_s:
            _, _, held = heapq.heappop(self._held)
            if not held.done():
                held.set_result(None)
        self._send_due()

    def _send_due(self) -> None:
        """Start the requests that are due soon and may be sent, and set the alarm."""
        for _ in range(_AT_ONCE):
            now_s = self._sender.now_s
            due, room = self._due_s - AHEAD_S <= now_s, self._under_way < self._most
            sends = due and room
            if not (self._course.more(max(now_s, self._due_s)) if sends else self._course.tick(now_s)):
                self._over.set()
                break
            self._waits = due and not room
            if not sends:
                break
            self._send()
        self._set_alarm()
        if self._due_s < math.inf:
            self._sender.prepare()

    def _set_alarm(self) -> None:
        no_more = self._waits or self._course.over or self._due_s == math.inf
        at_s = [] if no_more else [self._due_s - AHEAD_S]
        if self._held:
            at_s.append(self._held[0][0] - WATCH_S)
        if (ends_s := self._course.due_to_end_s) is not None:
            at_s.append(ends_s)
        if at_s:
            self._alarm.set(self._sender.instant_ns(min(at_s)))

    def _send(self) -> None:
        due_s, self._due_s = self._due_s, next(self._dues)
        self._under_way += 1
        waited_s = max(0.0, self._waited_to_s - due_s) if self._has_cap else 0.0
        task = asyncio.create_task(self._carry_out(self._sender.take(due_s), due_s, waited_s))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _hold(self, due_s: float, number: int) -> None:
        """Wait until `due_s`."""
        if due_s - WATCH_S > self._sender.now_s:
            held = asyncio.get_running_loop().create_future()
            heapq.heappush(self._held, (due_s, number, held))
            self._set_alarm()
            await held
        while self._sender.now_s < due_s:
            pass

    async def _carry_out(self, taken: Taken, due_s: float, waited_s: float) -> None:
        hold = functools.partial(self._hold, due_s, taken.number)
        error = await self._sender.send(taken, due_s=due_s, waited_s=waited_s, hold=hold)
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
