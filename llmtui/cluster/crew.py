"""The workers of a Dask scheduler, which send the requests of a turn together, as one worker to the engine."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from llmtui.cluster.differences import Differences
from llmtui.cluster.line import Line, LineError
from llmtui.cluster.remote_worker import RemoteWorker
from llmtui.load.crew import Crew
from llmtui.load.dealing import most_workers
from llmtui.load.load_worker import OnPulse, OnSamples
from llmtui.load.messages import Slice, SliceDone
from llmtui.model import Failure, Iteration, Level, Workers
from llmtui.text import Redactor
from llmtui.text.format import plural

HINT = "see: llmtui explain cluster"


class ClusterCrew(Crew):
    """Carries out one slice after the other. It connects with the first one. `note` tells the user something."""

    #: A far start is set ahead, in s: each worker has to hear of it before.
    begin_after_s = 1.0

    def __init__(self, workers: Workers, redact: Redactor, note: Callable[[str], None]) -> None:
        super().__init__()
        self._settings = workers
        self._redact = redact
        self._note = note
        self._line: Line | None = None
        self._all: list[RemoteWorker] = []
        self._lost: set[str] = set()
        self._servers: set[str] = set()
        self._differences = Differences()

    async def size(self, level: Level) -> int:
        """Return how many workers are left for a turn at a level, 1 if that is not known: `run` then says why."""
        try:
            await self._open()
            await asyncio.gather(*(worker.look() for worker in self._all if not worker.lost))
        except LineError:
            return 1
        self._say_lost()
        return max(1, min(sum(not worker.lost for worker in self._all), most_workers(level)))

    async def run(self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse) -> SliceDone:
        """Carry out a slice with all workers that are left: see LoadWorker."""
        self.halted = SliceDone(halted=True)
        try:
            await self._open()
            members, failure = await self._prepared(of)
        except LineError as error:
            failure = Failure(kind="missing", message=str(error), hint=HINT)
        if failure is not None:
            return SliceDone(error=failure)
        self._say_ways(of, members)
        ttfts_s: dict[str, list[float]] = defaultdict(list)

        def receive(samples: list[Iteration]) -> None:
            for sample in samples:
                if sample.share == "window" and sample.ok and sample.ttft_s is not None and not sample.loaded:
                    ttfts_s[members[max(0, sample.worker - 1)].name].append(sample.ttft_s)
            on_samples(samples)

        done = await self.run_with(members, of, receive, on_pulse)
        self._say_lost()
        if done.error is None:
            for text in self._differences.add(f"{of.backend.name} {of.level.number}", ttfts_s):
                self._note(f"{of.backend.name}, {of.level.title}: {text}")
        return shrunk(done, max(member.offset.bound_ns for member in members) / 1e9)

    async def close(self) -> None:
        """End all tasks, and disconnect. Safe to call more than once."""
        await asyncio.gather(*(worker.close() for worker in self._all), return_exceptions=True)
        if self._line is not None:
            await self._line.close()

    async def _open(self) -> None:
        """Connect to the scheduler, unless that is done. Raises LineError."""
        if self._all:
            return
        line = self._line = Line(self._settings.scheduler)
        await line.open()
        found = await line.workers()
        most = self._settings.count if isinstance(self._settings.count, int) else len(found)
        self._all = [RemoteWorker(line, address, self._redact) for address in list(found)[:most]]

    async def _prepared(self, of: Slice) -> tuple[list[RemoteWorker], Failure | None]:
        """Return the workers of a turn, which are ready, or what is wrong. Raises LineError if none is left."""
        left = [worker for worker in self._all if not worker.lost][: of.workers]
        if not left:
            why = "; ".join(dict.fromkeys(worker.lost for worker in self._all))
            raise LineError(f"no worker of {self._settings.scheduler} is left: {why}")
        failures = await asyncio.gather(*(worker.prepare(of) for worker in left))
        self._name(left)
        self._say_lost()
        return left, next(filter(None, failures), None)

    def _name(self, workers: list[RemoteWorker]) -> None:
        hosts = Counter(worker.host for worker in workers)
        for worker in workers:
            port = urlsplit(worker.address).port
            worker.name = worker.host if hosts[worker.host] == 1 else f"{worker.host}:{port}"

    def _say_ways(self, of: Slice, members: list[RemoteWorker]) -> None:
        """Say once for each server how far the workers are from it, and before who they are."""
        if not self._servers:
            bound_ms = max(member.offset.bound_ns for member in members) / 1e6
            within = f"; their clocks are known to within {bound_ms:.2f} ms" if bound_ms else ""
            names = ", ".join(member.name for member in members)
            self._note(f"{plural(len(members), 'worker')} of {self._settings.scheduler}: {names}{within}")
        if (server := urlsplit(of.url).netloc) not in self._servers:
            self._servers.add(server)
            ways = ", ".join(f"{1000 * member.rtt_s(of.url):.2f} ms from {member.name}" for member in members)
            self._note(f"{of.backend.name}: a connection takes {ways}")

    def _say_lost(self) -> None:
        left = sum(not worker.lost for worker in self._all)
        for worker in self._all:
            if worker.lost and worker.address not in self._lost:
                self._lost.add(worker.address)
                goes_on = f"; the run goes on with {left} of {len(self._all)}" if left else ""
                self._note(f"worker {worker.name} is lost: {worker.lost}{goes_on}")


def shrunk(done: SliceDone, bound_s: float) -> SliceDone:
    """Return how a turn ended with its window smaller by what is unknown of the workers' clocks, at both ends."""
    if done.window_from_s is None or done.window_to_s is None or not bound_s:
        return done
    from_s, to_s = done.window_from_s + bound_s, done.window_to_s - bound_s
    return msgspec.structs.replace(done, window_from_s=from_s, window_to_s=max(from_s, to_s))
