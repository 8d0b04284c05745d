"""Turns of a load and their requests: rows to structs and back, without SQL.

A request's row has what differs between the requests of a turn; the rest is in the turn. Functions that read check
every value, and raise ValueError.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any

import msgspec

from llmtui.model import Iteration, Turn
from llmtui.store import validate
from llmtui.store.rows import PLAIN_COLUMNS, iteration_of, iteration_values

#: Fields of a request that its turn has for all of them.
_OF_TURN = frozenset({"run", "backend", "attempt", "phase", "iteration", "started_utc"})
#: Fields of a request with a column, besides those that iterations have.
_PLACE = ("request", "share", "worker", "written_s", "due_s", "waited_s", "in_flight")
REQUEST_COLUMNS = (
    "turn",
    *_PLACE,
    *(name for name in PLAIN_COLUMNS if name not in _OF_TURN),
    "error_kind",
    "error_message",
    "error_hint",
    "more",
    "text",
    "arrivals_ns",
    "arrival_tokens",
)
_MAX_TURN = 65_536
_MAX_LEVEL = 10_000


def turn_values(turn: Turn) -> dict[str, Any]:
    """Return the row of a redacted turn."""
    return {"run": turn.run, "turn": turn.seq, "record": msgspec.json.encode(turn).decode()}


def turn_of(row: sqlite3.Row, run: str, names: Collection[str]) -> Turn:
    """Read a turn from a row of `turns`: of `run`, of a backend in `names`."""
    turn = validate.struct(validate.document(row["record"], "a turn", _MAX_TURN), Turn, "a turn")
    if (turn.run, turn.seq) != (run, row["turn"]):
        raise ValueError("a turn is of another run, or another turn")
    if turn.backend not in names:
        raise ValueError("a turn is of a backend that the plan does not have")
    validate.instant(turn.started_utc, "the time of a turn")
    validate.whole(turn.level, "the level of a turn", 1, _MAX_LEVEL)
    return turn


def request_values(sample: Iteration, turn_row: int) -> dict[str, Any]:
    """Return the row of a request of the turn in this row of `turns`."""
    bare = msgspec.structs.replace(
        sample, turn=0, level=0, part=1, launch=1, request=0, share="", worker=0, written_s=None, due_s=None,
        waited_s=None, in_flight=None,
    )  # fmt: skip
    values = iteration_values(bare)
    return values | {name: getattr(sample, name) for name in _PLACE} | {"turn": turn_row}


def request_of(row: sqlite3.Row, turn: Turn) -> Iteration:
    """Read a request of `turn` from a row of `requests`."""
    base = {
        "run": turn.run,
        "backend": turn.backend,
        "attempt": turn.attempt,
        "phase": turn.phase,
        "iteration": turn.round,
        "started_utc": turn.started_utc,
    }
    whole = {name: row[name] for name in row.keys()} | base  # noqa: SIM118 - a Row iterates over values
    sample = iteration_of(whole, turn.run, (turn.backend,))  # type: ignore[arg-type]
    place = {name: row[name] for name in _PLACE if row[name] is not None}
    values = msgspec.to_builtins(sample) | place
    values |= {"turn": turn.seq, "level": turn.level, "part": turn.part, "launch": turn.launch}
    return validate.struct(values, Iteration, "a request")
