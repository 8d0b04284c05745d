"""Looks for the engine behind a front while a request is under way: some milliseconds, in a thread."""

from __future__ import annotations

import asyncio

from llmtui.engine.watch.other_cpu import OtherCpuMeter
from llmtui.model import DISTURBED_CORES
from llmtui.servers.server_processes import ServerProcesses

#: Pauses before each look at the connections of a server, in s: a front connects to its engine within milliseconds.
PAUSES_S = (0.005, 0.05, 0.3, 2.0)
#: After this many disturbed iterations without a new process, the other work is not the server's.
PATIENCE = 3


class FrontWatch:
    """Follows a server's connections during those iterations in which something is unexplained."""

    def __init__(self, processes: ServerProcesses | None) -> None:
        self._processes = processes
        self._task: asyncio.Task[None] | None = None
        self._look: asyncio.Future[None] | None = None
        self._looks = 0
        self._before: frozenset[int] = frozenset()

    def start(self) -> None:
        """Begin, with a request."""
        if self._processes is not None:
            self._before = self._processes.behind
        if self._processes is not None and self._processes.curious:
            self._task = asyncio.get_running_loop().create_task(self._watch(self._processes))

    def stop(self) -> None:
        """Begin no other look. Safe to call at any time."""
        if self._task is not None:
            self._task.cancel()

    async def explain(self, meter: OtherCpuMeter) -> tuple[float | None, float | None]:
        """After `stop`, return what `meter` measured now that the server's processes are known."""
        await self._finish()
        foreign, cores = meter.result()
        processes = self._processes
        if processes is None:
            return foreign, cores
        if _disturbed(foreign) and not self._looks and processes.fruitless < PATIENCE:
            # Too late for some fronts, but others keep their connection.
            await asyncio.to_thread(processes.look)
            foreign, cores = meter.result()
        found = processes.behind != self._before
        processes.fruitless = 0 if found else processes.fruitless + _disturbed(foreign)
        # A front may ask another engine at any time.
        unexplained = _disturbed(foreign) and processes.fruitless < PATIENCE
        processes.curious = processes.elsewhere or bool(processes.behind) or unexplained
        return foreign, cores

    async def _finish(self) -> None:
        if self._task is None or self._processes is None:
            return
        await asyncio.wait([self._task])
        self._task = None
        if self._look is not None:
            await asyncio.wait([self._look])
        if not self._looks:  # the answer was short
            self._looks += 1
            await asyncio.to_thread(self._processes.look)

    async def _watch(self, processes: ServerProcesses) -> None:
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            self._look = asyncio.get_running_loop().run_in_executor(None, processes.look)
            self._looks += 1
            await asyncio.shield(self._look)
            if processes.behind != self._before:
                return


def _disturbed(foreign: float | None) -> bool:
    return foreign is not None and foreign >= DISTURBED_CORES
