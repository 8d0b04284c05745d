"""What the engine reads from the history when a run starts, and how it records a load."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from llmtui.engine.recorder import Recorder
from llmtui.engine.unwritten import Unwritten
from llmtui.model import AnyEvent, Iteration
from llmtui.store.open import open_store
from tests.store.launched import RATIOS, filled, planned
from tests.store.runs import MACHINE, database
from tests.store.turns import RUN, load_plan, requests, turn


def test_the_plan_gets_the_spreads_of_earlier_runs(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    store, _ = open_store(file)
    with store:
        filled(store, RATIOS)
    recorder = Recorder(planned(99), lambda _: None)
    try:
        recorder.begin(str(file), MACHINE)
    finally:
        recorder.close()
    assert {spread.metric for spread in recorder.plan.spreads} >= {"latency", "ttft"}
    with open_store(file)[0] as store:
        assert store.load(planned(99).run).plan.spreads == recorder.plan.spreads


def test_a_history_that_is_locked_at_the_start_has_the_same_plan_in_the_end(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    events: list[AnyEvent] = []
    with open_store(file)[0] as store:
        filled(store, RATIOS)
    recorder = Recorder(planned(99), events.append)
    with database(file) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        recorder.begin(str(file), MACHINE)
        connection.execute("ROLLBACK")
    recorder.close()
    with open_store(file)[0] as store:
        assert store.load(planned(99).run).plan.spreads == recorder.plan.spreads


Events = asyncio.Queue[AnyEvent]


def _load_recorder(file: Path, events: Events) -> Recorder:
    recorder = Recorder(load_plan(1, 8), events.put_nowait)
    recorder.begin(str(file), MACHINE)
    return recorder


def _requests_on_disk(file: Path, seq: int = 1) -> list[Iteration]:
    with open_store(file)[0] as store:
        return [sample for batch in store.requests(turn(seq)) for sample in batch]


def test_a_turn_is_on_disk_with_its_requests_when_it_is_written(tmp_path: Path) -> None:
    file, samples = tmp_path / "history.db", requests(random.Random(1), 40, 8)

    async def record() -> None:
        recorder = _load_recorder(file, Events())
        recorder.save_turn(turn(state="running"))
        for start in range(0, 40, 10):
            recorder.save_requests(samples[start : start + 10])
            await asyncio.sleep(0)
        recorder.save_turn(turn())
        await recorder.written()
        assert _requests_on_disk(file) == samples
        with open_store(file)[0] as store:
            assert store.load(RUN).turns == [turn()]
        recorder.close()

    asyncio.run(record())


def test_a_load_goes_on_while_the_history_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of it is missing in the end."""
    monkeypatch.setattr("llmtui.engine.history_notes.REPORT_LOCK_AFTER_S", 0.0)
    monkeypatch.setattr("llmtui.engine.recorder.RETRY_S", 0.05)
    file, samples = tmp_path / "history.db", requests(random.Random(1), 40, 8)

    async def record() -> None:
        events = Events()
        recorder = _load_recorder(file, events)
        with database(file) as connection:
            connection.execute("BEGIN IMMEDIATE")
            recorder.save_turn(turn())
            recorder.save_requests(samples[:20])
            assert events.empty(), "the loop does not wait for the lock"
            await recorder.written()
            recorder.save_requests(samples[20:])
            assert "llmtui keeps trying" in str(await events.get())
            connection.execute("ROLLBACK")
        assert "nothing of this run is missing" in str(await events.get())
        assert _requests_on_disk(file) == samples
        recorder.close()

    asyncio.run(record())


def test_requests_that_wait_for_the_history_take_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those beyond it are dropped, and that is said."""
    monkeypatch.setattr("llmtui.engine.unwritten.MAX_WAITING_BYTES", 20_000)
    file, samples = tmp_path / "history.db", requests(random.Random(1), 100, 64)

    async def record() -> str:
        events = Events()
        recorder = _load_recorder(file, events)
        with database(file) as connection:
            connection.execute("BEGIN IMMEDIATE")
            recorder.save_turn(turn())
            for start in range(0, 100, 20):
                recorder.save_requests(samples[start : start + 20])
                recorder._retry()
                await recorder.written()
            assert "too many requests wait for the history" in str(await events.get())
            connection.execute("ROLLBACK")
        recorder.close()
        return str([events.get_nowait() for _ in range(events.qsize())])

    said = asyncio.run(record())
    kept = _requests_on_disk(file)
    assert kept == samples[: len(kept)] and 20 <= len(kept) < 100
    assert f"{100 - len(kept)} requests of this run are missing" in said


def test_closing_writes_what_the_thread_has_not(tmp_path: Path) -> None:
    file, samples = tmp_path / "history.db", requests(random.Random(1), 40, 8)

    async def record() -> None:
        recorder = _load_recorder(file, Events())
        recorder.save_turn(turn())
        for sample in samples:
            recorder.save_requests([sample])
        recorder.end(complete=True)
        recorder.close()

    asyncio.run(record())
    assert _requests_on_disk(file) == samples
    with open_store(file)[0] as store:
        assert store.state(RUN) == "done"


def test_an_error_in_the_thread_is_reported_and_nothing_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing")

    async def record() -> None:
        events = Events()
        recorder = _load_recorder(tmp_path / "history.db", events)
        with monkeypatch.context() as patch:
            patch.setattr(Unwritten, "write", fail)
            recorder.save_turn(turn())
            await recorder.written()
            assert "no such thing" in str(await events.get())
        recorder.close()
        assert "nothing of this run is missing" in str(await events.get())

    asyncio.run(record())
    with open_store(tmp_path / "history.db")[0] as store:
        assert store.load(RUN).turns == [turn()]
