"""What is in the tables as the structs of llmtui.model, and back; and what a listing of runs tells. Runs no SQL."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

import msgspec

from llmtui.model import (
    RESTING,
    Backend,
    BackendState,
    Hello,
    Iteration,
    Machine,
    Plan,
    RunConfig,
    RunState,
    Struct,
)
from llmtui.store.hide import hide
from llmtui.store.pack import pack_deltas, pack_runs, unpack_deltas, unpack_runs

#: How a run stands: "died" is one whose engine ended without saying so.
RunWord = Literal["running", "done", "stopped", "died"]

#: Fields of an iteration that are columns of the same name.
PLAIN_COLUMNS = (
    "run",
    "backend",
    "attempt",
    "phase",
    "iteration",
    "started_utc",
    "latency_s",
    "ttft_s",
    "ttfo_s",
    "itl_s",
    "tpot_s",
    "tokens_per_s",
    "output_tokens",
    "prompt_tokens",
    "cached_tokens",
    "token_source",
    "finish_reason",
    "connect_s",
    "server_prefill_s",
    "server_decode_s",
    "server_load_s",
    "foreign_cpu",
    "stamp",
)
COLUMNS = (
    *PLAIN_COLUMNS,
    "error_kind",
    "error_message",
    "error_hint",
    "more",
    "text",
    "arrivals_ns",
    "arrival_tokens",
)
_ELSEWHERE = frozenset({*PLAIN_COLUMNS, "error", "text", "arrivals_ns", "arrival_tokens"})
_MAX_INTEGER = 2**63 - 1


class BackendRow(Struct, frozen=True):
    """One backend in a listing: its newest attempt. `measured` counts the good iterations behind the medians (s)."""

    name: str
    attempt: int = 1
    state: str = "waiting"
    measured: int = 0
    errors: int = 0
    latency_median_s: float | None = None
    ttft_median_s: float | None = None


class RunRow(Struct, frozen=True):
    """One run in a listing. `ended_utc` of a run that died is when its last iteration began."""

    run: str
    created_utc: str
    state: RunWord
    ended_utc: str | None = None
    label: str = ""
    note: str = ""
    llmtui: str = ""
    source: str = ""
    backends: list[BackendRow] = []


class StoredRun(Struct, frozen=True):
    """A whole run. `states` are the newest attempts' in the plan's order, `earlier` those of the attempts before.

    `iterations` are in order of completion, every attempt. `model_digests` has those that are known, by backend.
    """

    plan: Plan
    machine: Machine
    state: RunWord
    ended_utc: str | None = None
    label: str = ""
    note: str = ""
    llmtui: str = ""
    states: list[BackendState] = []
    earlier: list[BackendState] = []
    model_digests: dict[str, str] = {}
    iterations: list[Iteration] = []

    def hello(self) -> Hello:
        """The run as a client would be told of it; what was under way when the engine ended is told as stopped."""
        states = self.states
        if self.state != "running":
            states = [s if s.state in RESTING else msgspec.structs.replace(s, state="stopped") for s in states]
        newest = {s.name: s.attempt for s in states}
        finished = sum(newest.get(i.backend) == i.attempt for i in self.iterations)
        total = len(states) * (self.plan.config.warmup + self.plan.config.iterations)
        run = RunState(phase="running" if self.state == "running" else "done", finished=finished, total=total)
        return Hello(plan=self.plan, machine=self.machine, run=run, backends=states, iterations=self.iterations)


def iteration_values(iteration: Iteration, secrets: list[str]) -> dict[str, Any]:
    """The row of an iteration, by column. Texts lose `secrets`; a number that no column can hold is unknown (NULL)."""
    values: dict[str, Any] = {name: _held(getattr(iteration, name)) for name in PLAIN_COLUMNS}
    rest = msgspec.to_builtins(iteration)
    more = {name: value for name, value in rest.items() if name not in _ELSEWHERE}
    error = iteration.error
    values |= {
        "backend": hide(iteration.backend, secrets),
        "finish_reason": hide(iteration.finish_reason, secrets),
        "error_kind": error.kind if error is not None else None,
        "error_message": hide(error.message, secrets) if error is not None else None,
        "error_hint": hide(error.hint, secrets) if error is not None else None,
        "more": msgspec.json.encode(hide(more, secrets)).decode() if more else None,
        "text": hide(iteration.text, secrets),
        "arrivals_ns": pack_deltas(iteration.arrivals_ns),
        "arrival_tokens": pack_runs(iteration.arrival_tokens),
    }
    return values


def _held(value: Any) -> Any:
    if isinstance(value, int) and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return None
    return hide(value, []) if isinstance(value, str) else value


def iteration_of(row: sqlite3.Row) -> Iteration:
    """The iteration of a row with all `COLUMNS`. Raises ValueError where the row makes no sense."""
    values = {name: row[name] for name in PLAIN_COLUMNS if row[name] is not None}
    if row["error_kind"] is not None:
        values["error"] = {"kind": row["error_kind"], "message": row["error_message"], "hint": row["error_hint"]}
    if row["more"] is not None:
        values = msgspec.json.decode(row["more"], type=dict[str, Any]) | values
    values["text"] = row["text"]
    values["arrivals_ns"] = unpack_deltas(row["arrivals_ns"])
    values["arrival_tokens"] = unpack_runs(row["arrival_tokens"])
    return msgspec.convert(values, Iteration)


def plan_of(text: str) -> Plan:
    """A stored plan. Settings that this version no longer has are left out. Raises ValueError."""
    data = msgspec.json.decode(text, type=dict[str, Any])
    data["config"] = _known(data["config"], RunConfig)
    data["backends"] = [_known(backend, Backend) for backend in data["backends"]]
    return msgspec.convert(data, Plan)


def _known(data: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name in kind.__struct_fields__}


def planned_states(plan: Plan, stored: list[BackendState], ran: dict[str, int]) -> list[BackendState]:
    """The newest state of each backend of the plan, in its order. `ran` has the newest attempt that has iterations.

    A backend of which no state was stored (for that attempt) is waiting.
    """
    newest = {s.name: s for s in sorted(stored, key=lambda s: s.attempt)}
    found = []
    for backend in plan.backends:
        if not backend.enabled:
            continue
        state = newest.get(backend.name)
        attempt = ran.get(backend.name, 1)
        if state is None or state.attempt < attempt:
            state = BackendState(name=backend.name, attempt=attempt, planned=plan.config.iterations)
        found.append(state)
    return found
