"""The runs of the history that are one series with a given one (llmtui.stats.run_series says which are)."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from llmtui.model import BackendState, Iteration, Level, Machine, Plan
from llmtui.stats.metrics import MetricKey
from llmtui.stats.run_series import LEAST_SAMPLES, RunOfSeries, like
from llmtui.store import queries, run_names
from llmtui.store.history import Store
from llmtui.store.limits import rows
from llmtui.store.rows import FIGURES, iteration_of, machine_of, names_of, plan_of, run_of, state_of
from llmtui.store.run_filter import RunFilter
from llmtui.store.turn_rows import turn_of

#: Runs are searched among this many of the newest ones.
SEARCHED = 10_000
#: The most samples that are read, of all runs together: some seconds.
MOST_SAMPLES = 200_000
#: The reason to leave out a run with fewer than `LEAST_SAMPLES`.
FEW_SAMPLES = "few samples"


class Found(NamedTuple):
    """The runs of a series, the oldest first, and how many were left out, by reason. `cut`: there are older ones.

    `level` is the level of a load whose turns are the samples, None in a race. `metric` counts in the newest of them.
    No runs are found if all of them have few samples.
    """

    runs: list[RunOfSeries]
    left_out: Counter[str]
    cut: bool
    level: Level | None = None
    metric: MetricKey = "latency"


def backend_names(store: Store) -> list[str]:
    """Return the names of all backends in the newest 1,000 runs, those of the newest run first. Raises StoreError."""
    return list(dict.fromkeys(name for _, plan in store.plans(1_000) for name in names_of(plan)))


def level_names(store: Store, backend: str) -> list[str]:
    """Return the short names of the levels of the newest load of `backend`, [] without one. Raises StoreError."""
    loads = (plan.levels for _, plan in store.plans(1_000) if backend in names_of(plan))
    return [level.short_title for level in next(filter(None, loads), [])]


def runs_of_series(
    store: Store,
    backend: str,
    most: int,
    *,
    run: str = "",
    wanted: RunFilter | None = None,
    level: str = "",
    stopped: Callable[[], bool] = lambda: False,
) -> Found | None:
    """Return the newest `most` runs of `backend` that are like `run`, by default the newest one with enough samples.

    Of loads, the samples are the turns at the level that counts, or at the one that `level` names (`Load.named`): then
    runs without it are left out. Runs in progress are left out. Those that cannot be read are counted as "unreadable",
    those with fewer than `LEAST_SAMPLES` as "few samples". None if no run has samples of it. Once `stopped` holds, the
    rest is left out. Raises StoreError.
    """
    with store._reading() as connection:
        if run:
            run = run_names.find(connection, run)
        return _found(connection, _Asked(backend, most, run, wanted or RunFilter(), level, stopped))


class _Asked(NamedTuple):
    backend: str
    most: int
    run: str
    wanted: RunFilter
    level: str
    stopped: Callable[[], bool]

    def level_of(self, plan: Plan) -> Level | None:
        return plan.load.named(self.level) if self.level else plan.head_level


def _found(connection: sqlite3.Connection, asked: _Asked) -> Found | None:
    newest = connection.execute(
        "SELECT seq FROM runs WHERE state != 'running' ORDER BY created_utc DESC, seq DESC LIMIT ?", (SEARCHED,)
    ).fetchall()
    left_out: Counter[str] = Counter()
    found: list[RunOfSeries] = []
    reference = _reference(connection, asked.run) if asked.run else None
    newest_short: RunOfSeries | None = None
    samples = 0
    cut = False
    for (number,) in newest:
        if asked.stopped():
            break
        try:
            row = next(rows(connection, "SELECT * FROM runs WHERE seq = ?", (number,)))
            listed, plan, machine = run_of(row), plan_of(row), machine_of(row)
            if asked.backend not in names_of(plan) or not asked.wanted.starts(listed.created_utc, listed.label):
                continue
            if reference is not None and (why := like(reference[0], reference[1], plan, machine)):
                left_out[why] += 1
                continue
            level = asked.level_of(plan)
            if asked.level and level is None:
                left_out["level"] += 1
                continue
            one = _run(connection, row, level)
        except ValueError:
            left_out["unreadable"] += 1
            continue
        if not (good := sum(sample.ok for sample in one.samples.get(asked.backend, ()))):
            left_out["no samples"] += 1
            continue
        if good < LEAST_SAMPLES:
            # Such a run chooses no setup: a single short one would leave out all others.
            newest_short = newest_short or one
            left_out[FEW_SAMPLES] += 1
            continue
        if len(found) == asked.most or samples > MOST_SAMPLES:
            cut = True
            break
        reference = reference or (plan, machine)
        found.append(one)
        samples += sum(map(len, one.samples.values()))
    if not found and newest_short is not None:
        return Found([], left_out, cut, asked.level_of(newest_short.plan), newest_short.plan.config.metric)
    if not found:
        return None
    return Found(found[::-1], left_out, cut, asked.level_of(found[0].plan), found[0].plan.config.metric)


def _reference(connection: sqlite3.Connection, run: str) -> tuple[Plan, Machine]:
    row = next(rows(connection, "SELECT * FROM runs WHERE id = ?", (run,)))
    return plan_of(row), machine_of(row)


def _run(connection: sqlite3.Connection, row: sqlite3.Row, level: Level | None) -> RunOfSeries:
    """One run with the samples of each backend's newest attempt, without texts and arrivals: in a race iterations, of a
    load the turns at `level`. Raises ValueError."""
    listed, plan = run_of(row), plan_of(row)
    names = names_of(plan)
    states: dict[str, BackendState] = {}
    attempts = queries.newest_attempts(connection, listed.run, names)
    for each in rows(connection, "SELECT * FROM backends WHERE run = ?", (listed.run,)):
        state = state_of(each, names)
        if state.attempt == attempts.get(state.name, 1):
            states[state.name] = state
    samples: dict[str, list[Iteration]] = {}
    for sample in _samples(connection, listed.run, plan, level, names):
        if sample.attempt == attempts.get(sample.backend, 1):
            samples.setdefault(sample.backend, []).append(sample)
    return RunOfSeries(listed.run, listed.created_utc, listed.label, plan, machine_of(row), states, samples)


def _samples(
    connection: sqlite3.Connection, run: str, plan: Plan, level: Level | None, names: list[str]
) -> list[Iteration]:
    if level is None:
        statement = f"SELECT {FIGURES} FROM iterations WHERE run = ? AND phase = 'measured'"
        return [iteration_of(row, run, names) for row in rows(connection, statement, (run,))]
    statement = "SELECT run, turn, level, started_utc, record FROM turns WHERE run = ? AND level = ?"
    turns = [
        turn_of(row, run, names, len(plan.levels), buckets=False)
        for row in rows(connection, statement, (run, level.number))
    ]
    return [turn.as_sample for turn in turns if turn.phase == "measured" and turn.state == "whole"]
