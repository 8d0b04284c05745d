"""llmtui's own error: concurrent streams of the built-in truth server, compared with that server's log.

Three processes, as in a run: the truth server, the measuring one (`python -P -m llmtui.accuracy.probe`, with the
engine's client code), and optionally a monitor on a terminal of 120x40. The monitor shows a busy run of its own: three
truth servers in turn, an iteration every 0.3 s, and their engine. So the machine has more to do than in a real run,
where the measuring engine is the monitor's own.

The truth is the server's log alone, without any timestamp of the client:

    TTFT       measured TTFT - (first token sent - request received)
    latency    measured latency - (last token sent - request received)
    ITL        for each two neighbouring tokens: gap between their arrivals - gap between their sends; a token that
               arrived in one read with the previous one counts as early by the whole gap
    tokens/s   measured rate / (tokens after the first / (last token sent - first token sent)) - 1

"Received" is the kernel's timestamp of the last byte of the request on the server's socket; "sent" is taken right
before the call that hands the token to the kernel. All streams of a level start at the same time, the hardest case.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmtui.model import Backend, RunConfig, Stamp, Struct
from llmtui.model.accuracy import Errors, Level
from llmtui.model.errors import CommandError
from llmtui.stats.summary import percentile

if TYPE_CHECKING:
    import httpx

    from llmtui.measure.answer import Answer

START_S = 30.0


class AccuracyError(CommandError):
    """The error could not be measured. The message is for the user."""


class Job(Struct, frozen=True):
    """What to measure. `requests` is the number per level; each stream sends its share, but at least 5 if possible."""

    streams: list[int]
    requests: int = 40
    tokens: int = 64
    itl_ms: float = 10.0
    ttft_ms: float = 50.0
    monitor: bool = False

    def requests_per_stream(self, streams: int) -> int:
        """Return the number of requests of each stream at a level of `streams`."""
        return max(-(-self.requests // streams), min(5, self.requests))


class Truth(msgspec.Struct, frozen=True):
    """The truth server's log of one request, on the monotonic clock."""

    received_ns: int
    sent_ns: list[int]
    stamp: Stamp = "user"


class Deviation(msgspec.Struct, frozen=True):
    """The errors of the figures of one answer: in seconds, and for the rate as a fraction of it."""

    ttft_s: float
    latency_s: float
    itl_s: list[float]
    tokens_per_s: float | None
    coalesced: int


class LevelReport(Struct, frozen=True):
    """A message of the measuring process: the result of one level, or an error."""

    level: Level | None = None
    truth_stamp: Stamp = "user"
    error: str = ""


def deviation(answer: Answer, truth: Truth) -> Deviation:
    """Compare an answer with the log of its request. Raises ValueError if their numbers of tokens differ."""
    from llmtui.measure.figures import figures

    sent = truth.sent_ns
    if sum(answer.arrival_tokens) != len(sent):
        raise ValueError(f"{sum(answer.arrival_tokens)} tokens arrived, {len(sent)} were sent")
    measured = figures(answer)
    arrived = [at for at, n in zip(answer.arrivals_ns, answer.arrival_tokens, strict=True) for _ in range(n)]
    gaps = zip(itertools.pairwise(arrived), itertools.pairwise(sent), strict=True)
    rate = None
    if measured.tokens_per_s is not None and sent[-1] > sent[0]:
        rate = measured.tokens_per_s / ((len(sent) - 1) / ((sent[-1] - sent[0]) / 1e9)) - 1
    return Deviation(
        ttft_s=answer.arrivals_ns[0] / 1e9 - (sent[0] - truth.received_ns) / 1e9,
        latency_s=measured.latency_s - (sent[-1] - truth.received_ns) / 1e9,
        itl_s=[((b - a) - (d - c)) / 1e9 for (a, b), (c, d) in gaps],
        tokens_per_s=rate,
        coalesced=len(sent) - len(answer.arrivals_ns),
    )


def summarize_errors(signed: Sequence[float]) -> Errors:
    """Summarize signed errors; all zero, with n 0, if there are none."""
    if not signed:
        return Errors(n=0, median=0.0, p50=0.0, p95=0.0, p99=0.0, max=0.0)
    ordered = sorted(abs(value) for value in signed)
    return Errors(
        n=len(ordered),
        median=percentile(sorted(signed), 0.5),
        p50=percentile(ordered, 0.5),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        max=ordered[-1],
    )


