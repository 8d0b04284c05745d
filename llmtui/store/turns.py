"""Turns of a load and their requests in the tables of a history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from llmtui.model import Iteration, Turn
from llmtui.store.limits import rows
from llmtui.store.turn_rows import REQUEST_COLUMNS, request_of, request_values, turn_values

_SAVE_REQUEST = (
    f"INSERT OR REPLACE INTO requests ({', '.join(REQUEST_COLUMNS)}) "
    f"VALUES ({', '.join(f':{c}' for c in REQUEST_COLUMNS)})"
)
_REQUESTS = (
    f"SELECT {', '.join(f'requests.{column}' for column in REQUEST_COLUMNS)} FROM requests "
    "JOIN turns ON turns.seq = requests.turn WHERE turns.run = ? AND turns.turn = ? ORDER BY requests.seq"
)


def write_turn(connection: sqlite3.Connection, turn: Turn) -> None:
    """Write a redacted turn, or replace it."""
    connection.execute(
        "INSERT INTO turns (run, turn, record) VALUES (:run, :turn, :record) "
        "ON CONFLICT (run, turn) DO UPDATE SET record = excluded.record",
        turn_values(turn),
    )


def write_requests(connection: sqlite3.Connection, samples: Iterable[Iteration]) -> None:
    """Write redacted requests of turns that are stored."""
    seqs: dict[int, int] = {}
    for sample in samples:
        if sample.turn not in seqs:
            statement = "SELECT seq FROM turns WHERE run = ? AND turn = ?"
            (seqs[sample.turn],) = connection.execute(statement, (sample.run, sample.turn)).fetchone()
        connection.execute(_SAVE_REQUEST, request_values(sample, seqs[sample.turn]))


def read_requests(connection: sqlite3.Connection, turn: Turn) -> list[Iteration]:
    """Return the requests of a turn in the order in which they ended. Raises ValueError if one is invalid."""
    return [request_of(row, turn) for row in rows(connection, _REQUESTS, (turn.run, turn.seq))]
