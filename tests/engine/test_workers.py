"""How many workers a level gets, and a run whose turns are sent by two."""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec
import psutil
import pytest

from llmtui.engine.workers import auto_count, most_auto
from llmtui.model import Backend, Iteration, Level, Load, Tick, Turn, Workers
from llmtui.model.accuracy import Errors, Record
from llmtui.model.accuracy import Level as Measured
from llmtui.store.open import open_store
from tests import build
from tests.engine.helpers import engine_for, from_history, jobs_of, load_of, notes_of, truth_backend

LEVEL = Level(number=1, streams=64)


def warmup(**fields: Any) -> Turn:
    """A warm-up turn at the level."""
    usual: dict[str, Any] = {"run": "r", "backend": "a", "attempt": 1, "round": 1, "level": 1, "seq": 1}
    return Turn(**(usual | {"phase": "warmup", "started_utc": "", "state": "whole", "ttft_s": 0.05} | fields))


def record(worker_cpu: float) -> Record:
    """A record of `llmtui accuracy` at 64 streams."""
    none = Errors(n=1, median=0, p50=0, p95=0, p99=0, max=0)
    errors: Any = dict.fromkeys(("ttft_s", "itl_s", "latency_s", "tokens_per_s_share"), none)
    more: Any = {"streams": 64, "monitor": True, "requests": 100, "tokens": 8, "coalesced": 0.0, "loop": "load"}
    level = Measured(**more, **errors, worker_cpu=worker_cpu)
    return Record(
        measured_utc="", machine=build.machine(), stamp="kernel", truth_stamp="kernel", tokens=8, ttft_ms=1, itl_ms=1,
        levels=[level],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "known", "most", "count", "why"),
    [
        ([], None, 4, 1, ""),
        ([warmup(worker_cpu=0.5, late_p99_s=0.0005)], record(0.3), 4, 1, ""),
        ([], record(0.9), 4, 2, "llmtui accuracy says that one worker takes 90% of a core at 64 streams"),
        ([warmup(worker_cpu=0.93)], None, 4, 2, "the worker took 93% of a core in the warm-up"),
        ([warmup(late_p99_s=0.02)], None, 4, 2, "the worker sent requests 20.0 ms late in the warm-up (p99)"),
        ([warmup(worker_cpu=0.9), warmup(worker_cpu=0.85, workers=2)], None, 4, 3, "one of 2 workers took 85%"),
        ([warmup(worker_cpu=0.9), warmup(worker_cpu=0.5, workers=2)], None, 4, 2, "the worker took 90%"),
        ([warmup(worker_cpu=0.93)], None, 1, 1, ""),
    ],
)
def test_there_is_one_worker_more_only_where_that_is_not_enough(
    turns: list[Turn], known: Record | None, most: int, count: int, why: str
) -> None:
    found, words = auto_count(LEVEL, turns, known, most)
    assert found == count and words.startswith(why) and bool(words) == bool(why)


def test_a_server_on_this_machine_keeps_half_of_the_cores() -> None:
    here = build.plan(Backend(name="a", url="http://localhost:8000"))
    there = build.plan(Backend(name="a", url="http://gpu-box:8000"))
    assert (most_auto(here, 8), most_auto(there, 8)) == (4, 8)
    assert (most_auto(here, 2), most_auto(there, 2), most_auto(here, 1)) == (1, 2, 1)


async def test_two_workers_send_the_turns_of_a_run() -> None:
    plan = msgspec.structs.replace(
        load_of(truth_backend("a"), concurrency=[4], requests=12, max_tokens=16), workers=Workers(count=2)
    )
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        turns = run_view.backends["a"].turns
        assert [(turn.state, turn.workers) for turn in turns] == [("whole", 2)] * 3
        assert all(turn.requests == turn.finished == 12 for turn in turns if turn.phase == "measured")
        assert all((turn.little_residual or 0.0) <= 0.05 for turn in turns)
        assert all(2.0 < (turn.in_flight or 0.0) <= 4.05 for turn in turns)  # one of them has two streams
        assert any("2 workers send them" in note.text for note in run_view.notes)
    requests: list[Iteration] = []
    stored = from_history(plan).backends["a"].turns
    store, _ = open_store()
    with store:
        for turn in stored:
            requests += [request for batch in store.requests(turn) for request in batch]
    assert [turn.workers for turn in stored] == [2, 2, 2]
    assert {request.worker for request in requests} == {1, 2}
    for turn in stored:
        numbers = sorted(r.request for r in requests if r.turn == turn.seq and r.share == "window")
        assert numbers == list(range(turn.settled + 1, turn.settled + 13))


@pytest.mark.slow
async def test_a_turn_one_of_whose_workers_is_killed_is_taken_again() -> None:
    load = Load(concurrency=[4], requests=400)
    plan = msgspec.structs.replace(
        load_of(truth_backend("a"), concurrency=[4], iterations=1), load=load, workers=Workers(count=2)
    )
    async with engine_for(plan) as run:
        await run.until(lambda _: any(isinstance(e, Tick) and e.finished > 20 for e in run.events))
        workers = [
            child for child in psutil.Process(run.engine.pid).children() if "llmtui.load.worker" in child.cmdline()
        ]
        assert len(workers) == 2
        os.kill(workers[1].pid, signal.SIGKILL)
        run_view = await run.until_done()
        assert "partial" in [state for *_, state in jobs_of(run)]
        whole = [turn for turn in run_view.backends["a"].turns if turn.state == "whole"]
        assert [turn.phase for turn in whole] == ["warmup", "measured"] and whole[-1].finished == 400
        text = "ended (status -9); the turn is taken again, and does not count"
        assert [note for note in notes_of(run) if "the process that measures as worker" in note and text in note]
