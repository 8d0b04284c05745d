"""The closed loop: a number of streams, each of which sends its next request when its answer has ended."""

from __future__ import annotations

import asyncio
import random

import msgspec

from llmtui.load.dealing import deal_of
from llmtui.load.messages import Slice
from llmtui.load.sender import Sender, Taken
from llmtui.load.talks import User
from llmtui.measure.failures import RETRY_LATER
from llmtui.measure.request import IterationError

#: A request that fails and the pause after it take at least this long, in s, and twice as long after each further
#: failure in a row: a server that refuses at once would otherwise get thousands of requests a second.
LEAST_PAUSE_S = 0.1
MOST_PAUSE_S = 2.0
#: The turn ends once each stream has failed this often in a row.
MOST_FAILURES = 3
FEWER = "the server refuses this many requests at a time; lower the level, or raise the server's limit"


async def run_closed(of: Slice, sender: Sender) -> None:
    """Keep `of.level.streams` requests under way until the turn is over, and wait for the last answer.

    The streams do not start together: their answers would come in waves. One of several workers has some of them, which
    start when they would if it had all.
    """
    draw = random.Random(of.seed)
    spread_s = of.stagger_s + of.level.think_s
    starts = [0.0, *(draw.uniform(0.0, spread_s) for _ in range(of.level.streams - 1))]
    own = deal_of(of).own(len(starts))
    streams = [_Stream(sender, of.config.timeout_s, sender.user(number)) for number in own]

    async def keep_busy(stream: _Stream, start_s: float) -> None:
        await asyncio.sleep(start_s - sender.now_s)
        while sender.course.more(sender.now_s):
            if (error := await stream.send()) is not None and all(each.hopeless for each in streams):
                failure = error.failure
                if error.status in RETRY_LATER and len(streams) > 1:
                    failure = msgspec.structs.replace(failure, hint=FEWER)
                sender.give_up(f"every stream failed {MOST_FAILURES} times in a row", failure)

    async with asyncio.TaskGroup() as group:
        for stream, number in zip(streams, own, strict=True):
            group.create_task(keep_busy(stream, starts[number]))


class _Stream:
    """One of the streams, and what it does after a failure."""

    def __init__(self, sender: Sender, timeout_s: float, user: User | None = None) -> None:
        self._user = user
        self._ended_s: float | None = None
        self._sender = sender
        self._timeout_s = timeout_s
        self._failures = 0

    @property
    def hopeless(self) -> bool:
        """Whether its last requests have all failed."""
        return self._failures >= MOST_FAILURES

    async def send(self) -> IterationError | None:
        """Send a request. After one that failed, return its error when the next one may be sent."""
        if self._user is None:
            taken = self._sender.take()
            error = await self._sender.send(taken)
        else:
            taken, error = await self._ask(self._user)
        if error is None:
            self._failures = 0
            return None
        self._failures += 1
        least_s = min(MOST_PAUSE_S, LEAST_PAUSE_S * 2 ** min(self._failures - 1, 10))
        until_s = max(taken.taken_s + least_s, self._sender.now_s + min(error.retry_after_s or 0.0, self._timeout_s))
        await self._sender.pause(until_s)
        return error

    async def _ask(self, user: User) -> tuple[Taken, IterationError | None]:
        """Ask the user's next question. After its answer, return when the user has thought."""
        sender = self._sender
        thought_s = sender.now_s - self._ended_s if self._ended_s is not None else None
        taken = sender.take_of(user, thought_s)
        error = await sender.send(taken)
        full = user.full
        user.answered(taken.answer)
        sender.talks_full += user.full - full
        self._ended_s = sender.now_s
        if error is None and (think_s := user.think_s()):
            await sender.pause(sender.now_s + think_s)
        return taken, error
