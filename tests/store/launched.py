"""Histories with runs of two launched backends, whose ratio differs from launch to launch."""

from __future__ import annotations

from typing import Any

from llmtui.model import Backend, Machine, Plan
from llmtui.store.history import Store
from tests import build
from tests.store.runs import MACHINE, iteration

#: Ratios of b to a in five launches.
RATIOS = [1.0, 1.1, 1.2, 1.1, 1.0]
ROUNDS = 6
A, B = Backend(name="a", launch=["serve", "a"]), Backend(name="b", embedded="llama.cpp")


def planned(number: int, *backends: Backend, **config: Any) -> Plan:
    created = f"2026-11-22T15:{number % 60:02}:00.000Z"
    return build.plan(*(backends or (A, B)), run=f"{number:08x}", created_utc=created, iterations=ROUNDS, **config)


def record(
    store: Store, plan: Plan, ratio: float, *, machine: Machine = MACHINE, end: bool = True, rounds: int = ROUNDS,
    **fields: Any,
) -> None:  # fmt: skip
    """Store a run in which b takes `ratio` times as long as a."""
    store.begin(plan, machine)
    for number in range(1, rounds + 1):
        for turn, (backend, seconds) in enumerate(zip(plan.backends, (0.5, 0.5 * ratio), strict=False)):
            started = f"2026-11-22T15:00:{2 * number + turn:02}.000Z"
            store.save_iteration(
                iteration(plan.run, backend.name, number, latency_s=seconds, started_utc=started, **fields)
            )
    if end:
        store.finish(plan.run, "done")


def filled(store: Store, ratios: list[float], first: int = 1, **config: Any) -> None:
    for number, ratio in enumerate(ratios, start=first):
        record(store, planned(number, **config), ratio)
