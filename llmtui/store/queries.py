"""Which runs there are: the listing with its medians, and the run that a name means. Reads only."""

from __future__ import annotations

import difflib
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Collection

from llmtui.model import Plan, is_run_id
from llmtui.store import validate as checked
from llmtui.store.errors import StoreError
from llmtui.store.limits import rows
from llmtui.store.rows import (
    MAX_ATTEMPT,
    MAX_LABEL,
    RANGES,
    BackendRow,
    RunRow,
    Runs,
    names_of,
    plan_of,
    run_of,
    state_of,
)
from llmtui.text import sanitize

#: A listing has at most this many runs.
MAX_RUNS = 10_000
_SHOWN = 5
#: Names that are looked at for a suggestion, those of the newest runs first.
MAX_NEAR = 1000
#: The usual load is the median of this many.
_LOADS = 5
#: And they are looked for in this many states at most.
_STATES = 1000


def runs(connection: sqlite3.Connection, limit: int) -> Runs:
    """The newest `limit` runs (at most `MAX_RUNS`), newest first. One that cannot be read is counted as `unread`."""
    listed = Runs()
    newest = connection.execute(
        "SELECT seq FROM runs ORDER BY created_utc DESC, seq DESC LIMIT ?", (max(0, min(limit, MAX_RUNS)),)
    )
    for (number,) in newest.fetchall():
        try:
            # A query for each: what is wrong with one run is not wrong with the others.
            for row in rows(connection, "SELECT * FROM runs WHERE seq = ?", (number,)):
                listed.append(_listed(connection, row))
        except ValueError:
            # msgspec's errors are ValueErrors.
            listed.unread += 1
    return listed


def _listed(connection: sqlite3.Connection, row: sqlite3.Row) -> RunRow:
    found, plan = run_of(row), plan_of(row)
    names = names_of(plan)
    newest = newest_attempts(connection, found.run, names)
    states = rows(connection, "SELECT * FROM backends WHERE run = ?", (found.run,))
    words = {(state.name, state.attempt): state.state for state in (state_of(s, names) for s in states)}
    latencies: dict[str, list[float]] = defaultdict(list)
    errors: dict[str, int] = defaultdict(int)
    for made in rows(
        connection,
        "SELECT backend, attempt, error_kind, latency_s FROM iterations WHERE phase = 'measured' AND run = ?",
        (found.run,),
    ):
        name = made["backend"]
        if made["attempt"] != newest.get(name):
            continue
        if made["error_kind"] is not None or made["latency_s"] is None:
            errors[name] += 1
            continue
        latencies[name].append(checked.number(made["latency_s"], "latency_s", *RANGES["latency_s"]))

    def backend(name: str) -> BackendRow:
        return BackendRow(
            name=name,
            attempt=newest.get(name, 1),
            state=words.get((name, newest.get(name, 1)), "waiting"),
            measured=len(latencies[name]),
            errors=errors[name],
            latency_median_s=statistics.median(latencies[name]) if latencies[name] else None,
        )

    return RunRow(
        run=found.run,
        created_utc=found.created_utc,
        state=found.state,
        label=found.label,
        note=found.note,
        llmtui=found.llmtui,
        backends=[backend(name) for name in names],
    )


def usual_loads(connection: sqlite3.Connection, plan: Plan) -> dict[str, float]:
    """The median load time (s) of each backend that `plan` launches, of at most `_LOADS` newest runs that had it.

    Only loads of the same thing count: the same command or engine, weights, threads and model. A run that cannot be
    read counts for nothing.
    """
    found: dict[str, float] = {}
    for backend in plan.backends:
        if not (backend.launch or backend.embedded):
            continue
        wanted, loads, seen = _loaded(plan, backend.name), [], 0
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
                if _loaded(plan_of(row), backend.name) == wanted:
                    loads.append(load_s)
            except ValueError:
                continue
            if seen == _LOADS:
                break
        if loads:
            found[backend.name] = statistics.median(loads)
    return found


def _loaded(plan: Plan, name: str) -> tuple[object, ...]:
    """What decides how long a backend of `plan` loads, as far as the plan tells."""
    backend = next((b for b in plan.backends if b.name == name), None)
    config = plan.config
    return (backend.launch, backend.embedded, backend.weights, config.model, config.threads) if backend else ()


def newest_attempts(connection: sqlite3.Connection, run: str, names: Collection[str]) -> dict[str, int]:
    """The newest attempt of each backend of `run`, whether it has a state, iterations or both.

    Raises ValueError for an attempt that is none, and for a backend that is not in `names`.
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
        newest[row["backend"]] = checked.whole(row["attempt"], "the number of an attempt", 1, MAX_ATTEMPT)
    return newest


def find(connection: sqlite3.Connection, name: str) -> str:
    """The id of the run that `name` means: an id, else a label, else the beginning of an id.

    Raises StoreError where it means none (naming the nearest) or several (naming them).
    """
    known = [
        (row["id"], _label(row["label"]))
        for row in rows(connection, "SELECT id, label FROM runs ORDER BY seq DESC")
        if isinstance(row["id"], str) and is_run_id(row["id"])
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
    newest = known[:MAX_NEAR]
    names = [name for run, label in newest for name in (label, run) if name]
    # A suggestion takes time for each name, and a history may have very many.
    near = difflib.get_close_matches(wanted[:MAX_LABEL], names[:MAX_NEAR], n=1, cutoff=0.5)
    hint = f"did you mean {sanitize(near[0])!r}?" if near else f"the newest are {_some([run for run, _ in known])}"
    raise StoreError(f"there is no run {wanted!r}; {hint}")


def _label(value: object) -> str:
    """A label by which a run may be named; "" where it is none."""
    return value if isinstance(value, str) and len(value) <= MAX_LABEL else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
