"""The open loop: requests are sent when they are due, whatever the server does."""

from __future__ import annotations

import asyncio

from llmtui.load.arrivals import due_times
from llmtui.load.messages import Slice
from llmtui.load.sender import Sender


async def run_open(of: Slice, sender: Sender) -> None:
    """Send each request when it is due, or as soon as the cap allows, until the turn is over.

    None is skipped: what is late is recorded. The last answers are waited for.
    """
    level = of.level
    room = asyncio.Semaphore(level.cap) if level.cap else None
    due = due_times(level, of.seed)
    waiting: set[asyncio.Task[None]] = set()

    async def send(due_s: float, waited_s: float) -> None:
        try:
            await sender.send(due_s=due_s, waited_s=waited_s)
        finally:
            if room is not None:
                room.release()

    try:
        for due_s in due:
            await asyncio.sleep(due_s - sender.now_s)
            if not sender.course.more(sender.now_s):
                break
            waited_s = 0.0
            if room is not None:
                from_s = sender.now_s
                await room.acquire()
                waited_s = sender.now_s - from_s
            task = asyncio.create_task(send(due_s, waited_s))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
