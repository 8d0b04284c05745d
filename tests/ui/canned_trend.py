"""Runs of a history in canned form, for the trend page: 24 runs of llama.cpp, slower from the 15th on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from llmtui.model import BackendState, Iteration
from llmtui.stats.run_series import RunOfSeries, series_of
from llmtui.ui.trends import Asked, Shown
from tests import build
from tests.ui import canned_run as canned

NAMES = ("llama.cpp", "mistral.rs", "[red]not red[/red]", "old server")
_RUNS = 24


def run(number: int) -> RunOfSeries:
    """The run with this number, from 1 on; the same number gives the same run."""
    rng = random.Random(number)
    slower = 1.09 if number > 14 else 1.0
    samples: dict[str, list[Iteration]] = {}
    for name, wander in (("llama.cpp", slower), ("mistral.rs", 1.0)):
        speed = 1 / (wander * (1 + rng.gauss(0, 0.008)))
        more: dict[str, Any] = {"foreign_cpu": 0.9} if number == 9 else {}
        samples[name] = [canned.iteration(name, 100 * number + k, speed=speed, **more) for k in range(10)]
    version = "b9001" if number < 15 else "b9100 [blink]" if number < 22 else "b9200"
    states = {name: BackendState(name=name, state="done", version=version) for name in samples}
    return RunOfSeries(
        run=f"{number:08x}",
        created_utc=f"2026-11-{number // 2 + 1:02}T{6 + number % 2 * 8:02}:30:00.000Z",
        label="[b]base[/b]" if number == 3 else "",
        plan=canned.plan(),
        machine=build.machine(),
        states=states,
        samples=samples,
    )


RUNS = [run(number) for number in range(1, _RUNS + 1)]


def read(runs: int = _RUNS) -> Callable[[Asked, Callable[[], bool]], Shown]:
    """What reads the newest of these runs, as the history would."""

    def shown(asked: Asked, stopped: Callable[[], bool]) -> Shown:
        series = series_of(RUNS[-runs:], asked.backend, asked.metric)
        if not series.points:
            return Shown(names=NAMES, problem=f"no run that has ended has samples of {asked.backend}")
        left_out = "not in this series: 2 runs on other hardware" if runs == _RUNS else ""
        return Shown(names=NAMES, series=series, left_out=left_out)

    return shown


def points(count: int) -> list[RunOfSeries]:
    """`count` runs: the canned ones, repeated with other ids."""
    return [RUNS[n % _RUNS]._replace(run=f"{n:08x}") for n in range(count)]
