"""The launches of a server within an attempt: which one it is, and how long they took."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from llmtui.model import Backend, BackendState, RunConfig


class StartUp(NamedTuple):
    """How long a server took to start over its launches (s): the median, the shortest and the longest."""

    median_s: float
    least_s: float
    most_s: float


def start_up(state: BackendState) -> StartUp | None:
    """Return the start-up times of the current attempt, None for fewer than two launches."""
    loads_s = state.loads_s
    return StartUp(statistics.median(loads_s), min(loads_s), max(loads_s)) if len(loads_s) > 1 else None


def load_words(state: BackendState) -> list[str]:
    """Return how long the server took to start, from the longest words to the shortest; [] if that is unknown."""
    if (several := start_up(state)) is not None:
        short = f"load {several.median_s:.1f} s"
        return [f"{short} ({several.least_s:.1f} to {several.most_s:.1f})", short]
    return [f"load {state.load_s:.1f} s"] if state.load_s is not None else []


def launch_words(state: BackendState, launches: int) -> str:
    """Return "launch 2 of 5"; "" for a server that is launched once, or runs already."""
    return f"launch {state.launch} of {launches}" if launches > 1 else ""


def launches_of(config: RunConfig, backend: Backend, state: BackendState) -> int:
    """Return how many launches the current attempt of a backend has, with those of added rounds."""
    return config.launches_of(backend, max(config.iterations, state.planned))


def plan_words(config: RunConfig, iterations: str, warmups: str) -> str:
    """Return "10 iterations in 5 launches, each after 3 warm-ups"; for one launch "10 iterations after 3 warm-ups"."""
    if config.launches == 1:
        return f"{iterations} after {warmups}"
    return f"{iterations} in {config.launches} launches, each after {warmups}"
