"""What the engine decides about turns: the time left, and what becomes of one that failed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.level_faults import check_turn
from llmtui.engine.progress import run_progress
from llmtui.engine.recorder import Recorder
from llmtui.engine.run import Run, work_of
from llmtui.engine.schedule import Job, shuffled_levels
from llmtui.model import AnyEvent, Failure, Level, Load, Note, Plan, Turn
from tests import build

LOAD = Load(concurrency=[2, 8], requests=40)


class Silent:
    """A recorder that stores nothing."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def save_state(self, state: object) -> None:
        pass


class Gone:
    """A target whose server llmtui did not launch."""

    server = None
    remark = ""
    running_uids = None

    async def close(self) -> None:
        pass


def run_of(*names: str, load: Load = LOAD, events: list[AnyEvent] | None = None, **config: Any) -> Run:
    """A run at the beginning of its load."""
    plan: Plan = msgspec.structs.replace(build.plan(*names, **config), load=load)
    backends = []
    for backend in plan.backends:
        levels_of = shuffled_levels([level.number for level in plan.levels], 0)
        state = build.state(backend.name, state="running", planned=plan.config.iterations)
        backend_run = BackendRun(backend, cast(Target, Gone()), state, levels_of=levels_of)
        backend_run.work = {level.number: work_of(load, level) for level in plan.levels}
        backend_run.plan_attempt(plan.config)
        backends.append(backend_run)
    emit = (events if events is not None else []).append
    return Run(plan, build.machine(), cast(Recorder, Silent()), emit, backends, [])


def turn(backend: str, level: int, needed: int | None = 0, **fields: Any) -> Turn:
    usual: dict[str, Any] = {"phase": "warmup", "round": 1, "state": "whole", "attempt": 1, "seq": 1, "started_utc": ""}
    return Turn(run="r", backend=backend, level=level, settle_needed=needed, **(usual | fields))


@pytest.mark.parametrize(
    ("load", "works"),
    [
        (LOAD, [44.0, 56.0]),
        (Load(concurrency=[1, 8], duration_s=5.0), [5.0, 5.0]),
        (Load(request_rate=[2.0, 4.0], requests=40), [20.0, 10.0]),
    ],
)
def test_the_work_of_a_turn(load: Load, works: list[float]) -> None:
    levels: list[Level] = load.levels
    assert [work_of(load, level) for level in levels] == works


def test_the_time_left_is_that_of_each_level() -> None:
    run = run_of("a", iterations=2, warmup=0)
    [one] = run.backends
    single = one.begin_iteration(0.0)
    one.end_iteration(single, 1.0)
    assert run_progress(run.backends, run.config, 1.0).eta_s is None
    levels = [one.queue[0].level, one.queue[1].level]
    one.end_iteration(one.begin_iteration(1.0), 1.0 + one.work[levels[0]])
    # The other level had no turn yet: it takes as long as its requests do at this one.
    progress = run_progress(run.backends, run.config, 100.0)
    assert progress.eta_s == 2 * one.work[levels[1]] + one.work[levels[0]]
    assert (progress.finished, progress.total) == (2, 5)
    one.end_iteration(one.begin_iteration(100.0), 107.0)
    assert run_progress(run.backends, run.config, 107.0).eta_s == 7.0 + one.work[levels[0]]


async def test_a_turn_that_can_never_be_sent_costs_its_level() -> None:
    events: list[AnyEvent] = []
    run = run_of("a", iterations=5, warmup=0, events=events)
    [one] = run.backends
    one.queue.popleft()
    failure = Failure(kind="stopped", message="the limit of open files leaves room for 5 connections", hint="raise it")
    job = next(job for job in one.queue if job.level == 2)
    for _ in range(2):
        one.queue.remove(job)
        await check_turn(run, one, job, turn("a", 2, state="partial", phase="measured", error=failure))
    assert {job.level for job in one.queue} == {1} and len(one.queue) == 5
    assert [event.text for event in events if isinstance(event, Note)] == [
        f"8 streams: {failure.message}; the turn is taken again, and does not count; raise it",
        f"8 streams: {failure.message}; the other turns of this level are left out; raise it",
    ]


@pytest.mark.parametrize("second", ["the server failed", "the server exited"])
async def test_a_turn_is_spoiled_twice_only_if_both_follow_one_another(
    second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[AnyEvent] = []
    run = run_of("a", iterations=2, warmup=0, restarts=1, events=events)
    [one] = run.backends
    job = next(job for job in one.queue if job.level)
    one.queue.remove(job)
    stopped, failed = (Failure(kind=kind, message="it ended") for kind in ("stopped", "server"))
    spoiled = turn("a", job.level, state="partial", phase="measured", requests=1, error=stopped)
    await check_turn(run, one, job, spoiled)
    if second == "the server failed":
        await check_turn(run, one, job, turn("a", job.level, phase="measured", error=failed))
    else:
        exited = asyncio.Event()
        exited.set()
        server = SimpleNamespace(exited=exited, exit_failure=lambda: failed, log_tail=list)
        with monkeypatch.context() as patch:
            patch.setattr(one.target, "server", server)
            await check_turn(run, one, job, spoiled)
        assert one.restarts == 1 and job in one.queue
    await check_turn(run, one, job, spoiled)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes[-1] == notes[0] and "is taken again" in notes[0]


async def test_a_level_that_fails_now_and_then_stays() -> None:
    run = run_of("a", iterations=5, warmup=0)
    [one] = run.backends
    error = Failure(kind="server", message="HTTP 500")
    for outcome in (error, None, error, None):
        await check_turn(run, one, Job("measured", 1, 1), turn("a", 1, phase="measured", error=outcome))
    assert one.left_out == {}
    for _ in range(2):
        await check_turn(run, one, Job("measured", 1, 1), turn("a", 1, phase="measured", error=error))
    assert one.left_out == {1: "2 streams"} and one.state.note == "without 2 streams"


async def test_a_backend_without_a_level_left_has_failed_unless_it_has_figures() -> None:
    error = Failure(kind="server", message="HTTP 500")
    for earlier, state in ((None, "failed"), (turn("a", 1, phase="measured"), "running")):
        run = run_of("a", iterations=1, warmup=0)
        [one] = run.backends
        run.turns = [earlier] if earlier is not None else []
        for level in (1, 2, 1, 2):
            await check_turn(run, one, Job("measured", 1, level), turn("a", level, phase="measured", error=error))
        assert one.state.state == state and not one.queue
