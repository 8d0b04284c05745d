"""Several launches of each server in a run: their order, their warm-ups, and that nothing of them is left."""

from __future__ import annotations

import csv
import io
import os
import shlex
import signal
from collections import Counter
from pathlib import Path
from typing import cast

import psutil
import pytest

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.progress import run_progress
from llmtui.engine.schedule import Job, jobs, jobs_left, with_warmups
from llmtui.export.csv import iterations_csv, results_csv
from llmtui.export.table import summary_table
from llmtui.model import Backend, BackendChanged, IterationDone, More, Note, Plan, Rerun, RunChanged, RunConfig
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun
from tests import build
from tests.engine.helpers import TRUTH, assert_gone, ended, engine_for, plan_of, process_tree, started
from tests.scripted import CLOSE, FINISH, SSE_HEAD, scripted, token

FIVE = RunConfig(iterations=10, warmup=1, launches=5)
LAUNCHED = Backend(name="a", launch=["server"])


def recorded(name: str, pids: Path, before: str = "") -> Backend:
    """A truth server that writes the id of each of its processes to a file, after the shell command `before`."""
    command = f"{before or ':'}; echo $$ >> {shlex.quote(str(pids / name))}; exec {shlex.join(TRUTH)}"
    return Backend(name=name, framework=name, launch=["sh", "-c", command])


def process_ids(folder: Path, name: str) -> list[int]:
    return [int(line) for line in (folder / name).read_text().split()]


def stored(plan: Plan) -> StoredRun:
    store, _ = open_store()
    with store:
        return store.load(plan.run)


# --- The plan of launches. ---


def test_rounds_are_spread_evenly_over_the_launches() -> None:
    assert [FIVE.launch_of(number) for number in range(1, 13)] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    uneven = RunConfig(iterations=12, launches=5)
    assert Counter(uneven.launch_of(number) for number in range(1, 13)) == {1: 3, 2: 2, 3: 3, 4: 2, 5: 2}
    once = RunConfig(iterations=10)
    assert {once.launch_of(number) for number in range(1, 31)} == {1}


def test_only_launched_servers_have_further_launches_and_warm_ups() -> None:
    running = Backend(name="b", url="http://127.0.0.1:1")
    assert (FIVE.launches_of(LAUNCHED, 10), FIVE.launches_of(running, 10)) == (5, 1)
    assert (FIVE.warmups_of(LAUNCHED, 10), FIVE.warmups_of(running, 10)) == (5, 1)
    assert FIVE.warmups_of(LAUNCHED, 20) == 10


def test_each_launch_begins_with_warm_ups_of_its_own() -> None:
    config = RunConfig(iterations=6, launches=5)
    phases = [(job.phase, job.number) for job in jobs(1, 6, config.launch_of)[:7]]
    assert phases == [
        ("warmup", 1), ("measured", 1), ("measured", 2), ("warmup", 2), ("measured", 3), ("warmup", 3), ("measured", 4),
    ]  # fmt: skip
    assert [job.number for job in jobs(2, 6, config.launch_of) if job.phase == "warmup"] == list(range(1, 11))


def test_what_is_left_after_a_restart_begins_with_warm_ups_and_keeps_its_launches() -> None:
    done: list[Job] = [Job("warmup", 1), Job("measured", 1), Job("measured", 2), Job("warmup", 2), Job("measured", 3)]
    left = jobs_left(1, 10, done, FIVE.launch_of)
    assert left[:5] == [Job("warmup", 3), Job("measured", 4), Job("warmup", 4), Job("measured", 5), Job("measured", 6)]
    assert jobs_left(1, 10, jobs(1, 10, FIVE.launch_of), FIVE.launch_of) == []


def test_added_rounds_come_with_warm_ups_if_they_begin_a_launch() -> None:
    assert with_warmups([11, 12], 1, [Job("warmup", 5)], FIVE.launch_of, 5) == [
        Job("warmup", 6),
        Job("measured", 11),
        Job("measured", 12),
    ]
    assert with_warmups([10], 1, [Job("warmup", 5)], FIVE.launch_of, 5) == [Job("measured", 10)]


