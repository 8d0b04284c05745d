"""The worker process as the engine sees it: start it, give it one slice after the other, end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import msgspec

from llmtui.load.messages import Batch, Frames, FromWorker, Halt, Pulse, Slice, SliceDone, frame
from llmtui.model import Iteration

#: How long a worker has to exit once its input is closed, in s.
EXIT_S = 5.0
_READ_BYTES = 1024 * 1024
_decode = msgspec.msgpack.Decoder(FromWorker).decode


class WorkerProcess:
    """One worker. It is started with its first slice, and started again if it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run(
        self, of: Slice, on_samples: Callable[[list[Iteration]], None], on_pulse: Callable[[Pulse], None]
    ) -> SliceDone:
        """Carry out a slice. A worker that dies meanwhile is reported as an error. A cancellation halts the slice:
        the samples until then are reported before CancelledError is raised."""
        process = await self._start()
        assert process.stdin is not None
        frames = Frames()
        process.stdin.write(frame(of))
        reading = asyncio.create_task(self._read(process, frames, on_samples, on_pulse))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            process.stdin.write(frame(Halt()))
            await asyncio.wait({reading}, timeout=EXIT_S)
            if not reading.done():
                reading.cancel()
                process.kill()
            raise

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
        if process.returncode is None:
            process.kill()
            await process.wait()

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
            )
        return self._process

    async def _read(
        self,
        process: asyncio.subprocess.Process,
        frames: Frames,
        on_samples: Callable[[list[Iteration]], None],
        on_pulse: Callable[[Pulse], None],
    ) -> SliceDone:
        assert process.stdout is not None
        while data := await process.stdout.read(_READ_BYTES):
            for each in frames.feed(data):
                message: FromWorker = _decode(each)
                if isinstance(message, Batch):
                    on_samples(message.samples)
                elif isinstance(message, Pulse):
                    on_pulse(message)
                else:
                    return message
        status = await process.wait()
        return SliceDone(error=f"the process that measures ended (status {status})")
