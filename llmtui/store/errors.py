"""The errors of the history, and the message for each of SQLite's error codes and of the system's."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from llmtui import exit_codes
from llmtui.model.errors import CommandError
from llmtui.text import sanitize

MAX_MESSAGE = 2000
_MAX_REASON = 200


class StoreError(CommandError):
    """The history cannot be read or written. The message says what happened and what to do next.

    Whatever was saved before is still there, and a run can continue without a history. The message is one sanitized
    line of at most `MAX_MESSAGE` characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__(sanitize(message, MAX_MESSAGE))


class NoRunError(StoreError):
    """The command names a run that is not in the history, or that it cannot be used for: wrong usage."""

    exit_code = exit_codes.USAGE


class SeveralRunsError(NoRunError):
    """A label names several runs, and the command takes one."""


class DamagedError(StoreError):
    """The file is a damaged database, or no database."""


class LockedError(StoreError):
    """Another process has locked the file for longer than the timeout."""


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, or 0 if Python's sqlite3 module raised the error itself."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


def store_error(error: sqlite3.Error | MemoryError, path: Path) -> StoreError:
    """Translate an error of SQLite about the history at `path`. Python raises MemoryError for SQLITE_NOMEM."""
    if isinstance(error, MemoryError):
        return StoreError(
            f"reading the history {path} takes too much memory: it may be damaged, or crafted; use another file with "
            "--store"
        )
    code, reason = primary_code(error), sanitize(str(error), _MAX_REASON)
    if code == sqlite3.SQLITE_CORRUPT and "malformed database schema" in reason:
        return unexpected_tables(path)
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoreError(
            f"reading the history {path} takes too long: it may be damaged, or crafted to be slow; use another file "
            "with --store"
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreError(f"the history {path} contains a value that is too long; use another file with --store")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(
            f"the history {path} is damaged; llmtui will rename it and start a new one when it next opens it; or use "
            "another file with --store"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LockedError(
            f"the history {path} is locked by another program; try again when that has ended, or use another file "
            "with --store"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreError(
            f"cannot write to the history {path}: the disk is full; earlier results are safe. Free some space, or use "
            "a file on another disk with --store"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreError(f"no permission to write to the history {path}; use another file with --store")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"cannot open the history {path}; use another file with --store")
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk of the history {path} failed or is full ({reason}); use a file on another disk with --store"
        )
    return StoreError(f"cannot use the history {path} ({reason}); use another file with --store")


def unexpected_tables(path: Path) -> StoreError:
    """The error for a database with tables, views, triggers or columns that llmtui does not create."""
    return StoreError(
        f"{path} does not have the tables that llmtui creates, so it was not changed; use another file with --store"
    )


def file_error(error: OSError, path: Path) -> StoreError:
    """Translate an error of the system about the file `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"cannot create the history {path}: the disk is full; use another file with --store")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError(f"no permission to write to the history {path}; use another file with --store")
    return StoreError(f"cannot use the history {path}: {error.strerror or error}; use another file with --store")


def invalid(error: ValueError, path: Path, run: str = "") -> StoreError:
    """Return the error for an invalid value in the history at `path`, in `run` if that is known."""
    what = f"run {run} of the history {path}" if run else f"the history {path}"
    remedy = "choose another run" if run else "use another file with --store"
    # A message of msgspec may quote a stored value of any length.
    return StoreError(
        f"{what} cannot be read: {sanitize(str(error), _MAX_REASON)}; it is damaged, or was written by another "
        f"program or a newer llmtui; {remedy}"
    )
