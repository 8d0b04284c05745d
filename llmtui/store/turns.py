"""Turns of a load and their requests in the tables of a history."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable

import msgspec

from llmtui.model import Iteration, Turn
from llmtui.model.request_columns import RequestColumns
from llmtui.stats.turn_figures import OUTCOMES, outcome
from llmtui.store.chunks import MAX_REQUESTS
from llmtui.store.limits import rows
from llmtui.store.turn_rows import columns_of, requests_of, turn_values


class Chunk:
    """Packed requests of a turn that are to be stored: how many, and of which turn."""

    __slots__ = ("count", "packed", "run", "turn")

    def __init__(self, run: str, turn: int, count: int, packed: bytes) -> None:
        self.run, self.turn, self.count, self.packed = run, turn, count, packed


def write_turn(connection: sqlite3.Connection, turn: Turn) -> None:
    """Write a redacted turn, or replace it."""
    values = turn_values(turn)
    changed = ", ".join(f"{name} = excluded.{name}" for name in values)
    connection.execute(
        f"INSERT INTO turns ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)}) "
        f"ON CONFLICT (run, turn) DO UPDATE SET {changed}",
        values,
    )


def write_chunks(connection: sqlite3.Connection, chunks: Iterable[Chunk]) -> None:
    """Write requests of turns that are stored. Raises IntegrityError if the turn is not stored."""
    connection.executemany(
        "INSERT INTO requests (turn, count, packed) VALUES ((SELECT seq FROM turns WHERE run = ? AND turn = ?), ?, ?)",
        ((chunk.run, chunk.turn, chunk.count, chunk.packed) for chunk in chunks),
    )


def chunks(connection: sqlite3.Connection, turn: Turn) -> list[tuple[int, int]]:
    """Return where the chunks with the requests of a turn are, in the order in which they were written.

    Each comes with the number of its requests. Raises ValueError.
    """
    statement = "SELECT seq, count FROM requests WHERE turn = (SELECT seq FROM turns WHERE run = ? AND turn = ?) "
    found = [(row[0], row[1]) for row in connection.execute(statement + "ORDER BY seq", (turn.run, turn.seq))]
    if not all(isinstance(count, int) and 0 < count <= MAX_REQUESTS for _, count in found):
        raise ValueError("a chunk has an impossible number of requests")
    return found


def read_chunk(
    connection: sqlite3.Connection, turn: Turn, place: int, *, figures: bool = False, only: int | None = None
) -> list[Iteration]:
    """Return the requests of a turn in one chunk, in the order in which they ended. Raises ValueError.

    With `figures` they have no texts and no arrivals. With `only` the one at this place of the chunk is the only one.
    """
    read = rows(connection, "SELECT count, packed FROM requests WHERE seq = ?", (place,))
    return [sample for row in read for sample in requests_of(row, turn, figures=figures, only=only)]


def read_columns(connection: sqlite3.Connection, turn: Turn, place: int) -> list[RequestColumns]:
    """Return the light figures of the requests of a turn in one chunk, as `read_chunk`; none if it is gone."""
    read = rows(connection, "SELECT count, packed FROM requests WHERE seq = ?", (place,))
    return [columns_of(row, turn) for row in read]


def cut_short(connection: sqlite3.Connection, turn: Turn) -> Turn:
    """Return a turn whose engine died meanwhile: partial, with the counts of the requests that are stored."""
    counts: Counter[str] = Counter()
    for place, _ in chunks(connection, turn):
        for request in read_chunk(connection, turn, place):
            counts["settled"] += request.share == "settling"
            if request.share == "window":
                counts[outcome(request)] += 1
    outcomes = {name: counts[name] for name in OUTCOMES}
    return msgspec.structs.replace(
        turn, state="partial", settled=counts["settled"], requests=sum(outcomes.values()), **outcomes
    )
