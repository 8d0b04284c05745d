"""A wall clock that is set, and a process that is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from llmtui.link.process import live_runs
from llmtui.model import Backend
from llmtui.stats.checks import Entry, Evidence, checks
from tests.engine.helpers import Followed, engine_for, plan_of
from tests.faults.harness import notes_of, plan_for, server, wait_for_requests, wait_until
from tests.scripted import Scripted

pytestmark = pytest.mark.usefixtures("own_folders")

STEPPED = (
    "the system clock was set during this iteration, so its times are wrong; "
    "the request is measured again and does not count"
)


@contextlib.asynccontextmanager
async def set_in_requests(
    folder: Path, patch: pytest.MonkeyPatch, steps: dict[int, signal.Signals], apart_s: float = 0.0
) -> AsyncIterator[Followed]:
    """Run three iterations until the end; the clock is set during the requests with these numbers, from 1 on."""
    stepped = folder / "stepped"
    patch.setenv("LLMTUI_STEPPED", str(stepped))
    patch.setenv("PYTHONPATH", str(Path(__file__).with_name("stepped")), prepend=os.pathsep)
    gates = [asyncio.Event() for _ in range(5)]
    async with server(*gates) as served, engine_for(plan_for(served, 3)) as run:
        for number, gate in enumerate(gates, start=1):
            await wait_for_requests(served, number)
            if step := steps.get(number):
                await asyncio.sleep(apart_s)
                os.kill(run.engine.pid, step)
                await wait_until(stepped.exists)
                stepped.unlink()
            gate.set()
        await run.until_done()
        yield run


async def test_wall_clock_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is set forward during the second request and back during the fourth; both are measured again."""
    steps = {2: signal.SIGUSR1, 4: signal.SIGUSR2}
    async with set_in_requests(tmp_path, monkeypatch, steps) as run:
        run_view = run.run_view
    iterations = run_view.backends["a"].iterations
    assert [i.ok for i in iterations] == [True] * 3
    assert [i.repeated for i in iterations] == [0, 1, 1]
    assert all(i.latency_s is not None and 0 < i.latency_s < 10 for i in iterations)
    assert notes_of(run) == [STEPPED]
    assert 0 < run_view.run.elapsed_s < 60


@pytest.mark.slow
async def test_clock_that_is_set_back_twice_runs_too_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STEP_S", "0.06")
    steps = {2: signal.SIGUSR2, 4: signal.SIGUSR2}
    async with set_in_requests(tmp_path, monkeypatch, steps, apart_s=0.4) as run:
        (note,) = [note for note in notes_of(run) if note != STEPPED]
    assert note.startswith("the clock of this machine runs about ") and "it was set back by 0.06 s in" in note


@contextlib.asynccontextmanager
async def stopped_in_requests(
    *numbers: int, iterations: int, warmup: int = 0
) -> AsyncIterator[tuple[Scripted, Followed]]:
    """Run until the end; the engine is stopped for 0.3 s during the requests with these numbers, from 1 on."""
    gates = [asyncio.Event() for _ in range(max(numbers))]
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(server(*gates))
        plan = plan_of(Backend(name="a", url=served.url, model="m"), iterations=iterations, warmup=warmup)
        run = await stack.enter_async_context(engine_for(plan))
        engine = psutil.Process(run.engine.pid)
        for number, gate in enumerate(gates, start=1):
            await wait_for_requests(served, number)
            if number not in numbers:
                gate.set()
                continue
            engine.suspend()
            try:
                gate.set()
                assert [r.run for r in live_runs()] == [run.run_view.plan.run]
                await asyncio.sleep(0.3)
            finally:
                engine.resume()
        await run.until_done()
        yield served, run


def prompts(served: Scripted) -> list[str]:
    bodies = [json.loads(r.partition(b"\r\n\r\n")[2]) for r in served.requests if r.startswith(b"POST")]
    return [body["messages"][0]["content"] for body in bodies]


@pytest.mark.parametrize("warmup", [pytest.param(0, marks=pytest.mark.slow), 2])
async def test_iteration_during_which_the_engine_was_stopped_is_measured_again(warmup: int) -> None:
    async with stopped_in_requests(2, iterations=3 - warmup, warmup=warmup) as (served, run):
        backend_view = run.run_view.backends["a"]
    iterations = backend_view.iterations
    assert [i.phase for i in iterations] == ["warmup"] * warmup + ["measured"] * (3 - warmup)
    assert [i.ok for i in iterations] == [True] * 3
    assert [i.repeated for i in iterations] == [0, 1, 0]
    (note,) = notes_of(run)
    assert note.startswith("llmtui itself was stopped for ") and note.endswith("is measured again and does not count")
    assert len(prompts(served)) == len(set(prompts(served))) == 4, "the server has the first prompt in its cache"
    entries = [Entry(backend_view.backend, backend_view.state, Evidence(backend_view.current))]
    judged = checks(entries, run.run_view.plan.config, run.run_view.machine)
    assert [c.text for c in judged if c.code == "repeated"] == [
        "measured again, as llmtui was stopped or the clock was set meanwhile: a 1x"
    ]
    assert not any(c.code == "failed-iterations" for c in judged)


@pytest.mark.slow
async def test_requests_are_measured_again_as_often_as_the_plan_has_iterations() -> None:
    async with stopped_in_requests(1, 2, 3, iterations=2) as (served, run):
        first, second = run.run_view.backends["a"].iterations
        assert run.run_view.backends["a"].state.state == "done"
    assert first.error is not None and first.error.kind == "stopped" and first.repeated == 2
    assert "llmtui itself was stopped for " in first.error.message
    assert second.ok and second.repeated == 0
    assert len(prompts(served)) == 4


@contextlib.contextmanager
def stalls_process(mode: str, core: int | None = None) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.stalls_process", mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        if core is not None:
            os.sched_setaffinity(child.pid, {core})
        assert child.stdout.readline() == "on\n"
        try:
            yield child
        finally:
            child.kill()


def stalled_s(child: subprocess.Popen[str]) -> float:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def test_stopped_process_is_detected() -> None:
    with stalls_process("watch") as child:
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        child.send_signal(signal.SIGCONT)
        assert 0.25 < stalled_s(child) < 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform cannot pin a process to a core")
def test_starved_process_counts_as_running() -> None:
    core = min(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        child = stack.enter_context(stalls_process("watch", core))
        for _ in range(3):
            stack.enter_context(stalls_process("burn", core))
        time.sleep(0.3)
        assert stalled_s(child) == 0.0
