"""`Store`, an open history: writes and reads runs, their backends and their iterations.

Every call is one short transaction. A write costs one fsync (0.2 ms in tests/bench/store.py), and is on disk when the
call returns. A call that raises has written nothing. Methods may be called from any thread; a lock serializes them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmtui.model import BackendState, Iteration, Machine, PairSpread, Plan, Turn, redacted, redactor
from llmtui.model.request_columns import RequestColumns
from llmtui.store import engines, limits, queries, read_run, run_names, spreads, turns
from llmtui.store.errors import NoRunError, StoreError, invalid, store_error
from llmtui.store.listing import RunRow, Runs, RunWord
from llmtui.store.rows import COLUMNS, MAX_NOTE, StoredRun, iteration_values, run_of
from llmtui.store.run_filter import RunFilter
from llmtui.text import Redactor, sanitize
from llmtui.text.times import now_text

_NO_SECRETS = Redactor(())
_KEY = ("run", "backend", "attempt", "phase", "iteration")
#: Requests of a turn, some hundred at a time.
Requests = Iterator[list[Iteration]]
_SAVE = (
    f"INSERT INTO iterations ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{c}' for c in COLUMNS)}) "
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    f"{', '.join(f'{c} = excluded.{c}' for c in COLUMNS if c not in _KEY)} WHERE error_kind IS NOT NULL"
)


class Store:
    """An open history, returned by `open_store`. `path` is its file. Close it, or use it in a `with` statement."""

    def __init__(self, connection: sqlite3.Connection, path: Path, steps: limits.Steps) -> None:
        self.path = path
        self._steps = steps
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._redactors: dict[str, Redactor] = {}
        self._states: dict[tuple[str, str], bytes] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The last process to close it merges the log (`-wal`) into it."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def wait(self, wait_s: float) -> None:
        """Set how long a call waits for a lock of another process before it raises LockedError (s)."""
        with self._lock:
            self._connection.execute(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")

    # --- Written by engines. ---

    def begin(self, plan: Plan, machine: Machine, label: str = "") -> None:
        """Record that this process starts `plan`, without secrets. Raises StoreError, and UsageError for the label."""
        text, label = _json(plan.public()), run_names.label_of(label)
        with self._writing() as connection:
            taken = connection.execute("SELECT 1 FROM runs WHERE id = ?", (plan.run,)).fetchone()
            if taken is not None:
                raise StoreError(f"the history already has a run {plan.run}; start again to get a new id")
            connection.execute(
                "INSERT INTO runs (id, created_utc, state, llmtui, engine_place, engine_pid, engine_started, machine, "
                "plan, label) VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)",
                (plan.run, plan.created_utc, machine.llmtui, *engines.this_process(), _json(machine), text, label),
            )
        self._redactors[plan.run] = redactor(plan)

    def reopen(self, plan: Plan) -> None:
        """Record that this process continues the run of `plan`, which has ended or died.

        Of the plan only the secrets are used, to redact them. Raises StoreError if another engine is still running it.
        """
        with self._writing() as connection:
            row = self._row(plan.run)
            if row["state"] == "running" and row["engine_pid"] != os.getpid() and not engines.gone(row):
                raise StoreError(engines.running_words(row))
            connection.execute(
                "UPDATE runs SET state = 'running', ended_utc = NULL, engine_place = ?, engine_pid = ?, "
                "engine_started = ? WHERE id = ?",
                (*engines.this_process(), plan.run),
            )
        self._redactors[plan.run] = redactor(plan)

    def save_iteration(self, iteration: Iteration) -> None:
        """Write one iteration. Raises StoreError.

        A failed iteration is replaced by a later one of the same run, backend, attempt, phase and number. A successful
        one is never replaced.
        """
        values = iteration_values(redacted(iteration, self._redactor(iteration.run)))
        with self._writing(iteration.run) as connection:
            connection.execute(_SAVE, values)

    def save_turns(self, run: str, of: Iterable[Turn], chunks: Iterable[turns.Chunk]) -> None:
        """Write turns of a run, or replace them, and then requests, in one transaction. Raises StoreError."""
        redact = self._redactor(run)
        with self._writing(run) as connection:
            for turn in of:
                turns.write_turn(connection, redacted(turn, redact))
            turns.write_chunks(connection, chunks)

    def request_chunks(self, turn: Turn) -> list[tuple[int, int]]:
        """Return the chunks of the requests of a turn, each with its number of requests. Raises StoreError."""
        with self._reading() as connection, self._checked(turn.run):
            return turns.chunks(connection, turn)

    def requests(
        self, turn: Turn, among: Iterable[int] | None = None, *, figures: bool = False, only: int | None = None
    ) -> Requests:
        """Yield the requests of a turn, a chunk at a time, in the order in which they ended. Raises StoreError.

        `among` are the chunks, by default all. `figures`: without texts and arrivals. `only`: this place of each chunk.
        """
        for chunk in among if among is not None else [chunk for chunk, _ in self.request_chunks(turn)]:
            with self._reading() as connection, self._checked(turn.run):
                samples = turns.read_chunk(connection, turn, chunk, figures=figures, only=only)
            yield samples

    def request_columns(self, turn: Turn, among: Iterable[int]) -> Iterator[RequestColumns]:
        """Yield the light figures of the requests of a turn, a chunk `among` these at a time. Raises StoreError."""
        for chunk in among:
            with self._reading() as connection, self._checked(turn.run):
                columns = turns.read_columns(connection, turn, chunk)
            yield from columns

    def save_state(self, run: str, state: BackendState, model_digest: str = "") -> None:
        """Write the state of a backend's attempt. Does nothing if only `doing` or `progress` changed.

        `model_digest` is that of the model file ("sha256:..."); "" keeps the stored one.
        """
        lasting = msgspec.structs.replace(state, doing="", progress=None, usual_load_s=None)
        text = _json(redacted(lasting, self._redactor(run)))
        mark = f"{model_digest}\n{text}".encode()
        if self._states.get((run, state.name)) == mark:
            return
        with self._writing(run) as connection:
            connection.execute(
                "INSERT INTO backends (run, backend, attempt, model_digest, state) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (run, backend, attempt) DO UPDATE SET state = excluded.state, model_digest = "
                "CASE excluded.model_digest WHEN '' THEN model_digest ELSE excluded.model_digest END",
                (run, state.name, state.attempt, model_digest, text),
            )
        self._states[run, state.name] = mark

    def finish(self, run: str, state: RunWord) -> None:
        """Record that the run has ended now, as "done" or "stopped". Raises StoreError."""
        now = now_text()
        with self._writing() as connection:
            self._row(run)
            connection.execute("UPDATE runs SET state = ?, ended_utc = ? WHERE id = ?", (state, now, run))

    # --- Used by commands. `name` is any that llmtui.store.run_names resolves. ---

    def runs(self, limit: int = 20, wanted: RunFilter | None = None) -> Runs:
        """Return the newest runs that match, newest first, with counts and medians of each backend's newest attempt.

        Runs that cannot be read are skipped, and counted in the result's `unread`. Raises StoreError if the file
        cannot be read.
        """
        with self._reading() as connection:
            return queries.runs(connection, limit, wanted)

    def plans(self, limit: int) -> list[tuple[RunRow, Plan]]:
        """Return the newest runs, newest first, without their backends' results, and their plans. Raises StoreError."""
        with self._reading() as connection:
            return queries.plans(connection, limit)

    def usual_loads(self, plan: Plan) -> dict[str, float]:
        """Return the usual load time (s) of each server that `plan` launches: the median of the newest runs."""
        with self._reading() as connection:
            return queries.usual_loads(connection, plan)

    def launch_spreads(self, plan: Plan, machine: Machine) -> list[PairSpread]:
        """Return how far launches of the backends of `plan` differed in earlier runs on this machine."""
        with self._reading() as connection:
            return spreads.launch_spreads(connection, plan, machine)

    def find(self, name: str) -> str:
        """Return the id of the run that `name` means. Raises StoreError with the closest match, or with all matches."""
        with self._reading() as connection:
            return run_names.find(connection, name)

    def state(self, name: str) -> RunWord:
        """Return the state of a run. Raises StoreError."""
        with self._reading() as connection:
            return run_of(self._row(run_names.find(connection, name))).state

    def load(self, name: str) -> StoredRun:
        """Read a whole run: about 0.4 ms per 1,000 arrivals. Raises StoreError, also if any value is invalid."""
        with self._reading() as connection:
            run = run_names.find(connection, name)
            with self._checked(run):
                return read_run.read_run(connection, self._row(run))

    def label(self, name: str, text: str) -> None:
        """Set the label of a run, as `run_names.label_of` returns it. An empty text removes it."""
        self._describe(name, "label", run_names.label_of(text))

    def note(self, name: str, text: str) -> None:
        """Set the note of a run, sanitized and cut to `MAX_NOTE` characters. An empty text removes it."""
        self._describe(name, "note", sanitize(text, MAX_NOTE))

    def running_words(self, run: str) -> str:
        """Why a run in the state "running" cannot be resumed, and what to do. Raises StoreError."""
        with self._reading():
            return engines.running_words(self._row(run))

    def mark_ended(self, run: str) -> None:
        """Mark a run as "died" whose engine, not visible here, has ended. Raises StoreError if it is seen to run."""
        with self._writing() as connection:
            engines.mark_ended(connection, self._row(run))

    def mark_dead(self) -> list[str]:
        """Mark running runs whose engine has ended as "died", and return their ids. Skips runs of other machines."""
        with self._reading() as connection:
            dead = engines.ended(connection)
        if dead:
            with self._writing() as connection:
                engines.mark_dead(connection, dead)
        return [row["id"] for row in dead]

    def _redactor(self, run: str) -> Redactor:
        return self._redactors.get(run, _NO_SECRETS)

    def _describe(self, name: str, column: str, text: str) -> None:
        with self._writing() as connection:
            run = run_names.find(connection, name)
            connection.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (text, run))

    def _row(self, run: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._connection.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise NoRunError(f"the history has no run {run}")
        return row

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._transaction("BEGIN") as connection, self._checked():
            yield connection

    @contextlib.contextmanager
    def _checked(self, run: str = "") -> Iterator[None]:
        """Translate a ValueError, which an invalid value raises, to StoreError."""
        try:
            yield
        except ValueError as error:
            raise invalid(error, self.path, run) from error

    @contextlib.contextmanager
    def _writing(self, run: str = "") -> Iterator[sqlite3.Connection]:
        try:
            with self._transaction("BEGIN IMMEDIATE") as connection, self._checked():
                yield connection
        except sqlite3.IntegrityError as error:
            raise NoRunError(f"the history has no run {run}; it may have been deleted") from error

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._steps.begin()
            try:
                self._connection.execute(begin)
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                # SQLite rolls back by itself when the disk is full.
                with contextlib.suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error | MemoryError) and not isinstance(error, sqlite3.IntegrityError):
                    raise store_error(error, self.path) from error
                raise


def _json(value: Any) -> str:
    return msgspec.json.encode(_NO_SECRETS.data(msgspec.to_builtins(value))).decode()
