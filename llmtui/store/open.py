"""Opening the history: checked, brought up to date after a copy, or set aside where it is damaged."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
from pathlib import Path

from llmtui.store import limits as bounds
from llmtui.store import paths as place
from llmtui.store import schema
from llmtui.store.errors import DamagedError, StoreError, in_words, not_as_made, os_words, primary_code
from llmtui.store.history import Store

#: A call waits this long for another process before it says that the history is locked.
WAIT_S = 2.0
#: The check of the whole file at opening ends after this time; a very large history is then checked in part.
CHECK_S = 1.0
#: What SQLite says of a value that breaks a rule of its table. Its pages are good, and rows are checked when read.
_OF_A_VALUE = re.compile(r"(?:NULL|TEXT|NUMERIC|non-[A-Z]+) value in |CHECK constraint failed in ")


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
            connection, steps = _connect(file, wait_s, notes)
        except DamagedError:
            if not place.may_be_set_aside(file):
                raise StoreError(
                    f"{file} is not a history of llmtui; it was left as it is. Name another file with --store"
                ) from None
            aside = place.set_aside(file)
            notes.append(f"the history {file} was damaged: it was set aside as {aside.name}, and a new one was begun")
            place.make(file)
            connection, steps = _connect(file, wait_s, notes)
    return Store(connection, file, steps), notes


def _connect(file: Path, wait_s: float, notes: list[str]) -> tuple[sqlite3.Connection, bounds.Steps]:
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(file, timeout=wait_s, isolation_level=None, check_same_thread=False)
        steps = bounds.Steps(connection)
        bounds.limit(connection)
        _refuse_what_is_not_ours(connection, file)
        # Only now: a file that is not a history stays as it is.
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            with contextlib.suppress(OSError):
                place.tighten(file.with_name(name))
        connection.execute("PRAGMA foreign_keys = ON")
        # One fsync per commit: an iteration survives a power cut. Measured: 0.2 ms, once per iteration.
        connection.execute("PRAGMA synchronous = FULL")
        _check(connection, file, steps)
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
    except UnicodeDecodeError as error:
        # Python's, of what SQLite said: it names a table whose name is not UTF-8.
        if connection is not None:
            connection.close()
        raise not_as_made(file) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection, steps


def _refuse_what_is_not_ours(connection: sqlite3.Connection, file: Path) -> None:
    if not schema.ours(connection):
        raise StoreError(f"{file} is a database of another program; name another file with --store")
    found = schema.version(connection)
    if found > len(schema.STEPS):
        raise StoreError(
            f"the history {file} was written by a newer llmtui (schema {found}, this one knows {len(schema.STEPS)}); "
            "update llmtui, or name another file with --store"
        )
    if found < 0 or not schema.as_made(connection):
        raise not_as_made(file)


def _check(connection: sqlite3.Connection, file: Path, steps: bounds.Steps) -> None:
    """Raise DamagedError where pages contradict each other. Ends after `CHECK_S`."""
    until = time.monotonic() + CHECK_S
    late = threading.Event()

    def end() -> None:
        late.set()
        connection.interrupt()

    # SQLite walks through all pages in one step, which only an interrupt from outside ends.
    timer = threading.Timer(max(0.0, CHECK_S), end)
    timer.daemon = True
    timer.start()
    steps.until = lambda: time.monotonic() > until
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            return
        raise
    finally:
        steps.until = None
        steps.begin()
        timer.cancel()
        # Once it is through it interrupts nothing that comes later.
        timer.join()
    # What an interrupted walk did not reach looks like damage.
    if found != "ok" and not late.is_set() and not _OF_A_VALUE.match(found):
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
