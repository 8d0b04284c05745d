"""How many requests settle a server at a level: MSER-5 on the time per output token (White 1997).

Never on the TTFT: its spread is as large in a steady server as in a cold one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from llmtui.model import Level, Turn

#: A batch has this many requests.
BATCH = 5
#: Fewer batches do not tell.
LEAST_BATCHES = 8
#: A level is settled by at least this many requests of each stream, ...
PER_STREAM = 2
#: ... and by at most this share of a turn, unless that is less. Without streams at least by the other.
MOST_SHARE = 0.25
OPEN_SHARE = 0.125
#: The requests that are cut off must differ from the rest by more than this share, and than their own noise does.
MATTERS = 0.05
_ERRORS = 2.0


def mser(values: Sequence[float]) -> int:
    """How many of these values to cut off, at most half of them, so that the mean of the rest has the least error.

    The least of sum (value - mean)^2 / n^2 over the n values that are left (White, Cobb and Spratt 2000).
    """
    best, least = 0, math.inf
    total = squares = 0.0
    shift = values[-1]
    for cut in range(len(values) - 1, -1, -1):
        total += values[cut] - shift
        squares += (values[cut] - shift) ** 2
        left = len(values) - cut
        error = (squares - total * total / left) / left**2
        if cut <= len(values) // 2 and error <= least:
            best, least = cut, error
    return best


def settle_needed(batches: Sequence[float]) -> int | None:
    """How many of these batches (mean TPOT of 5 requests each, in order of issue) came before the server was steady.

    None if it never was: half of them do not suffice, and the rest still changes. Needs `LEAST_BATCHES`. A cut that
    changes hardly anything is none: MSER by itself cuts something off in every second steady turn.
    """
    cut = mser(batches)
    if not cut or not _differ(batches[:cut], batches[cut:]):
        return 0
    if cut < len(batches) // 2:
        return cut
    middle = (cut + len(batches)) // 2
    return None if _differ(batches[cut:middle], batches[middle:]) else cut


def least_settle(level: Level, requests: int) -> int:
    """How many requests settle a level at least, if `requests` of a turn count.

    2 per stream; in an open loop, whose queue is empty at first, an eighth of the turn.
    """
    if level.open:
        return math.ceil(requests * OPEN_SHARE / (1 - OPEN_SHARE))
    return PER_STREAM * level.streams


def settle_of(level: Level, turns: Iterable[Turn], requests: int) -> int:
    """How many requests settle each backend at a level: the most that any needed, so that none is favoured.

    `turns` are those of the level that found out, one or more of each backend, and `requests` is how many of a turn
    count (0: as many as in these turns). The least is `least_settle`, and a quarter of the turn the most if that is
    more. Where a backend had no steady state, it is that quarter.
    """
    known = list(turns)
    requests = requests or min((turn.requests for turn in known if turn.requests), default=0)
    found = max((turn.settle_needed or 0 for turn in known), default=0)
    most = math.floor(requests * MOST_SHARE / (1 - MOST_SHARE))
    return max(least_settle(level, requests), most if any(turn.unsettled for turn in known) else min(found, most))


def _differ(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the means of these batches differ, by more than `MATTERS` and their noise."""
    one, other = sum(some) / len(some), sum(others) / len(others)
    spread = math.sqrt(sum((z - other) ** 2 for z in others) / max(1, len(others) - 1))
    return abs(one - other) > max(MATTERS * other, _ERRORS * spread / math.sqrt(len(some)))
