"""A whole run read, and what it still lacks. Reads only. Raises ValueError where something does not check."""

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

MOST_ARRIVALS = 500_000
ARRIVALS_PER_TOKEN = 4


def load(connection: sqlite3.Connection, row: sqlite3.Row) -> StoredRun:
    """All that is known of the run in `row` of the table `runs`."""
    found, plan = run_of(row), plan_of(row)
    names = frozenset(names_of(plan))
    states = [
        state_of(backend, names) for backend in rows(connection, "SELECT * FROM backends WHERE run = ?", (found.run,))
    ]
    made = rows(connection, f"SELECT {', '.join(COLUMNS)} FROM iterations WHERE run = ? ORDER BY seq", (found.run,))
    # The engine cuts off an answer that has far more arrivals than tokens were asked for. That of 0.1.0 counted bytes
    # alone, so there is room.
    most = max(MOST_ARRIVALS, ARRIVALS_PER_TOKEN * plan.config.max_tokens)
    iterations = [iteration_of(i, found.run, names, most) for i in made]
    ran: dict[str, int] = {}
    for iteration in iterations:
        ran[iteration.backend] = max(iteration.attempt, ran.get(iteration.backend, 1))
    return StoredRun(
        plan=plan,
        machine=machine_of(row),
        state=found.state,
        label=found.label,
        note=found.note,
        llmtui=found.llmtui,
        states=planned_states(plan, states, ran),
        iterations=iterations,
    )
