"""What can go wrong with the history, in words. SQLite's codes are understood here and nowhere else."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from llmtui.exit_codes import CommandError
from llmtui.text import sanitize

MAX_MESSAGE = 2000
_MAX_REASON = 200


class StoreError(CommandError):
    """The history cannot be read or written; the message is a plain sentence with what to do next.

    Nothing that was saved before is lost by it, and the run can go on without a history. The message is one line of
    plain text of at most `MAX_MESSAGE` characters, whatever a file holds that it tells of.
    """

    def __init__(self, message: str) -> None:
        super().__init__(sanitize(message, MAX_MESSAGE))


class DamagedError(StoreError):
    """The file is not a database, or a damaged one."""


class LockedError(StoreError):
    """Another process kept the file locked for longer than we wait."""


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 where the error did not come out of the library."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


def in_words(error: sqlite3.Error, path: Path) -> StoreError:
    """The sentence for an error of SQLite about the history at `path`."""
    code, reason = primary_code(error), sanitize(str(error), _MAX_REASON)
    if code == sqlite3.SQLITE_CORRUPT and "malformed database schema" in reason:
        return not_as_made(path)
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoreError(
            f"the history {path} takes too long to read: it is damaged, or made to be so; name another file with "
            "--store"
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreError(f"the history {path} holds a value that is too long; name another file with --store")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(
            f"the history {path} is damaged; llmtui sets it aside when it opens it next, or name another with --store"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LockedError(
            f"the history {path} is locked by another program; wait until that has ended, or name another file "
            "with --store"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreError(
            f"there is no room for the history {path}: the disk is full; what was saved before is kept. Make room, "
            "or name a file on another disk with --store"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreError(f"the history {path} may not be written to; name another file with --store")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"the history {path} cannot be opened; name another file with --store")
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk failed, or is full, under the history {path} ({reason}); name a file on another disk with "
            "--store"
        )
    return StoreError(f"the history {path} cannot be used ({reason}); name another file with --store")


def not_as_made(path: Path) -> StoreError:
    """The sentence for a database with tables, views, triggers or columns that llmtui does not make."""
    return StoreError(
        f"the tables of {path} are not as llmtui makes them; it was left as it is. Name another file with --store"
    )


def os_words(error: OSError, path: Path) -> StoreError:
    """The sentence for an error of the file system about `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"there is no room for the history {path}: the disk is full. Name another file with --store")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError(f"the history {path} may not be written to; name another file with --store")
    return StoreError(f"the history {path} cannot be used: {error.strerror or error}. Name another file with --store")
