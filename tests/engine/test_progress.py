"""How far a run is and how long it still takes, with the clock held."""

from __future__ import annotations

from typing import Any, cast

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.progress import run_progress
from llmtui.engine.schedule import Job
from llmtui.model import IterationDone, RunChanged, RunConfig
from tests import build
from tests.engine.helpers import engine_for, plan_of, truth_backend

TWO = RunConfig(iterations=2, warmup=0)


def backend(config: RunConfig = TWO, **state: Any) -> BackendRun:
    """A backend at the start of its first attempt."""
    named = build.state("a", state="running", planned=config.iterations, **state)
    backend_run = BackendRun(build.plan("a").backends[0], cast(Target, None), named)
    backend_run.plan_attempt(config)
    return backend_run


def carry_out(backend_run: BackendRun, began: float, seconds: float) -> None:
    """Carry out the next iteration."""
    backend_run.end_iteration(backend_run.begin_iteration(began), began + seconds)


def test_an_iteration_under_way_is_not_finished() -> None:
    one, two = backend(), backend()
    one.begin_iteration(0.0)
    begun = run_progress([one, two], TWO, 290.0)
    assert (begun.finished, begun.total, begun.eta_s, begun.current_s) == (0, 4, None, None)
    one.end_iteration(Job("measured", 1), 291.0)
    carry_out(two, 291.0, 300.0)
    carry_out(one, 591.0, 291.0)
    two.begin_iteration(882.0)
    last = run_progress([one, two], TWO, 882.0)
    assert (last.finished, last.total) == (3, 4)
    assert (last.eta_s, last.current_s) == (300.0, 300.0)


def test_the_time_left_is_that_of_each_backend_and_of_what_is_under_way() -> None:
    config = RunConfig(iterations=4, warmup=0, cooldown_s=1.0)
    fast, slow = backend(config), backend(config)
    carry_out(fast, 0.0, 2.0)
    carry_out(slow, 2.0, 10.0)
    fast.begin_iteration(12.0)
    # Of fast two iterations are in the queue, and half of one is left; of slow three.
    progress = run_progress([fast, slow], config, 13.0)
    assert (progress.eta_s, progress.current_s) == (2 * 3.0 + 1.0 + 3 * 11.0, 1.0)
    late = run_progress([fast, slow], config, 20.0)
    assert (late.eta_s, late.current_s) == (2 * 3.0 + 3 * 11.0, -6.0)


def test_a_failed_iteration_takes_time_and_warm_ups_count_until_one_is_measured() -> None:
    config = RunConfig(iterations=2, warmup=1)
    backend_run = backend(config)
    carry_out(backend_run, 0.0, 60.0)
    assert run_progress([backend_run], config, 60.0).eta_s == 120.0
    carry_out(backend_run, 60.0, 4.0)
    assert run_progress([backend_run], config, 64.0).eta_s == 4.0


def test_a_pause_between_iterations_is_part_of_the_time_left() -> None:
    config = RunConfig(iterations=2, warmup=0, cooldown_s=30.0)
    backend_run = backend(config)
    carry_out(backend_run, 0.0, 2.0)
    backend_run.resting_until = 32.0
    progress = run_progress([backend_run], config, 12.0)
    assert (progress.finished, progress.current_s) == (1, 20.0)


def test_a_failed_backend_keeps_its_finished_iterations_and_loses_its_others() -> None:
    config = RunConfig(iterations=5, warmup=0)
    one = backend(config)
    carry_out(one, 0.0, 1.0)
    carry_out(one, 1.0, 1.0)
    one.queue.clear()
    one.state = build.state("a", state="failed", planned=5)
    progress = run_progress([one, backend(config)], config, 2.0)
    assert (progress.finished, progress.total) == (2, 7)


async def test_the_engine_counts_what_is_finished() -> None:
    async with engine_for(plan_of(truth_backend("a"), truth_backend("b"), iterations=2)) as run:
        await run.until_done()
        finished = 0
        for event in run.events:
            if isinstance(event, IterationDone):
                finished += 1
            if isinstance(event, RunChanged):
                assert event.run.finished <= finished
                assert event.run.total == 6
        assert run.run_view.run.finished == finished == 6
