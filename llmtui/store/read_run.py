"""Reads a whole run. Raises ValueError if any value is invalid."""

from __future__ import annotations

import sqlite3

from llmtui.store.limits import rows
from llmtui.store.rows import (
    COLUMNS,
    StoredRun,
    iteration_of,
    machine_of,
    names_of,
    plan_of,
    planned_states,
    run_of,
    state_of,
)
from llmtui.store.turn_rows import turn_of

MOST_ARRIVALS = 500_000
ARRIVALS_PER_TOKEN = 4


def read_run(connection: sqlite3.Connection, row: sqlite3.Row) -> StoredRun:
    """Read the run in `row` of the table `runs`, with its states and iterations."""
    run, plan = run_of(row), plan_of(row)
    names = frozenset(names_of(plan))
    states = [state_of(r, names) for r in rows(connection, "SELECT * FROM backends WHERE run = ?", (run.run,))]
    # The engine cuts off an answer with far more arrivals than requested tokens. The limit is higher than that of the
    # engine, because 0.1.0 only counted bytes.
    most = max(MOST_ARRIVALS, ARRIVALS_PER_TOKEN * plan.config.max_tokens)
    statement = f"SELECT {', '.join(COLUMNS)} FROM iterations WHERE run = ? ORDER BY seq"
    iterations = [iteration_of(r, run.run, names, most) for r in rows(connection, statement, (run.run,))]
    statement = "SELECT turn, record FROM turns WHERE run = ? ORDER BY turn"
    turns = [turn_of(r, run.run, names) for r in rows(connection, statement, (run.run,))]
    newest: dict[str, int] = {}
    for backend, attempt in [*((i.backend, i.attempt) for i in iterations), *((t.backend, t.attempt) for t in turns)]:
        newest[backend] = max(attempt, newest.get(backend, 1))
    return StoredRun(
        plan=plan,
        machine=machine_of(row),
        state=run.state,
        label=run.label,
        note=run.note,
        llmtui=run.llmtui,
        states=planned_states(plan, states, newest),
        iterations=iterations,
        turns=turns,
        ended_utc=row["ended_utc"],
    )
