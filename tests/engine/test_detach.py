"""Detaching from a run and attaching again; no process or folder is left at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from llmtui.link.client import Client
from llmtui.link.process import STARTING_NS, EngineProcess, live_runs
from llmtui.link.run_folders import runtime_folder
from llmtui.model import Detach, Hello, IterationDone, Pause, Plan
from llmtui.store.open import open_store
from tests.engine.helpers import Followed, assert_gone, plan_of, process_tree, truth_backend
from tests.leftovers import command_line

SLOW = truth_backend("a", arguments=["--ttft-ms", "50"])


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the runs of other tests."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


async def begun(plan: Plan) -> tuple[EngineProcess, Followed]:
    """Start an engine and wait for one measured iteration."""
    engine = EngineProcess.start(plan)
    run = Followed(plan, engine, await engine.connect())
    await run.until(lambda run_view: any(backend_view.measured for backend_view in run_view.backends.values()))
    return engine, run


@contextmanager
def suspended_servers(tree: list[psutil.Process]) -> Iterator[None]:
    """Suspend the truth server, so that the run cannot finish meanwhile."""
    servers = [process for process in tree if "llmtui.accuracy.truth_server" in command_line(process)]
    for server in servers:
        server.suspend()
    try:
        yield
    finally:
        for server in servers:
            server.resume()


@pytest.mark.slow
@pytest.mark.parametrize("on_disconnect", ["finish", "stop"])
async def test_detached_run_finishes_and_exits(on_disconnect: str) -> None:
    engine, run = await begun(plan_of(SLOW, iterations=15, on_disconnect=on_disconnect))
    tree = process_tree(engine.pid)
    try:
        with suspended_servers(tree):
            await run.client.send_last(Detach())
            engine.detach()
            assert [r.run for r in live_runs()] == [run.run_view.plan.run]
            again = Followed(run.run_view.plan, engine, await Client.connect(engine.socket))
        run_view = await again.until_done()
        hello = again.events[0]
        assert isinstance(hello, Hello)
        assert hello.iterations[: len(run.run_view.backends["a"].iterations)] == run.run_view.backends["a"].iterations
        assert run_view.backends["a"].summary.n == 15
        await again.client.close()
        assert_gone(tree)
        assert live_runs() == []
    finally:
        engine.kill()


@pytest.mark.slow
async def test_listing_runs_does_not_count_as_a_client() -> None:
    engine, run = await begun(plan_of(SLOW, iterations=5, on_disconnect="stop"))
    tree = process_tree(engine.pid)
    try:
        with suspended_servers(tree):
            await run.client.send_last(Detach())
            engine.detach()
            for _ in range(20):
                assert [r.run for r in live_runs()] == [run.run_view.plan.run]
        assert_gone(tree)
    finally:
        engine.kill()
    store, _ = open_store()
    with store:
        stored = store.load(run.run_view.plan.run)
    assert sum(i.phase == "measured" for i in stored.iterations) == 5


@pytest.mark.slow
async def test_run_survives_a_lost_client() -> None:
    engine, run = await begun(plan_of(SLOW, iterations=10, on_disconnect="finish"))
    tree = process_tree(engine.pid)
    try:
        with suspended_servers(tree):
            await run.client.close()
            again = Followed(run.run_view.plan, engine, await Client.connect(engine.socket))
        run_view = await again.until_done()
        assert run_view.backends["a"].summary.n == 10
        await again.client.close()
        assert_gone(tree)
    finally:
        engine.kill()


async def test_paused_run_continues_without_clients() -> None:
    engine, run = await begun(plan_of(truth_backend("a"), iterations=6, on_disconnect="finish"))
    tree = process_tree(engine.pid)
    try:
        await run.client.send(Pause())
        await run.until(lambda run_view: run_view.run.phase == "paused")
        await run.client.close()
        assert_gone(tree)
    finally:
        engine.kill()


@pytest.mark.slow
async def test_folder_of_a_killed_engine_is_removed() -> None:
    engine, run = await begun(plan_of(truth_backend("a"), iterations=1000, on_disconnect="finish"))
    tree = process_tree(engine.pid)
    folder = engine.socket.parent
    os.kill(engine.pid, signal.SIGKILL)
    psutil.wait_procs(tree, timeout=30)
    await run.client.close()
    assert live_runs() == []
    assert folder.exists(), "it might be starting: only older folders are removed"
    past_ns = folder.stat().st_mtime_ns - 2 * STARTING_NS
    os.utime(folder, ns=(past_ns, past_ns))
    assert live_runs() == []
    assert not folder.exists()
    engine.kill()


async def test_many_clients_receive_the_same_run() -> None:
    engine, run = await begun(plan_of(truth_backend("a"), iterations=5))
    try:
        clients = await asyncio.gather(*(Client.connect(engine.socket) for _ in range(64)))
        others = [Followed(run.run_view.plan, engine, client) for client in clients]
        run_view = await run.until_done()
        for other in others:
            view = await other.until_done()
            assert view.backends["a"].iterations == run_view.backends["a"].iterations
            assert isinstance(other.events[0], Hello)
            assert not any(isinstance(e, Hello) for e in other.events[1:])
            assert sum(isinstance(e, IterationDone) for e in other.events) <= 6
            await other.client.close()
        tree = process_tree(engine.pid)
        await run.client.close()
        assert_gone(tree)
    finally:
        engine.kill()


def test_the_folder_of_runs_is_private() -> None:
    assert runtime_folder().stat().st_mode & 0o777 == 0o700
