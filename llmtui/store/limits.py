"""Limits on what SQLite reads from a history: steps per transaction, bytes, and the length of a value.

A crafted history could otherwise take forever to read, or return far more data than its file contains.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

#: The most steps of SQLite's virtual machine per transaction. Loading 200,000 iterations takes 16 million.
MAX_STEPS = 300_000_000
EVERY_STEPS = 10_000
#: The longest value or row. The longest that llmtui writes are the arrivals of one answer, some MB.
MAX_VALUE_BYTES = 64 * 1024 * 1024
MAX_SQL_BYTES = 1_000_000
#: The least that a row takes in the file.
_ROW_BYTES = 8

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_SQL_BYTES,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


class Steps:
    """Counts the steps of a connection, and interrupts a transaction that takes more than `MAX_STEPS`.

    A statement is interrupted as well when `until` returns true.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.until: Callable[[], bool] | None = None
        self._left = 0
        self.begin()
        connection.set_progress_handler(self._tick, EVERY_STEPS)

    def begin(self) -> None:
        """Start counting: a transaction begins."""
        self._left = MAX_STEPS // EVERY_STEPS

    def _tick(self) -> bool:
        self._left -= 1
        return self._left < 0 or (self.until is not None and self.until())


def limit(connection: sqlite3.Connection) -> None:
    """Disable what a crafted file could use against us. Must be called before the first statement."""
    for which, most in _LIMITS.items():
        connection.setlimit(which, most)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, False)
    # Invalid UTF-8 is left to our own checks: as an exception here it would end a whole listing.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    # The file's schema must not call functions, and its pages are checked before use.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def rows(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> Iterator[sqlite3.Row]:
    """Yield the rows of `statement`. Raises ValueError once they are larger than the database file."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    left = pages * page_bytes
    for row in connection.execute(statement, values):
        left -= _ROW_BYTES + sum(len(value) for value in row if isinstance(value, str | bytes))
        if left < 0:
            # A page that is referenced twice can make a small file return endless rows.
            raise ValueError("it contains more than fits into its file")
        yield row
