"""Several worker processes carry out a turn as one would: the same requests, at the same moments, in one report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import psutil
import pytest

from llmtui.load.crew import Crew
from llmtui.load.messages import Pulse, Slice, SliceDone
from llmtui.model import Iteration
from tests.load.helpers import run_slice, share, slice_for, truth, window


@contextlib.asynccontextmanager
async def crew() -> AsyncIterator[Crew]:
    """A crew, whose processes are ended afterwards."""
    several = Crew()
    try:
        yield several
    finally:
        pids = several.pids
        await several.close()
        assert not any(psutil.pid_exists(pid) for pid in pids)


async def run_together(
    of: Slice, workers: int, several: Crew, on_pulse: Callable[[Pulse], None] = lambda _: None
) -> tuple[list[Iteration], SliceDone]:
    """Carry out a slice with this many workers, and return its samples in the order of their numbers."""
    samples: list[Iteration] = []
    done = await several.run(msgspec.structs.replace(of, workers=workers), samples.extend, on_pulse)
    return sorted(samples, key=lambda sample: sample.request), done


def end_s(sample: Iteration) -> float:
    """When a request ended, in s since the turn began."""
    return (sample.written_s or 0.0) + (sample.latency_s or 0.0)


LOADS: list[dict[str, Any]] = [
    {"streams": 5, "requests": 21, "settle": 5, "stagger_s": 0.05},
    {"rate": 120.0, "requests": 31, "settle": 6},
    {"rate": 120.0, "duration_s": 0.3, "settle": 4, "cap": 60},
]


@pytest.mark.parametrize("load", LOADS, ids=["closed", "open", "open by duration"])
async def test_two_workers_send_what_one_would(load: dict[str, Any]) -> None:
    async with truth(ttft_ms=10, itl_ms=2) as url, crew() as several:
        of = slice_for(url, tokens=8, **load)
        alone, done_alone = await run_slice(of)
        samples, done = await run_together(of, 2, several)
    assert done.error is None and not done.halted and done.workers == 2
    assert all(sample.ok for sample in samples) and {sample.worker for sample in samples} == {1, 2}
    assert {sample.worker for sample in alone} == {0}
    assert [s.request for s in share(samples, "settling")] == list(range(1, of.settle + 1))
    numbers = [s.request for s in share(samples, "window")]
    if of.duration_s:
        # On a busy machine some that are due before the end of the window are written after it.
        from_s, to_s = window(done)
        due = [s.request for s in samples if s.due_s is not None and from_s <= s.due_s < to_s]
        assert to_s - from_s == pytest.approx(0.3) and set(numbers) <= set(due) and numbers[:10] == due[:10]
    else:
        assert numbers == [s.request for s in share(alone, "window")]
    counts = [sum(sample.worker == worker for sample in share(samples, "window")) for worker in (1, 2)]
    assert 0.4 <= counts[0] / sum(counts) <= 0.67 and done.counted == sum(counts)
    if of.level.open:
        schedule = {sample.request: sample.due_s for sample in alone}
        assert all(sample.due_s == schedule[sample.request] for sample in samples if sample.request in schedule)
        assert window(done) == pytest.approx(window(done_alone), abs=0.05)
    else:
        # Neither stops while the other one's requests count.
        ends = {worker: max(end_s(sample) for sample in samples if sample.worker == worker) for worker in (1, 2)}
        assert min(ends.values()) >= max(end_s(sample) for sample in share(samples, "window"))


async def test_the_death_of_one_worker_ends_the_turn_and_the_next_one_has_another() -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, crew() as several:

        def kill(pulse: Pulse) -> None:
            if pulse.finished > 10 and not killed:
                killed.append(several.pids[1])
                os.kill(killed[0], signal.SIGKILL)

        killed: list[int] = []
        samples, done = await run_together(slice_for(url, streams=4, requests=10**6), 2, several, kill)
        assert done.error is not None and done.error.kind == "stopped" and done.halted
        assert done.error.message == "the process that measures as worker 2 of 2 ended (status -9)"
        assert len(samples) > 10
        # The answers of the other one were cut off, and are reported so.
        assert {s.worker for s in samples if not s.ok and s.error is not None and s.error.kind == "stopped"} == {1}
        samples, done = await run_together(slice_for(url, streams=4, requests=8), 2, several)
        assert done.error is None and len(share(samples, "window")) == 8
        assert len(several.pids) == 2 and killed[0] not in several.pids


async def test_a_cancelled_turn_keeps_what_all_workers_had() -> None:
    samples: list[Iteration] = []
    async with truth(ttft_ms=5, itl_ms=30) as url, crew() as several:
        enough = asyncio.Event()
        of = msgspec.structs.replace(slice_for(url, streams=4, requests=10**6), workers=2)
        on_pulse = lambda pulse: enough.set() if pulse.finished > 8 else None  # noqa: E731
        turn = asyncio.create_task(several.run(of, samples.extend, on_pulse))
        await enough.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        assert several.halted.halted and several.halted.elapsed_s > 0
        cut_off = [sample for sample in samples if not sample.ok]
        assert len(samples) - len(cut_off) > 8 and 1 <= len(cut_off) <= 4
        again, done = await run_together(slice_for(url, streams=2, requests=4), 2, several)
        assert done.error is None and len(share(again, "window")) == 4


async def test_what_ends_one_worker_before_it_begins_ends_all() -> None:
    async with crew() as several:
        of = slice_for("http://127.0.0.1:9", streams=10**8, requests=1)
        samples, done = await run_together(of, 2, several)
    assert samples == [] and done.error is not None
    assert done.error.message.startswith("100000000 streams: the limit of open files leaves room for ")


async def test_a_level_of_one_stream_has_one_worker() -> None:
    async with truth(ttft_ms=2, itl_ms=1) as url, crew() as several:
        samples, done = await run_together(slice_for(url, streams=1, requests=3), 4, several)
        assert done.error is None and {sample.worker for sample in samples} == {0} and len(several.pids) == 1
