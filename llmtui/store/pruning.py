"""Deletes runs from a history, and gives their space back to the file system."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from datetime import datetime

from llmtui.model import Imported, Struct
from llmtui.store import engines, validate
from llmtui.store.errors import store_error
from llmtui.store.history import Store
from llmtui.store.limits import rows
from llmtui.store.listing import RunRow
from llmtui.store.queries import MAX_RUNS
from llmtui.store.rows import MAX_PLAN, run_of

#: Pages that are given back in one step. Between steps an engine can write.
_PAGES = 500


class Rule(Struct, frozen=True):
    """Which runs may be deleted: those beyond the newest `keep` that are from before `before_utc` (None, "": no limit).

    A run is as old as its place in the history: an imported one counts from its import, whenever it was measured. A
    run whose engine is still there, in progress or open in a monitor that may measure again, and one with a label or a
    note, is always kept, and takes no place of `keep`.
    """

    keep: int | None = None
    before_utc: str = ""


class Prunable(Struct, frozen=True):
    """The runs that a rule deletes, the newest first, and how many it keeps for their label, note or state."""

    runs: list[RunRow]
    named: int
    running: int


def prunable(store: Store, rule: Rule) -> Prunable:
    """Return what `rule` deletes, the newest in the history first. Unreadable runs are kept. Raises StoreError."""
    named = running = 0
    nameless: list[tuple[datetime, RunRow]] = []
    with store._reading() as connection:
        for row in rows(connection, "SELECT * FROM runs ORDER BY created_utc DESC, seq DESC LIMIT ?", (MAX_RUNS,)):
            try:
                run, imported = run_of(row), _imported(row)
            except ValueError:
                continue
            if run.state == "running" or (imported is None and _engine_is_here(row)):
                running += 1
            elif run.label or run.note:
                named += 1
            else:
                since = max(run.created_utc, imported.imported_utc if imported is not None else "")
                nameless.append((datetime.fromisoformat(since), run))
    nameless.sort(key=lambda entry: entry[0], reverse=True)
    old = nameless[rule.keep or 0 :]
    if rule.before_utc:
        before = datetime.fromisoformat(rule.before_utc)
        old = [(since, run) for since, run in old if since < before]
    return Prunable(runs=[run for _, run in old], named=named, running=running)


def _imported(row: sqlite3.Row) -> Imported | None:
    """What the run was imported from, None if llmtui measured it. Raises ValueError."""
    found = validate.document(row["plan"], "the plan", MAX_PLAN).get("imported")
    imported = validate.struct(found, Imported, "the import") if found is not None else None
    if imported is not None and imported.imported_utc:
        validate.instant(imported.imported_utc, "the time of the import")
    return imported


def _engine_is_here(row: sqlite3.Row) -> bool:
    """Whether the engine of a run is a process of this machine that has not ended."""
    return not engines.gone(row) and not engines.is_elsewhere(row)


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
