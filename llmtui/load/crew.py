"""Several worker processes that send the requests of a turn together, as one worker to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time

import msgspec

from llmtui.load.dealing import dealt, most_workers
from llmtui.load.load_worker import OnPulse, OnSamples
from llmtui.load.merging import Pulses, merged
from llmtui.load.messages import Begin, Finish, Pulse, Ready, Slice, SliceDone, Step
from llmtui.load.process import WorkerProcess

#: So long after the last worker is ready, in s, all begin: each has read by then when that is.
BEGIN_AFTER_S = 0.02


class Crew:
    """Carries out one slice after the other with as many processes as it asks for. They start when they are needed."""

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
        if of.workers == 1:
            process = self._processes[0]
            try:
                return await process.run(of, on_samples, on_pulse)
            finally:
                self.halted = process.halted
        return await self._run_together(of, on_samples, on_pulse)

    async def close(self) -> None:
        """End all processes. Safe to call more than once."""
        await asyncio.gather(*(process.close() for process in self._processes))

    async def _run_together(self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse) -> SliceDone:
        turn = _Turn(self._processes[: of.workers], on_pulse)
        parts = dealt(msgspec.structs.replace(of, begin_ns=None))
        tasks = [
            asyncio.create_task(process.run(part, on_samples, turn.on_pulse, functools.partial(turn.on_step, process)))
            for process, part in zip(turn.processes, parts, strict=True)
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
            done = self._merged(of, tasks)
            self.halted = msgspec.structs.replace(done, halted=True)
            raise
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return self._merged(of, tasks)

    def _merged(self, of: Slice, tasks: list[asyncio.Task[SliceDone]]) -> SliceDone:
        ends = [
            process.halted if task.cancelled() or task.exception() else task.result()
            for process, task in zip(self._processes, tasks, strict=False)
        ]
        return merged(ends, same_window=of.level.open)


class _Turn:
    """The workers of one turn: they begin together once all are ready, and end once all have their answers."""

    def __init__(self, processes: list[WorkerProcess], on_pulse: OnPulse) -> None:
        self.processes = processes
        self._on_pulse = on_pulse
        self._pulses = Pulses(len(processes))
        self._not_ready = set(processes)
        self._in_window = set(processes)

    def on_pulse(self, pulse: Pulse) -> None:
        """Report how far all are."""
        self._on_pulse(self._pulses.add(pulse))

    def on_step(self, process: WorkerProcess, step: Step) -> None:
        """One worker is a step further."""
        waiting = self._not_ready if isinstance(step, Ready) else self._in_window
        waiting.discard(process)
        if not waiting:
            at_ns = time.monotonic_ns() + round(BEGIN_AFTER_S * 1e9)
            message = Begin(at_ns=at_ns) if isinstance(step, Ready) else Finish()
            for each in self.processes:
                each.send(message)


async def _halt(tasks: list[asyncio.Task[SliceDone]]) -> None:
    """Cancel those that are not done, which then report what they have. If this is cancelled they are ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
