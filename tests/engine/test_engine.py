"""The engine as a real child process, measuring a real server that it launched."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llmtui.link.client import Client
from llmtui.link.process import EngineProcess
from llmtui.model import (
    AnyCommand,
    Backend,
    BackendChanged,
    Hello,
    IterationDone,
    Logs,
    Note,
    Pause,
    Rerun,
    Resume,
    Sampled,
    Stop,
)
from tests.engine.helpers import assert_gone, engine_for, plan_of, process_tree, truth_backend
from tests.leftovers import command_line
from tests.scripted import CLOSE, FINISH, SSE_HEAD, Step, scripted, token


@pytest.mark.slow
async def test_usual_load_time_is_known_in_the_second_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))
    usual: list[float | None] = []
    loads: list[float | None] = []
    for _ in range(2):
        async with engine_for(plan_of(truth_backend("a"), iterations=1, warmup=0)) as run:
            run_view = await run.until_done()
            states = [e.backend for e in run.events if isinstance(e, BackendChanged)]
            states += [s for e in run.events if isinstance(e, Hello) for s in e.backends]
            usual += {s.usual_load_s for s in states if s.state == "loading"}
            loads.append(run_view.backends["a"].state.load_s)
            assert run_view.backends["a"].state.usual_load_s is None
    assert usual == [None, loads[0]]


async def test_run_measures_all_backends_in_rounds() -> None:
    async with engine_for(plan_of(truth_backend("a"), truth_backend("b"))) as run:
        run_view = await run.until_done()
        assert isinstance(run.events[0], Hello)
        order = [e.iteration.backend for e in run.events if isinstance(e, IterationDone)]
        assert [sorted(order[n : n + 2]) for n in range(0, 8, 2)] == [["a", "b"]] * 4 and len(order) == 8
        for backend_view in run_view.backends.values():
            assert backend_view.state.state == "done"
            assert backend_view.state.load_s is not None and backend_view.state.load_s > 0
            assert [(i.phase, i.iteration) for i in backend_view.iterations] == [
                ("warmup", 1),
                ("measured", 1),
                ("measured", 2),
                ("measured", 3),
            ]
            for iteration in backend_view.iterations:
                assert iteration.error is None
                assert iteration.output_tokens == 4
                assert iteration.token_source == "usage"
                assert iteration.finish_reason == "length"
                assert iteration.text == " t0 t1 t2 t3"
                assert sum(iteration.arrival_tokens) == 4
                assert iteration.latency_s is not None and iteration.ttft_s is not None
                assert 0 < iteration.ttft_s <= iteration.latency_s  # equal when a stall merged all arrivals
            assert backend_view.summary.n == 3
        assert not run_view.failed
        assert (run_view.run.finished, run_view.run.total) == (8, 8)


async def test_sequential_run_has_one_server_at_a_time() -> None:
    async with engine_for(plan_of(truth_backend("a"), truth_backend("b"), order="sequential", iterations=2)) as run:
        await run.until_done()
        order = [e.iteration.backend for e in run.events if isinstance(e, IterationDone)]
        assert order == ["a"] * 3 + ["b"] * 3
        steps = [(e.backend.name, e.backend.state) for e in run.events if isinstance(e, BackendChanged)]
        assert steps.index(("a", "done")) < steps.index(("b", "loading"))
        assert [
            p for p in process_tree(run.engine.pid) if "llmtui.accuracy.truth_server" in " ".join(command_line(p))
        ] == []


async def test_rerun_starts_a_new_attempt() -> None:
    async with engine_for(plan_of(truth_backend("a"), truth_backend("b"))) as run:
        await run.until_done()
        await run.client.send(Rerun(backend="a"))
        await run.until(lambda b: b.backends["a"].state.attempt == 2)
        run_view = await run.until_done()
        assert [i.attempt for i in run_view.backends["a"].iterations] == [1] * 4 + [2] * 4
        assert run_view.backends["a"].previous is not None
        assert run_view.backends["a"].previous.n == 3
        assert len(run_view.backends["b"].iterations) == 4


@pytest.mark.slow
async def test_stop_drops_the_iterations_of_one_backend() -> None:
    plan = plan_of(truth_backend("a"), truth_backend("b", arguments=["--ttft-ms", "50"]), iterations=5)
    async with engine_for(plan) as run:
        await run.until(lambda b: len(b.backends["b"].iterations) == 1)
        await run.client.send(Stop(backend="b"))
        run_view = await run.until_done()
        assert run_view.backends["b"].state.state == "stopped"
        assert len(run_view.backends["b"].measured) < 5
        assert run_view.backends["a"].summary.n == 5
        assert run_view.failed


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [Rerun(backend="c"), Rerun(backend="a", also=["b", "c"]), Stop(backend="c"), Logs(backend="c")],
    ids=["r", "r along", "s", "l"],
)
async def test_command_for_an_unknown_backend_is_refused(command: AnyCommand) -> None:
    """Regression: a rerun of an unknown backend reopened a finished run."""
    async with engine_for(plan_of(truth_backend("a"), truth_backend("b"), iterations=1, warmup=0)) as run:
        await run.until_done()
        before = len(run.events)
        await run.client.send(command)
        run_view = await run.until(lambda run_view: bool(run_view.notes))
        assert [note.text for note in run_view.notes] == ["no backend is named 'c'; this run has a, b"]
        # A server's memory and CPU are sampled every second, also after the end.
        assert [type(event) for event in run.events[before:] if not isinstance(event, Sampled)] == [Note]
        assert run_view.run.phase == "done"


async def test_pause_and_resume() -> None:
    async with engine_for(plan_of(truth_backend("a"), iterations=10)) as run:
        await run.until(lambda b: len(b.backends["a"].iterations) == 2)
        await run.client.send(Pause())
        run_view = await run.until(lambda b: b.run.phase == "paused")
        assert len(run_view.backends["a"].iterations) < 11
        await run.client.send(Resume())
        run_view = await run.until_done()
        assert run_view.backends["a"].summary.n == 10


async def test_second_client_receives_all_iterations() -> None:
    async with engine_for(plan_of(truth_backend("a"))) as run:
        run_view = await run.until_done()
        other = await Client.connect(run.engine.socket)
        hello = await anext(other.events())
        await other.close()
        assert isinstance(hello, Hello)
        assert hello.iterations == run_view.backends["a"].iterations


async def test_the_socket_is_private_and_secrets_stay_inside() -> None:
    backend = truth_backend("a", api_key="hush-hush", headers={"X-Key": "hush-too"})
    async with engine_for(plan_of(backend)) as run:
        await run.until_done()
        assert stat.S_IMODE(run.engine.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(run.engine.socket.parent.stat().st_mode) == 0o700
        assert "hush" not in repr(run.events)
        for process in process_tree(run.engine.pid):
            assert "hush" not in " ".join(command_line(process))
    assert not run.engine.socket.parent.exists()


async def test_missing_and_unreachable_backends_do_not_stop_the_others() -> None:
    gone = Backend(name="gone", url="http://127.0.0.1:9", framework="llamafile")
    missing = Backend(name="missing", launch=["no-such-server-anywhere", "{port}"])
    async with engine_for(plan_of(gone, missing, truth_backend("a"))) as run:
        run_view = await run.until_done()
        assert run_view.backends["gone"].state.state == "unreachable"
        assert run_view.backends["missing"].state.state == "missing"
        assert "no-such-server-anywhere" in str(run_view.backends["missing"].state.failure)
        assert run_view.backends["a"].summary.n == 3
        assert run_view.failed


@pytest.mark.slow
async def test_dead_server_fails_its_backend_until_rerun() -> None:
    plan = plan_of(truth_backend("a", arguments=["--ttft-ms", "20"]), truth_backend("b"), iterations=4)
    async with engine_for(plan) as run:
        await run.until(lambda b: len(b.backends["a"].iterations) == 2)
        for process in process_tree(run.engine.pid):
            if "llmtui.accuracy.truth_server" in " ".join(command_line(process)[:4]) and "20" in command_line(process):
                process.kill()
        run_view = await run.until_done()
        state = run_view.backends["a"].state
        assert state.state == "failed"
        assert state.failure is not None and "killed by signal 9" in state.failure.message
        assert run_view.backends["b"].summary.n == 4
        await run.client.send(Rerun(backend="a"))
        await run.until(lambda b: b.backends["a"].state.attempt == 2)
        run_view = await run.until_done()
        assert run_view.backends["a"].summary.n == 4


async def test_refused_usage_option_is_left_out() -> None:
    refusal = b'{"error":{"message":"Unrecognized request argument supplied: stream_options"}}'
    refuse = b"HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(refusal) + refusal
    answer: list[Step] = [SSE_HEAD, token("x"), FINISH, CLOSE]
    nothing = [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]
    async with scripted(*[nothing] * 20) as server:
        server.by_path = {b"POST": [[refuse], answer]}
        plan = plan_of(Backend(name="a", url=server.url, model="m"), warmup=0, iterations=2)
        async with engine_for(plan) as run:
            run_view = await run.until_done()
        posts = [r for r in server.requests if r.startswith(b"POST")]
        assert [b"stream_options" in r for r in posts] == [True, False, False]
        assert [i.error for i in run_view.backends["a"].iterations] == [None, None]


@pytest.mark.slow
async def test_connect_can_be_cancelled_at_any_step() -> None:
    for steps in range(12):
        engine = EngineProcess.start(plan_of(truth_backend("a")))
        try:
            out = engine._process.stdout
            assert out is not None
            assert await asyncio.to_thread(select.select, [out], [], [], 30.0) == ([out], [], [])
            connecting = asyncio.create_task(engine.connect())
            for _ in range(steps):
                await asyncio.sleep(0)
            asked = connecting.cancel()
            await asyncio.wait({connecting})
            assert connecting.cancelled() == asked, steps
            if not asked:
                await connecting.result().close()
        finally:
            engine.kill()


@pytest.mark.slow
async def test_killing_the_engine_leaves_no_server_behind() -> None:
    engine = EngineProcess.start(plan_of(truth_backend("a"), truth_backend("b"), iterations=1000))
    try:
        client = await engine.connect()
        stream = client.events()
        async for event in stream:
            if isinstance(event, IterationDone):
                break
        tree = process_tree(engine.pid)
        assert len(tree) >= 5, "the engine, two guards, two servers"
        os.kill(engine.pid, signal.SIGKILL)
        assert_gone(tree)
        await client.close()
    finally:
        engine.kill()


@pytest.mark.slow
def test_killing_the_client_ends_engine_and_servers() -> None:
    config = (
        "[run]\niterations = 1000\nmax_tokens = 4\non_disconnect = 'stop'\n[[backend]]\nname = 'a'\n"
        f"launch = ['{sys.executable}', '-m', 'llmtui.accuracy.truth_server', '--port', '{{port}}']\n"
    )
    command = [sys.executable, "-m", "llmtui", "run", "/dev/stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(config.encode())
        client.stdin.close()
        assert b"warm-up 1/3" in client.stdout.readline()
        tree = [p for p in process_tree(client.pid) if p.pid != client.pid]
        assert len(tree) >= 3
        client.send_signal(signal.SIGKILL)
        assert_gone(tree)


def test_engine_does_not_import_textual() -> None:
    code = (
        "import sys, llmtui.engine.__main__, llmtui.cli.run, llmtui.cli.app;"
        "print([m for m in ('textual', 'rich', 'plotext') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_process_of_these_tests_is_left() -> None:
    mine = psutil.Process().children(recursive=True)
    assert [p for p in mine if "llmtui" in " ".join(command_line(p))] == []
