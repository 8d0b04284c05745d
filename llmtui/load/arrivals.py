"""When the requests of an open loop are due."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from llmtui.config.traces import send_times
from llmtui.model import Level


def due_times(level: Level, seed: str, settle: int, requests: int) -> Iterator[float]:
    """Yield the times at which requests are due, in s since the turn began, without end. The first one is due at 0.

    The gaps follow a gamma distribution of shape `burstiness`: 1 (Poisson) is what independent users do, less comes in
    bursts, and more is evener. `seed` decides them. They are scaled so that those of the `settle` first requests last
    settle / rate, and those of each `requests` after them requests / rate: the window of a turn then has the rate that
    was asked for, and not what a short random series happens to have. With a trace they are its times, and after them
    infinity: no more requests are due.
    """
    if level.trace:
        yield from (at / level.time_scale for at in send_times(level.trace))
        while True:
            yield math.inf
    draw = random.Random(seed)
    at, first = 0.0, 0
    for block in _blocks(settle, requests):
        gaps = _gaps(level, draw, block)
        scale = block / level.rate / sum(gaps)
        began = at
        for gap in gaps:
            yield at
            at += gap * scale
        first += block
        # Sums of many floats drift.
        at = began + block / level.rate


def _blocks(settle: int, requests: int) -> Iterator[int]:
    if settle:
        yield settle
    while True:
        yield max(1, requests)


def _gaps(level: Level, draw: random.Random, number: int) -> list[float]:
    """Return gaps in proportion to each other."""
    if level.arrival == "constant":
        return [1.0] * number
    shape = 1.0 if level.arrival == "poisson" else level.burstiness
    gaps = [draw.gammavariate(shape, 1.0) for _ in range(number)]
    # Bursts of a very small shape can be of gaps that are all 0.
    return gaps if sum(gaps) > 0 else [1.0] * number
