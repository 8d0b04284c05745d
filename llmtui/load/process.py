"""The worker process as the engine sees it: start it, give it one slice after the other, end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import msgspec

from llmtui.load.load_worker import OnPulse, OnSamples
from llmtui.load.messages import (
    Batch,
    Begin,
    Finish,
    Frames,
    FromWorker,
    Halt,
    Pulse,
    Slice,
    SliceDone,
    Step,
    frame,
)
from llmtui.model import Failure

#: How long a worker has to exit once its input is closed, in s.
EXIT_S = 5.0
#: A worker reports several times a second. One that does not for this long, in s, is ended: it is stopped, or hangs.
SILENT_S = 60.0
_READ_BYTES = 1024 * 1024
_decode = msgspec.msgpack.Decoder(FromWorker).decode


class WorkerProcess:
    """One worker. It is started with its first slice, and started again if it has died."""

    def __init__(self) -> None:
        #: How the newest slice ended, if it was cancelled.
        self.halted = SliceDone(halted=True)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def pids(self) -> list[int]:
        """The same as a list: see LoadWorker."""
        return [pid] if (pid := self.pid) is not None else []

    async def run(
        self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse, on_step: Callable[[Step], None] = lambda _: None
    ) -> SliceDone:
        """Carry out a slice. A worker that dies or hangs meanwhile is reported as an error, and the next slice gets a
        new one. A cancellation halts the slice: the samples until then are reported before CancelledError is raised,
        and `halted` is how it ended. One of several workers reports the steps of its slice to
        `on_step`."""
        self.halted = SliceDone(halted=True)
        process = await self._start()
        assert process.stdin is not None
        process.stdin.write(frame(of))
        reading = asyncio.create_task(self._read(process, _who(of), on_samples, on_pulse, on_step))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            process.stdin.write(frame(Halt()))
            try:
                await asyncio.wait({reading}, timeout=EXIT_S)
            finally:
                if not reading.done():  # it hangs, or this was cancelled again
                    reading.cancel()
                    self._process = None
                    await _kill(process)
            if not reading.cancelled() and reading.done() and reading.exception() is None:
                self.halted = msgspec.structs.replace(reading.result(), halted=True)
            raise

    def send(self, message: Begin | Finish) -> None:
        """Send the next step of the slice under way; one that has died does not get it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(frame(message))

    async def close(self) -> None:
        """End the worker. Safe to call more than once."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_S):
                await process.wait()
        await _kill(process)

    async def _start(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                # -P: a random.py in the working directory must not shadow the standard library's.
                sys.executable,
                "-P",
                "-m",
                "llmtui.load.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # Linux shares the processor between sessions first (autogroup): that of a worker is hardly ever busy.
                start_new_session=True,
            )
        return self._process

    async def _read(
        self,
        process: asyncio.subprocess.Process,
        who: str,
        on_samples: OnSamples,
        on_pulse: OnPulse,
        on_step: Callable[[Step], None],
    ) -> SliceDone:
        frames = Frames()
        try:
            while data := await _next(process):
                for each in frames.feed(data):
                    message: FromWorker = _decode(each)
                    if isinstance(message, Batch):
                        on_samples(message.samples)
                    elif isinstance(message, Pulse):
                        on_pulse(message)
                    elif isinstance(message, SliceDone):
                        return message
                    else:
                        on_step(message)
        except TimeoutError:
            await _kill(process)
            return SliceDone(error=_failure(f"{who} did not report for {SILENT_S:g} s, and was ended"))
        except BaseException:
            await _kill(process)  # what it sends next belongs to this slice
            raise
        return SliceDone(error=_failure(f"{who} ended (status {await process.wait()})"))


async def _next(process: asyncio.subprocess.Process) -> bytes:
    """Return what the worker sends, b"" at its end. Raises TimeoutError if it sends nothing.

    The time counts in two halves: the engine itself may have been stopped, and what was sent meanwhile comes then.
    """
    assert process.stdout is not None
    reading = asyncio.ensure_future(process.stdout.read(_READ_BYTES))
    try:
        for _ in range(2):
            done, _ = await asyncio.wait({reading}, timeout=SILENT_S / 2)
            if done:
                return reading.result()
    finally:
        reading.cancel()
    raise TimeoutError


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _who(of: Slice) -> str:
    return "the process that measures" + (f" as worker {of.worker + 1} of {of.workers}" if of.workers > 1 else "")


def _failure(message: str) -> Failure:
    return Failure(kind="stopped", message=message)
