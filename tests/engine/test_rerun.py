"""Reruns of several backends at once: one attempt, in turns."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmtui.model import Backend, Iteration, Pause, Rerun, Resume
from llmtui.runview.run import RunView
from llmtui.stats.compare import rounds
from tests.engine.helpers import TRUTH, engine_for, from_history, plan_of, truth_backend


def of_attempt(run_view: RunView, name: str, attempt: int) -> list[Iteration]:
    """The measured iterations of one attempt."""
    return [i for i in run_view.backends[name].iterations if (i.attempt, i.phase) == (attempt, "measured")]


def attempts(run_view: RunView) -> dict[str, int]:
    return {name: view.state.attempt for name, view in run_view.backends.items()}


def done_at(**expected: int):  # type: ignore[no-untyped-def]
    """Whether the run is done with these attempts."""
    return lambda view: view.run.phase == "done" and attempts(view) == expected


@pytest.mark.slow
async def test_a_rerun_of_two_is_one_attempt_in_turns() -> None:
    plan = plan_of(truth_backend("a"), truth_backend("b"), truth_backend("c"), iterations=6, warmup=1)
    async with engine_for(plan) as run:
        await run.until_done()
        await run.client.send(Rerun(backend="a"))
        await run.until(done_at(a=2, b=1, c=1))
        await run.client.send(Rerun(backend="b", also=["a", "b"]))
        run_view = await run.until(done_at(a=3, b=3, c=1))
        again = [of_attempt(run_view, name, 3) for name in "ab"]
        assert [len(each) for each in again] == [6, 6]
        assert len(rounds(*again)) == 6, "they took turns"
        assert not rounds(of_attempt(run_view, "a", 3), of_attempt(run_view, "c", 1))
        assert of_attempt(run_view, "b", 2) == [], "the number of an attempt is that of the rerun"
        seen = run_view.earlier_attempts()
        assert [each.backends for each in seen] == [{"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 1}]
    assert from_history(plan).earlier_attempts() == seen


@pytest.mark.slow
async def test_reruns_during_a_pause_and_during_the_run() -> None:
    plan = plan_of(truth_backend("a"), truth_backend("b"), iterations=8, warmup=0)
    async with engine_for(plan) as run:
        await run.until(lambda view: len(view.backends["b"].iterations) == 2)
        await run.client.send(Pause())
        await run.until(lambda view: view.run.phase == "paused")
        await run.client.send(Rerun(backend="a", also=["b"]))
        run_view = await run.until(lambda view: attempts(view) == {"a": 2, "b": 2})
        assert run_view.run.phase == "paused" and not of_attempt(run_view, "a", 2)
        await run.client.send(Resume())
        await run.until(lambda view: len(of_attempt(view, "b", 2)) == 2)
        await run.client.send(Rerun(backend="b", also=["a"]))
        run_view = await run.until(done_at(a=3, b=3))
        again = [of_attempt(run_view, name, 3) for name in "ab"]
        assert len(rounds(*again)) == 8
        assert {len(of_attempt(run_view, name, 1)) for name in "ab"} <= {1, 2, 3}, "what was measured stays"


@pytest.mark.slow
async def test_a_failed_backend_is_rerun_with_the_best_one(tmp_path: Path) -> None:
    there = tmp_path / "there"
    start = f"import os, sys; os.path.exists({str(there)!r}) or sys.exit(3); os.execv(sys.argv[1], sys.argv[1:])"
    late = Backend(name="b", framework="b", launch=[sys.executable, "-c", start, *TRUTH])
    async with engine_for(plan_of(truth_backend("a"), late, iterations=6, warmup=0)) as run:
        run_view = await run.until_done()
        assert run_view.backends["b"].state.state == "failed"
        there.touch()
        await run.client.send(Rerun(backend="b", also=["a"]))
        run_view = await run.until(done_at(a=2, b=2))
        assert len(rounds(of_attempt(run_view, "a", 2), of_attempt(run_view, "b", 2))) == 6
        assert len(of_attempt(run_view, "a", 1)) == 6
