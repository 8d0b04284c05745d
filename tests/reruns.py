"""Runs with several attempts, in canned events."""

from __future__ import annotations

import random

from llmtui.model import AnyEvent, Failure, Iteration, IterationDone
from tests import build


def attempt(number: int, slower: dict[str, float], rounds: int = 10, failing: str = "") -> list[Iteration]:
    """The iterations of one attempt of these backends, which take turns."""
    rng = random.Random(number)
    made = []
    for n in range(rounds):
        for at, (name, factor) in enumerate(slower.items()):
            error = {"error": Failure(kind="timeout", message="late")} if name == failing else {}
            latency_s = factor * rng.gauss(1, 0.01)
            second = 1000 * number + n * len(slower) + at
            made.append(
                build.answered(name, n + 1, latency_s, attempt=number, started_utc=f"{second:09}", text="Hi", **error)
            )
    return made


def rerun(number: int, slower: dict[str, float], state: str = "done", **more: int | str) -> list[AnyEvent]:
    """The events of one attempt, from its start to its end."""
    events: list[AnyEvent] = [build.changed(name, state="running", attempt=number, planned=10) for name in slower]
    events += [IterationDone(iteration=i) for i in attempt(number, slower, **more)]  # type: ignore[arg-type]
    return events + [build.changed(name, state=state, attempt=number, planned=10) for name in slower]
