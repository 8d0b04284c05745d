"""The workers of a Dask scheduler, which send the requests of a turn together, as one worker to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from llmtui.cluster.differences import Differences
from llmtui.cluster.figures import Figures
from llmtui.cluster.line import Line, LineError
from llmtui.cluster.remote_worker import RemoteWorker
from llmtui.cluster.sharing import disturbed, together
from llmtui.cluster.versions import mismatches
from llmtui.load.crew import Crew
from llmtui.load.dealing import most_workers
from llmtui.load.load_worker import OnPulse, OnSamples
from llmtui.load.messages import Slice, SliceDone
from llmtui.model import Failure, Iteration, Level, Note, Workers
from llmtui.text import Redactor
from llmtui.text.format import plural

HINT = "see: llmtui explain cluster"


class ClusterCrew(Crew):
    """Carries out one slice after the other, of the run with the id `run`. It connects in `begin`, or with the first
    one. `note` tells the user something."""

    #: A far start is set ahead, in s: each worker has to hear of it before.
    begin_after_s = 1.0

    def __init__(self, workers: Workers, redact: Redactor, note: Callable[[Note], None], run: str = "") -> None:
        super().__init__()
        self._run = run or secrets.token_hex(4)
        self._settings = workers
        self._redact = redact
        self._note = note
        self._line: Line | None = None
        self._all: list[RemoteWorker] = []
        self._lost: set[str] = set()
        self._servers: set[str] = set()
        self._differences = Differences()
        self._unknown_said = self._shared = False

    async def begin(self) -> Failure | None:
        """Connect and start the workers, before any server is asked. Say what is wrong with some of them, and return
        why none can be used."""
        try:
            await self._open()
            await self._look()
            with contextlib.suppress(LineError):  # only a warning would be missing
                await self._say_versions()
        except LineError as error:
            return Failure(kind="missing", message=str(error), hint=HINT)
        self._say_lost()
        return None if self._left() else self._none_left()

    async def size(self, level: Level) -> int:
        """Return how many workers are left for a turn at a level, 1 if that is not known: `run` then says why."""
        try:
            await self._open()
            await self._look()
        except LineError:
            return 1
        self._say_lost()
        return max(1, min(len(self._left()), most_workers(level)))

    async def run(self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse) -> SliceDone:
        """Carry out a slice with all workers that are left: see LoadWorker."""
        self.halted = SliceDone(halted=True)
        try:
            await self._open()
            members, failure = await self._prepared(of)
        except LineError as error:
            members, failure = [], Failure(kind="missing", message=str(error), hint=HINT)
        if failure is not None:
            return SliceDone(error=failure)
        self._say_ways(of, members)
        figures = Figures()

        def receive(samples: list[Iteration]) -> None:
            figures.add(samples)
            on_samples(samples)

        try:
            done = await self.run_with(members, of, receive, on_pulse)
            if done.error is None:
                with contextlib.suppress(LineError):  # the turn is complete without it
                    await asyncio.gather(*(member.survey.check_clock() for member in members))
        finally:
            by_worker = figures.of(members, of)
            self.halted = msgspec.structs.replace(self.halted, by_worker=by_worker)
        self._say_lost()
        self._say_others()
        if done.error is None:
            errors_s = {each.name: each.own_error_s or 0.0 for each in by_worker}
            for text in self._differences.add(
                f"{of.backend.name} {of.level.number}", figures.ttfts_s(members), errors_s
            ):
                self._note(Note(text=f"{of.backend.name}, {of.level.title}: {text}", level="warning"))
        return msgspec.structs.replace(done, by_worker=by_worker)

    async def close(self) -> None:
        """End all tasks, and disconnect. Safe to call more than once."""
        await asyncio.gather(*(worker.close() for worker in self._all), return_exceptions=True)
        if self._line is not None:
            await self._line.close()

    def _left(self) -> list[RemoteWorker]:
        return [worker for worker in self._all if not worker.lost]

    def _none_left(self) -> Failure:
        why = "; ".join(dict.fromkeys(worker.lost for worker in self._all))
        message = f"no worker of {self._settings.scheduler} is left: {why}"
        return Failure(kind="missing", message=message, hint=HINT)

    async def _open(self) -> None:
        """Connect to the scheduler, unless that is done. Raises LineError."""
        if self._all:
            return
        if self._line is not None:  # a try that failed
            await self._line.close()
        line = self._line = Line(self._settings.scheduler)
        await line.open()
        found = await line.workers()
        most = self._settings.count if isinstance(self._settings.count, int) else len(found)
        unfit = await line.unfit(list(found)[:most])
        self._all = [RemoteWorker(line, at, self._run, self._redact, unfit.get(at, "")) for at in list(found)[:most]]

    async def _look(self) -> None:
        """Start the task on each worker, unless it runs there."""
        await asyncio.gather(*(worker.look() for worker in self._left()))
        self._name(self._all)
        self._say_others()

    async def _prepared(self, of: Slice) -> tuple[list[RemoteWorker], Failure | None]:
        """Return the workers of a turn, which are ready, or what is wrong."""
        left = self._left()[: of.workers]
        if not left:
            return [], self._none_left()
        of = msgspec.structs.replace(of, workers=len(left))
        failures = await asyncio.gather(*(worker.prepare(of) for worker in left))
        self._name(self._all)
        self._say_lost()
        return left, next(filter(None, failures), None)

    def _name(self, workers: list[RemoteWorker]) -> None:
        hosts = Counter(worker.host for worker in workers)
        for worker in workers:
            port = urlsplit(worker.address).port
            worker.name = worker.host if hosts[worker.host] == 1 else f"{worker.host}:{port}"

    async def _say_versions(self) -> None:
        """Say which machines have another Python or Dask. Raises LineError."""
        assert self._line is not None
        ours, theirs = await self._line.versions([worker.address for worker in self._left()])
        names = {"": "the scheduler"} | {worker.address: f"worker {worker.name}" for worker in self._all}
        known = {names[address]: versions for address, versions in theirs.items() if address in names}
        for text in mismatches(ours, known):
            self._note(Note(text=text, level="warning"))

    def _say_others(self) -> None:
        """Say on the machines of which workers another run measures, too: when that begins."""
        note = disturbed(self._left())
        if note is not None and not self._shared:
            self._note(note)
        self._shared = note is not None

    def _say_ways(self, of: Slice, members: list[RemoteWorker]) -> None:
        """Say once for each server how far the workers are from it, and first who they are."""
        if not self._servers:
            bound_ms = max(member.offset.bound_ns for member in members) / 1e6
            within = f"; their clocks are known to within {bound_ms:.2f} ms" if bound_ms else ""
            names = ", ".join(member.name for member in members)
            text = f"{plural(len(members), 'worker')} of {self._settings.scheduler}: {names}{within}"
            self._note(Note(text=text))
            for note in together(members):
                self._note(note)
        if (server := urlsplit(of.url).netloc) not in self._servers:
            self._servers.add(server)
            ways = ", ".join(f"{1000 * (m.survey.connect_s(of.url) or 0.0):.2f} ms from {m.name}" for m in members)
            self._note(Note(text=f"{of.backend.name}: a connection takes {ways}"))
        unknown = [m.name for m in members if m.survey.own_error_s(of.level, len(members)) is None]
        if unknown and not self._unknown_said:
            self._unknown_said = True
            text = f"the own error of {', '.join(unknown)} at this load is unknown: llmtui accuracy measures it there"
            self._note(Note(text=text))

    def _say_lost(self) -> None:
        left = len(self._left())
        for worker in self._all:
            if worker.lost and worker.address not in self._lost:
                self._lost.add(worker.address)
                goes_on = f"; the run goes on with {left} of {len(self._all)}" if left else ""
                self._note(Note(text=f"worker {worker.name} is lost: {worker.lost}{goes_on}", level="warning"))
