"""How a turn is dealt out to several workers, before it begins and by arithmetic alone.

Each worker gets the whole slice and takes what is its own: streams, users and request numbers. Nothing is shared while
the turn lasts, and each request has the number, and so the prompt and the fresh line, that one worker would have given
it. All shares add up to the whole.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from llmtui.load.messages import Slice
from llmtui.model import Level


class Deal(NamedTuple):
    """What one of `workers` has to do; `worker` is its place, from 0 on.

    Of each `cycle` request numbers it has those whose place in the cycle is its own. A cycle has a number for each
    stream of a closed loop, so that a worker with more streams has more numbers.
    """

    worker: int = 0
    workers: int = 1
    cycle: int = 1

    def has(self, number: int) -> bool:
        """Whether the worker sends this request, numbered from 1 on."""
        return (number - 1) % self.cycle % self.workers == self.worker

    def after(self, number: int) -> int:
        """Return the worker's first request after this one."""
        number += 1
        while not self.has(number):
            number += 1
        return number

    def own(self, total: int) -> range:
        """Return the places, of `total` from 0 on, that are the worker's own: streams, or places below a cap."""
        return range(self.worker, total, self.workers)


def deal_of(of: Slice) -> Deal:
    """Return what the worker of a slice has to do."""
    if of.workers == 1:
        return Deal()
    return Deal(of.worker, of.workers, of.workers if of.level.open else of.level.streams)


def most_workers(level: Level) -> int:
    """Return how many workers have something to do at a level: each needs a stream, or a place below the cap."""
    return max(1, level.streams or level.cap or 2**31)


def dealt(of: Slice) -> list[Slice]:
    """Return the slices of all workers of a turn. The first one alone probes the server."""
    return [
        msgspec.structs.replace(
            of,
            worker=worker,
            base=msgspec.structs.replace(of.base, worker=worker + 1),
            probe=None if worker else of.probe,
        )
        for worker in range(of.workers)
    ]
