"""Histories with runs of given latencies, written without a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmtui.model import Power
from llmtui.store.open import open_store
from tests.store import runs, turns

#: Relative deviations of the latencies of consecutive iterations.
NOISE = [0.000, 0.004, -0.003, 0.002, -0.005, 0.001, 0.003, -0.002, 0.005, -0.004]


def add(
    file: Path,
    run: str,
    medians: Mapping[str, float],
    *,
    n: int = 10,
    end: Any = "done",
    label: str = "",
    tokens: Mapping[str, int] | None = None,
    failed: Mapping[str, int] | None = None,
    power: Mapping[str, Power] | None = None,
    **config: Any,
) -> None:
    """Write a run with interleaved backends of these median latencies (s; 0 is unreachable) and `tokens` (3 each).

    `failed` is the number of failed iterations at the beginning. `power` was measured in each other one.
    """
    plan = runs.plan(run, *medians, warmup=0, iterations=n)
    plan = msgspec.structs.replace(plan, config=msgspec.structs.replace(plan.config, **config))
    store, _ = open_store(file)
    with store:
        store.begin(plan, runs.MACHINE)
        for number in range(1, n + 1):
            for name, median in medians.items():
                if not median:
                    continue
                if number <= (failed or {}).get(name, 0):
                    store.save_iteration(runs.failed(run, name, number))
                    continue
                latency_s = median * (1 + NOISE[number % 10])
                started = f"2026-11-22T15:{number % 60:02}:00.250Z"
                count = (tokens or {}).get(name, 3)
                more: dict[str, Any] = {"tokens_per_s": count / latency_s, "power": (power or {}).get(name)}
                more |= {"output_tokens": count, "finish_reason": "length"}
                store.save_iteration(
                    runs.iteration(run, name, number, latency_s=latency_s, started_utc=started, **more)
                )
        for name, median in medians.items():
            store.save_state(run, runs.state(name, planned=n, state="done" if median else "unreachable"))
        if end is not None:
            store.finish(run, end)
        if label:
            store.label(run, label)


def add_load(file: Path, number: int, rates: dict[int, float]) -> None:
    """Write the run of a day, with turns of `a`. `rates` has output tokens/s by the number of streams."""
    run = f"{number:08x}"
    plan = turns.load_plan(*rates, run=run)
    plan = msgspec.structs.replace(plan, created_utc=f"2026-10-{number:02}T12:00:00.000Z")
    made = [
        turns.turn(10 * level + k, run=run, level=level, round=k, output_tokens_per_s=rate * (1 + NOISE[k % 10]))
        for level, rate in enumerate(rates.values(), 1)
        for k in range(1, 7)
    ]
    store, _ = open_store(file)
    with store:
        store.begin(plan, runs.MACHINE)
        store.save_turns(run, made, [])
        store.save_state(run, runs.state("a"))
        store.finish(run, "done")
