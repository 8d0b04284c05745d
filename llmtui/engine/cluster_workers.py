"""Who sends the requests of a run: processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from llmtui.engine.health import fail
from llmtui.engine.run import Run
from llmtui.engine.workers import WorkerCounts
from llmtui.load.crew import Crew
from llmtui.model import Failure, Level, redactor

if TYPE_CHECKING:
    from llmtui.cluster.crew import ClusterCrew

#: How often it is looked whether the run is to stop while a cluster is connected, in s.
_LOOK_S = 0.2


class RunWorkers:
    """The crew of a run, and how many of it send the requests of a turn."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._counts = WorkerCounts(run)
        self._cluster = _cluster(run) if run.plan.workers.scheduler and run.plan.levels else None
        self.crew: Crew = self._cluster or Crew()

    async def begin(self) -> None:
        """Say what speaks against the workers of the config. If a cluster has none that can be used all backends fail,
        and no server is launched."""
        if self._cluster is None:
            self._counts.begin()
            return
        waiting = [backend_run for backend_run in self._run.backends if backend_run.queue]
        if not waiting:
            return
        opening = asyncio.create_task(self._cluster.begin())
        while not opening.done() and not self._run.stopping:
            await asyncio.wait({opening}, timeout=_LOOK_S)
        if not opening.done():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            return
        failure = opening.result() if (error := opening.exception()) is None else _bug(error)
        if failure is not None:
            for backend_run in waiting:
                if backend_run.queue:  # it has not been stopped meanwhile
                    fail(self._run, backend_run, failure)

    async def at(self, level: Level) -> int:
        """Return how many workers the next turn at a level has."""
        return await self._cluster.size(level) if self._cluster is not None else self._counts.at(level)


def _bug(error: BaseException) -> Failure:
    return Failure(kind="server", message=f"llmtui failed here: {error!r}", hint="please report this")


def _cluster(run: Run) -> ClusterCrew:
    # Dask is heavy, and only here with the extra.
    from llmtui.cluster.crew import ClusterCrew

    return ClusterCrew(run.plan.workers, redactor(run.plan), run.add_note, run.plan.run)
