"""Histories with runs of given latencies, written without a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmtui.store.open import open_store
from tests.store import runs

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
    **config: Any,
) -> None:
    """Write a run with interleaved backends of these median latencies (s; 0 is unreachable) and `tokens` (3 each).

    `failed` is the number of failed iterations at the beginning.
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
                more = {"tokens_per_s": count / latency_s, "output_tokens": count, "finish_reason": "length"}
                store.save_iteration(
                    runs.iteration(run, name, number, latency_s=latency_s, started_utc=started, **more)
                )
        for name, median in medians.items():
            store.save_state(run, runs.state(name, planned=n, state="done" if median else "unreachable"))
        if end is not None:
            store.finish(run, end)
        if label:
            store.label(run, label)
