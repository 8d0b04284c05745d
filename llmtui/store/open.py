"""Opens the history: checks it, upgrades an older schema after making a copy, and replaces a damaged file."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
from pathlib import Path

from llmtui.store import limits, paths, schema
from llmtui.store.errors import DamagedError, StoreError, file_error, primary_code, store_error, unexpected_tables
from llmtui.store.history import Store

#: How long a call waits for a lock of another process.
WAIT_S = 2.0
#: The time limit of the check of the whole file. A very large history is checked in part.
CHECK_S = 1.0
#: SQLite's message about a value that violates a constraint. The pages are intact, and rows are checked when read.
_CONSTRAINT = re.compile(r"(?:NULL|TEXT|NUMERIC|non-[A-Z]+) value in |CHECK constraint failed in ")


def open_store(path: str | os.PathLike[str] | None = None, *, wait_s: float = WAIT_S) -> tuple[Store, list[str]]:
    """Open the history that `paths.locate` chooses for `path`, or create it.

    Returns it with messages for the user: that a damaged file was renamed, or that an older one was upgraded. Takes a
    few ms, and up to `CHECK_S` more for a large file; waits for locks for `wait_s` at a time. Raises StoreError.
    """
    file = paths.locate(path)
    notes: list[str] = []
    paths.make(file)
    with paths.alone(file, wait_s):
        paths.make(file)
        try:
            connection, steps = _connect(file, wait_s, notes)
        except DamagedError:
            if not paths.may_be_set_aside(file):
                raise StoreError(
                    f"{file} is not a history of llmtui, so it was not changed; use another file with --store"
                ) from None
            aside = paths.set_aside(file)
            notes.append(f"the history {file} was damaged: it was renamed to {aside.name}, and a new one was created")
            paths.make(file)
            connection, steps = _connect(file, wait_s, notes)
    return Store(connection, file, steps), notes


def _connect(file: Path, wait_s: float, notes: list[str]) -> tuple[sqlite3.Connection, limits.Steps]:
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(file, timeout=wait_s, isolation_level=None, check_same_thread=False)
        steps = limits.Steps(connection)
        limits.limit(connection)
        _refuse_foreign(connection, file)
        # Only now: a file that is not a history must not be changed.
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            with contextlib.suppress(OSError):
                paths.tighten(file.with_name(name))
        connection.execute("PRAGMA foreign_keys = ON")
        # One fsync per commit, 0.2 ms: an iteration survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        _check(connection, file, steps)
        if not schema.version(connection):
            # It can only be set in a new file, and allows a later version to shrink it. In an existing file the
            # statement would wait for other writers, which reading does not need.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        if schema.version(connection) < len(schema.STEPS):
            _upgrade(connection, file, notes)
    except (sqlite3.Error, MemoryError) as error:
        if connection is not None:
            connection.close()
        raise store_error(error, file) from error
    except UnicodeDecodeError as error:
        # Python cannot decode SQLite's error message: it contains a table name that is not UTF-8.
        if connection is not None:
            connection.close()
        raise unexpected_tables(file) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection, steps


def _refuse_foreign(connection: sqlite3.Connection, file: Path) -> None:
    if not schema.is_history(connection):
        raise StoreError(f"{file} is a database of another program; use another file with --store")
    version = schema.version(connection)
    if version > len(schema.STEPS):
        raise StoreError(
            f"the history {file} was written by a newer llmtui (schema {version}, this version reads up to "
            f"{len(schema.STEPS)}); update llmtui, or use another file with --store"
        )
    if version < 0 or not schema.as_made(connection):
        raise unexpected_tables(file)


def _check(connection: sqlite3.Connection, file: Path, steps: limits.Steps) -> None:
    """Raise DamagedError if SQLite's quick check fails. It is interrupted after `CHECK_S`."""
    until = time.monotonic() + CHECK_S
    late = threading.Event()

    def end() -> None:
        late.set()
        connection.interrupt()

    # SQLite walks all pages in one step, which only an interrupt from another thread ends.
    timer = threading.Timer(max(0.0, CHECK_S), end)
    timer.daemon = True
    timer.start()
    steps.until = lambda: time.monotonic() > until
    try:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            return
        raise
    finally:
        steps.until = None
        steps.begin()
        timer.cancel()
        # A timer that is just running must not interrupt a later statement.
        timer.join()
    # Pages that an interrupted check did not reach look like damage.
    if result != "ok" and not late.is_set() and not _CONSTRAINT.match(result):
        raise DamagedError(f"the history {file} is damaged: {result}")


def _upgrade(connection: sqlite3.Connection, file: Path, notes: list[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = schema.version(connection)
        if before:
            copy = _copy(file, before)
            notes.append(f"the history {file} was upgraded; the old version is kept as {copy.name}")
        schema.upgrade(connection)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _copy(file: Path, version: int) -> Path:
    """Copy the committed content to a file beside `file`, and return its path. The copy is renamed when complete."""
    copy, unfinished = paths.beside(file, f"v{version}"), file.with_name(f"{file.name}.copying")
    try:
        # Left over from an upgrade that was killed: no other process copies here now, see `paths.alone`.
        for end in ("", "-journal"):
            unfinished.with_name(unfinished.name + end).unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        # A second connection reads what is committed, while the upgrading one blocks other writers.
        with (
            contextlib.closing(sqlite3.connect(file, timeout=0)) as source,
            contextlib.closing(sqlite3.connect(unfinished, timeout=0)) as target,
        ):
            source.backup(target)
            # One file, without a log beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        unfinished.rename(copy)
    except OSError as error:
        raise file_error(error, copy) from error
    except sqlite3.Error:
        unfinished.unlink(missing_ok=True)
        raise
    return copy
