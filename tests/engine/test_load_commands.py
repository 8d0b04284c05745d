"""Loads in a real engine: their order, and the commands of a client, which work on turns."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from llmtui.link.client import Client
from llmtui.link.process import EngineProcess
from llmtui.model import Detach, More, Order, Pause, Rerun, Resume, Stop, Tick, TurnDone
from llmtui.store.open import open_store
from tests.engine.helpers import (
    Followed,
    assert_gone,
    ended,
    engine_for,
    jobs_of,
    load_of,
    process_tree,
    started,
    truth_backend,
)

#: Tokens of 20 ms: an answer takes 80 ms.
SLOW = ["--itl-ms", "20"]
EACH_LEVEL = [("warmup", 1, 1), ("warmup", 1, 2), ("measured", 1, 1), ("measured", 1, 2)]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history of each test is its own."""
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))


async def in_mid_turn(run: Followed, *, counted: bool = False) -> None:
    """Return while a measured turn of a is under way, of which a request has finished: with `counted` one that counts.

    Such a turn needs some time, because the worker reports only a few times a second.
    """
    before = len(run.events)

    def holds(_: object) -> bool:
        ticks = [e for e in run.events[before:] if isinstance(e, Tick) and e.backend == "a"]
        return any(e.phase == "measured" and (e.counted if counted else e.finished) for e in ticks[-1:])

    await run.until(holds)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["shuffled", "round-robin"])
async def test_backends_take_each_turn_one_after_the_other(order: Order) -> None:
    plan = load_of(truth_backend("a"), truth_backend("b"), concurrency=[1, 3], order=order)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        turns = [event.turn for event in run.events if isinstance(event, TurnDone)]
        pairs = list(zip(turns[::2], turns[1::2], strict=True))
        assert all({one.backend, two.backend} == {"a", "b"} for one, two in pairs)
        assert all((one.phase, one.round, one.level) == (two.phase, two.round, two.level) for one, two in pairs)
        assert [(one.phase, one.round, one.level) for one, _ in pairs[:2]] == EACH_LEVEL[:2]
        assert {(one.round, one.level) for one, _ in pairs[2:]} == {(1, 1), (1, 2), (2, 1), (2, 2)}
        assert [turn.seq for turn in turns] == sorted(turn.seq for turn in turns)
        assert all(turn.state == "whole" and turn.requests == turn.finished == 6 for turn in turns)
        # Two single requests and twelve turns.
        assert (run_view.run.finished, run_view.run.total) == (14, 14)


@pytest.mark.slow
async def test_in_sequential_order_a_backend_takes_all_its_turns_first() -> None:
    plan = load_of(truth_backend("a"), truth_backend("b"), concurrency=[1, 2], order="sequential", iterations=1)
    async with engine_for(plan) as run:
        await run.until_done()
        turns = [event.turn for event in run.events if isinstance(event, TurnDone)]
        assert [turn.backend for turn in turns] == ["a"] * 4 + ["b"] * 4


@pytest.mark.slow
async def test_a_new_launch_is_warmed_up_at_each_level_again() -> None:
    plan = load_of(truth_backend("a"), concurrency=[1, 2], launches=2, iterations=2, cooldown_s=0.01)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        jobs = [job[:3] for job in jobs_of(run)]
        assert [jobs[:2], sorted(jobs[2:4])] == [EACH_LEVEL[:2], EACH_LEVEL[2:]]
        assert [jobs[4:6], sorted(jobs[6:])] == [
            [(phase, 2, level) for phase, _, level in EACH_LEVEL[:2]],
            [(phase, 2, level) for phase, _, level in EACH_LEVEL[2:]],
        ]
        assert [e.turn.launch for e in run.events if isinstance(e, TurnDone)] == [1] * 4 + [2] * 4
        assert (run_view.run.finished, run_view.run.total) == (10, 10)


@pytest.mark.slow
async def test_stop_in_mid_turn_keeps_what_has_finished() -> None:
    plan = load_of(truth_backend("a", arguments=SLOW), truth_backend("b"), concurrency=[3], requests=60, warmup=0)
    long = plan.load.requests_of(plan.levels[0])
    async with engine_for(plan) as run:
        await in_mid_turn(run, counted=True)
        await run.client.send(Stop(backend="a"))
        run_view = await run.until_done()
        state = run_view.backends["a"].state
        assert state.state == "stopped"
        [*_, partial] = [e.turn for e in run.events if isinstance(e, TurnDone) and e.turn.backend == "a"]
        assert partial.state == "partial" and 0 < partial.finished < long and partial.unfinished > 0
        assert partial.as_sample.error is not None
        assert partial.elapsed_s and partial.window_s and partial.requests_per_s
        assert run_view.backends["b"].state.state == "done"
    store, _ = open_store()
    with store:
        stored = store.load(plan.run)
    assert stored.turns[-1].state == "whole" and [t.state for t in stored.turns if t.backend == "a"][-1] == "partial"


