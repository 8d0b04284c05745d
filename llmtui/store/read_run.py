"""A whole run read, and what it still lacks. Reads only. Raises ValueError where something does not check."""

from __future__ import annotations

import sqlite3

from llmtui.model import Phase
from llmtui.store import validate as checked
from llmtui.store.limits import rows
from llmtui.store.queries import newest_attempts
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

_MAX_DIGEST = 1000
MOST_ARRIVALS = 500_000
ARRIVALS_PER_TOKEN = 4


def load(connection: sqlite3.Connection, row: sqlite3.Row) -> StoredRun:
    """All that is known of the run in `row` of the table `runs`."""
    found, plan = run_of(row), plan_of(row)
    names = frozenset(names_of(plan))
    stored, digests = [], {}
    for backend in rows(connection, "SELECT * FROM backends WHERE run = ? ORDER BY attempt", (found.run,)):
        stored.append(state_of(backend, names))
        if backend["model_digest"]:
            digests[stored[-1].name] = checked.text(backend["model_digest"], "the digest of a model", _MAX_DIGEST)
    made = rows(connection, f"SELECT {', '.join(COLUMNS)} FROM iterations WHERE run = ? ORDER BY seq", (found.run,))
    # The engine cuts off an answer that has far more arrivals than tokens were asked for. That of 0.1.0 counted bytes
    # alone, so there is room.
    most = max(MOST_ARRIVALS, ARRIVALS_PER_TOKEN * plan.config.max_tokens)
    iterations = [iteration_of(i, found.run, names, most) for i in made]
    ran: dict[str, int] = {}
    for iteration in iterations:
        ran[iteration.backend] = max(iteration.attempt, ran.get(iteration.backend, 1))
    states = planned_states(plan, stored, ran)
    current = {(s.name, s.attempt) for s in states}
    return StoredRun(
        plan=plan,
        machine=machine_of(row),
        state=found.state,
        ended_utc=found.ended_utc,
        label=found.label,
        note=found.note,
        llmtui=found.llmtui,
        states=states,
        earlier=[s for s in stored if (s.name, s.attempt) not in current],
        model_digests=digests,
        iterations=iterations,
    )


def missing_jobs(connection: sqlite3.Connection, row: sqlite3.Row) -> dict[str, list[tuple[Phase, int]]]:
    """What each backend's newest attempt still has to do: planned, and not there without an error. In order."""
    found, plan = run_of(row), plan_of(row)
    names = names_of(plan)
    newest = newest_attempts(connection, found.run, names)
    good = {
        (i["backend"], i["phase"], i["iteration"])
        for i in rows(
            connection,
            "SELECT backend, attempt, phase, iteration FROM iterations "
            "WHERE run = ? AND error_kind IS NULL AND latency_s IS NOT NULL",
            (found.run,),
        )
        if i["attempt"] == newest.get(i["backend"])
    }
    jobs: list[tuple[Phase, int]] = [("warmup", n) for n in range(1, plan.config.warmup + 1)]
    jobs += [("measured", n) for n in range(1, plan.config.iterations + 1)]
    return {name: [job for job in jobs if (name, *job) not in good] for name in names}
