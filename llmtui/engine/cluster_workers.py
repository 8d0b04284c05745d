"""Who sends the requests of a run: processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.engine.run import Run
from llmtui.engine.workers import WorkerCounts
from llmtui.load.crew import Crew
from llmtui.model import Level, Note, redactor

if TYPE_CHECKING:
    from llmtui.cluster.crew import ClusterCrew


class RunWorkers:
    """The crew of a run, and how many of it send the requests of a turn."""

    def __init__(self, run: Run) -> None:
        self._counts = WorkerCounts(run)
        self._cluster = _cluster(run) if run.plan.workers.scheduler and run.plan.levels else None
        self.crew: Crew = self._cluster or Crew()

    def begin(self) -> None:
        """Say what speaks against the number of workers in the config."""
        if self._cluster is None:
            self._counts.begin()

    async def at(self, level: Level) -> int:
        """Return how many workers the next turn at a level has."""
        return await self._cluster.size(level) if self._cluster is not None else self._counts.at(level)


def _cluster(run: Run) -> ClusterCrew:
    # Dask is heavy, and only here with the extra.
    from llmtui.cluster.crew import ClusterCrew

    return ClusterCrew(run.plan.workers, redactor(run.plan), lambda text: run.add_note(Note(text=text)))
