"""Deletes runs from a history, and gives their space back to the file system."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from datetime import datetime

from llmtui.model import Struct
from llmtui.store.errors import store_error
from llmtui.store.history import Store
from llmtui.store.limits import rows
from llmtui.store.listing import RunRow
from llmtui.store.queries import MAX_RUNS
from llmtui.store.rows import run_of

#: Pages that are given back in one step. Between steps an engine can write.
_PAGES = 500


class Rule(Struct, frozen=True):
    """Which runs may be deleted: those beyond the newest `keep` that started before `before_utc` (None, "": no limit).

    A run in progress, and one with a label or a note, is always kept, and takes no place of `keep`.
    """

    keep: int | None = None
    before_utc: str = ""


class Prunable(Struct, frozen=True):
    """The runs that a rule deletes, the newest first, and how many it keeps for their label, note or state."""

    runs: list[RunRow]
    named: int
    running: int


def prunable(store: Store, rule: Rule) -> Prunable:
    """Return what `rule` deletes. Runs that cannot be read are kept. Raises StoreError."""
    found: list[RunRow] = []
    named = running = place = 0
    with store._reading() as connection:
        statement = "SELECT * FROM runs ORDER BY created_utc DESC, seq DESC LIMIT ?"
        for row in rows(connection, statement, (MAX_RUNS,)):
            try:
                run = run_of(row)
            except ValueError:
                continue
            if run.state == "running":
                running += 1
            elif run.label or run.note:
                named += 1
            else:
                place += 1
                if rule.keep is not None and place <= rule.keep:
                    continue
                if rule.before_utc and not _before(run.created_utc, rule.before_utc):
                    continue
                found.append(run)
    return Prunable(runs=found, named=named, running=running)


def _before(created_utc: str, before_utc: str) -> bool:
    return datetime.fromisoformat(created_utc) < datetime.fromisoformat(before_utc)


def prune(store: Store, runs: Collection[str]) -> int:
    """Delete these runs, each in a transaction of its own, and return how many. Raises StoreError.

    One that was resumed or labelled meanwhile is kept.
    """
    deleted = 0
    for run in runs:
        with store._writing() as connection:
            done = connection.execute(
                "DELETE FROM runs WHERE id = ? AND state != 'running' AND label = '' AND note = ''", (run,)
            )
            deleted += done.rowcount
    return deleted


def give_back(store: Store) -> int:
    """Give the free pages of the file back to the file system, and return the bytes it is smaller by.

    In small steps, so that an engine that writes waits for some ms only. A history of 0.1.0 is rewritten as a whole
    once, which needs as much space again, and not while a run is in progress: its engine would have to wait. Raises
    StoreError.
    """
    connection = store._connection
    with store._lock:
        try:
            before = _bytes(connection)
            if _number(connection, "auto_vacuum"):
                while (free := _number(connection, "freelist_count")) > 0:
                    store._steps.begin()
                    connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
                    if _number(connection, "freelist_count") >= free:
                        break
            elif _number(connection, "freelist_count") and not _writers(connection):
                _rewrite(store)
            # The file itself is cut when the log is merged into it; with a reader it is merged later.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return before - _bytes(connection)
        except sqlite3.Error as error:
            raise store_error(error, store.path) from error


def _writers(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM runs WHERE state = 'running'").fetchone()
    return int(count)


def _rewrite(store: Store) -> None:
    """Write the file again without free pages, and so that it can shrink in steps from now on."""
    connection = store._connection
    store._steps.begin()
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # SQLite attaches the new file for that.
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)
    try:
        connection.execute("VACUUM")
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)


def _bytes(connection: sqlite3.Connection) -> int:
    return _number(connection, "page_count") * _number(connection, "page_size")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)