def summarize_level(streams: int, monitor: bool, pairs: Sequence[tuple[Answer, Truth]], failed: int) -> Level:
    """Summarize the answers of one level, given the logs of their requests."""
    deviations = [deviation(answer, truth) for answer, truth in pairs]
    tokens = sum(len(truth.sent_ns) for _, truth in pairs)
    return Level(
        streams=streams,
        monitor=monitor,
        requests=len(deviations),
        failed=failed,
        tokens=tokens,
        coalesced=sum(d.coalesced for d in deviations) / tokens if tokens else 0.0,
        ttft_s=summarize_errors([d.ttft_s for d in deviations]),
        itl_s=summarize_errors([gap for d in deviations for gap in d.itl_s]),
        latency_s=summarize_errors([d.latency_s for d in deviations]),
        tokens_per_s_share=summarize_errors([d.tokens_per_s for d in deviations if d.tokens_per_s is not None]),
        stamp="kernel" if all(answer.stamp == "kernel" for answer, _ in pairs) else "user",
    )


@contextlib.asynccontextmanager
async def truth_server() -> AsyncIterator[str]:
    """Start a truth server and yield its URL. Raises AccuracyError if it does not start."""
    from llmtui.servers.process_tree import GuardedProcess

    with tempfile.TemporaryDirectory(prefix="llmtui-accuracy-") as folder:
        process = GuardedProcess(Path(folder) / "truth.log")
        try:
            await process.start([sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--port", "0"])
            deadline = time.monotonic() + START_S
            while not (lines := process.tail(1)) or not lines[0].startswith("http://"):
                if process.exited.is_set() or time.monotonic() > deadline:
                    raise AccuracyError("the truth server did not start" + "".join(f": {line}" for line in lines))
                await asyncio.sleep(0.02)
            yield lines[0]
        except OSError as error:
            raise AccuracyError(f"the truth server cannot be started: {error.strerror or error}") from None
        finally:
            await process.stop()


async def run_level(
    client: httpx.AsyncClient, url: str, job: Job, streams: int
) -> tuple[list[tuple[Answer, Truth]], list[str]]:
    """Run one level: one warm-up request per stream, then all start together and send one request after another.

    Return the answers with the logs of their requests, and the failures of the others.
    """
    from llmtui.measure.request import IterationError, ask
    from llmtui.wire import dialect_for

    answers: dict[str, Answer] = {}
    failed: list[str] = []
    expected_s = (job.ttft_ms + job.tokens * job.itl_ms) / 1e3
    config = RunConfig(max_tokens=job.tokens)
    timing = {"ttft_ms": job.ttft_ms, "itl_ms": job.itl_ms}

    async def stream(number: int, count: int, phase: str) -> None:
        for turn in range(count):
            name = f"{phase}-{streams}-{number}-{turn}"
            backend = Backend(name="truth", url=url, options={"truth": timing, "user": name})
            dialect = dialect_for(backend)
            request = dialect.request(backend, config, config.prompt, "truth")
            try:
                answers[name] = await ask(
                    client, request, dialect, timeout_s=30 + 3 * expected_s, on_tokens=lambda _: None
                )
            except IterationError as error:
                failed.append(str(error.failure))

    await asyncio.gather(*(stream(number, 1, "warmup") for number in range(streams)))
    answers.clear()
    failed.clear()
    # As the engine does around each iteration.
    gc.collect()
    gc.disable()
    try:
        await asyncio.gather(
            *(stream(number, job.requests_per_stream(streams), "measured") for number in range(streams))
        )
    finally:
        gc.enable()
    pairs = []
    for name, answer in answers.items():
        response = await client.get(f"{url}/truth/{name}")
        pairs.append((answer, msgspec.json.decode(response.content, type=Truth)))
    return pairs, failed


async def _serve(job: Job, emit: Callable[[LevelReport], None]) -> None:
    from llmtui.measure.transport import new_client

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    # Nothing more arrives on standard input: it is readable once the parent process has exited.
    def on_parent_exit() -> None:
        loop.remove_reader(0)
        task.cancel()

    loop.add_reader(0, on_parent_exit)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with truth_server() as url:
            for streams in job.streams:
                client = new_client(url, connect_timeout_s=5.0)
                try:
                    pairs, failed = await run_level(client, url, job, streams)
                finally:
                    await client.aclose()
                if not pairs:
                    raise AccuracyError(f"no request was answered at {streams} streams: {failed[0]}")
                stamp: Stamp = "kernel" if all(truth.stamp == "kernel" for _, truth in pairs) else "user"
                emit(LevelReport(level=summarize_level(streams, job.monitor, pairs, len(failed)), truth_stamp=stamp))
            # Everything is reported, so the parent may exit.
            loop.remove_reader(0)
    except AccuracyError as error:
        emit(LevelReport(error=str(error)))


def main() -> None:
    """Read the job from standard input, and print each level as JSON on standard output."""
    # As in the engine: httpx's command line would import Rich.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)

    def emit(report: LevelReport) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()

    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError, BrokenPipeError):
        asyncio.run(_serve(job, emit))


if __name__ == "__main__":
    main()
