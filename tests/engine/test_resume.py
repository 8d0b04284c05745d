"""Resuming a run: new servers measure only what is missing, and stored iterations do not change."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest

from llmtui.engine.__main__ import resume_note
from llmtui.engine.run import drop_old_texts
from llmtui.engine.schedule import Job, jobs_left
from llmtui.engine.watch.machine import describe_machine
from llmtui.link.run_folders import EngineError
from llmtui.model import Backend, Iteration, More, Plan, Shutdown, Stop
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun
from tests import build
from tests.engine.helpers import assert_gone, ended, engine_for, plan_of, process_tree, started, truth_backend
from tests.leftovers import command_line
from tests.scripted import CLOSE, FINISH, HANG, SSE_HEAD, Step, scripted, token


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run of anybody else is seen here."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))


def stored(plan: Plan) -> StoredRun:
    store, _ = open_store()
    with store:
        return store.load(plan.run)


@pytest.mark.slow
async def test_resume_measures_only_missing_iterations() -> None:
    plan = plan_of(truth_backend("a"), truth_backend("b"), iterations=4, warmup=2, on_disconnect="finish")
    run = await started(plan, resume=False)
    await run.until(lambda run_view: len(run_view.backends["b"].measured) == 1)
    tree = process_tree(run.engine.pid)
    os.kill(run.engine.pid, signal.SIGKILL)
    await run.client.close()
    assert_gone(tree)
    before = stored(plan).iterations
    again = await started(plan, resume=True)
    try:
        run_view = await again.until_done()
        assert run_view.notes[0].text == f"resumed with {len(before)} iterations from before"
        await ended(again)
    finally:
        again.engine.kill()
        run.engine.kill()
    after = stored(plan)
    assert after.state == "done"
    assert after.iterations[: len(before)] == before
    assert [i.seq for i in after.iterations] == list(range(1, len(after.iterations) + 1))
    assert {i.launch for i in after.iterations} == {1}
    for name in "ab":
        made = [i for i in after.iterations if i.backend == name]
        assert sorted(i.iteration for i in made if i.phase == "measured") == [1, 2, 3, 4]
        assert [i.iteration for i in made if i.phase == "warmup"] == [1, 2, 3, 4]
        assert run_view.backends[name].summary.n == 4
    assert not run_view.failed


@pytest.mark.slow
async def test_resume_completes_a_partial_round() -> None:
    plan = plan_of(truth_backend("a"), truth_backend("b"), iterations=8, warmup=1, on_disconnect="finish")
    run = await started(plan, resume=False)
    # Three are measured: one backend is ahead.
    await run.until(
        lambda run_view: sum(len(backend_view.measured) for backend_view in run_view.backends.values()) == 3
    )
    tree = process_tree(run.engine.pid)
    os.kill(run.engine.pid, signal.SIGSTOP)
    os.kill(run.engine.pid, signal.SIGKILL)
    await run.client.close()
    assert_gone(tree)
    again = await started(plan, resume=True)
    try:
        run_view = await again.until_done()
        await ended(again)
    finally:
        again.engine.kill()
        run.engine.kill()
    (comparison,) = run_view.verdict().comparisons
    assert (comparison.paired, comparison.n) == (True, 8)
    assert "not-interleaved" not in {check.code for check in run_view.verdict().checks}


@pytest.mark.slow
async def test_resume_leaves_finished_and_failed_backends() -> None:
    async with scripted([b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        good: list[Step] = [SSE_HEAD, token("x"), FINISH, CLOSE]
        server.by_path[b"POST"] = [[b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"], [HANG], good]
        ill = Backend(name="ill", url=server.url, model="m")
        plan = plan_of(truth_backend("whole"), ill, iterations=2, warmup=0, order="sequential")
        run = await started(plan, resume=False)
        await run.until(
            lambda run_view: len(run_view.backends["whole"].measured) == 2 and bool(run_view.backends["ill"].measured)
        )
        await run.client.send(Stop(backend="ill"))
        await run.until_done()
        await ended(run)
        before = stored(plan)
        again = await started(plan, resume=True)
        run_view = await again.until_done()
        await ended(again)
    assert [s.url for s in stored(plan).states if s.name == "whole"] == [s.url for s in before.states][:1]
    assert run_view.backends["whole"].measured == [i for i in before.iterations if i.backend == "whole"]
    assert [(i.iteration, i.ok) for i in run_view.backends["ill"].measured] == [(1, False), (2, True)]
    assert run_view.failed


async def test_running_run_cannot_be_resumed() -> None:
    plan = plan_of(truth_backend("a"), iterations=1000)
    run = await started(plan, resume=False)
    try:
        await run.until(lambda run_view: bool(run_view.backends["a"].measured))
        with pytest.raises(EngineError, match="is still running"):
            await started(plan, resume=True)
        await ended(run)
    finally:
        run.engine.kill()


@pytest.mark.parametrize("restarts", [pytest.param(0, marks=pytest.mark.slow), 1])
async def test_server_is_restarted_up_to_the_limit(restarts: int) -> None:
    plan = plan_of(truth_backend("a"), iterations=30, warmup=1, restarts=restarts)
    run = await started(plan, resume=False)
    try:
        await run.until(lambda run_view: bool(run_view.backends["a"].measured))
        for process in process_tree(run.engine.pid):
            if "llmtui.accuracy.truth_server" in command_line(process) and "--" not in command_line(process):
                process.kill()
        run_view = await run.until_done()
        await ended(run)
    finally:
        run.engine.kill()
    backend_view = run_view.backends["a"]
    failures = [i for i in backend_view.measured if not i.ok]
    assert len(failures) == 1
    assert [n.text for n in run_view.notes if "restarted (1 of 1)" in n.text and n.backend == "a"] == [
        n.text for n in run_view.notes
    ]
    if restarts:
        assert (backend_view.state.state, len(run_view.notes), len(backend_view.measured)) == ("done", 1, 30)
        assert [i.iteration for i in backend_view.iterations if i.phase == "warmup"] == [1, 2]
        assert backend_view.state.note == "restarted 1x"
    else:
        assert (backend_view.state.state, len(run_view.notes)) == ("failed", 0)


@pytest.mark.parametrize(
    ("made", "left"),
    [
        ([], [Job("warmup", 1), Job("warmup", 2), Job("measured", 1), Job("measured", 2), Job("measured", 3)]),
        (
            [Job("warmup", 1)],
            [Job("warmup", 2), Job("warmup", 3), Job("measured", 1), Job("measured", 2), Job("measured", 3)],
        ),
        (
            [Job("warmup", 5), Job("measured", 2)],
            [Job("warmup", 6), Job("warmup", 7), Job("measured", 1), Job("measured", 3)],
        ),
        ([Job("measured", 1), Job("measured", 2), Job("measured", 3)], []),
    ],
)
def test_jobs_left(made: list[Job], left: list[Job]) -> None:
    assert jobs_left(2, 3, made) == left


def test_resume_refuses_another_machine_and_reports_other_versions() -> None:
    here = describe_machine()
    run = StoredRun(plan=plan_of(), machine=here, state="died")
    assert resume_note(run, here).text == "resumed with 0 iterations from before"
    older = msgspec.structs.replace(here, python="3.0")
    assert "Python 3.0, now" in resume_note(msgspec.structs.replace(run, machine=older), here).text
    with pytest.raises(StoreError, match="another machine"):
        resume_note(msgspec.structs.replace(run, machine=build.machine(cpu="other", cores=1)), here)


@pytest.mark.parametrize(("within", "most", "rounds"), [(1e-9, 5, 5), pytest.param(1e9, 0, 8, marks=pytest.mark.slow)])
async def test_rounds_are_added_until_the_interval_is_narrow_or_the_limit_is_met(
    within: float, most: int, rounds: int
) -> None:
    """An interval of 99% needs at least eight rounds."""
    plan = plan_of(truth_backend("a"), truth_backend("b"), iterations=2, warmup=0)
    async with engine_for(plan) as run:
        await run.until_done()
        await run.client.send(More(within=within, most=most))
        await run.until(lambda run_view: run_view.run.phase != "done")
        run_view = await run.until_done()
        assert [len(backend_view.measured) for backend_view in run_view.backends.values()] == [rounds, rounds]
        assert (run_view.run.finished, run_view.run.total) == (2 * rounds, 2 * rounds)
        await run.client.send_last(Shutdown())


async def test_sequential_run_refuses_more_rounds() -> None:
    plan = plan_of(truth_backend("a"), iterations=1, warmup=0, order="sequential")
    async with engine_for(plan) as run:
        await run.until_done()
        await run.client.send(More())
        run_view = await run.until(lambda run_view: bool(run_view.notes))
        assert "rounds can be added only if backends take turns" in run_view.notes[0].text
        await run.client.send_last(Shutdown())


def test_engine_drops_old_texts_and_arrivals() -> None:
    held: list[Iteration] = []
    for number in range(1, 6):
        held.append(build.iteration("a", number, text="long", arrivals_ns=[1], arrival_tokens=[1]))
        drop_old_texts(held, newest=2)
    assert [(i.iteration, i.latency_s, i.text, i.arrivals_ns) for i in held] == [
        (1, 1.0, "", []), (2, 1.0, "", []), (3, 1.0, "", []), (4, 1.0, "long", [1]), (5, 1.0, "long", [1])
    ]  # fmt: skip
