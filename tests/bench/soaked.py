"""The processes that `tests.bench.soak` starts: one that measures 32 streams for hours, and a client of it.

`python -m tests.bench.soaked serve|weigh`, with an `Order` on stdin, or `follow SOCKET`. `serve` is an engine without
its coordinator (which makes one request at a time): rounds of `llmtui accuracy` against a truth server, each answer
saved in a history and sent to the clients. A round is an attempt that begins with a new `Hello`; it drops its
records, so growing memory is a leak. `weigh` reports the memory of a record in an engine that keeps it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import llmtui.engine.__main__  # first: it keeps Rich out of the process, as in the engine
from llmtui.accuracy.deviation import deviation
from llmtui.accuracy.probe import Job, truth_server
from llmtui.engine.iteration import PROGRESS_INTERVAL_S
from llmtui.engine.recorder import Recorder
from llmtui.engine.watch.machine import describe_machine
from llmtui.link.client import Client
from llmtui.link.server import LinkServer
from llmtui.measure.answer import Answer
from llmtui.measure.record import with_figures
from llmtui.measure.transport import new_client
from llmtui.model import (
    AnyEvent,
    Backend,
    BackendChanged,
    BackendState,
    Hello,
    Iteration,
    IterationDone,
    Note,
    Plan,
    Progress,
    RunConfig,
    RunState,
    Struct,
)
from llmtui.runview.run import RunView
from tests.bench.own_loop import run_level

if TYPE_CHECKING:
    import httpx

BACKEND = Backend(name="truth")


class Order(Struct, frozen=True):
    """The work: streams, requests of a round, tokens of an answer; and the paths of history and socket."""

    run: str
    streams: int
    requests: int
    tokens: int = 64
    ttft_ms: float = 50.0
    itl_ms: float = 10.0
    store: str = ""
    socket: str = ""

    def job(self) -> Job:
        """Return the same as a job of `llmtui accuracy`."""
        return Job(
            streams=[self.streams],
            requests=self.requests,
            tokens=self.tokens,
            ttft_ms=self.ttft_ms,
            itl_ms=self.itl_ms,
        )


class Round(Struct, frozen=True):
    """The report after each round. `ttft_s` and `itl_s` are reported minus true; of the gaps, the worst of each answer.

    `rss_bytes` is the process's memory once the round's answers are collected. The first report has the package.
    """

    ttft_s: list[float] = []
    itl_s: list[float] = []
    failed: list[str] = []
    stamps: list[str] = []
    rss_bytes: int = 0
    package: str = ""


class Weight(Struct, frozen=True):
    """The bytes of one more record in an engine that keeps it, and in a client, which decodes it from the socket."""

    engine_bytes: float
    client_bytes: float
    records: int


def record(order: Order, answer: Answer, attempt: int, number: int) -> Iteration:
    """Build a record as the engine does."""
    started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    bare = Iteration(
        run=order.run,
        backend=BACKEND.name,
        attempt=attempt,
        iteration=number,
        phase="measured",
        started_utc=started,
        foreign_cpu=0.0,
    )
    return with_figures(bare, answer)


def _report(message: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * 4096


class Engine:
    """LinkServer and recorder of one run, without its coordinator."""

    def __init__(self, order: Order) -> None:
        self._order = order
        config = RunConfig(iterations=order.requests, warmup=0, max_tokens=order.tokens)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._plan = Plan(run=order.run, created_utc=now, config=config, backends=[BACKEND])
        self._machine = describe_machine()
        self._state = BackendState(name=BACKEND.name, attempt=0, planned=order.requests)
        self.link = LinkServer(Path(order.socket), self._hello, lambda _: None, lambda _: None)
        self._recorder = Recorder(self._plan, self._note)

    async def __aenter__(self) -> Engine:
        if notes := self._recorder.begin(self._order.store, self._machine):
            sys.exit(notes[0].text)
        await self.link.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._recorder.end(complete=True)
        self._recorder.close()
        await self.link.close()

    def _hello(self) -> Hello:
        run = RunState(phase="running", total=self._order.requests)
        return Hello(plan=self._plan.public(), machine=self._machine, run=run, backends=[self._state])

    def _note(self, event: AnyEvent) -> None:
        # A note says that the history cannot be written, which this must not hide.
        assert not isinstance(event, Note), event.text
        self.link.emit(event)

    def begin_round(self) -> None:
        """Start a new attempt; clients drop the earlier ones."""
        self._state = msgspec.structs.replace(self._state, state="running", attempt=self._state.attempt + 1)
        self._recorder.save_state(self._state)
        self.link.emit(self._hello())
        self.link.emit(BackendChanged(backend=self._state))

    @contextlib.asynccontextmanager
    async def progress(self) -> AsyncIterator[None]:
        """Send progress meanwhile, as often as an engine does."""

        async def tell() -> None:
            began = time.monotonic()
            while True:
                await asyncio.sleep(PROGRESS_INTERVAL_S)
                elapsed_s = round(time.monotonic() - began, 3)
                progress = Progress(backend=BACKEND.name, phase="measured", iteration=1, tokens=1, elapsed_s=elapsed_s)
                self.link.emit(progress)

        ticker = asyncio.create_task(tell())
        try:
            yield
        finally:
            ticker.cancel()

    def take(self, answer: Answer, number: int) -> Iteration:
        """Save an answer, then send it. Return its record."""
        iteration = record(self._order, answer, self._state.attempt, number)
        self._recorder.save_iteration(iteration)
        self.link.emit(IterationDone(iteration=iteration))
        return iteration


async def _serve(order: Order) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def leave() -> None:
        loop.remove_reader(0)
        task.cancel()

    # Nothing more is written to stdin: once it is readable, it was closed, and this process ends.
    loop.add_reader(0, leave)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    async with Engine(order) as engine, truth_server() as url:
        client = new_client(url, connect_timeout_s=5.0)
        try:
            _report(Round(package=str(llmtui.__file__)))
            while True:
                await _round(engine, client, url, order)
        finally:
            await client.aclose()


async def _round(engine: Engine, client: httpx.AsyncClient, url: str, order: Order) -> None:
    engine.begin_round()
    async with engine.progress():
        pairs, failed = await run_level(client, url, order.job(), order.streams)
    ttft_s: list[float] = []
    itl_s: list[float] = []
    stamps: set[str] = set()
    for number, (answer, truth) in enumerate(pairs, 1):
        iteration = engine.take(answer, number)
        stamps.update((answer.stamp, truth.stamp))
        try:
            errors = deviation(iteration, truth)
        except ValueError as error:
            failed.append(str(error))
            continue
        ttft_s.append(errors.ttft_s)
        itl_s.append(max(errors.itl_s, key=abs))
        # Let the server write to clients between records, as it does between iterations.
        await asyncio.sleep(0)
    pairs.clear()
    gc.collect()
    _report(Round(ttft_s=ttft_s, itl_s=itl_s, failed=failed, stamps=sorted(stamps), rss_bytes=_rss_bytes()))


def weight(records: Sequence[Iteration]) -> float:
    """Return the bytes of each record, in the 16-byte blocks of Python's allocator, shared objects once."""
    parts: dict[int, object] = {}
    for one in records:
        parts[id(one)] = one
        for name in one.__struct_fields__:
            value = getattr(one, name)
            parts[id(value)] = value
            if isinstance(value, list):
                parts.update((id(item), item) for item in value)
    return sum(-(-sys.getsizeof(part) // 16) * 16 for part in parts.values()) / len(records)


async def _weigh(order: Order) -> None:
    async with truth_server() as url:
        client = new_client(url, connect_timeout_s=5.0)
        try:
            pairs, _ = await run_level(client, url, order.job(), order.streams)
        finally:
            await client.aclose()
    records = [record(order, answer, 1, number) for number, (answer, _) in enumerate(pairs, 1)]
    decoded = [msgspec.json.decode(msgspec.json.encode(one), type=Iteration) for one in records]
    _report(Weight(engine_bytes=weight(records), client_bytes=weight(decoded), records=len(records)))


async def _follow(socket: Path) -> None:
    """Apply all events to a run view. At the end print the number of records."""
    run_view: RunView | None = None
    count = 0
    async with await Client.connect(socket) as client:
        async for event in client.events():
            if run_view is None:
                assert isinstance(event, Hello)
                run_view = RunView(event.plan)
            count += run_view.apply(event)[0] == "iterations" and isinstance(event, IterationDone)
    print(count, flush=True)


def main() -> None:
    """Run the part that the first argument names."""
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt, BrokenPipeError):
        if sys.argv[1] == "follow":
            asyncio.run(_follow(Path(sys.argv[2])))
            return
        order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
        asyncio.run(_serve(order) if sys.argv[1] == "serve" else _weigh(order))


if __name__ == "__main__":
    main()
