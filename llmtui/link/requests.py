"""The answer to a client that wants the requests of a turn: read from the history in a thread, piece by piece.

Neither the engine nor the client ever has all of them in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from llmtui.model import Iteration, RequestBatch, Requests
from llmtui.model.errors import CommandError
from llmtui.model.request_columns import RequestColumns

#: The most requests in a message: with their texts and arrivals, and without.
BATCH = 64
BATCH_OF_FIGURES = 256

#: Yields how many requests the turn of the command has, and some of them. It runs in a thread.
Read = Callable[[Requests], Iterator[tuple[int, list[Iteration] | RequestColumns]]]


async def batches(read: Read, command: Requests) -> AsyncIterator[RequestBatch]:
    """Yield the requests that `command` asks for, then a batch that is the last."""
    size = BATCH_OF_FIGURES if command.figures else BATCH
    total, problem = 0, ""
    reading = read(command)
    try:
        while (found := await asyncio.to_thread(next, reading, None)) is not None:
            total, samples = found
            if isinstance(samples, RequestColumns):
                yield _batch(command, total, columns=samples)
                continue
            for start in range(0, len(samples), size):
                yield _batch(command, total, samples=samples[start : start + size])
    except CommandError as error:
        problem = str(error)
    yield _batch(command, total, last=True, problem=problem)


def _batch(
    command: Requests,
    total: int,
    *,
    samples: list[Iteration] | None = None,
    columns: RequestColumns | None = None,
    last: bool = False,
    problem: str = "",
) -> RequestBatch:
    return RequestBatch(
        backend=command.backend,
        turn=command.turn,
        samples=samples or [],
        last=last,
        problem=problem,
        total=total,
        figures=command.figures,
        place=command.place,
        columns=columns,
    )
