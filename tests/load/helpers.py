"""Helpers: truth servers, slices for them, and what a worker reports of one."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec

from llmtui.load.messages import Pulse, Slice, SliceDone
from llmtui.load.process import WorkerProcess
from llmtui.load.prompts import Template
from llmtui.model import Backend, Iteration, Level, RunConfig
from llmtui.wire import dialect_for

TRUTH = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server"]


class Standing:
    """What the tests of a module share instead of starting it for each of them: a truth server, and a worker."""

    def __init__(self) -> None:
        self.url = ""
        self.worker: WorkerProcess | None = None

    @contextlib.contextmanager
    def truth_server(self) -> Iterator[None]:
        """Keep a truth server whose requests say how it answers them."""
        with subprocess.Popen([*TRUTH, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                self.url = process.stdout.readline().strip()
                yield
            finally:
                self.url = ""
                process.kill()


STANDING = Standing()


class TimedUrl(str):
    """The URL of the truth server that stands, with what requests ask of it."""

    timing: dict[str, float]


@contextlib.asynccontextmanager
async def truth(own: bool = False, **options: float) -> AsyncIterator[str]:
    """A truth server; `options` are those of its command line. Yields its URL.

    It is in a process of its own if `own`, or if requests alone cannot ask for these options.
    """
    if STANDING.url and not own and options.keys() <= {"ttft_ms", "itl_ms"}:
        url = TimedUrl(STANDING.url)
        url.timing = options
        yield url
        return
    flags = []
    for name, value in options.items():
        flags += [f"--{name.replace('_', '-')}", *([] if value is True else [f"{value:g}"])]
    process = await asyncio.create_subprocess_exec(*TRUTH, *flags, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def slice_for(
    url: str,
    *,
    requests: int = 0,
    duration_s: float = 0.0,
    settle: int = 0,
    stagger_s: float = 0.0,
    seed: str = "seed",
    tokens: int = 4,
    timeout_s: float = 10.0,
    truth: dict[str, float] | None = None,
    **level: Any,
) -> Slice:
    """A slice of one level, given by the fields of `Level`. `truth` is what the requests ask of a truth server."""
    asked = {**(url.timing if isinstance(url, TimedUrl) else {}), **(truth or {})}
    backend = Backend(name="a", url=str(url), model="truth", options={"truth": asked} if asked else {})
    config = RunConfig(max_tokens=tokens, timeout_s=timeout_s, connect_timeout_s=2.0)
    request = dialect_for(backend).request(backend, config, "hi", "truth")
    return Slice(
        backend=backend,
        config=config,
        level=Level(number=1, **level),
        base=Iteration(run="r", backend="a", attempt=1, iteration=1, phase="measured", started_utc="", level=1, turn=1),
        method=request.method,
        url=request.url,
        headers=request.headers,
        template=Template(body=request.body),
        max_tokens=request.max_tokens,
        requests=requests,
        duration_s=duration_s,
        settle=settle,
        stagger_s=stagger_s,
        seed=seed,
    )


@contextlib.asynccontextmanager
async def worker() -> AsyncIterator[WorkerProcess]:
    """A worker process, ended afterwards."""
    process = WorkerProcess()
    try:
        yield process
    finally:
        await process.close()


async def run_slice(
    of: Slice,
    on_pulse: Callable[[Pulse], None] = lambda _: None,
    process: WorkerProcess | None = None,
    *,
    stalls: bool = False,
) -> tuple[list[Iteration], SliceDone]:
    """Carry out a slice in a worker: this, the one that stands, or a new one. Return its samples by their numbers.

    A short stop of the worker by a busy machine is not an error, unless a test is about `stalls`.
    """
    samples: list[Iteration] = []
    async with contextlib.AsyncExitStack() as stack:
        running = process if process is not None else STANDING.worker
        if running is None:
            running = await stack.enter_async_context(worker())
        done = await running.run(of, samples.extend, on_pulse)
    if not stalls and done.error is not None and done.error.message.startswith("llmtui itself was stopped for "):
        done = msgspec.structs.replace(done, error=None)
    return sorted(samples, key=lambda sample: sample.request), done


def in_flight(samples: list[Iteration], done: SliceDone) -> float:
    """The time average of the requests under way in the window."""
    low, high = window(done)
    spans = [(s.written_s, s.written_s + s.latency_s) for s in samples if s.written_s is not None and s.latency_s]
    return sum(max(0.0, min(end, high) - max(start, low)) for start, end in spans) / (high - low)


def window(done: SliceDone) -> tuple[float, float]:
    """The beginning and the end of the window, in s since the turn began."""
    assert done.window_from_s is not None and done.window_to_s is not None
    return done.window_from_s, done.window_to_s


def share(samples: list[Iteration], name: str) -> list[Iteration]:
    """Those sent in this share of the turn."""
    return [sample for sample in samples if sample.share == name]


def kind_of(sample: Iteration) -> str:
    """The kind of its failure, "" for a good one."""
    return sample.error.kind if sample.error is not None else ""
