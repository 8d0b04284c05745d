"""The engines of the runs in a history: which process records a run, and whether it has ended."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable

from llmtui.store import process_id, queries
from llmtui.store.limits import rows


def this_process() -> tuple[str, int, str]:
    """Return this process as the columns `engine_place`, `engine_pid` and `engine_started` have it."""
    return process_id.here(), os.getpid(), process_id.started(os.getpid())


def gone(row: sqlite3.Row) -> bool:
    """Whether the engine in a row of `runs` has ended. False if it is on another machine."""
    return process_id.gone(row["engine_place"], row["engine_pid"], row["engine_started"])


def process_words(row: sqlite3.Row) -> str:
    """The engine's process for a message."""
    pid = row["engine_pid"]
    return f"process {pid}" if isinstance(pid, int) else "unknown process"


def ended(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """Return the rows of running runs whose engine has ended. Invalid rows are left to listings, which report them."""
    running = rows(
        connection,
        "SELECT id, engine_place, engine_pid, engine_started FROM runs WHERE state = 'running' ORDER BY seq LIMIT ?",
        (queries.MAX_RUNS,),
    )
    return [row for row in running if _is_text(row["engine_started"]) and _is_text(row["id"]) and gone(row)]


def mark_dead(connection: sqlite3.Connection, dead: Iterable[sqlite3.Row]) -> None:
    """Mark these runs as "died", unless another engine has just resumed them."""
    for row in dead:
        connection.execute(
            "UPDATE runs SET state = 'died', ended_utc = (SELECT max(started_utc) FROM ("
            "SELECT started_utc FROM iterations WHERE run = runs.id UNION ALL "
            "SELECT started_utc FROM turns WHERE run = runs.id)) "
            "WHERE id = ? AND state = 'running' AND engine_pid = ? AND engine_started = ?",
            (row["id"], row["engine_pid"], row["engine_started"]),
        )


def _is_text(value: object) -> bool:
    """Whether `value` is a string that SQLite can store."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
