"""Queries over all runs: the listing with its medians, and usual load times."""

from __future__ import annotations

import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec

from llmtui.model import Iteration, Level, Plan, State, Turn, is_load
from llmtui.stats.metrics import METRICS
from llmtui.store import validate
from llmtui.store.limits import rows
from llmtui.store.listing import BackendRow, RunRow, Runs
from llmtui.store.rows import (
    MAX_ATTEMPT,
    RANGES,
    names_of,
    plan_of,
    run_of,
    state_of,
)
from llmtui.store.run_filter import RunFilter
from llmtui.store.turn_rows import turn_of

#: The most runs in a listing.
MAX_RUNS = 10_000
#: The usual load time is the median of this many.
_LOADS = 5
#: They are searched in this many of the newest states.
_STATES = 1000


def runs(connection: sqlite3.Connection, limit: int, wanted: RunFilter | None = None) -> Runs:
    """Return the newest `limit` runs that match `wanted`, among `MAX_RUNS` at most, newest first.

    Unreadable ones are counted in `unread`.
    """
    listed = Runs()
    wanted = wanted or RunFilter()
    every = MAX_RUNS if wanted != RunFilter() else max(0, min(limit, MAX_RUNS))
    newest = connection.execute("SELECT seq FROM runs ORDER BY created_utc DESC, seq DESC LIMIT ?", (every,))
    for (number,) in newest.fetchall():
        if len(listed) >= limit:
            break
        try:
            # One query per run: an error in one does not affect the others.
            for row in rows(connection, "SELECT * FROM runs WHERE seq = ?", (number,)):
                listed += _listed(connection, row, wanted)
        except ValueError:
            # Includes msgspec's errors.
            listed.unread += 1
    return listed


def _listed(connection: sqlite3.Connection, row: sqlite3.Row, wanted: RunFilter) -> list[RunRow]:
    """The run in `row`, if it matches."""
    run, plan = run_of(row), plan_of(row)
    if not wanted.starts(run.created_utc, run.label):
        return []
    names = names_of(plan)
    newest = newest_attempts(connection, run.run, names)
    states = [state_of(r, names) for r in rows(connection, "SELECT * FROM backends WHERE run = ?", (run.run,))]
    phases = {(state.name, state.attempt): state.state for state in states}
    models = {backend.name: backend.model for backend in plan.backends}
    models |= {s.name: s.model for s in states if s.model and s.attempt == newest.get(s.name)}
    if not wanted.races(names, [models[name] for name in names]):
        return []
    if plan.levels:
        return [_load(connection, run, plan, newest, phases, models)]
    latencies: dict[str, list[float]] = defaultdict(list)
    loads: dict[str, int] = defaultdict(int)
    errors: dict[str, int] = defaultdict(int)
    for iteration in rows(
        connection,
        "SELECT backend, attempt, error_kind, latency_s, ttft_s, server_load_s FROM iterations "
        "WHERE phase = 'measured' AND run = ?",
        (run.run,),
    ):
        name = iteration["backend"]
        if iteration["attempt"] != newest.get(name):
            continue
        if iteration["error_kind"] is not None or iteration["latency_s"] is None:
            errors[name] += 1
            continue
        load_s, ttft_s, latency_s = (_duration(iteration, key) for key in ("server_load_s", "ttft_s", "latency_s"))
        if is_load(load_s, ttft_s, latency_s):
            loads[name] += 1
        elif latency_s is not None:
            latencies[name].append(latency_s)

    def backend(name: str) -> BackendRow:
        return BackendRow(
            name=name,
            attempt=newest.get(name, 1),
            state=phases.get((name, newest.get(name, 1)), "waiting"),
            measured=len(latencies[name]) + loads[name],
            errors=errors[name],
            latency_median_s=statistics.median(latencies[name]) if latencies[name] else None,
            model=models[name],
        )

    return [msgspec.structs.replace(run, backends=[backend(name) for name in names])]


