"""Opening the history: checked, brought up to date after a copy, or set aside where it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from llmtui.store import place, schema
from llmtui.store.errors import DamagedError, StoreError, in_words, os_words, primary_code
from llmtui.store.history import Store

#: So long a call waits for another process before it says that the history is locked.
WAIT_S = 2.0
#: The check of the whole file at opening ends after this time; a very large history is then checked in part.
CHECK_S = 1.0
_CHECK_EVERY_STEPS = 10_000


def open_store(path: str | os.PathLike[str] | None = None, *, wait_s: float = WAIT_S) -> tuple[Store, list[str]]:
    """Open the history (see `place.locate` for which one), making it if need be.

    Returns it with what the person should be told, in words: that a damaged file was set aside, that an older one was
    brought up to date after a copy. Takes a few ms, at most `CHECK_S` more for a large file, and waits for others at
    most `wait_s` at a time. Raises StoreError, whose message says what to do; the caller may go on without a history.
    """
    file = place.locate(path)
    notes: list[str] = []
    place.make(file)
    with place.alone(file, wait_s):
        place.make(file)
        try:
            connection = _connect(file, wait_s, notes)
        except DamagedError:
            if not place.may_be_set_aside(file):
                raise StoreError(
                    f"{file} is not a history of llmtui; it was left as it is. Name another file with --store"
                ) from None
            aside = place.set_aside(file)
            notes.append(f"the history {file} was damaged: it was set aside as {aside.name}, and a new one was begun")
            place.make(file)
            connection = _connect(file, wait_s, notes)
    return Store(connection, file), notes


def _connect(file: Path, wait_s: float, notes: list[str]) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(file, timeout=wait_s, isolation_level=None, check_same_thread=False)
        # The file may come from elsewhere: it gets to call no function, and its pages are looked at before use.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        # One fsync per commit: an iteration survives a power cut. Measured: 0.2 ms, once per iteration.
        connection.execute("PRAGMA synchronous = FULL")
        _refuse_what_is_not_ours(connection, file)
        _check(connection, file)
        if not schema.version(connection):
            # Before anything is written, as it cannot be changed later: room of deleted runs goes back to the disk.
            # Not asked of a file that is there: that would wait for whoever writes, and reading need not.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        if schema.version(connection) < len(schema.STEPS):
            _upgrade(connection, file, notes)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise in_words(error, file) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def _refuse_what_is_not_ours(connection: sqlite3.Connection, file: Path) -> None:
    if not schema.ours(connection):
        raise StoreError(f"{file} is a database of another program; name another file with --store")
    found = schema.version(connection)
    if found > len(schema.STEPS):
        raise StoreError(
            f"the history {file} was written by a newer llmtui (schema {found}, this one knows {len(schema.STEPS)}); "
            "update llmtui, or name another file with --store"
        )


def _check(connection: sqlite3.Connection, file: Path) -> None:
    """Raise DamagedError where pages contradict each other. Ends after `CHECK_S`."""
    until = time.monotonic() + CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > until, _CHECK_EVERY_STEPS)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            return
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise DamagedError(f"the history {file} is damaged: {found}")


def _upgrade(connection: sqlite3.Connection, file: Path, notes: list[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = schema.version(connection)
        if before:
            copy = _copy(file, before)
            notes.append(f"the history {file} was brought up to date; as it was, it is kept as {copy.name}")
        schema.upgrade(connection)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _copy(file: Path, version: int) -> Path:
    """Keep what is committed as one file beside `file`. It has its name once it is whole."""
    copy, unfinished = place.beside(file, f"v{version}"), file.with_name(f"{file.name}.copying")
    try:
        # What an upgrade left that was killed: nobody else makes a copy here now, see `place.alone`.
        for end in ("", "-journal"):
            unfinished.with_name(unfinished.name + end).unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        # A connection of its own reads what is committed; the one that upgrades holds the writers off meanwhile.
        with (
            contextlib.closing(sqlite3.connect(file, timeout=0)) as source,
            contextlib.closing(sqlite3.connect(unfinished, timeout=0)) as target,
        ):
            source.backup(target)
            # A copy in one file: no log beside it that could be forgotten.
            target.execute("PRAGMA journal_mode = DELETE")
        unfinished.rename(copy)
    except OSError as error:
        raise os_words(error, copy) from error
    except sqlite3.Error:
        unfinished.unlink(missing_ok=True)
        raise
    return copy
