"""How much of a history SQLite reads: the length of a value, steps per transaction, bytes. A history may be built to
take for ever, or to unfold into far more than its file holds.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

#: A transaction takes no more steps of SQLite's machine. Measured: to load 200,000 iterations takes 16 million.
MAX_STEPS = 300_000_000
EVERY_STEPS = 10_000
#: No value and no row is longer. The longest that llmtui writes are the arrivals of one answer, some MB.
MAX_VALUE_BYTES = 64 * 1024 * 1024
MAX_SQL_BYTES = 1_000_000
#: A row takes at least so much of the file.
_ROW_BYTES = 8

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_SQL_BYTES,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


class Steps:
    """Counts the steps of a connection, and interrupts it when a transaction takes more than `MAX_STEPS`.

    `until` may be set to end a statement for another reason.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.until: Callable[[], bool] | None = None
        self._left = 0
        self.begin()
        connection.set_progress_handler(self._tick, EVERY_STEPS)

    def begin(self) -> None:
        """A transaction begins: count from zero."""
        self._left = MAX_STEPS // EVERY_STEPS

    def _tick(self) -> bool:
        self._left -= 1
        return self._left < 0 or (self.until is not None and self.until())


def limit(connection: sqlite3.Connection) -> None:
    """Take from the file of `connection` what it could do to us. To be called before any statement."""
    for which, most in _LIMITS.items():
        connection.setlimit(which, most)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, False)
    # What is not UTF-8 reaches our checks; otherwise one such text would end a whole listing.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    # The file may come from elsewhere: it gets to call no function, and its pages are looked at before use.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def rows(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> Iterator[sqlite3.Row]:
    """What `statement` finds, row by row. Raises ValueError once that is more than the whole database holds."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    left = pages * page_bytes
    for row in connection.execute(statement, values):
        left -= _ROW_BYTES + sum(len(value) for value in row if isinstance(value, str | bytes))
        if left < 0:
            # Pages that are used twice can make a small file look endless.
            raise ValueError("it holds more than fits into its file")
        yield row