def test_the_time_left_includes_the_launches_to_come() -> None:
    launching = BackendRun(LAUNCHED, cast(Target, None), build.state("a", state="running", planned=10))
    launching.launch_of = FIVE.launch_of
    launching.plan_attempt(FIVE)
    launching.launch, launching.usual_load_s = 1, 30.0
    launching.end_iteration(launching.begin_iteration(0.0), 2.0)
    # Fourteen jobs of 2 s, and four launches of 30 s.
    begun = run_progress([launching], FIVE, 2.0)
    assert (begun.finished, begun.total, begun.eta_s) == (1, 15, 14 * 2.0 + 4 * 30.0)
    for _ in range(2):
        launching.end_iteration(launching.begin_iteration(0.0), 2.0)
    launching.launch, launching.launching_at = 2, 100.0
    progress = run_progress([launching], FIVE, 110.0)
    assert (progress.eta_s, progress.current_s) == (12 * 2.0 + 3 * 30.0 + 20.0, 20.0)
    assert run_progress([launching], FIVE, 140.0).current_s == -10.0


# --- In the engine. ---


@pytest.mark.slow
async def test_each_block_of_rounds_has_servers_of_its_own(tmp_path: Path) -> None:
    plan = plan_of(recorded("a", tmp_path), recorded("b", tmp_path), iterations=5, launches=5)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        finished = [event.iteration for event in run.events if isinstance(event, IterationDone)]
        totals = {event.run.total for event in run.events if isinstance(event, RunChanged)}
        loading = [e.backend for e in run.events if isinstance(e, BackendChanged) and e.backend.state == "loading"]
    assert totals == {20} and run_view.run.finished == 20
    # A block begins when every backend has finished the one before.
    launches = [iteration.launch for iteration in finished]
    assert launches == sorted(launches) and Counter(launches) == dict.fromkeys(range(1, 6), 4)
    assert [iteration.seq for iteration in finished] == list(range(1, 21))
    for name in "ab":
        pids = process_ids(tmp_path, name)
        assert len(set(pids)) == 5
        assert not any(psutil.pid_exists(pid) for pid in pids)
        own = [i for i in finished if i.backend == name]
        assert [(i.phase, i.iteration) for i in own] == [
            (phase, n) for n in range(1, 6) for phase in ("warmup", "measured")
        ]
        assert {i.part for i in own} == {1}
        state = run_view.backends[name].state
        assert (state.state, state.launch, len(state.loads_s)) == ("done", 5, 5)
        assert run_view.backends[name].summary.n == 5
    # The servers are launched in random order, but both in each block. The first client may come after the first.
    assert [sorted(s.name for s in loading if s.launch == n) for n in range(2, 6)] == [["a", "b"]] * 4
    assert "a: 5 launches, start-up: median" in summary_table(run_view, 200)
    assert all(row["launch"] == row["iteration"] for row in csv.DictReader(io.StringIO(iterations_csv(run_view))))
    assert "launches,load_median_s,load_min_s,load_max_s" in results_csv(run_view).splitlines()[0]