async def test_a_turn_of_a_million_requests_can_be_stopped() -> None:
    async with engine_for(load_of(truth_backend("a"), concurrency=[2], requests=1_000_000, warmup=0)) as run:
        await in_mid_turn(run)
        await run.client.send(Stop(backend="a"))
        await run.until_done()
        assert jobs_of(run) == [("measured", 1, 1, "partial")]


async def test_a_pause_lets_the_turn_under_way_end() -> None:
    async with engine_for(load_of(truth_backend("a", arguments=SLOW), concurrency=[2], warmup=0)) as run:
        await in_mid_turn(run)
        await run.client.send(Pause())
        await run.until(lambda run_view: run_view.run.phase == "paused" and bool(jobs_of(run)))
        assert jobs_of(run) == [("measured", 1, 1, "whole")]
        await run.client.send(Resume())
        await run.until_done()
        assert len(jobs_of(run)) == 2


@pytest.mark.slow
async def test_a_rerun_in_mid_turn_takes_all_levels_again() -> None:
    plan = load_of(truth_backend("a", arguments=SLOW), concurrency=[1, 2], iterations=1)
    async with engine_for(plan) as run:
        await in_mid_turn(run)
        # The second one comes while the first one still halts the worker.
        await run.client.send(Rerun(backend="a"))
        await run.client.send(Rerun(backend="a"))
        await run.until(lambda run_view: run_view.backends["a"].state.attempt == 3)
        run_view = await run.until_done()
        turns = [e.turn for e in run.events if isinstance(e, TurnDone)]
        assert [turn.state for turn in turns if turn.attempt == 1][-1] == "partial"
        last = [turn for turn in turns if turn.attempt == 3]
        assert sorted((t.phase, t.round, t.level) for t in last) == sorted(EACH_LEVEL)
        assert all(turn.state == "whole" for turn in last)
        assert run_view.backends["a"].state.state == "done"


@pytest.mark.slow
async def test_more_adds_a_round_at_each_level() -> None:
    plan = load_of(truth_backend("a"), truth_backend("b"), concurrency=[1, 2], iterations=1, warmup=0)
    async with engine_for(plan) as run:
        await run.until_done()
        await run.client.send(More(within=0.0001, metric="output_tokens_per_s", most=2))
        await run.until(lambda run_view: run_view.run.phase == "running")
        await run.until_done()
        for name in "ab":
            assert sorted(job[1:3] for job in jobs_of(run, name)) == [(1, 1), (1, 2), (2, 1), (2, 2)]


@pytest.mark.slow
async def test_a_resumed_run_takes_missing_and_partial_turns() -> None:
    plan = load_of(
        truth_backend("a", arguments=SLOW), concurrency=[1, 2], iterations=2, warmup=1, on_disconnect="finish"
    )
    run = await started(plan, resume=False)
    await run.until(lambda _: any(job[0] == "measured" for job in jobs_of(run)))
    await in_mid_turn(run)
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
    store, _ = open_store()
    with store:
        stored = store.load(plan.run)
    whole = [(t.round, t.level) for t in stored.turns if t.phase == "measured" and t.state == "whole"]
    assert sorted(whole) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [t.state for t in stored.turns].count("partial") == 1
    assert not [t for t in stored.turns if t.state == "running"]


@pytest.mark.slow
async def test_a_client_that_detaches_in_mid_turn_does_not_stop_it_and_finds_it_again() -> None:
    plan = load_of(truth_backend("a", arguments=SLOW), concurrency=[2], iterations=2, warmup=0)
    engine = EngineProcess.start(plan)
    try:
        run = Followed(plan, engine, await engine.connect())
        await in_mid_turn(run)
        await run.client.send_last(Detach())
        again = Followed(plan, engine, await Client.connect(engine.socket))
        await again.until_done()
        store, _ = open_store()
        with store:
            assert [turn.state for turn in store.load(plan.run).turns] == ["whole"] * 2
        await ended(again)
    finally:
        engine.kill()
