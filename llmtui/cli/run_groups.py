"""Runs of the history that are like a given one: with the same setup, so that they differ by chance alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from llmtui.model import Plan
from llmtui.model.errors import UsageError
from llmtui.stats.run_changes import LEAST_RUNS
from llmtui.stats.same_work import same_setup
from llmtui.store.errors import NoRunError, StoreError
from llmtui.store.history import Store
from llmtui.store.listing import RunRow
from llmtui.store.rows import StoredRun

#: Runs are searched among this many of the newest ones.
_SEARCHED = 500
#: The spread between runs is taken from this many, with at most this many iterations in all.
_EARLIER = 20
_ITERATIONS = 20_000


def load_one(store: Store, name: str) -> StoredRun:
    """Load the run that `name` means; of several runs with this label the newest. Raises StoreError."""
    try:
        return store.load(name)
    except NoRunError:
        labelled = [row.run for row, _ in store.plans(_SEARCHED) if row.label and row.label == name]
        if not labelled:
            raise
        return store.load(labelled[0])


def runs_of_labels(store: Store, first: str, second: str) -> int:
    """Return how many runs the larger side has if both names are labels of several runs; 0 otherwise."""
    listed = [row for row, _ in store.plans(_SEARCHED)]
    if first == second or any(row.run in (first, second) for row in listed):
        return 0
    counts = [sum(row.label == name for row in listed) for name in (first, second)]
    return max(counts) if min(counts) >= LEAST_RUNS else 0


def groups(store: Store, a: StoredRun, b: StoredRun, count: int) -> tuple[list[StoredRun], list[StoredRun]]:
    """Return the newest `count` runs like `a` up to it and like `b` up to it, oldest first, with `a` and `b` last.

    Runs of a side have the same label. If those of A and of B differ neither in setup nor in label, the later side ends
    where the earlier one begins, so that none is on both. Raises UsageError if a side has only one.
    """
    listed = store.plans(_SEARCHED)
    places = {row.run: place for place, (row, _) in enumerate(listed)}
    at_a, at_b = (places.get(stored.plan.run, len(listed)) for stored in (a, b))
    one_kind = a.label == b.label and _same_plan(a.plan, b.plan) and _conditions(a) == _conditions(b)
    sides = []
    for word, stored, at, other in (("A", a, at_a, at_b), ("B", b, at_b, at_a)):
        # The newest run is the first one.
        end = other if one_kind and other > at else len(listed)
        candidates = [(row, plan) for row, plan in listed[at + 1 : end] if row.label == stored.label]
        alike = list(_alike(store, stored, candidates, count - 1))
        if len(alike) + 1 < LEAST_RUNS:
            raise UsageError(
                f"--runs {count}: {word}, run {stored.plan.run}, has no earlier run with the same setup and label; "
                "measure each side three to five times, such as with: llmtui run --label before"
            )
        sides.append([*reversed(alike), stored])
    return sides[0], sides[1]


def earlier(store: Store, a: StoredRun, b: StoredRun) -> list[StoredRun]:
    """Return `a` and runs with its setup before both `a` and `b`, whatever their label: they show how much runs differ.

    A run in between may already have the change that the two are about, such as a new build of the same name.
    """
    listed = store.plans(_SEARCHED)
    older = max((place for place, (row, _) in enumerate(listed) if row.run in (a.plan.run, b.plan.run)), default=0)
    return [a, *_alike(store, a, listed[older + 1 :], _EARLIER - 1)]


def _alike(
    store: Store, stored: StoredRun, candidates: Sequence[tuple[RunRow, Plan]], most: int
) -> Iterator[StoredRun]:
    """The first `most` of these that have the same setup as `stored`."""
    left = _ITERATIONS
    for row, plan in candidates:
        size = plan.config.iterations * len(plan.backends)
        if row.state != "done" or size > left or not _same_plan(stored.plan, plan):
            continue
        try:
            other = store.load(row.run)
        except StoreError:
            continue
        if _same_servers(stored, other):
            most, left = most - 1, left - size
            yield other
        if most <= 0:
            return


def _same_plan(one: Plan, other: Plan) -> bool:
    # A program that moved is the same server: its version tells.
    backends = [{b.name: msgspec.structs.replace(b, program="") for b in plan.backends} for plan in (one, other)]
    return same_setup(one, other) and backends[0] == backends[1]


def _same_servers(one: StoredRun, other: StoredRun) -> bool:
    """Whether the machine and the servers were the same, as far as they said, and all have results."""
    return _conditions(one) == _conditions(other) and {i.backend for i in other.iterations if i.ok} == {
        backend.name for backend in other.plan.backends
    }


def _conditions(stored: StoredRun) -> tuple[object, ...]:
    machine = stored.machine
    servers = {state.name: (state.version, state.model, state.weights, state.threads) for state in stored.states}
    return machine.cpu, machine.cores, machine.gpu, machine.governor, stored.llmtui, servers
