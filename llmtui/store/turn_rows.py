"""Turns of a load and their requests: rows to structs and back, without SQL.

Functions that read check every value, and raise ValueError.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from llmtui.model import Iteration, Turn
from llmtui.model.request_columns import RequestColumns
from llmtui.stats.buckets import Buckets
from llmtui.store import chunks, validate
from llmtui.store.rows import MAX_ATTEMPT, MAX_ITERATION, MAX_LEVEL, RANGES, check_ranges, check_texts, storable

#: The longest record of a turn; it has the text of one answer.
_MAX_TURN = 2_000_000
_FIELDS = {field.name: field for field in msgspec.structs.fields(Turn)}
#: Fields that may be below 0.
_SIGNED = frozenset({"little_residual", "drift"})
_PLACE: dict[str, tuple[float, float]] = {
    "attempt": (1, MAX_ATTEMPT),
    "round": (1, MAX_ITERATION),
    "level": (1, MAX_LEVEL),
    "seq": (1, RANGES["turn"][1]),
    "launch": RANGES["launch"],
    "part": RANGES["part"],
}
_ANY = 1e25
_PERCENTILES: dict[str, tuple[float, float]] = {
    "n": (1, RANGES["turn"][1]),
    **dict.fromkeys(("p50", "p90", "p95", "p99"), RANGES["latency_s"]),
}
#: The longest name of a worker: that of a host, and a port.
_MAX_NAME = 300
_WORKER: dict[str, tuple[float, float]] = {
    "worker": (0, MAX_LEVEL),
    "requests": (0, RANGES["turn"][1]),
    "others": (0, RANGES["turn"][1]),
    **dict.fromkeys(("ttft_s", "connect_s", "clock_within_s", "own_error_s"), RANGES["latency_s"]),
}
_CHECKED = tuple(name for name in RANGES if name not in chunks.OF_TURN and name in chunks.DEFAULTS)


def _range(name: str) -> tuple[float, float]:
    return _PLACE.get(name) or RANGES.get(name) or (-_ANY if name in _SIGNED else 0, _ANY)


def turn_values(turn: Turn) -> dict[str, Any]:
    """Return the row of a redacted turn, by column. Numbers outside their range are left out."""
    values = {
        name: value for name, value in msgspec.to_builtins(turn).items() if not _number(value) or _fits(name, value)
    }
    return {
        "run": turn.run,
        "turn": turn.seq,
        "level": turn.level,
        "started_utc": turn.started_utc,
        "buckets": msgspec.json.encode(values.pop("buckets", {})).decode(),
        "record": msgspec.json.encode(values).decode(),
    }


def turn_of(row: sqlite3.Row, run: str, names: Collection[str], levels: int, *, buckets: bool = True) -> Turn:
    """Read a turn from a row of `turns`: of `run`, of a backend in `names`, at one of this many levels.

    Without `buckets` the turn has none, and that column is not read.
    """
    document = validate.document(row["record"], "a turn", _MAX_TURN)
    if buckets:
        document["buckets"] = validate.document(row["buckets"], "the buckets of a turn", _MAX_TURN)
    turn = validate.struct(document, Turn, "a turn")
    if (turn.run, turn.seq, turn.level, turn.started_utc) != (run, row["turn"], row["level"], row["started_utc"]):
        raise ValueError("a turn is of another run, or another turn")
    if turn.backend not in names:
        raise ValueError("a turn is of a backend that the plan does not have")
    if turn.level > levels:
        raise ValueError("a turn is at a level that the plan does not have")
    validate.instant(turn.started_utc, "the time of a turn")
    check_ranges(turn, {name: _range(name) for name in _FIELDS if _number(getattr(turn, name))})
    for percentiles in turn.percentiles.values():
        check_ranges(percentiles, _PERCENTILES)
    for numbers in turn.buckets.values():
        Buckets.decoded(numbers)
    if not all(0 <= count <= RANGES["turn"][1] for count in turn.backlog):
        raise ValueError("the backlog of a turn is not a number of requests")
    if not all(len(counts) == 3 and min(counts) >= 0 for counts in turn.objectives.values()):
        raise ValueError("an objective of a turn does not have three numbers of requests")
    for worker in turn.by_worker:
        validate.text(worker.name, "the name of a worker", _MAX_NAME)
        check_ranges(worker, _WORKER)
    check_texts(turn)
    return turn


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(name: str, value: float) -> bool:
    least, most = _range(name)
    return least <= value <= most


def chunks_of(samples: Sequence[Iteration]) -> Iterator[tuple[int, bytes]]:
    """Yield the redacted requests of one turn in chunks: how many, and packed."""
    together: list[Iteration] = []
    arrivals = 0
    for sample in samples:
        more = len(sample.arrivals_ns)
        if together and (len(together) == chunks.MAX_REQUESTS or arrivals + more > chunks.MOST_ARRIVALS):
            yield len(together), chunks.pack(together)
            together, arrivals = [], 0
        together.append(_storable(sample))
        arrivals += more
    if together:
        yield len(together), chunks.pack(together)


def _storable(sample: Iteration) -> Iteration:
    """`sample` with the default of each number that is outside its range."""
    wrong = {
        name: chunks.DEFAULTS[name]
        for name in _CHECKED
        if (value := getattr(sample, name)) is not None and storable(name, value) is None
    }
    return msgspec.structs.replace(sample, **wrong) if wrong else sample


def requests_of(row: sqlite3.Row, turn: Turn, *, figures: bool = False, only: int | None = None) -> list[Iteration]:
    """Read requests of `turn` from a row of `requests`; with `figures` without their texts and arrivals.

    With `only` the one at this place is read, and no other.
    """
    samples = chunks.unpack(*_chunk(row, turn), RANGES, figures=figures, only=only)
    for sample in samples:
        check_texts(sample)
    return samples


def columns_of(row: sqlite3.Row, turn: Turn) -> RequestColumns:
    """Read the light figures of requests of `turn` from a row of `requests`."""
    columns = chunks.unpack_columns(*_chunk(row, turn), RANGES)
    for reason in columns.finish_reasons:
        check_texts(turn.request(finish_reason=reason))
    for error in columns.errors:
        check_texts(turn.request(error=error))
    return columns


def _chunk(row: sqlite3.Row, turn: Turn) -> tuple[bytes, int, dict[str, Any]]:
    """A row's packed requests, how many they are, and the fields that `turn` gives them."""
    count = validate.whole(row["count"], "the number of requests in a chunk", 1, chunks.MAX_REQUESTS)
    packed = row["packed"]
    if not isinstance(packed, bytes):
        raise ValueError("a chunk of requests is not packed")
    base = {name: getattr(turn, name) for name in chunks.OF_TURN & _FIELDS.keys()}
    return packed, count, base | {"iteration": turn.round, "turn": turn.seq}
