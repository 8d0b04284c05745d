"""The closed loop: a number of streams, each of which sends its next request when its answer has ended."""

from __future__ import annotations

import asyncio
import random

from llmtui.load.messages import Slice
from llmtui.load.sender import Sender


async def run_closed(of: Slice, sender: Sender) -> None:
    """Keep `of.level.streams` requests under way until the turn is over, and wait for the last answer.

    The streams do not start together: their answers would come in waves.
    """
    offsets = random.Random(of.seed)
    starts = [0.0, *(offsets.uniform(0.0, of.stagger_s) for _ in range(of.level.streams - 1))]

    async def stream(start_s: float) -> None:
        await asyncio.sleep(start_s)
        while sender.course.more(sender.now_s):
            await sender.send()

    async with asyncio.TaskGroup() as streams:
        for start_s in starts:
            streams.create_task(stream(start_s))
