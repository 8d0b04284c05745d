"""Which runs there are: the listing with its medians, and the run that a name means. Reads only."""

from __future__ import annotations

import difflib
import sqlite3
import statistics
from collections import defaultdict
from typing import Any

import msgspec

from llmtui.model import Plan
from llmtui.store.errors import StoreError
from llmtui.store.rows import BackendRow, RunRow, plan_of

#: SQLite takes so many parameters in one statement, and nobody reads more.
MAX_RUNS = 10_000
_SHOWN = 5
#: Loads of so many runs are looked at for the usual one.
_LOADS = 5


def runs(connection: sqlite3.Connection, limit: int) -> list[RunRow]:
    """The newest `limit` runs (at most `MAX_RUNS`), newest first. A plan that cannot be read is listed without it."""
    rows = connection.execute(
        "SELECT * FROM runs ORDER BY created_utc DESC, seq DESC LIMIT ?", (max(0, min(limit, MAX_RUNS)),)
    ).fetchall()
    ids = [row["id"] for row in rows]
    newest = newest_attempts(connection, ids)
    words = _words(connection, ids)
    latencies: dict[tuple[str, str], list[float]] = defaultdict(list)
    ttfts: dict[tuple[str, str], list[float]] = defaultdict(list)
    errors: dict[tuple[str, str], int] = defaultdict(int)
    for row in connection.execute(
        "SELECT run, backend, attempt, error_kind, latency_s, ttft_s FROM iterations "
        f"WHERE phase = 'measured' AND run IN ({_marks(ids)})",
        ids,
    ):
        key = row["run"], row["backend"]
        if row["attempt"] != newest[key]:
            continue
        if row["error_kind"] is not None or row["latency_s"] is None:
            errors[key] += 1
            continue
        latencies[key].append(row["latency_s"])
        if row["ttft_s"] is not None:
            ttfts[key].append(row["ttft_s"])

    def backend(run: str, name: str) -> BackendRow:
        key = run, name
        return BackendRow(
            name=name,
            attempt=newest.get(key, 1),
            state=words.get((*key, newest.get(key, 1)), "waiting"),
            measured=len(latencies[key]),
            errors=errors[key],
            latency_median_s=statistics.median(latencies[key]) if latencies[key] else None,
            ttft_median_s=statistics.median(ttfts[key]) if ttfts[key] else None,
        )

    listed = []
    for row in rows:
        try:
            plan = plan_of(row["plan"])
            source, names = plan.source, [b.name for b in plan.backends if b.enabled]
        except (ValueError, KeyError, TypeError):
            source, names = "", []
        listed.append(
            RunRow(
                run=row["id"],
                created_utc=row["created_utc"],
                state=row["state"],
                ended_utc=row["ended_utc"],
                label=row["label"],
                note=row["note"],
                llmtui=row["llmtui"],
                source=source,
                backends=[backend(row["id"], name) for name in names],
            )
        )
    return listed


def usual_loads(connection: sqlite3.Connection, plan: Plan) -> dict[str, float]:
    """The median load time (s) of each backend that `plan` launches, of at most `_LOADS` newest runs that had it.

    Only loads of the same thing count: the same command or engine, weights, threads and model.
    """
    found: dict[str, float] = {}
    for backend in plan.backends:
        if not (backend.launch or backend.embedded):
            continue
        rows = connection.execute(
            "SELECT runs.plan, json_extract(backends.state, '$.load_s') AS load_s FROM runs "
            "JOIN backends ON backends.run = runs.id AND backends.backend = ? "
            "WHERE load_s IS NOT NULL ORDER BY runs.seq DESC LIMIT ?",
            (backend.name, _LOADS),
        )
        wanted = _loaded(plan, backend.name)
        loads = [float(row["load_s"]) for row in rows if _loaded(plan_of(row["plan"]), backend.name) == wanted]
        if loads:
            found[backend.name] = statistics.median(loads)
    return found


def _loaded(plan: Plan, name: str) -> tuple[object, ...]:
    """What decides how long a backend of `plan` loads, as far as the plan tells."""
    backend = next((b for b in plan.backends if b.name == name), None)
    config = plan.config
    return (backend.launch, backend.embedded, backend.weights, config.model, config.threads) if backend else ()


def newest_attempts(connection: sqlite3.Connection, ids: list[str]) -> dict[tuple[str, str], int]:
    """The newest attempt of each (run, backend), whether it has a state, iterations or both."""
    found = connection.execute(
        "SELECT run, backend, max(attempt) AS attempt FROM ("
        f"SELECT run, backend, attempt FROM backends WHERE run IN ({_marks(ids)}) UNION ALL "
        f"SELECT run, backend, attempt FROM iterations WHERE run IN ({_marks(ids)})) GROUP BY run, backend",
        [*ids, *ids],
    )
    return {(row["run"], row["backend"]): row["attempt"] for row in found}


def find(connection: sqlite3.Connection, name: str) -> str:
    """The id of the run that `name` means: an id, else a label, else the beginning of an id.

    Raises StoreError where it means none (naming the nearest) or several (naming them).
    """
    known: list[tuple[str, str]] = [
        (row["id"], row["label"]) for row in connection.execute("SELECT id, label FROM runs ORDER BY seq DESC")
    ]
    wanted = name.strip()
    ways: list[list[str]] = [
        [run for run, _ in known if run == wanted],
        [run for run, label in known if label and label == wanted],
        [run for run, _ in known if wanted and run.startswith(wanted)],
    ]
    for matches in ways:
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise StoreError(f"{wanted!r} means several runs: {_some(matches)}; give more of the id")
    if not known:
        raise StoreError(f"there is no run {wanted!r}: the history is empty")
    names = [run for run, _ in known] + [label for _, label in known if label]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"the newest are {_some([run for run, _ in known])}"
    raise StoreError(f"there is no run {wanted!r}; {hint}")


def _words(connection: sqlite3.Connection, ids: list[str]) -> dict[tuple[str, str, int], str]:
    found = connection.execute(f"SELECT run, backend, attempt, state FROM backends WHERE run IN ({_marks(ids)})", ids)
    states: dict[tuple[str, str, int], str] = {}
    for row in found:
        state: dict[str, Any] = msgspec.json.decode(row["state"], type=dict[str, Any])
        states[row["run"], row["backend"], row["attempt"]] = str(state.get("state", "waiting"))
    return states


def _marks(ids: list[str]) -> str:
    return ", ".join("?" * len(ids))


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
