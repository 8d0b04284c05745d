"""How far launches of the same servers differed in the history (llmtui.stats.earlier says what is the same)."""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from llmtui.model import Backend, Iteration, Machine, PairSpread, Plan
from llmtui.stats.between import Mean, between
from llmtui.stats.earlier import launch_means, usable
from llmtui.stats.metrics import MetricKey
from llmtui.stats.same_work import same_backend, same_work
from llmtui.store.limits import rows
from llmtui.store.queries import newest_attempts
from llmtui.store.rows import FIGURES, iteration_of, machine_of, names_of, plan_of

#: The most comparable runs: the newest ones count.
MOST_RUNS = 30
#: They are searched among this many of the newest runs.
_SEARCHED = 1_000
#: The rounds of a run that count: more hardly change its mean.
_ROUNDS = 60
#: The most pairs of backends with a spread: those of 14 backends.
_PAIRS = 100
_SAMPLES = (
    f"SELECT {FIGURES} FROM iterations "
    "WHERE run = ? AND backend = ? AND attempt = ? AND phase = 'measured' AND iteration <= ? AND error_kind IS NULL"
)


def launch_spreads(connection: sqlite3.Connection, plan: Plan, machine: Machine) -> list[PairSpread]:
    """Return how far launches differed of each pair of backends that `plan` launches, by metric; [] without runs.

    Only of backends that took turns in their newest attempt. A server that was running already may have been the same
    in all runs, so it has no launches here. Takes about 20 ms. Runs that cannot be read are skipped.
    """
    launched = [backend for backend in plan.public().backends if backend.enabled and backend.launched]
    pairs = list(itertools.combinations([backend.name for backend in launched], 2))[:_PAIRS]
    means: dict[tuple[str, str, MetricKey], list[Mean]] = defaultdict(list)
    if not pairs:
        return []
    for samples in _comparable(connection, plan, machine, launched):
        for one, two in pairs:
            if one in samples and two in samples:
                for metric, launches in launch_means(samples[one], samples[two]).items():
                    means[one, two, metric] += launches
    found = {key: spread for key, values in means.items() if (spread := between(values)) is not None}
    return [PairSpread(one=one, two=two, metric=metric, spread=spread) for (one, two, metric), spread in found.items()]


def _comparable(
    connection: sqlite3.Connection,
    plan: Plan,
    machine: Machine,
    backends: Sequence[Backend],
) -> Iterator[dict[str, list[Iteration]]]:
    """Yield the samples of these backends in each of the newest comparable runs that have any, by name."""
    found = 0
    newest = connection.execute("SELECT seq FROM runs WHERE state != 'running' ORDER BY seq DESC LIMIT ?", (_SEARCHED,))
    for (number,) in newest.fetchall():
        try:
            samples = _samples_of(connection, number, plan, machine, backends)
        except ValueError:
            continue
        if samples:
            yield samples
            found += 1
        if found == MOST_RUNS:
            return


def _samples_of(
    connection: sqlite3.Connection,
    number: int,
    plan: Plan,
    machine: Machine,
    backends: Sequence[Backend],
) -> dict[str, list[Iteration]]:
    row = next(rows(connection, "SELECT id, machine, plan FROM runs WHERE seq = ?", (number,)))
    if row["id"] == plan.run or machine.other_hardware(machine_of(row)):
        return {}
    earlier = plan_of(row)
    if not same_work(plan, earlier):
        return {}
    there = {backend.name: backend for backend in earlier.public().backends if backend.enabled}
    same = [b.name for b in backends if b.name in there and same_backend(b, there[b.name])]
    if not same:
        return {}
    names = names_of(earlier)
    attempts = newest_attempts(connection, row["id"], names)
    samples = {}
    for name in same:
        values = (row["id"], name, attempts.get(name, 1), _ROUNDS)
        iterations = [iteration_of(r, row["id"], names) for r in rows(connection, _SAMPLES, values)]
        if usable(iterations := [i for i in iterations if i.ok]):
            samples[name] = iterations
    return samples
