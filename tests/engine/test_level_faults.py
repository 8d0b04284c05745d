"""A server that fails at a level of a load: the other levels and the other backends go on, and nothing hangs."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from llmtui.model import Backend, Tick, TurnDone
from tests.engine.frail import Frail
from tests.engine.helpers import Followed, engine_for, jobs_of, load_of, notes_of, process_tree, truth_backend
from tests.leftovers import command_line

ROOT = Path(__file__).parents[2]
WHOLE = [("measured", 1, 1, "whole"), ("measured", 2, 1, "whole")]


def frail(name: str, then: str, most: int = 2) -> Backend:
    """A frail server that llmtui launches."""
    words = [sys.executable, "-m", "tests.engine.frail", "--port", "{port}", "--most", str(most), "--then", then]
    return Backend(
        name=name, launch=["sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec {shlex.join(words)}"], model="m"
    )


@pytest.mark.slow
async def test_a_launched_server_that_dies_at_a_level() -> None:
    plan = load_of(frail("frail", "exit"), truth_backend("b"), concurrency=[1, 4])
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        states = {name: view.state for name, view in run_view.backends.items()}
        assert (states["frail"].state, states["b"].state) == ("done", "done")
        assert states["frail"].note == "restarted 1x, without 4 streams"
        assert [job for job in sorted(jobs_of(run, "frail")) if job[0] == "measured"] == WHOLE
        measured = [job for job in sorted(jobs_of(run, "b")) if job[0] == "measured"]
        assert [job[1:3] for job in measured] == [(1, 1), (1, 2), (2, 1), (2, 2)]
        [note] = [note for note in notes_of(run) if "left out" in note]
        assert note == "frail: 4 streams: the server ended: exit code 3; the other turns of this level are left out"
        assert run_view.run.finished == run_view.run.total


@pytest.mark.slow
async def test_a_running_server_that_is_gone_at_a_level_must_answer_again() -> None:
    server = Frail(2, "close")
    plan = load_of(Backend(name="frail", url=await server.listen(), model="m"), truth_backend("b"), concurrency=[1, 4])
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        state = run_view.backends["frail"].state
        assert state.state == "unreachable" and state.failure is not None
        assert [note for note in notes_of(run) if note.startswith("frail: 4 streams: ") and "left out" in note]
        assert run_view.backends["b"].state.state == "done"
    server.close()


@pytest.mark.slow
async def test_a_level_at_which_all_are_refused_is_left_out_and_the_refusals_are_counted() -> None:
    server = Frail(0, "refuse")
    plan = load_of(
        Backend(name="full", url=await server.listen(), model="m"), truth_backend("b"), concurrency=[2], warmup=0
    )
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        turns = [e.turn for e in run.events if isinstance(e, TurnDone) and e.turn.backend == "full"]
        assert len(turns) == 2
        assert all(turn.refused + turn.unfinished == turn.requests and turn.refused for turn in turns)
        failure = run_view.backends["full"].state.failure
        assert failure is not None and failure.message.startswith("2 streams: ") and "429" in failure.message
        assert run_view.backends["b"].state.state == "done"
    server.close()


def _ticked(run: Followed, before: int, _: object) -> bool:
    """Whether a request of a turn has finished since the event number `before`."""
    return any(isinstance(event, Tick) and event.finished for event in run.events[before:])


def _ended(run: Followed, number: int, _: object) -> bool:
    """Whether this many turns have ended."""
    return len(jobs_of(run)) == number


@pytest.mark.slow
async def test_a_worker_that_is_killed_in_mid_turn() -> None:
    slow = truth_backend("a", arguments=["--itl-ms", "20"])
    async with engine_for(load_of(slow, concurrency=[2], iterations=1, warmup=0, requests=8)) as run:
        for number in (1, 2):
            before = len(run.events)
            await run.until(partial(_ticked, run, before))
            [worker] = [p for p in process_tree(run.engine.pid) if "llmtui.load.worker" in " ".join(command_line(p))]
            os.kill(worker.pid, signal.SIGKILL)
            await run.until(partial(_ended, run, number))
        run_view = await run.until_done()
        assert jobs_of(run) == [("measured", 1, 1, "partial")] * 2
        cause = "a: 2 streams: the process that measures ended (status -9)"
        assert [note for note in notes_of(run) if "measures" in note] == [
            f"{cause}; the turn is taken again, and does not count",
            f"{cause}, also at the second attempt; round 1 is left out",
        ]
        assert run_view.run.finished == run_view.run.total
