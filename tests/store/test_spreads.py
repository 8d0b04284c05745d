"""The spread between launches, as the history has it."""

from __future__ import annotations

import math

import msgspec
import pytest

from llmtui.model import Backend, Machine, PairSpread, Plan
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.spreads import MOST_RUNS
from tests.store.launched import RATIOS, A, filled, planned, record
from tests.store.runs import MACHINE, database


def of(spreads: list[PairSpread], metric: str = "latency") -> PairSpread | None:
    return next((spread for spread in spreads if spread.metric == metric), None)


def test_launches_of_earlier_runs_have_a_spread(store: Store) -> None:
    filled(store, RATIOS[:4])
    assert store.launch_spreads(planned(99), MACHINE) == []
    record(store, planned(5), RATIOS[4])
    found = of(store.launch_spreads(planned(99), MACHINE))
    assert found is not None and (found.one, found.two, found.spread.n) == ("a", "b", 5)
    logs = [math.log(ratio) for ratio in RATIOS]
    mean = sum(logs) / 5
    assert found.spread.tau == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in logs) / 4))


@pytest.mark.parametrize(
    ("plan", "machine"),
    [
        (planned(99, max_tokens=65), MACHINE),
        (planned(99, A, Backend(name="b", embedded="mistral.rs")), MACHINE),
        (planned(99), msgspec.structs.replace(MACHINE, cpu="Other CPU")),
        (planned(99), msgspec.structs.replace(MACHINE, cores=64)),
        (planned(99), msgspec.structs.replace(MACHINE, memory_bytes=4 * 2**30)),
    ],
)
def test_another_setup_or_machine_has_no_spread(store: Store, plan: Plan, machine: Machine) -> None:
    filled(store, RATIOS)
    assert of(store.launch_spreads(plan, machine)) is None


def test_runs_that_say_nothing_are_left_out(store: Store) -> None:
    filled(store, RATIOS)
    record(store, planned(6), 9.0, end=False)
    record(store, planned(7), 9.0, rounds=5)
    record(store, planned(8), 9.0, foreign_cpu=1.5)
    record(store, planned(9), 9.0, machine=msgspec.structs.replace(MACHINE, cores=64))
    found = of(store.launch_spreads(planned(99), MACHINE))
    assert found is not None and found.spread.n == 5
    assert found.spread.tau < 0.1


def test_the_newest_runs_count(store: Store) -> None:
    filled(store, [9.0, 1.0] * 3)
    filled(store, [1.0] * MOST_RUNS, first=10)
    found = of(store.launch_spreads(planned(99), MACHINE))
    assert found is not None and (found.spread.n, found.spread.tau) == (MOST_RUNS, 0.0)


def test_servers_that_run_already_have_no_known_launches(store: Store) -> None:
    there = Backend(name="b", url="http://127.0.0.1:8000")
    for number, ratio in enumerate(RATIOS, start=1):
        record(store, planned(number, A, there), ratio)
    assert store.launch_spreads(planned(99, A, there), MACHINE) == []


def test_a_run_that_cannot_be_read_is_left_out(store: Store) -> None:
    filled(store, [*RATIOS, 9.0])
    with database(store.path) as connection:
        connection.execute("UPDATE iterations SET latency_s = 'soon' WHERE run = ?", (planned(6).run,))
    found = of(store.launch_spreads(planned(99), MACHINE))
    assert found is not None and found.spread.n == 5


def test_the_spread_of_a_run_is_stored_with_its_plan(store: Store) -> None:
    filled(store, RATIOS)
    spreads = store.launch_spreads(planned(99), MACHINE)
    store.begin(msgspec.structs.replace(planned(99), spreads=spreads), MACHINE)
    assert store.load(planned(99).run).plan.spreads == spreads
    assert store.load(planned(1).run).plan.spreads == []


@pytest.mark.parametrize("spread", ['{"tau":-1.0,"n":5}', '{"tau":0.1,"n":1}', '{"tau":1e308,"n":5}'])
def test_an_impossible_spread_is_refused(store: Store, spread: str) -> None:
    store.begin(planned(1), MACHINE)
    with database(store.path) as connection:
        pair = f'[{{"one":"a","two":"b","metric":"latency","spread":{spread}}}]'
        connection.execute("UPDATE runs SET plan = json_set(plan, '$.spreads', json(?))", (pair,))
    with pytest.raises(StoreError, match="is not between"):
        store.load(planned(1).run)