@pytest.mark.slow
async def test_a_server_that_runs_already_is_launched_by_nobody(tmp_path: Path) -> None:
    async with scripted([b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        server.by_path[b"POST"] = [[SSE_HEAD, token("x"), FINISH, CLOSE]]
        running = Backend(name="running", url=server.url, model="m")
        async with engine_for(plan_of(recorded("a", tmp_path), running, iterations=5, launches=5)) as run:
            run_view = await run.until_done()
            rounds = [e.iteration for e in run.events if isinstance(e, IterationDone)]
    assert len(set(process_ids(tmp_path, "a"))) == 5
    kept = [i for i in rounds if i.backend == "running"]
    assert [i.phase for i in kept] == ["warmup", *["measured"] * 5]
    assert {i.launch for i in kept} == {1}
    measured = [i.iteration for i in rounds if i.phase == "measured"]
    assert measured == sorted(measured)
    assert run_view.backends["running"].state.loads_s == []


async def test_launches_without_a_launched_server_change_nothing_and_the_run_says_so() -> None:
    async with scripted([b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        server.by_path[b"POST"] = [[SSE_HEAD, token("x"), FINISH, CLOSE]]
        plan = plan_of(Backend(name="running", url=server.url, model="m"), iterations=5, launches=5)
        async with engine_for(plan) as run:
            run_view = await run.until_done()
    assert run_view.run.total == 6
    assert "launches = 5 changes nothing: llmtui launches none of these servers" in [n.text for n in run_view.notes]


@pytest.mark.slow
async def test_a_resumed_run_goes_on_in_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))
    plan = plan_of(recorded("a", tmp_path), iterations=10, launches=5, on_disconnect="finish")
    run = await started(plan, resume=False)
    await run.until(lambda run_view: len(run_view.backends["a"].measured) == 3)
    tree = process_tree(run.engine.pid)
    os.kill(run.engine.pid, signal.SIGKILL)
    await run.client.close()
    assert_gone(tree)
    again = await started(plan, resume=True)
    try:
        await again.until_done()
        await ended(again)
    finally:
        again.engine.kill()
        run.engine.kill()
    iterations = stored(plan).iterations
    measured = [i for i in iterations if i.phase == "measured"]
    assert [i.iteration for i in measured] == list(range(1, 11))
    assert [i.launch for i in measured] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert {i.part for i in measured if i.iteration > 4} == {2}
    assert [i.seq for i in iterations] == sorted(i.seq for i in iterations)
    # The launch that was interrupted has warm-ups from both of its servers.
    assert Counter(i.launch for i in iterations if i.phase == "warmup") == {1: 1, 2: 2, 3: 1, 4: 1, 5: 1}
    assert not any(psutil.pid_exists(pid) for pid in process_ids(tmp_path, "a"))


@pytest.mark.slow
async def test_a_launch_that_fails_ends_its_backend_and_no_other(tmp_path: Path) -> None:
    third_fails = f"[ $(wc -l < {shlex.quote(str(tmp_path / 'a'))}) -ge 2 ] && {{ echo no memory; exit 3; }}"
    (tmp_path / "a").touch()
    plan = plan_of(recorded("a", tmp_path, third_fails), recorded("b", tmp_path), iterations=5, launches=5)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
    failed, other = run_view.backends["a"], run_view.backends["b"]
    assert failed.state.state == "failed" and failed.state.failure is not None
    assert "no memory" in str(failed.state.failure)
    assert (failed.summary.n, other.summary.n, other.state.launch) == (2, 5, 5)
    assert not any(psutil.pid_exists(pid) for name in "ab" for pid in process_ids(tmp_path, name))


@pytest.mark.slow
async def test_a_rerun_and_added_rounds_have_launches_of_their_own(tmp_path: Path) -> None:
    plan = plan_of(recorded("a", tmp_path), recorded("b", tmp_path), iterations=5, launches=5, warmup=0)
    async with engine_for(plan) as run:
        await run.until(lambda run_view: run_view.backends["a"].state.launch == 2)
        await run.client.send(Rerun(backend=""))
        await run.until(lambda run_view: run_view.backends["a"].state.attempt == 2)
        run_view = await run.until_done()
        again = [i for i in run_view.backends["a"].iterations if i.attempt == 2]
        assert [i.launch for i in again] == [1, 2, 3, 4, 5]
        assert len(run_view.backends["a"].state.loads_s) == 5
        await run.client.send(More(within=1e-9, most=7))
        await run.until(lambda run_view: run_view.run.phase == "running")
        run_view = await run.until_done()
        added = [i for i in run_view.backends["b"].iterations if i.attempt == 2][5:]
        assert [(i.iteration, i.launch) for i in added] == [(6, 6), (7, 7)]
        pids = process_ids(tmp_path, "a")
        assert len(set(pids)) == len(pids) >= 8
        assert sum(psutil.pid_exists(pid) for pid in pids) == 1


@pytest.mark.slow
async def test_one_backend_after_the_other_with_a_server_that_ends_within_its_launch(tmp_path: Path) -> None:
    plan = plan_of(
        recorded("a", tmp_path),
        recorded("b", tmp_path),
        iterations=20,
        launches=5,
        order="sequential",
        restarts=1,
        cooldown_s=0.05,
    )
    async with engine_for(plan) as run:
        # In the pause after the first round of the second launch, which has four.
        await run.until(lambda run_view: len(run_view.backends["a"].measured) == 5)
        os.kill(process_ids(tmp_path, "a")[-1], signal.SIGKILL)
        run_view = await run.until_done()
        notes = [event for event in run.events if isinstance(event, Note)]
    assert any("restarted (1 of 1)" in note.text for note in notes)
    good = [i for i in run_view.backends["a"].measured if i.ok]
    assert [i.launch for i in good] == [plan.config.launch_of(i.iteration) for i in good]
    assert {i.part for i in good} == {1, 2}
    assert len(process_ids(tmp_path, "a")) == 6 and len(process_ids(tmp_path, "b")) == 5
    assert [i.launch for i in run_view.backends["b"].measured] == [1 + number // 4 for number in range(20)]
