"""Several worker processes that send the requests of a turn together, as one worker to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from llmtui.load.dealing import dealt, most_workers
from llmtui.load.load_worker import OnPulse, OnSamples
from llmtui.load.merging import Pulses, merged
from llmtui.load.messages import Begin, Finish, Pulse, Ready, Slice, SliceDone, Step
from llmtui.load.process import WorkerProcess

#: So long after the last worker is ready, in s, all begin: each has read by then when that is.
BEGIN_AFTER_S = 0.02


class CrewMember(Protocol):
    """One worker of several. The members of a turn begin and end together."""

    #: How its newest slice ended, if it was cancelled.
    halted: SliceDone

    async def run(
        self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse, on_step: Callable[[Step], None] = ...
    ) -> SliceDone:
        """Carry out a slice: see LoadWorker. It reports its steps to `on_step`."""

    def send(self, message: Begin | Finish) -> None:
        """Send the next step of the slice under way. A moment is one of this process's clock."""


class Crew:
    """Carries out one slice after the other with as many processes as it asks for. They start when they are needed."""

    #: After the last worker is ready, in s.
    begin_after_s = BEGIN_AFTER_S

    def __init__(self) -> None:
        #: How the newest slice ended, if it was cancelled.
        self.halted = SliceDone(halted=True)
        self._processes = [WorkerProcess()]

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [pid for process in self._processes for pid in process.pids]

    async def run(self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse) -> SliceDone:
        """Carry out a slice: see LoadWorker. An error or the death of one worker halts the others."""
        self.halted = SliceDone(halted=True)
        of = msgspec.structs.replace(of, workers=min(of.workers, most_workers(of.level)))
        while len(self._processes) < of.workers:
            self._processes.append(WorkerProcess())
        return await self.run_with(self._processes[: of.workers], of, on_samples, on_pulse)

    async def run_with(
        self, members: Sequence[CrewMember], of: Slice, on_samples: OnSamples, on_pulse: OnPulse
    ) -> SliceDone:
        """Carry out a slice with these workers."""
        of = msgspec.structs.replace(of, workers=len(members))
        if len(members) > 1:
            return await self._run_together(members, of, on_samples, on_pulse)
        try:
            return await members[0].run(of, on_samples, on_pulse)
        finally:
            self.halted = members[0].halted

    async def close(self) -> None:
        """End all processes. Safe to call more than once."""
        await asyncio.gather(*(process.close() for process in self._processes))

    async def _run_together(
        self, members: Sequence[CrewMember], of: Slice, on_samples: OnSamples, on_pulse: OnPulse
    ) -> SliceDone:
        turn = _Turn(members, on_pulse, self.begin_after_s)
        parts = dealt(msgspec.structs.replace(of, begin_ns=None))
        tasks = [
            asyncio.create_task(process.run(part, on_samples, turn.on_pulse, functools.partial(turn.on_step, process)))
            for process, part in zip(members, parts, strict=True)
        ]
        try:
            left = set(tasks)
            while left:
                ended, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                if any(task.cancelled() or task.exception() or task.result().error for task in ended):
                    break
            await _halt(tasks)
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):
                await _halt(tasks)
            await asyncio.wait(tasks)  # cancelled twice they end at once
            done = _merged(members, of, tasks)
            self.halted = msgspec.structs.replace(done, halted=True)
            raise
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return _merged(members, of, tasks)


class _Turn:
    """The workers of one turn: they begin together once all are ready, and end once all have their answers."""

    def __init__(self, members: Sequence[CrewMember], on_pulse: OnPulse, begin_after_s: float) -> None:
        self._members = members
        self._begin_after_s = begin_after_s
        self._on_pulse = on_pulse
        self._pulses = Pulses(len(members))
        self._not_ready = set(members)
        self._in_window = set(members)

    def on_pulse(self, pulse: Pulse) -> None:
        """Report how far all are."""
        self._on_pulse(self._pulses.add(pulse))

    def on_step(self, process: CrewMember, step: Step) -> None:
        """One worker is a step further."""
        waiting = self._not_ready if isinstance(step, Ready) else self._in_window
        waiting.discard(process)
        if not waiting:
            at_ns = time.monotonic_ns() + round(self._begin_after_s * 1e9)
            message = Begin(at_ns=at_ns) if isinstance(step, Ready) else Finish()
            for each in self._members:
                each.send(message)


def _merged(members: Sequence[CrewMember], of: Slice, tasks: list[asyncio.Task[SliceDone]]) -> SliceDone:
    ends = [
        member.halted if task.cancelled() or task.exception() else task.result()
        for member, task in zip(members, tasks, strict=True)
    ]
    return merged(ends, same_window=of.level.open)


async def _halt(tasks: list[asyncio.Task[SliceDone]]) -> None:
    """Cancel those that are not done, which then report what they have. If this is cancelled they are ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
