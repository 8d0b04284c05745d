"""The worker process: `python -m llmtui.load.worker`. It measures and does nothing else.

It reads slices from standard input and writes samples to standard output (see messages.py). It ends with its input, so
that it does not outlive the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time

import msgspec

# httpx's command line would import Rich into this process; httpx works without it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

from llmtui.config.errors import ConfigError
from llmtui.config.traces import checksum, send_times
from llmtui.load.closed import run_closed
from llmtui.load.course import Course
from llmtui.load.dealing import deal_of
from llmtui.load.descriptors import does_not_fit, raise_limit
from llmtui.load.messages import (
    Begin,
    EncodedBatch,
    Finish,
    Frames,
    Halt,
    Message,
    Ready,
    Slice,
    SliceDone,
    ToWorker,
    WindowOver,
    encoded,
    frame,
)
from llmtui.load.open_loop import run_open
from llmtui.load.prober import Prober
from llmtui.load.prompt_files.errors import PromptFileError, bad_prompt
from llmtui.load.prompt_files.source import use_index
from llmtui.load.sender import Sender
from llmtui.load.sources import open_source
from llmtui.measure.promptness import wake_promptly
from llmtui.measure.stalls import StallMeter, stall_failure
from llmtui.measure.transport import new_client
from llmtui.model import Failure, Iteration
from llmtui.servers.socket_owners import Owners

#: How often samples are sent to the engine, in s, and at most how many at a time.
BATCH_S = 0.1
MOST_SAMPLES = 200
#: How often the state of a slice is sent, in batches.
PULSE_EVERY = 2
#: A slice ends if the engine leaves this much unread: what waits is in memory.
MOST_UNREAD_BYTES = 64 * 1024 * 1024
#: While a slice is under way, garbage is collected only beyond this many objects, and this many for each request under
#: way: a collection holds up what is due. Requests that succeed leave no garbage.
MOST_OBJECTS = 5_000
OBJECTS_PER_REQUEST = 60
_decode = msgspec.msgpack.Decoder(ToWorker).decode


class Worker:
    """Carries out one slice after the other. `write` sends bytes to the engine and does not block."""

    def __init__(self, write: asyncio.WriteTransport) -> None:
        self._write = write
        self._samples: list[msgspec.Raw] = []
        self._sending: asyncio.Task[None] | None = None
        self._course: Course | None = None
        self._sender: Sender | None = None
        self._begin: asyncio.Future[int] | None = None
        #: When the slice began, and the processor time until then, in s.
        self._began = 0.0
        self._cpu_s = 0.0

    def emit(self, message: Message) -> None:
        """Send a message to the engine."""
        self._write.write(frame(message))

    def halt(self) -> None:
        """End the slice under way."""
        if self._course is not None and self._sender is not None:
            self._course.halt(self._sender.now_s)
        if self._sending is not None:
            self._sending.cancel()

    def begin(self, at_ns: int) -> None:
        """Begin the slice that waits for it."""
        if self._begin is not None and not self._begin.done():
            self._begin.set_result(at_ns)

    def finish(self) -> None:
        """End the slice under way: all workers have their answers of its window."""
        if self._sender is not None:
            self._sender.release()

    async def run(self, of: Slice) -> None:
        """Carry out a slice, and report its end."""
        if (failure := does_not_fit(of.level, of.workers)) is not None:
            self.emit(SliceDone(error=failure))
            return
        if (failure := trace_failure(of)) is not None:
            self.emit(SliceDone(error=failure))
            return
        try:
            use_index(of.prompts, of.prompt_index)
            open_source(of.prompts, of.prompt_seed)  # a file stays open
        except PromptFileError as problem:
            self.emit(SliceDone(error=bad_prompt(problem)))
            return
        self._began, self._cpu_s = time.monotonic(), time.process_time()
        over = (lambda: self.emit(WindowOver())) if of.workers > 1 else None
        course = self._course = Course(of.settle, of.requests, of.duration_s, deal_of(of), over)
        admit = Owners(frozenset(of.uids) if of.uids is not None else None)
        client = new_client(of.url, connect_timeout_s=of.config.connect_timeout_s, admit=admit)
        gc.collect()
        gc.freeze()
        gc.disable()
        stalls = StallMeter()
        stalls.start()
        sender = self._sender = Sender(of, client, course, self._report, self.halt)
        reporting = asyncio.create_task(self._report_often(sender))
        self._sending = asyncio.create_task(self._send(of, sender, admit))
        error: Failure | None = None
        try:
            await self._sending
        except asyncio.CancelledError:
            if not course.halted:
                raise
        except Exception as problem:  # an error in llmtui must not end the run
            error = Failure(kind="server", message=f"llmtui failed here: {problem!r}", hint="please report this")
        finally:
            reporting.cancel()
            elapsed_s, cpu_s = time.monotonic() - self._began, time.process_time() - self._cpu_s
            stalled_s = stalls.stop()
            gc.enable()
            gc.unfreeze()
            self._sending = self._course = self._sender = None
            await client.aclose()
        sender.report()
        self._flush()
        self.emit(
            SliceDone(
                window_from_s=course.window_from_s,
                window_to_s=course.window_to_s,
                elapsed_s=elapsed_s,
                cpu_s=cpu_s,
                halted=course.halted,
                late_from_s=sender.lateness.from_s(),
                talks_full=sender.talks_full,
                counted=course.counted,
                error=error or sender.failure or stall_failure(stalled_s),
                began_s=self._began,
            )
        )

    async def _send(self, of: Slice, sender: Sender, admit: Owners) -> None:
        """Send the requests of a slice, once it begins."""
        if of.begin_ns != 0:
            await self._wait_for_begin(of, sender)
        load = (run_open if of.level.open else run_closed)(of, sender)
        if of.probe is not None:
            load = Prober(of, sender, admit, self._report).beside(load)
        await load

    async def _wait_for_begin(self, of: Slice, sender: Sender) -> None:
        at_ns = of.begin_ns
        if at_ns is None:
            self._begin = asyncio.get_running_loop().create_future()
            self.emit(Ready())
            at_ns = await self._begin
        sender.begin_at(at_ns)
        self._began, self._cpu_s = at_ns / 1e9, time.process_time()

    def _report(self, sample: Iteration) -> None:
        self._samples.append(encoded(sample))
        if len(self._samples) >= MOST_SAMPLES:
            self._flush()

    async def _report_often(self, sender: Sender) -> None:
        number = 0
        while True:
            await asyncio.sleep(BATCH_S)
            number += 1
            self._flush()
            if gc.get_count()[0] > MOST_OBJECTS + OBJECTS_PER_REQUEST * sender.in_flight:
                gc.collect()
            unread = self._write.get_write_buffer_size()
            if unread > MOST_UNREAD_BYTES:
                message = f"the engine did not read the last {unread // 2**20} MB of samples"
                sender.give_up(message, Failure(kind="stopped", message="the turn was stopped"))
            elif number % PULSE_EVERY == 0 and not unread and sender.begun:
                self.emit(sender.pulse())

    def _flush(self) -> None:
        if self._samples:
            self.emit(EncodedBatch(samples=self._samples))
            self._samples.clear()


def trace_failure(of: Slice) -> Failure | None:
    """Return why the trace of a slice cannot be sent; None if it can, or there is none."""
    if of.trace is None:
        return None
    try:
        times = send_times(of.level.trace)
    except ConfigError as error:
        return Failure(kind="missing", message=str(error))
    if checksum(times) != of.trace.checksum:
        hint = "put the file back, or start a new run"
        return Failure(kind="missing", message=f"{of.level.trace}: has changed since this run began", hint=hint)
    return None


async def serve() -> None:
    """Carry out what the engine sends, until it closes standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", buffering=0))
    write, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(1, "wb", buffering=0))
    worker, frames = Worker(write), Frames()
    running: asyncio.Task[None] | None = None
    while data := await reader.read(65_536):
        for each in frames.feed(data):
            message = _decode(each)
            if isinstance(message, Halt):
                worker.halt()
            elif isinstance(message, Begin):
                worker.begin(message.at_ns)
            elif isinstance(message, Finish):
                worker.finish()
            else:
                running = asyncio.create_task(worker.run(message))
                await asyncio.sleep(0)  # it is under way when the next message arrives, which may halt it
    if running is not None:
        running.cancel()


def main() -> None:
    """Run the worker. The engine decides when it ends, and not the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_limit()
    wake_promptly()
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
