"""Tasks that did not halt when they should: they end before the next one of the same worker begins.

Such a task holds a thread of the Dask worker and may still send requests. Two loads at once would be measured as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from llmtui.cluster.line import CALL_S, Line, LineError
from llmtui.cluster.messages import End, Ping

#: How long such a task may take to end, in s. Its process is killed before, after some seconds.
GONE_S = 20.0
_LOOK_S = 0.2


class GivenUp:
    """The tasks of one worker that its engine has given up."""

    def __init__(self, line: Line, address: str) -> None:
        self._line = line
        self._address = address
        self._ending: set[asyncio.Task[None]] = set()

    def add(self, token: str, future: Any) -> None:
        """End this task from now on. `future` is that of Dask."""
        self._ending.add(asyncio.create_task(self._end(token, future)))

    async def gone(self) -> None:
        """Wait until none is left. Raises LineError if one goes on."""
        while self._ending:
            ending = self._ending.pop()
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                self._ending.add(ending)
                raise

    async def close(self, *, wait: bool) -> None:
        """Let them end, or with `wait` wait for that. Safe to call more than once."""
        ending, self._ending = self._ending, set()
        for each in ending if not wait else ():
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _end(self, token: str, future: Any) -> None:
        await asyncio.gather(self._tell(token), self._take_back(future))
        until = time.monotonic() + GONE_S
        while await self._line.ask(self._address, token, Ping()) is not None:
            if time.monotonic() > until:
                raise LineError(f"its last task still measures {GONE_S:g} s after it was told to end")
            await asyncio.sleep(_LOOK_S)

    async def _tell(self, token: str) -> None:
        with contextlib.suppress(LineError):
            await self._line.ask(self._address, token, End())

    @staticmethod
    async def _take_back(future: Any) -> None:
        """Let Dask take the task back, which it notices within a second: also where it cannot be told."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CALL_S):
                await future.cancel()
