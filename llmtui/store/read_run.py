"""Reads a whole run. Raises ValueError if any value is invalid."""

from __future__ import annotations

import sqlite3

from llmtui.model import BackendState, Plan
from llmtui.store.limits import rows
from llmtui.store.rows import (
    COLUMNS,
    StoredRun,
    iteration_of,
    machine_of,
    names_of,
    plan_of,
    run_of,
    state_of,
)
from llmtui.store.turn_rows import turn_of
from llmtui.store.turns import cut_short

MOST_ARRIVALS = 500_000
ARRIVALS_PER_TOKEN = 4
#: How many iterations are "the first of them".
_SOME = 1_000


def read_run(connection: sqlite3.Connection, row: sqlite3.Row, *, all_iterations: bool = True) -> StoredRun:
    """Read the run in `row` of the table `runs`, with its states and turns, and its iterations or the first of them."""
    run, plan = run_of(row), plan_of(row)
    names = frozenset(names_of(plan))
    states = [state_of(r, names) for r in rows(connection, "SELECT * FROM backends WHERE run = ?", (run.run,))]
    # The engine cuts off an answer with far more arrivals than requested tokens. The limit is higher than that of the
    # engine, because 0.1.0 only counted bytes.
    most = max(MOST_ARRIVALS, ARRIVALS_PER_TOKEN * plan.config.max_tokens)
    limit = "" if all_iterations else f" LIMIT {_SOME}"
    statement = f"SELECT {', '.join(COLUMNS)} FROM iterations WHERE run = ? ORDER BY seq{limit}"
    iterations = [iteration_of(r, run.run, names, most) for r in rows(connection, statement, (run.run,))]
    statement = "SELECT * FROM turns WHERE run = ? ORDER BY turn"
    turns = [turn_of(r, run.run, names, len(plan.levels)) for r in rows(connection, statement, (run.run,))]
    if run.state != "running":
        # The engine died in the middle of a turn.
        turns = [cut_short(connection, turn) if turn.state == "running" else turn for turn in turns]
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
        states=_planned_states(plan, states, newest),
        iterations=iterations,
        turns=turns,
        ended_utc=row["ended_utc"],
    )


def _planned_states(plan: Plan, stored: list[BackendState], attempts: dict[str, int]) -> list[BackendState]:
    """Return the newest state of each enabled backend, in the order of the plan.

    `attempts` has the newest attempt with iterations. A backend without a stored state of that attempt is waiting.
    """
    newest = {s.name: s for s in sorted(stored, key=lambda s: s.attempt)}
    states = []
    for name in names_of(plan):
        state = newest.get(name)
        attempt = attempts.get(name, 1)
        if state is None or state.attempt < attempt:
            state = BackendState(name=name, attempt=attempt, planned=plan.config.iterations)
        states.append(state)
    return states
