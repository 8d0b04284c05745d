"""What the engine reads from the history when a run starts."""

from __future__ import annotations

from pathlib import Path

from llmtui.engine.recorder import Recorder
from llmtui.model import AnyEvent
from llmtui.store.open import open_store
from tests.store.launched import RATIOS, filled, planned
from tests.store.runs import MACHINE, database


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
