"""How the senders of the requests of two runs of a load differ: their network is part of what is measured.

The first run is A, the second B. A race is always sent by one process of the machine that runs llmtui.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llmtui.model import Turn
from llmtui.stats.checks.base import Check, Entry, each
from llmtui.text.format import figure, plural

if TYPE_CHECKING:
    from llmtui.stats.run_differences import Side

#: Connections that take longer by more than this (s), and by more than this share, are over another network.
CONNECT_S = 0.0001
CONNECT_SHARE = 0.1
_CODE = "workers"
_TODO = "measure both from the same machines, with the same [workers]"


def sender_differences(a: Side, b: Side) -> Iterator[Check]:
    """Whether the requests of one run came from a cluster, from another one, or from more processes."""
    if a.at is None or b.at is None or _senders(a) == _senders(b):
        return
    text = f"different senders of the requests: {each({'A': _words(a), 'B': _words(b)})}"
    yield Check(
        code=_CODE,
        level="warning",
        backends=[],
        text=f"{text}: their way to the server is part of TTFT and latency",
        todo=_TODO,
    )


def way_difference(one: Entry, two: Entry) -> Iterator[Check]:
    """Whether the workers of a cluster were further from the server in one of two runs."""
    ways_s = [_connect_s(entry.evidence.turns) for entry in (one, two)]
    known = [way_s for way_s in ways_s if way_s is not None]
    if len(known) < len(ways_s) or max(known) - min(known) <= max(CONNECT_S, CONNECT_SHARE * min(known)):
        return
    words = {entry.name: figure(way_s, "s") for entry, way_s in zip((one, two), known, strict=True)}
    yield Check(
        code=_CODE,
        level="warning",
        backends=[one.name, two.name],
        text=f"the workers were not equally far from the server: a connection took {each(words)}; each TTFT and "
        "latency has that in it",
        todo=_TODO,
    )


def _turns(side: Side) -> list[Turn]:
    return [turn for contender in side.contenders.values() for turn in contender.evidence.turns]


def _senders(side: Side) -> tuple[str, set[int]]:
    """The scheduler, "" for processes of one machine, and how many workers the turns had."""
    return side.workers.scheduler, {turn.workers for turn in _turns(side)} or {1}


def _words(side: Side) -> str:
    scheduler, counts = _senders(side)
    least, most = min(counts), max(counts)
    count = f"{least} to {most}" if least < most else str(most)
    if not scheduler:
        return f"{count} {'process' if most == 1 else 'processes'} of one machine"
    way_s = _connect_s(_turns(side))
    far = f", from which a connection takes {figure(way_s, 's')}" if way_s is not None else ""
    return f"{count} {plural(most, 'worker').split(' ', 1)[1]} of {scheduler}{far}"


def _connect_s(turns: Sequence[Turn]) -> float | None:
    """How long a connection to the server took (median of the workers), None if that is not known."""
    known = [worker.connect_s for turn in turns for worker in turn.by_worker if worker.connect_s is not None]
    return statistics.median(known) if known else None
