"""Writes runs that have ended in one transaction: all of them, or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from llmtui.model import BackendState, Iteration, Machine, Plan, Turn
from llmtui.model.errors import UsageError
from llmtui.store import engines, run_names, turns
from llmtui.store.history import Store
from llmtui.store.read_run import read_run
from llmtui.store.rows import COLUMNS, iteration_values
from llmtui.store.turn_rows import chunks_of
from llmtui.text import sanitize
from llmtui.text.times import now_text

_ITERATION = f"INSERT INTO iterations ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"


class WholeRun(NamedTuple):
    """A run that is done. Each turn comes with its requests. Nothing in it is secret."""

    plan: Plan
    states: Sequence[BackendState]
    iterations: Sequence[Iteration] = ()
    turns: Sequence[tuple[Turn, Sequence[Iteration]]] = ()

    @property
    def ended_utc(self) -> str:
        """When its last iteration or turn began."""
        starts = [iteration.started_utc for iteration in self.iterations]
        return max([self.plan.created_utc, *starts, *(turn.started_utc for turn, _ in self.turns)])


def write_whole_runs(store: Store, runs: Iterable[WholeRun], *, llmtui: str, label: str = "") -> None:
    """Write imported runs with a label, of an unknown machine and as imported now. `llmtui` is the version that does.

    Raises StoreError, and UsageError if the label is reserved, or if a run could not be read again, as a figure is out
    of its range; then nothing is written.
    """
    label, now = run_names.label_of(label), now_text()
    with store._writing() as connection:  # no other module of this package has a transaction of several runs
        for run in runs:
            try:
                _write(connection, run, llmtui, label, now)
                row = connection.execute("SELECT * FROM runs WHERE id = ?", (run.plan.run,)).fetchone()
                # A figure of an iteration that is out of its range is not stored.
                read_run(connection, row, all_iterations=False)
            except (ValueError, OverflowError) as error:
                files = ", ".join(run.plan.imported.files) if run.plan.imported is not None else run.plan.run
                raise UsageError(sanitize(f"{files}: cannot be stored: {error}", 600)) from None


def _write(connection: sqlite3.Connection, run: WholeRun, llmtui: str, label: str, now: str) -> None:
    plan = run.plan
    if plan.imported is not None:
        plan = msgspec.structs.replace(plan, imported=msgspec.structs.replace(plan.imported, imported_utc=now))
    connection.execute(
        "INSERT INTO runs (id, created_utc, ended_utc, state, llmtui, engine_place, engine_pid, engine_started, "
        "machine, plan, label) VALUES (?, ?, ?, 'done', ?, ?, ?, ?, ?, ?, ?)",
        (
            plan.run,
            plan.created_utc,
            run.ended_utc,
            llmtui,
            *engines.this_process(),
            msgspec.json.encode(Machine()).decode(),
            msgspec.json.encode(plan.public()).decode(),
            label,
        ),
    )
    connection.executemany(
        "INSERT INTO backends (run, backend, attempt, model_digest, state) VALUES (?, ?, ?, '', ?)",
        ((plan.run, state.name, state.attempt, msgspec.json.encode(state).decode()) for state in run.states),
    )
    connection.executemany(_ITERATION, (iteration_values(iteration) for iteration in run.iterations))
    for turn, requests in run.turns:
        turns.write_turn(connection, turn)
        packed = ((count, data) for count, data in chunks_of(requests))
        turns.write_chunks(connection, (turns.Chunk(turn.run, turn.seq, count, data) for count, data in packed))
