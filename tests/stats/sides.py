"""Builders for tests of two runs: one run as a side of a comparison, and the comparison."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from llmtui.model import Backend, Failure, IterationDone, Machine
from llmtui.stats.compare_runs import across, paired
from llmtui.stats.run_differences import Side
from llmtui.stats.run_outcomes import Across
from tests import build
from tests.stats.build import iteration

MACHINE = build.machine(cpu="Some CPU", cores=8, os="Linux 6.1", python="3.12", llmtui="1.0", governor="performance")


FAILED = Failure(kind="http", message="overloaded")


def side(
    run: str,
    medians: dict[str, float],
    *,
    n: int = 12,
    noise: float = 0.005,
    machine: Machine = MACHINE,
    created: str = "2026-11-22T12:00:00.000Z",
    state: dict[str, Any] | None = None,
    backend: dict[str, Any] | None = None,
    sample: dict[str, Any] | None = None,
    failed: Mapping[str, int] | None = None,
    late: Mapping[str, int] | None = None,
    in_turns: bool = True,
    **config: Any,
) -> Side:
    """A run whose backends took turns, with these median latencies in s; a backend with 0 has no samples.

    The first `failed` and the last `late` iterations of a backend fail. Without `in_turns`, one backend comes after the
    other.
    """
    backends = [Backend(name=name, **(backend or {})) for name in medians]
    run_view = build.run_view(build.plan(*backends, run=run, created_utc=created, iterations=n, **config), keep=0)
    rng = random.Random(run)
    for number in range(1, n + 1):
        for hour, (name, median) in enumerate(medians.items()):
            later = {} if in_turns else {"started_utc": f"2026-11-22T{13 + hour}:00:{number:02}Z"}
            latency = median * (1 + rng.gauss(0, noise))
            fails = number <= (failed or {}).get(name, 0) or number > n - (late or {}).get(name, 0)
            broke = {"error": FAILED} if fails else {}
            if median:
                run_view.apply(
                    IterationDone(iteration=iteration(name, number, latency, **(sample or {}), **broke, **later))
                )
    for name, median in medians.items():
        failure = None if median else Failure(kind="server", message="ended with exit code 1")
        usual = {"state": "done" if median else "failed", "version": "b1", "weights": "Q8_0", "failure": failure}
        run_view.apply(build.changed(name, **({"planned": n} | usual | (state or {}))))
    return Side(run, created, run_view.plan.config, machine, run_view.backends, run_view.plan.load)


def compared(a: Side, b: Side, *named: tuple[str, str], **more: Any) -> Across:
    return across(a, b, paired(a, b, named), **more)


def differences(result: Across) -> dict[str, tuple[str, str]]:
    """Level and text by code."""
    return {d.code: (d.level, d.text) for d in result.differences}
