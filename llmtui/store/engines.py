"""The engines of the runs in a history: which process records a run, and whether it has ended."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable

from llmtui.store import process_id, queries
from llmtui.store.errors import NoRunError
from llmtui.store.limits import rows
from llmtui.text import sanitize


def this_process() -> tuple[str, int, str]:
    """Return this process as the columns `engine_place`, `engine_pid` and `engine_started` have it."""
    return process_id.here(), os.getpid(), process_id.started(os.getpid())


def gone(row: sqlite3.Row) -> bool:
    """Whether the engine in a row of `runs` has ended. False if it is on another machine."""
    return process_id.gone(row["engine_place"], row["engine_pid"], row["engine_started"])


def is_elsewhere(row: sqlite3.Row) -> bool:
    """Whether the engine in a row of `runs` was in another container or on another machine, and may run there."""
    return process_id.is_unknown(row["engine_place"], row["engine_pid"], row["engine_started"])


def running_words(row: sqlite3.Row) -> str:
    """Why a run whose engine has not certainly ended cannot be resumed, and what to do."""
    run, pid, place = row["id"], row["engine_pid"], row["engine_place"]
    process = f"process {pid}" if isinstance(pid, int) else "unknown process"
    if not is_elsewhere(row):
        return f"run {run} is still running ({process}); try: llmtui attach {run}"
    where = sanitize(str(place).partition(" ")[0], 60) or "unknown"
    return (
        f"run {run} was started in another container or on another machine ({where}, {process}) and may still run "
        f"there; attach to it there, or if that has ended: llmtui show {run} --ended"
    )


def mark_ended(connection: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Mark a running run as "died" because the user knows that it has ended. Raises NoRunError if it has not."""
    if row["state"] != "running":
        return
    if gone(row) or is_elsewhere(row):
        mark_dead(connection, [row])
    else:
        raise NoRunError(running_words(row))


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
