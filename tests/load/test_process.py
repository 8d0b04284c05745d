"""The worker process: it reports stops, is replaced when it dies, and does not outlive the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from llmtui.load import process as process_module
from llmtui.load.messages import Pulse, Slice
from llmtui.load.process import WorkerProcess
from llmtui.model import Iteration
from tests.load.helpers import kind_of, run_slice, slice_for, truth, worker

#: An engine that starts a worker on a slice without end, and prints the worker's process id.
ENGINE = """
import asyncio, sys
from tests.load.helpers import run_slice, slice_for, worker
async def main():
    async with worker() as process:
        on = lambda pulse: print(process.pid, flush=True) if pulse.finished else None
        await run_slice(slice_for(sys.argv[1], streams=2, requests=10**9), on, process)
asyncio.run(main())
"""


async def test_one_worker_carries_out_one_slice_after_the_other() -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, worker() as process:
        pids = set()
        for level in ({"streams": 2}, {"rate": 100.0}, {"streams": 1}):
            samples, done = await run_slice(slice_for(url, requests=5, **level), process=process)
            assert done.error is None and sum(sample.share == "window" for sample in samples) == 5
            pids.add(process.pid)
    assert len(pids) == 1 and process.pid is None


async def test_a_slice_during_which_the_worker_was_stopped_is_not_whole() -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, worker() as process:

        def stop_once(pulse: Pulse) -> None:
            if pulse.sent and not stopped and process.pid is not None:
                stopped.append(process.pid)
                os.kill(process.pid, signal.SIGSTOP)
                asyncio.get_running_loop().call_later(0.5, os.kill, process.pid, signal.SIGCONT)

        stopped: list[int] = []
        _, done = await run_slice(slice_for(url, streams=1, duration_s=1.0), stop_once, process, stalls=True)
    assert stopped
    assert done.error is not None and done.error.kind == "stopped"
    assert done.error.message.startswith("llmtui itself was stopped for 0.")


async def test_a_slice_during_which_the_clock_was_set_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = Path(__file__).parents[1] / "faults" / "stepped"
    monkeypatch.setenv("LLMTUI_STEPPED", str(tmp_path / "stepped"))
    monkeypatch.setenv("PYTHONPATH", str(stepped), prepend=os.pathsep)
    async with truth(ttft_ms=20, itl_ms=20) as url, worker() as process:

        def set_clock(pulse: Pulse) -> None:
            if pulse.finished and process.pid is not None and not done_once:
                done_once.append(process.pid)
                os.kill(process.pid, signal.SIGUSR1)

        done_once: list[int] = []
        samples, done = await run_slice(slice_for(url, streams=2, duration_s=0.8), set_clock, process)
    spoiled = [sample for sample in samples if not sample.ok]
    assert 1 <= len(spoiled) <= 4 < len(samples)
    assert done.error is not None and done.error.kind == "stopped"
    assert done.error.message.startswith("the system clock was set")


async def test_a_worker_that_is_killed_ends_its_slice_and_the_next_slice_gets_another() -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, worker() as process:

        def kill(pulse: Pulse) -> None:
            if pulse.finished > 10 and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)

        samples, done = await run_slice(slice_for(url, streams=2, requests=10**6), kill, process)
        assert len(samples) > 10 and all(sample.ok for sample in samples)
        assert done.error is not None and done.error.kind == "stopped"
        assert done.error.message == "the process that measures ended (status -9)"
        samples, done = await run_slice(slice_for(url, streams=2, requests=5), process=process)
        assert done.error is None and len(samples) >= 5


async def test_a_worker_that_reports_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "SILENT_S", 1.0)
    async with truth(ttft_ms=5, itl_ms=1) as url, worker() as process:

        def stop(pulse: Pulse) -> None:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGSTOP)

        _, done = await run_slice(slice_for(url, streams=2, requests=10**6), stop, process)
        assert done.error is not None
        assert done.error.message == "the process that measures did not report for 1 s, and was ended"
        assert process.pid is None


async def test_a_slice_that_is_cancelled_keeps_what_was_finished_and_reports_what_was_cut_off() -> None:
    samples: list[Iteration] = []
    async with truth(ttft_ms=5, itl_ms=30) as url, worker() as process:
        enough = asyncio.Event()
        of = slice_for(url, streams=3, requests=10**6)
        turn = asyncio.create_task(
            process.run(of, samples.extend, lambda pulse: enough.set() if pulse.finished > 5 else None)
        )
        await enough.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        cut_off = [sample for sample in samples if not sample.ok]
        assert len(samples) - len(cut_off) > 5
        assert 1 <= len(cut_off) <= 3
        assert all(sample.error and sample.error.kind == "stopped" and sample.latency_s for sample in cut_off)
        again, done = await run_slice(slice_for(url, streams=1, requests=2), process=process)
        assert done.error is None and all(sample.ok for sample in again)


async def test_an_answer_that_is_cut_off_says_when_it_began() -> None:
    """Its objectives are judged by that: the first token may have come in time."""
    samples: list[Iteration] = []
    async with truth(ttft_ms=50, itl_ms=10) as url, worker() as process:
        begun = asyncio.Event()
        of = slice_for(url, streams=2, requests=10, tokens=10_000)
        turn = asyncio.create_task(
            process.run(of, samples.extend, lambda pulse: begun.set() if pulse.tokens > 40 else None)
        )
        await begun.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
    assert [kind_of(sample) for sample in samples] == ["stopped", "stopped"]
    assert all(0.05 <= (sample.ttft_s or 0.0) < (sample.latency_s or 0.0) for sample in samples)


async def test_the_worker_ends_when_the_engine_is_killed() -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url:
        engine = await asyncio.create_subprocess_exec(sys.executable, "-c", ENGINE, url, stdout=asyncio.subprocess.PIPE)
        assert engine.stdout is not None
        child = psutil.Process(int(await engine.stdout.readline()))
        engine.kill()
        await engine.wait()
        await asyncio.to_thread(child.wait, 5)


async def test_a_level_that_the_limit_of_open_files_does_not_allow_is_refused_in_a_sentence() -> None:
    of = slice_for("http://127.0.0.1:9", streams=10**8, requests=1)
    samples, done = await run_slice(of)
    assert samples == [] and done.error is not None
    assert done.error.message.startswith("100000000 streams: the limit of open files leaves room for ")
    capped: Slice = slice_for("http://127.0.0.1:9", rate=1.0, cap=10**8, requests=1)
    _, done = await run_slice(capped)
    assert done.error is not None and done.error.message.startswith("max_concurrency = 100000000: ")


async def test_a_worker_can_be_closed_before_it_has_started() -> None:
    process = WorkerProcess()
    await process.close()
    assert process.pid is None
