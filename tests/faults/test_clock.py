"""A wall clock that is set, and a process that is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from llmtui.link.process import live_runs
from llmtui.model import Iteration
from tests.engine.helpers import engine_for
from tests.faults.harness import plan_for, server, wait_for_requests, wait_until

pytestmark = pytest.mark.usefixtures("own_folders")


async def test_wall_clock_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = tmp_path / "stepped"
    monkeypatch.setenv("LLMTUI_STEPPED", str(stepped))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("stepped")), prepend=os.pathsep)
    gates = [asyncio.Event() for _ in range(5)]
    async with server(*gates) as served, engine_for(plan_for(served, 5)) as run:
        for number, gate in enumerate(gates, start=1):
            if step := {2: signal.SIGUSR1, 4: signal.SIGUSR2}.get(number):
                await wait_for_requests(served, number)
                os.kill(run.engine.pid, step)
                await wait_until(stepped.exists)
                stepped.unlink()
            gate.set()
            await run.until(lambda run_view, n=number: len(run_view.backends["a"].iterations) == n)  # type: ignore[misc]
        run_view = await run.until_done()
    for iteration in run_view.backends["a"].iterations:
        if iteration.iteration in (2, 4) and iteration.error is not None:
            assert "clock was set during this iteration" in iteration.error.message
        else:
            assert iteration.latency_s is not None and 0 < iteration.latency_s < 10
    assert run_view.backends["a"].summary.n >= 3
    assert 0 < run_view.run.elapsed_s < 60


async def iterations_with_a_stop() -> list[Iteration]:
    """Stop the engine for 0.3 s during the second of three iterations. Return all of them."""
    gates = [asyncio.Event() for _ in range(2)]
    async with server(*gates) as served, engine_for(plan_for(served, 3)) as run:
        gates[0].set()
        await wait_for_requests(served, 2)
        await run.until(lambda run_view: len(run_view.backends["a"].iterations) == 1)
        engine = psutil.Process(run.engine.pid)
        waiting = asyncio.create_task(run.until(lambda run_view: len(run_view.backends["a"].iterations) == 2))
        engine.suspend()
        try:
            gates[1].set()
            assert [r.run for r in live_runs()] == [run.run_view.plan.run]
            # No event arrives meanwhile, and the connection stays open.
            assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
        finally:
            engine.resume()
        await waiting
        run_view = await run.until_done()
        return list(run_view.backends["a"].iterations)


async def test_stopped_engine_continues() -> None:
    first, _, last = await iterations_with_a_stop()
    assert first.ok and last.ok


async def test_iteration_during_which_the_engine_was_stopped_fails() -> None:
    _, second, _ = await iterations_with_a_stop()
    assert second.error is not None
    assert "llmtui itself was stopped for 0." in second.error.message


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
