"""When the requests of an open loop are due."""

from __future__ import annotations

import random
from collections.abc import Iterator

from llmtui.model import Level


def due_times(level: Level, seed: str) -> Iterator[float]:
    """Yield the times at which requests are due, in s since the turn began, without end.

    The gaps have the mean 1 / rate. They follow a gamma distribution of shape `burstiness`: 1 (Poisson) is what
    independent users do, less comes in bursts, and more is evener. `seed` decides them.
    """
    draw, mean_s = random.Random(seed), 1 / level.rate
    shape = 1.0 if level.arrival == "poisson" else level.burstiness
    at = 0.0
    while True:
        yield at
        at += mean_s if level.arrival == "constant" else draw.gammavariate(shape, mean_s / shape)
