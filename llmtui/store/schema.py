"""The schema of the history and its upgrades. `PRAGMA user_version` is the schema's version.

    runs        one row per run: plan (JSON, no secrets), machine (JSON), label, note, state, and the engine's process
    backends    one row per backend and attempt: its last state (JSON), and the digest of its model file
    iterations  one row per iteration: numbers as columns (durations in s), `more` (JSON) for fields without a column,
                text, and arrivals packed by llmtui.store.packing; large values come last, so that numbers read fast
    turns       one row per turn of a load: its record (JSON), and apart from it the buckets of its durations (JSON)
    requests    one row per chunk of a turn's requests, packed by llmtui.store.chunks: about 300 bytes a request

To change the schema, append a step to `STEPS`; a released step is never edited.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator

#: "llmt": marks a history, so that the database of another program is never written to.
APPLICATION_ID = 0x6C6C6D74

Step = Callable[[sqlite3.Connection], None]

_VERSION_1 = (
    """CREATE TABLE runs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created_utc TEXT NOT NULL,
        ended_utc TEXT,
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped', 'died')),
        label TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        llmtui TEXT NOT NULL,
        engine_place TEXT NOT NULL,
        engine_pid INTEGER NOT NULL,
        engine_started TEXT NOT NULL,
        machine TEXT NOT NULL,
        plan TEXT NOT NULL
    )""",
    """CREATE TABLE backends (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        model_digest TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        PRIMARY KEY (run, backend, attempt)
    ) WITHOUT ROWID""",
    """CREATE TABLE iterations (
        seq INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        phase TEXT NOT NULL,
        iteration INTEGER NOT NULL,
        started_utc TEXT NOT NULL,
        latency_s REAL, ttft_s REAL, ttfo_s REAL, itl_s REAL, tpot_s REAL, tokens_per_s REAL,
        output_tokens INTEGER, prompt_tokens INTEGER, cached_tokens INTEGER,
        token_source TEXT, finish_reason TEXT,
        connect_s REAL, server_prefill_s REAL, server_decode_s REAL, server_load_s REAL,
        foreign_cpu REAL, stamp TEXT,
        error_kind TEXT, error_message TEXT, error_hint TEXT,
        more TEXT,
        text TEXT NOT NULL,
        arrivals_ns BLOB NOT NULL,
        arrival_tokens BLOB NOT NULL,
        UNIQUE (run, backend, attempt, phase, iteration)
    )""",
)


_VERSION_2 = (
    """CREATE TABLE turns (
        seq INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        turn INTEGER NOT NULL,
        level INTEGER NOT NULL,
        started_utc TEXT NOT NULL,
        record TEXT NOT NULL,
        buckets TEXT NOT NULL,
        UNIQUE (run, turn)
    )""",
    """CREATE TABLE requests (
        seq INTEGER PRIMARY KEY,
        turn INTEGER NOT NULL REFERENCES turns (seq) ON DELETE CASCADE,
        count INTEGER NOT NULL,
        packed BLOB NOT NULL
    )""",
    "CREATE INDEX requests_of_turn ON requests (turn)",
)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _VERSION_1:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _add_turns(connection: sqlite3.Connection) -> None:
    for statement in _VERSION_2:
        connection.execute(statement)


#: Step n upgrades a file from version n to version n + 1.
STEPS: list[Step] = [_create, _add_turns]


def version(connection: sqlite3.Connection) -> int:
    """The schema's version in this file; 0 for a new one."""
    return _number(connection, "user_version")


def is_history(connection: sqlite3.Connection) -> bool:
    """Whether this is a history or an empty file."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return not tables or _number(connection, "application_id") == APPLICATION_ID


#: Tables of `ANALYZE`. Only SQLite itself can create tables with these names.
_STATISTICS = frozenset(
    {
        ("table", "sqlite_stat1", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
        ("table", "sqlite_stat4", "sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
    }
)


def as_made(connection: sqlite3.Connection) -> bool:
    """Whether the file has exactly the tables and indexes of its version: no view, no trigger, no further column.

    Reads only the schema table.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for number in range(version(connection)):
            STEPS[number](fresh)
            fresh.execute(f"PRAGMA user_version = {number + 1}")
        wanted = Counter(_schema_rows(fresh))
    for row in _schema_rows(connection):
        if row in _STATISTICS:
            continue
        if not wanted[row]:
            return False
        wanted[row] -= 1
    return not any(wanted.values())


def _schema_rows(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    for kind, name, table, sql in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"):
        # Only white space may differ: dumping and restoring a file can change it.
        yield kind, name, table, " ".join(sql.split()) if isinstance(sql, str) else sql


def upgrade(connection: sqlite3.Connection) -> None:
    """Run the missing steps. Must be called inside a transaction, so that all of them happen or none."""
    for number in range(version(connection), len(STEPS)):
        STEPS[number](connection)
        connection.execute(f"PRAGMA user_version = {number + 1}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)