def _load(
    connection: sqlite3.Connection,
    run: RunRow,
    plan: Plan,
    newest: dict[str, int],
    phases: dict[tuple[str, int], State],
    models: dict[str, str],
) -> RunRow:
    """The listing of a load: its turns at the level that counts."""
    level = plan.head_level
    assert level is not None
    names, metric = names_of(plan), METRICS[plan.config.metric]
    statement = "SELECT run, turn, level, started_utc, record FROM turns WHERE run = ? AND level = ?"
    turns = rows(connection, statement, (run.run, level.number))
    measured: dict[str, list[Iteration]] = defaultdict(list)
    for row in turns:
        turn = turn_of(row, run.run, names, len(plan.levels), buckets=False)
        if turn.phase == "measured" and turn.attempt == newest.get(turn.backend, 1) and _counts(turn):
            measured[turn.backend].append(turn.as_sample)

    def median(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def backend(name: str) -> BackendRow:
        good = [sample for sample in measured[name] if sample.ok]
        return BackendRow(
            name=name,
            attempt=newest.get(name, 1),
            state=phases.get((name, newest.get(name, 1)), "waiting"),
            measured=len(good),
            errors=len(measured[name]) - len(good),
            latency_median_s=median(sample.latency_s for sample in good),
            model=models[name],
            metric_median=median(metric.of(sample) for sample in good),
        )

    backends = [backend(name) for name in names]
    return msgspec.structs.replace(run, backends=backends, level=_level_of(plan, level), metric=metric.key)


def _counts(turn: Turn) -> bool:
    """Whether a turn is a sample or a failure of its server."""
    return turn.state != "running" and not turn.spoiled


def _level_of(plan: Plan, level: Level) -> str:
    """The level whose figures a listing shows; of a search the first one, which every backend has."""
    return f"{plan.load.search} search, {level.title}" if plan.load.search else level.title


def _duration(row: sqlite3.Row, key: str) -> float | None:
    """A duration in s. Raises ValueError if it is not one."""
    return validate.number(row[key], key, *RANGES[key]) if row[key] is not None else None


def plans(connection: sqlite3.Connection, limit: int) -> list[tuple[RunRow, Plan]]:
    """Return the newest `limit` runs, newest first, without counts and medians, and with their plans.

    Unreadable ones are skipped.
    """
    found = []
    newest = "SELECT * FROM runs ORDER BY created_utc DESC, seq DESC LIMIT ?"
    for row in rows(connection, newest, (max(0, min(limit, MAX_RUNS)),)):
        try:
            found.append((run_of(row), plan_of(row)))
        except ValueError:
            continue
    return found


def usual_loads(connection: sqlite3.Connection, plan: Plan) -> dict[str, float]:
    """Return the median load time (s) of each backend that `plan` launches, over its `_LOADS` newest runs.

    Only runs with the same command, server or engine, environment, weights, threads and model count. Unreadable ones
    are skipped.
    """
    usual: dict[str, float] = {}
    for backend in plan.backends:
        if not backend.launched:
            continue
        wanted, loads, seen = _load_settings(plan, backend.name), [], 0
        for row in rows(
            connection,
            "SELECT runs.id, runs.plan, backends.* FROM runs JOIN backends ON backends.run = runs.id "
            "AND backends.backend = ? AND instr(backends.state, '\"load_s\":') ORDER BY runs.seq DESC LIMIT ?",
            (backend.name, _STATES),
        ):
            try:
                load_s = state_of(row, [backend.name]).load_s
                if load_s is None:
                    continue
                seen += 1
                if _load_settings(plan_of(row), backend.name) == wanted:
                    loads.append(load_s)
            except ValueError:
                continue
            if seen == _LOADS:
                break
        if loads:
            usual[backend.name] = statistics.median(loads)
    return usual


def _load_settings(plan: Plan, name: str) -> tuple[object, ...]:
    """The settings of `plan` that determine how long a backend loads."""
    backend = next((b for b in plan.backends if b.name == name), None)
    config = plan.config
    if backend is None:
        return ()
    started = (backend.launch, backend.embedded, backend.server, backend.env)
    return (*started, backend.weights, config.model, config.threads)


def newest_attempts(connection: sqlite3.Connection, run: str, names: Collection[str]) -> dict[str, int]:
    """Return the newest attempt of each backend of `run` that has a state or iterations.

    Raises ValueError for an invalid attempt, and for a backend that is not in `names`.
    """
    newest: dict[str, int] = {}
    for row in rows(
        connection,
        "SELECT backend, max(attempt) AS attempt FROM ("
        "SELECT backend, attempt FROM backends WHERE run = ? UNION ALL "
        "SELECT backend, attempt FROM iterations WHERE run = ?) GROUP BY backend",
        (run, run),
    ):
        if row["backend"] not in names:
            raise ValueError("it has iterations or states of a backend that the plan does not have")
        newest[row["backend"]] = validate.whole(row["attempt"], "the number of an attempt", 1, MAX_ATTEMPT)
    return newest
