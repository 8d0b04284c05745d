"""A history that another process locks or writes to."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from llmtui.engine import recorder
from llmtui.link.process import live_runs
from llmtui.store.open import open_store
from tests.engine.helpers import engine_for, plan_of, truth_backend
from tests.faults.harness import LOCKED, STORED_AGAIN, notes_of, plan_for, server, stored_run, wait_until

pytestmark = pytest.mark.usefixtures("own_folders")

LOCK = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(1, flush=True); input()"


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process locks the history."""
    command = [sys.executable, "-c", LOCK, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        try:
            yield
        finally:
            other.kill()


@pytest.mark.parametrize(
    "since",
    [pytest.param("before the run", marks=pytest.mark.slow), pytest.param("during the run", marks=pytest.mark.slow)],
)
async def test_locked_history(since: str, tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    open_store(file)[0].close()
    gate = asyncio.Event()
    with contextlib.ExitStack() as lock:
        if since == "before the run":
            lock.enter_context(locked(file))
        async with server(gate) as served, engine_for(plan_for(served, 60)) as run:
            await run.until(lambda run_view: run_view.backends["a"].state.state == "running")
            if since == "during the run":
                lock.enter_context(locked(file))
            began = time.monotonic()
            gate.set()
            run_view = await run.until_done()
            # The engine waits once, and not during an iteration: with a wait for each, it would take 15 s.
            assert time.monotonic() - began < 60 * recorder.WAIT_S / 2
            assert median(i.latency_s for i in run_view.backends["a"].iterations if i.latency_s) < recorder.WAIT_S
            # Only a lasting lock is reported. After the run the engine keeps trying.
            await run.until(lambda _: any(note.startswith(LOCKED) for note in notes_of(run)))
            assert f"the history {file} is " in notes_of(run)[0]
            lock.close()
            await run.until(lambda run_view: run_view.notes[-1].text == STORED_AGAIN)
            stored = stored_run(file, run)
            assert stored.state == "done"
            assert stored.iterations == run_view.backends["a"].iterations


@pytest.mark.slow
async def test_brief_lock_is_not_reported(tmp_path: Path) -> None:
    """Such as that of another run that writes to the same history."""
    file = tmp_path / "history.db"
    open_store(file)[0].close()
    gate = asyncio.Event()
    with contextlib.ExitStack() as lock:
        async with server(gate) as served, engine_for(plan_for(served, 60)) as run:
            await run.until(lambda run_view: run_view.backends["a"].state.state == "running")
            lock.enter_context(locked(file))
            gate.set()
            await run.until(lambda run_view: len(run_view.backends["a"].measured) >= 3)
            lock.close()
            run_view = await run.until_done()
            # The missing iterations are written after the run.
            await wait_until(lambda: stored_run(file, run).iterations == run_view.backends["a"].iterations)
            assert notes_of(run) == []


async def test_history_unlocked_while_the_engine_ends(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    gate = asyncio.Event()
    with contextlib.ExitStack() as lock:
        async with server(gate) as served, engine_for(plan_for(served, 3)) as run:
            await run.until(lambda run_view: run_view.backends["a"].state.state == "running")
            lock.enter_context(locked(file))
            gate.set()
            run_view = await run.until_done()
            assert stored_run(file, run).iterations == []
            # The engine ends when its last client leaves.
            asyncio.get_running_loop().call_later(0.5, lock.close)
    stored = stored_run(file, run)
    assert stored.state == "done"
    assert stored.iterations == run_view.backends["a"].iterations


@pytest.mark.slow
async def test_two_runs_at_the_same_time(tmp_path: Path) -> None:
    plans = [plan_of(truth_backend("a"), iterations=10) for _ in range(2)]
    async with engine_for(plans[0]) as one, engine_for(plans[1]) as other:
        run_views = await asyncio.gather(one.until_done(), other.until_done())
        assert {run.run for run in live_runs()} == {plan.run for plan in plans}
        assert len({run_view.backends["a"].state.url for run_view in run_views}) == 2
    for run, run_view in zip((one, other), run_views, strict=True):
        assert stored_run(tmp_path / "history.db", run).iterations == run_view.backends["a"].iterations
        assert run_view.backends["a"].summary.n == 10
