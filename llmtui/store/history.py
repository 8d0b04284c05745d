"""The history itself: runs, their backends and their iterations, written and read. One SQLite file behind it.

Every call is one short transaction. A write costs one fsync (0.2 ms on the disk it was measured on; see
tests/bench/store.py) and waits for another writer no longer than `open_store` was told. Any thread may call, one at a
time. What is written is on the disk when the call returns; where a call raises, nothing of it is written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from llmtui.model import BackendState, Iteration, Machine, Plan, plan_secrets
from llmtui.store import limits as bounds
from llmtui.store import process_id as life
from llmtui.store import queries as listing
from llmtui.store import read_run as loading
from llmtui.store.errors import StoreError, in_words
from llmtui.store.rows import COLUMNS, MAX_LABEL, MAX_NOTE, Runs, RunWord, StoredRun, iteration_values
from llmtui.text import redact_data, sanitize

_MAX_REASON = 200
_KEY = ("run", "backend", "attempt", "phase", "iteration")
_SAVE = (
    f"INSERT INTO iterations ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{c}' for c in COLUMNS)}) "
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    f"{', '.join(f'{c} = excluded.{c}' for c in COLUMNS if c not in _KEY)} WHERE error_kind IS NOT NULL"
)


class Store:
    """An open history. Made by `open_store`; `path` is its file. Close it, or use it in a `with`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, steps: bounds.Steps) -> None:
        self.path = path
        self._steps = steps
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._secrets: dict[str, list[str]] = {}
        self._states: dict[tuple[str, str], bytes] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The last one to close it folds the log (`-wal`) into it."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def wait(self, wait_s: float) -> None:
        """From now on a call waits for this long when another process has the file locked, and then raises."""
        with self._lock:
            self._connection.execute(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")

    # --- What an engine writes. ---

    def begin(self, plan: Plan, machine: Machine) -> None:
        """Note that this process begins `plan` (with its secrets: they are left out here). Raises StoreError."""
        text = _json(plan.public(), [])
        with self._writing() as connection:
            taken = connection.execute("SELECT 1 FROM runs WHERE id = ?", (plan.run,)).fetchone()
            if taken is not None:
                raise StoreError(f"the history already has a run {plan.run}; start the run again to give it a new id")
            connection.execute(
                "INSERT INTO runs (id, created_utc, state, llmtui, engine_place, engine_pid, engine_started, machine, "
                "plan) VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?)",
                (plan.run, plan.created_utc, machine.llmtui, *_this_process(), _json(machine, []), text),
            )
        self._secrets[plan.run] = plan_secrets(plan)

    def reopen(self, plan: Plan) -> None:
        """Note that this process goes on with the run of `plan`, which has ended or died.

        Of the plan only the secrets are used, to keep them out of the file. Raises StoreError where another engine
        still carries the run out.
        """
        with self._writing() as connection:
            row = self._row(plan.run)
            if row["state"] == "running" and row["engine_pid"] != os.getpid() and not _engine_gone(row):
                raise StoreError(f"run {plan.run} is still going ({_process(row)}); attach to it instead")
            connection.execute(
                "UPDATE runs SET state = 'running', ended_utc = NULL, engine_place = ?, engine_pid = ?, "
                "engine_started = ? WHERE id = ?",
                (*_this_process(), plan.run),
            )
        self._secrets[plan.run] = plan_secrets(plan)

    def save_iteration(self, iteration: Iteration) -> None:
        """Write one iteration; it is on the disk when this returns. Raises StoreError.

        Saving it again changes nothing: of the same run, backend, attempt, phase and number the first good one stays,
        and a failed one gives way to the next.
        """
        values = iteration_values(iteration, self._secrets.get(iteration.run, []))
        with self._writing(iteration.run) as connection:
            connection.execute(_SAVE, values)

    def save_state(self, run: str, state: BackendState, model_digest: str = "") -> None:
        """Write what is known of a backend in its attempt. Costs nothing where only `doing` or `progress` changed.

        `model_digest` is that of the model file ("sha256:..."), where it is known; an empty one leaves what is there.
        """
        lasting = msgspec.structs.replace(state, doing="", progress=None, usual_load_s=None)
        secrets = self._secrets.get(run, [])
        text = _json(lasting, secrets)
        mark = f"{model_digest}\n{text}".encode()
        if self._states.get((run, state.name)) == mark:
            return
        with self._writing(run) as connection:
            connection.execute(
                "INSERT INTO backends (run, backend, attempt, model_digest, state) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (run, backend, attempt) DO UPDATE SET state = excluded.state, model_digest = "
                "CASE excluded.model_digest WHEN '' THEN model_digest ELSE excluded.model_digest END",
                (run, redact_data(state.name, secrets), state.attempt, model_digest, text),
            )
        self._states[run, state.name] = mark

    def finish(self, run: str, state: RunWord) -> None:
        """Note how the run ended ("done" or "stopped"), and that it did now. Raises StoreError."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._writing() as connection:
            self._row(run)
            connection.execute("UPDATE runs SET state = ?, ended_utc = ? WHERE id = ?", (state, now, run))

    # --- What people do with it. A run is named by its id, the beginning of it, or its label. ---

    def runs(self, limit: int = 20) -> Runs:
        """The newest runs, newest first, with counts and medians of each backend's newest attempt.

        A run that cannot be read is left out, and counted in the result's `unread`. Raises StoreError where the file
        cannot be read at all.
        """
        with self._reading() as connection:
            return listing.runs(connection, limit)

    def usual_loads(self, plan: Plan) -> dict[str, float]:
        """How long the servers that `plan` launches took to load before (s): medians of the newest runs, by backend."""
        with self._reading() as connection:
            return listing.usual_loads(connection, plan)

    def find(self, name: str) -> str:
        """The id of the run that `name` means. Raises StoreError, which names the nearest, or all it may be."""
        with self._reading() as connection:
            return listing.find(connection, name)

    def load(self, name: str) -> StoredRun:
        """All that is known of a run. Reads everything: about 0.4 ms per 1,000 arrivals.

        Raises StoreError, also where anything of the run does not check.
        """
        with self._reading() as connection:
            run = listing.find(connection, name)
            with self._understanding(run):
                return loading.load(connection, self._row(run))

    def label(self, name: str, text: str) -> None:
        """Give a run a label of at most `MAX_LABEL` plain characters; an empty one takes it away."""
        self._describe(name, "label", sanitize(text, MAX_LABEL))

    def note(self, name: str, text: str) -> None:
        """Give a run a note of at most `MAX_NOTE` plain characters on one line; an empty one takes it away."""
        self._describe(name, "note", sanitize(text, MAX_NOTE))

    def mark_dead(self) -> list[str]:
        """Note as "died" the runs whose engine is gone; returns their ids. A run on another machine is left alone."""
        with self._reading() as connection:
            going = list(
                bounds.rows(
                    connection,
                    "SELECT id, engine_place, engine_pid, engine_started FROM runs WHERE state = 'running' "
                    "ORDER BY seq LIMIT ?",
                    (listing.MAX_RUNS,),
                )
            )
        # A row that does not check is left as it is; the listing says that it cannot be read.
        dead = [row for row in going if _is_text(row["engine_started"]) and _is_text(row["id"]) and _engine_gone(row)]
        if not dead:
            return []
        with self._writing() as connection:
            for row in dead:
                # Unless another engine took it up just now.
                connection.execute(
                    "UPDATE runs SET state = 'died', "
                    "ended_utc = (SELECT max(started_utc) FROM iterations WHERE run = id) "
                    "WHERE id = ? AND state = 'running' AND engine_pid = ? AND engine_started = ?",
                    (row["id"], row["engine_pid"], row["engine_started"]),
                )
        return [row["id"] for row in dead]

    # --- Inside. ---

    def _describe(self, name: str, column: str, text: str) -> None:
        with self._writing() as connection:
            run = listing.find(connection, name)
            connection.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (text, run))

    def _row(self, run: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._connection.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise StoreError(f"the history has no run {run}")
        return row

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._transaction("BEGIN") as connection, self._understanding():
            yield connection

    @contextlib.contextmanager
    def _understanding(self, run: str = "") -> Iterator[None]:
        """What does not check is told in words."""
        try:
            yield
        except ValueError as error:
            # Also msgspec's. Its words may repeat what was stored, at any length.
            what = f"run {run} of the history {self.path}" if run else f"the history {self.path}"
            remedy = "name another run" if run else "name another file with --store"
            raise StoreError(
                f"{what} cannot be read: {sanitize(str(error), _MAX_REASON)}; it is damaged, or another program or a "
                f"newer llmtui wrote it; {remedy}"
            ) from error

    @contextlib.contextmanager
    def _writing(self, run: str = "") -> Iterator[sqlite3.Connection]:
        try:
            with self._transaction("BEGIN IMMEDIATE") as connection, self._understanding():
                yield connection
        except sqlite3.IntegrityError as error:
            raise StoreError(f"the history has no run {run}; it may have been deleted") from error

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._steps.begin()
            try:
                self._connection.execute(begin)
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                # A full disk may have ended the transaction already.
                with contextlib.suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                    raise in_words(error, self.path) from error
                raise


def _is_text(value: object) -> bool:
    """Whether this is a text that can be written to a history."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _engine_gone(row: sqlite3.Row) -> bool:
    return life.gone(row["engine_place"], row["engine_pid"], row["engine_started"])


def _process(row: sqlite3.Row) -> str:
    pid = row["engine_pid"]
    return f"process {pid}" if isinstance(pid, int) else "of an unknown process"


def _this_process() -> tuple[str, int, str]:
    return life.here(), os.getpid(), life.started(os.getpid())


def _json(value: Any, secrets: list[str]) -> str:
    return msgspec.json.encode(redact_data(msgspec.to_builtins(value), secrets)).decode()
