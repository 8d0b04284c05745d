"""The engine's answer to a client that wants the requests of a turn: read from the history in a thread, piece by piece.

Neither the engine nor the client ever has all of them in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from llmtui.model import Iteration, RequestBatch, Requests
from llmtui.model.errors import CommandError

#: The most requests in a message.
BATCH = 64


class RequestReader:
    """Reads requests. `read` yields those of a turn (its `seq`) some at a time, and runs in a thread."""

    def __init__(self, read: Callable[[int], Iterator[list[Iteration]]]) -> None:
        self._read = read

    async def batches(self, command: Requests) -> AsyncIterator[RequestBatch]:
        """Yield the requests, then one that is the last."""
        read = self._read(command.turn)
        problem = ""
        try:
            while (samples := await asyncio.to_thread(next, read, None)) is not None:
                for start in range(0, len(samples), BATCH):
                    yield RequestBatch(
                        backend=command.backend, turn=command.turn, samples=samples[start : start + BATCH]
                    )
        except CommandError as error:
            problem = str(error)
        yield RequestBatch(backend=command.backend, turn=command.turn, last=True, problem=problem)
