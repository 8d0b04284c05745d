"""llmtui's own error: the loops of a race and of a load against the built-in truth server, compared with its log.

As in a run, these are processes of their own: the truth server, the engine's part (`python -P -m
llmtui.accuracy.probe`), which carries out a race's requests itself, the worker of a load (`llmtui.load.worker`), which
gets its slices as from the engine, and optionally a monitor on a terminal of 120x40. The monitor shows a busy run of
its own: three truth servers in turn, an iteration every 0.3 s, and their engine. So the machine has more to do than in
a real run, where the measuring engine is the monitor's own.

What counts as the error is in llmtui.accuracy.deviation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmtui.accuracy.deviation import Pair, Truth, summarize_level
from llmtui.link.run_folders import scratch_folder
from llmtui.measure.promptness import wake_promptly
from llmtui.model import Backend, BackendState, Iteration, Level, Plan, RunConfig, Stamp, Struct
from llmtui.model import accuracy as model
from llmtui.model.errors import CommandError

if TYPE_CHECKING:
    import httpx

    from llmtui.engine.bringup import Target
    from llmtui.load.messages import SliceDone
    from llmtui.load.process import WorkerProcess

START_S = 30.0
#: The number of requests of an open loop: those of this many seconds, ...
_OPEN_S = 3.0
#: ... but at most this many times those of another level.
_OPEN_MOST = 40
#: The answers of an open loop are cut to this many tokens a second in all: a client reads that with ease.
_OPEN_TOKENS_PER_S = 6_400
#: One process of the truth server sends this many tokens a second with ease.
_TOKENS_PER_PROCESS = 40_000


class AccuracyError(CommandError):
    """The error could not be measured. The message is for the user."""


class Job(Struct, frozen=True):
    """What to measure: numbers of `streams`, and `rates` of requests per second.

    `requests` is the number per level; each stream sends its share, but at least 5 if possible.
    """

    streams: list[int]
    requests: int = 40
    tokens: int = 64
    itl_ms: float = 10.0
    ttft_ms: float = 50.0
    monitor: bool = False
    rates: list[float] = []

    @property
    def levels(self) -> list[tuple[model.Loop, Level]]:
        """What is measured, in this order. One stream is measured by the loop of a race and then by that of a load."""
        found: list[tuple[model.Loop, Level]] = []
        for streams in self.streams:
            loops: tuple[model.Loop, ...] = ("race", "load") if streams == 1 else ("load",)
            found += [(loop, Level(number=len(found) + n, streams=streams)) for n, loop in enumerate(loops, 1)]
        return found + [("load", Level(number=len(found) + n, rate=rate)) for n, rate in enumerate(self.rates, 1)]

    def requests_per_stream(self, streams: int) -> int:
        """Return the number of requests of each stream at a level of `streams`."""
        return max(-(-self.requests // streams), min(5, self.requests))

    def requests_of(self, level: Level) -> int:
        """Return the number of requests of a level that count."""
        if level.open:
            return max(self.requests, min(round(level.rate * _OPEN_S), self.requests * _OPEN_MOST))
        return self.requests_per_stream(level.streams) * level.streams

    def settle(self, level: Level) -> int:
        """Return the number of requests before those, which open the connections."""
        return min(self.requests, round(level.rate / 2)) if level.open else 2 * level.streams

    def tokens_of(self, level: Level) -> int:
        """Return the tokens of each answer of a level."""
        return max(2, min(self.tokens, int(_OPEN_TOKENS_PER_S / level.rate))) if level.open else self.tokens

    def tokens_per_s(self, level: Level) -> float:
        """Return how many tokens the server sends per second, at most."""
        return level.rate * self.tokens_of(level) if level.open else level.streams * 1e3 / self.itl_ms

    def expected_s(self, level: Level) -> float:
        """Return how long an answer takes."""
        return (self.ttft_ms + self.tokens_of(level) * self.itl_ms) / 1e3


class LevelReport(Struct, frozen=True):
    """A message of the measuring process: the result of one level, or an error."""

    level: model.Level | None = None
    truth_stamp: Stamp = "user"
    error: str = ""


@contextlib.asynccontextmanager
async def truth_server(processes: int = 1) -> AsyncIterator[str]:
    """Start a truth server and yield its URL. Raises AccuracyError if it does not start."""
    from llmtui.servers.process_tree import GuardedProcess

    argv = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--port", "0", "--processes", str(processes)]
    with scratch_folder("llmtui-accuracy-") as folder:
        process = GuardedProcess(Path(folder) / "truth.log")
        try:
            await process.start(argv)
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


async def measure_level(
    worker: WorkerProcess, truths: httpx.AsyncClient, job: Job, loop: model.Loop, level: Level
) -> LevelReport:
    """Measure one level against the truth server of `truths`. Raises AccuracyError if no request was answered."""
    from llmtui.engine.bringup import Target
    from llmtui.load.messages import SliceDone
    from llmtui.load.prompts import PLACEHOLDER
    from llmtui.servers.base import StartError

    timing = {"ttft_ms": job.ttft_ms, "itl_ms": job.itl_ms}
    # The line that differs from request to request becomes the name of its log.
    options = {"truth": timing, "user": PLACEHOLDER if loop == "load" else loop}
    backend = Backend(name="truth", url=str(truths.base_url), options=options)
    config = RunConfig(max_tokens=job.tokens_of(level), timeout_s=30 + 3 * job.expected_s(level))
    with scratch_folder("llmtui-accuracy-") as folder:
        target = Target(backend, config, Path(folder))
        try:
            await target.bring_up(lambda *_: None)
            done = SliceDone()
            if loop == "race":
                pairs, failed = await _race(target, config, truths, job.requests)
            else:
                pairs, failed, done = await _load(target, config, truths, job, level, worker)
        except StartError as error:
            raise AccuracyError(f"the truth server cannot be reached: {error.failure.message}") from None
        finally:
            await target.close()
    if not pairs:
        raise AccuracyError(f"no request was answered at {level.title}" + "".join(f": {why}" for why in failed[:1]))
    cpu = round(done.cpu_s / done.elapsed_s, 3) if done.elapsed_s else None
    return LevelReport(
        level=summarize_level(level, job.monitor, pairs, len(failed), loop=loop, cpu=cpu),
        truth_stamp="kernel" if all(truth.stamp == "kernel" for _, truth in pairs) else "user",
    )


async def _race(
    target: Target, config: RunConfig, truths: httpx.AsyncClient, count: int
) -> tuple[list[Pair], list[str]]:
    """Send one request after the other as the engine does in a race, the first of them as warm-ups."""
    from llmtui.engine.backend_run import BackendRun
    from llmtui.engine.retry import measure
    from llmtui.engine.schedule import Job as EngineJob

    plan = Plan(run="accuracy", created_utc="", config=config, backends=[target.backend])
    backend_run = BackendRun(target.backend, target, BackendState(name=target.backend.name))
    pairs: list[Pair] = []
    failed: list[str] = []
    warmups = [EngineJob("warmup", number) for number in (1, 2)]
    for job in [*warmups, *(EngineJob("measured", number) for number in range(1, count + 1))]:
        sample = await measure(backend_run, job, plan, lambda: [os.getpid()], lambda _: None)
        logs = await _logs(truths, ["race"])
        if job.phase == "warmup":
            continue
        if sample.ok:
            pairs.append((sample, logs["race"]))
        else:
            failed.append(str(sample.error))
    return pairs, failed


async def _load(
    target: Target, config: RunConfig, truths: httpx.AsyncClient, job: Job, level: Level, worker: WorkerProcess
) -> tuple[list[Pair], list[str], SliceDone]:
    """Let the worker of a load carry out one turn."""
    from llmtui.load.messages import Slice
    from llmtui.load.prompts import PLACEHOLDER, Template

    request = target.request(config.prompt, PLACEHOLDER)
    template = Template(body=request.body, key=f"accuracy/{level.number}")
    samples: list[Iteration] = []
    of = Slice(
        backend=target.backend,
        config=config,
        level=level,
        base=Iteration(
            run="accuracy",
            backend=target.backend.name,
            attempt=1,
            iteration=1,
            phase="measured",
            started_utc="",
            level=level.number,
        ),
        method=request.method,
        url=request.url,
        headers=request.headers,
        template=template,
        max_tokens=request.max_tokens,
        requests=job.requests_of(level),
        settle=job.settle(level),
        stagger_s=job.expected_s(level),
        seed=template.key,
        uids=sorted(target.listeners) if target.listeners is not None else None,
    )
    done = await worker.run(of, samples.extend, lambda _: None)
    if done.error:
        raise AccuracyError(f"at {level.title}: {done.error.message}")
    names = {sample.request: str(json.loads(template.of(sample.request))["user"]) for sample in samples}
    logs = await _logs(truths, list(names.values()))
    window = [sample for sample in samples if sample.share == "window"]
    pairs = [(sample, logs[names[sample.request]]) for sample in window if sample.ok]
    return pairs, [str(sample.error) for sample in window if not sample.ok], done


async def _logs(truths: httpx.AsyncClient, names: Sequence[str]) -> dict[str, Truth]:
    """Return the truth server's logs of these requests, which it forgets."""
    response = await truths.post("/truth", json=names)
    return msgspec.json.decode(response.content, type=dict[str, Truth])


async def _serve(job: Job, emit: Callable[[LevelReport], None]) -> None:
    import httpx

    from llmtui.load.process import WorkerProcess

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    # Nothing more arrives on standard input: it is readable once the parent process has exited.
    def on_parent_exit() -> None:
        loop.remove_reader(0)
        task.cancel()

    loop.add_reader(0, on_parent_exit)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    worker = WorkerProcess()
    try:
        for kind, level in job.levels:
            processes = min(os.cpu_count() or 1, 1 + int(job.tokens_per_s(level) / _TOKENS_PER_PROCESS))
            async with truth_server(processes) as url, httpx.AsyncClient(base_url=url, trust_env=False) as truths:
                emit(await measure_level(worker, truths, job, kind, level))
        # Everything is reported, so the parent may exit.
        loop.remove_reader(0)
    except AccuracyError as error:
        emit(LevelReport(error=str(error)))
    finally:
        await worker.close()


def main() -> None:
    """Read the job from standard input, and print each level as JSON on standard output."""
    # As in the engine: httpx's command line would import Rich.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    wake_promptly()
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)

    def emit(report: LevelReport) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()

    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError, BrokenPipeError):
        asyncio.run(_serve(job, emit))


if __name__ == "__main__":
    main()
