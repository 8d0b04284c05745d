"""Converts rows of the tables to the structs of llmtui.model and back, without SQL.

A history may come from an untrusted source. Functions that read check every value, and raise ValueError.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, get_args

import msgspec

from llmtui.config import schema
from llmtui.config.loads import check_load, check_metric
from llmtui.config.mixes import check_mix
from llmtui.config.places import Place
from llmtui.config.run_checks import check_run
from llmtui.config.sweeps import check_cells
from llmtui.model import (
    FAILED,
    RESTING,
    Backend,
    BackendState,
    Hello,
    Iteration,
    Load,
    Machine,
    Plan,
    Power,
    RunConfig,
    RunState,
    Struct,
    Turn,
    is_backend_name,
)
from llmtui.store import validate
from llmtui.store.elapsed import elapsed_s
from llmtui.store.listing import RunRow, RunWord
from llmtui.store.packing import MAX_ARRIVALS, pack_deltas, pack_runs, unpack_deltas, unpack_runs
from llmtui.text import encodable

#: Fields of an iteration that have a column of the same name.
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
_EMPTY = {"text": "''", "arrivals_ns": "x''", "arrival_tokens": "x''"}
#: All columns for a statement, the large ones empty: for figures, which need no texts and arrivals.
FIGURES = ", ".join(_EMPTY.get(column, column) + " AS " + column for column in COLUMNS)
_ELSEWHERE = frozenset({*PLAIN_COLUMNS, "error", "text", "arrivals_ns", "arrival_tokens"})
MAX_LABEL = 80
MAX_NOTE = 2000
_MAX_METERS = 256
#: Ten times the most iterations in a config: `More` can add as many.
MAX_ITERATION = 10_000_000
MAX_ATTEMPT = 1_000_000
MAX_LEVEL = 10_000
_MAX_WORD = 1000
_MAX_MESSAGE = 200_000
_MAX_ANSWER = 1_000_000
MAX_PLAN = 4 * 1024 * 1024
_MAX_STATE = 4 * 1024 * 1024
_MAX_MORE = 65_536
_MAX_COUNT = 2**53
_MAX_S = 1e9
#: Servers report durations in units of their own.
_MAX_SERVER_S = 1e18

#: The ranges of an iteration's numbers. A number outside is stored as NULL, and is invalid when read.
RANGES: dict[str, tuple[float, float]] = {
    "attempt": (1, MAX_ATTEMPT),
    "iteration": (1, MAX_ITERATION),
    **dict.fromkeys(("latency_s", "ttft_s", "ttfo_s", "itl_s", "tpot_s", "connect_s"), (0, _MAX_S)),
    **dict.fromkeys(("server_prefill_s", "server_decode_s", "server_load_s"), (0, _MAX_SERVER_S)),
    "tokens_per_s": (0, 1e25),
    **dict.fromkeys(("output_tokens", "prompt_tokens", "cached_tokens", "hidden_tokens"), (0, _MAX_COUNT)),
    **dict.fromkeys(("foreign_cpu", "server_cpu", "steal", "disturbed_from", "cpu_limited"), (0, 1e6)),
    **dict.fromkeys(("swapped", "throttled", "refused", "repeated"), (0, 2**62)),
    **dict.fromkeys(("part", "launch"), (1, 1e9)),
    "seq": (0, _MAX_COUNT),
    "level": (0, MAX_LEVEL),
    **dict.fromkeys(("turn", "request", "worker", "in_flight", "talk", "talk_turn"), (0, _MAX_COUNT)),
    **dict.fromkeys(("written_s", "due_s", "waited_s", "thought_s"), (0, _MAX_S)),
    **dict.fromkeys(("requests_per_s", "output_tokens_per_s", "goodput_per_s"), (0, 1e25)),
    "attainment": (0, 1),
}
_STATE_RANGES: dict[str, tuple[float, float]] = {
    "attempt": (1, MAX_ATTEMPT),
    "planned": (0, MAX_ITERATION),
    "progress": (0, 1),
    "usual_load_s": (0, _MAX_S),
    "threads": (0, 1e6),
    "context_tokens": (0, _MAX_COUNT),
    "load_s": (0, _MAX_S),
    "launch": (1, 1e9),
}
_MACHINE_RANGES: dict[str, tuple[float, float]] = {
    "cores": (0, 1e6),
    "memory_bytes": (0, 2**62),
    "load_1m": (0, 1e9),
    "foreign_cpu": (0, 1e6),
    "cpu_limit": (0, 1e6),
}

_SPREAD_RANGES: dict[str, tuple[float, float]] = {"tau": (0, 1e3), "n": (2, 1e9)}


class StoredRun(Struct, frozen=True):
    """A whole run: the state of each backend's newest attempt, in the plan's order, and the iterations of all attempts
    in order of completion, and the turns of a load. `ended_utc` is None if it is in progress, or died before its first
    iteration."""

    plan: Plan
    machine: Machine
    state: RunWord
    label: str = ""
    note: str = ""
    llmtui: str = ""
    states: list[BackendState] = []
    iterations: list[Iteration] = []
    turns: list[Turn] = []
    ended_utc: str | None = None

    def hello(self) -> Hello:
        """The event that shows this run to a client. Backends that were active when the engine ended are stopped."""
        states = self.states
        if self.state != "running":
            states = [s if s.state in RESTING else msgspec.structs.replace(s, state="stopped") for s in states]
        progress = _progress(states, self)
        run = RunState(
            phase="running" if self.state == "running" else "done",
            finished=progress["finished"],
            total=progress["total"],
            elapsed_s=elapsed_s(self.plan.created_utc, self.ended_utc, self._spans(), self.plan.config),
        )
        return Hello(
            plan=self.plan,
            machine=self.machine,
            run=run,
            backends=states,
            iterations=self.iterations,
            turns=[turn for turn in self.turns if turn.state != "running"],
        )

    def _spans(self) -> list[Iteration]:
        """What took time: the iterations, and the turns, each as one."""
        turns = (msgspec.structs.replace(turn.as_sample, latency_s=turn.elapsed_s) for turn in self.turns)
        return [*self.iterations, *turns]


def _progress(states: list[BackendState], stored: StoredRun) -> dict[str, int]:
    """How many iterations and turns of a run are `finished`, and their `total`: without backends that failed."""
    plan = stored.plan
    counts = Counter((i.backend, i.attempt) for i in stored.iterations)
    counts.update((turn.backend, turn.attempt) for turn in stored.turns if turn.state == "whole")
    backends = {backend.name: backend for backend in plan.backends}
    had: dict[tuple[str, int], set[int]] = {}
    for turn in stored.turns:
        had.setdefault((turn.backend, turn.attempt), set()).add(turn.level)
    planned = {}
    for state in states:
        if state.state not in FAILED:
            backend, rounds = backends[state.name], state.planned
            levels = len(had.get((state.name, state.attempt), {1}) if plan.load.search else plan.levels)
            warmups = plan.config.warmups_of(backend, rounds, load=bool(levels))
            warmups += plan.config.warmup_turns_of(backend, rounds, levels)
            planned[state.name, state.attempt] = warmups + rounds * (levels or 1)
    # A server that was restarted got further warm-ups.
    return {
        "finished": sum(min(counts[key], most) for key, most in planned.items()),
        "total": sum(planned.values()),
    }


def iteration_values(iteration: Iteration) -> dict[str, Any]:
    """Return the row of a redacted iteration, by column: numbers outside their range replaced by NULL."""
    values: dict[str, Any] = {name: storable(name, getattr(iteration, name)) for name in PLAIN_COLUMNS}
    rest = msgspec.to_builtins(iteration)
    more = {name: value for name, value in rest.items() if name not in _ELSEWHERE and storable(name, value) is not None}
    error = iteration.error
    values |= {
        "error_kind": error.kind if error is not None else None,
        "error_message": encodable(error.message) if error is not None else None,
        "error_hint": encodable(error.hint) if error is not None else None,
        "more": msgspec.json.encode(more).decode() if more else None,
        "text": encodable(iteration.text),
        "arrivals_ns": pack_deltas(iteration.arrivals_ns),
        "arrival_tokens": pack_runs(iteration.arrival_tokens),
    }
    return values


def storable(name: str, value: Any) -> Any:
    """Return the value of a field as it can be stored: None if it is outside its range."""
    if value is not None and name in RANGES and not RANGES[name][0] <= value <= RANGES[name][1]:
        return None
    return encodable(value) if isinstance(value, str) else value


def iteration_of(row: sqlite3.Row, run: str, names: Collection[str], most_arrivals: int = MAX_ARRIVALS) -> Iteration:
    """Read an iteration from a row with all `COLUMNS`: of `run`, of a backend in `names`, with `most_arrivals`."""
    values = {name: row[name] for name in PLAIN_COLUMNS if row[name] is not None}
    if row["error_kind"] is not None:
        values["error"] = {"kind": row["error_kind"], "message": row["error_message"], "hint": row["error_hint"]}
    if row["more"] is not None:
        values = validate.document(row["more"], "the further fields of an iteration", _MAX_MORE) | values
    values["text"] = validate.text(row["text"], "the text of an answer", _MAX_ANSWER)
    arrivals = unpack_deltas(_packed(row, "arrivals_ns"), most_arrivals)
    values["arrivals_ns"] = arrivals
    values["arrival_tokens"] = _tokens(_packed(row, "arrival_tokens"), len(arrivals))
    iteration = validate.struct(values, Iteration, "an iteration")
    if iteration.run != run:
        raise ValueError("an iteration is of another run")
    if iteration.backend not in names:
        raise ValueError("an iteration is of a backend that the plan does not have")
    validate.instant(iteration.started_utc, "the time of an iteration")
    check_ranges(iteration, RANGES)
    check_texts(iteration)
    return iteration


def check_texts(sample: Iteration | Turn) -> None:
    """Raise ValueError if a text is longer than llmtui stores it, or is not UTF-8, or if the power cannot be true."""
    validate.text(sample.text, "the text of an answer", _MAX_ANSWER)
    if sample.finish_reason is not None:
        validate.text(sample.finish_reason, "a finish_reason", _MAX_WORD)
    if sample.error is not None:
        validate.text(sample.error.message, "the error of an iteration", _MAX_MESSAGE)
        validate.text(sample.error.hint, "the hint of an error", _MAX_MESSAGE)
    if sample.power is not None:
        check_power(sample.power)


def _packed(row: sqlite3.Row, column: str) -> bytes:
    value = row[column]
    if not isinstance(value, bytes):
        raise ValueError(f"{column} is not packed")
    return value


def _tokens(packed: bytes, arrivals: int) -> list[int]:
    tokens = unpack_runs(packed, arrivals)
    if tokens and not 0 <= min(tokens) <= max(tokens) <= _MAX_COUNT:
        raise ValueError("an arrival carried an impossible number of tokens")
    return tokens


def check_power(power: Power) -> None:
    """Raise ValueError if a figure of power cannot be true."""
    if len(power.meters) > _MAX_METERS:
        raise ValueError(f"more than {_MAX_METERS} meters of power")
    for name in power.meters:
        validate.text(name, "the name of a meter of power", MAX_LABEL)
    numbers = (name for name in Power.__struct_fields__ if name not in ("meters", "by_process"))
    check_ranges(power, {name: (-1e18 if "above_idle" in name else 0, 1e18) for name in numbers})


def check_ranges(struct: msgspec.Struct, ranges: dict[str, tuple[float, float]]) -> None:
    """Raise ValueError if a number of `struct` is outside its range."""
    for name, (least, most) in ranges.items():
        value = getattr(struct, name)
        # NaN is in no range.
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name} is not between {least:g} and {most:g}")


def run_of(row: sqlite3.Row) -> RunRow:
    """Read a row of `runs`, except for its plan and its machine."""
    if row["state"] not in get_args(RunWord):
        raise ValueError("the state of the run is unknown to llmtui")
    validate.text(row["engine_place"], "the engine's machine", _MAX_WORD)
    validate.whole(row["engine_pid"], "the engine's process", 1, validate.MAX_PID)
    validate.text(row["engine_started"], "the engine's start", _MAX_WORD)
    if row["ended_utc"] is not None:
        validate.instant(row["ended_utc"], "the end of the run")
    return RunRow(
        run=validate.run_id(row["id"]),
        created_utc=validate.instant(row["created_utc"], "the time of the run"),
        state=row["state"],
        label=validate.text(row["label"], "the label", MAX_LABEL),
        note=validate.text(row["note"], "the note", MAX_NOTE),
        llmtui=validate.text(row["llmtui"], "the version of llmtui", _MAX_WORD),
    )


def plan_of(row: sqlite3.Row) -> Plan:
    """Read the plan from a row of `runs`. It must be of the same run, and satisfy the limits of a config.

    Settings that this version does not have are ignored.
    """
    data = validate.document(row["plan"], "the plan", MAX_PLAN)
    config, backends = data.get("config"), data.get("backends")
    if not isinstance(config, dict) or not isinstance(backends, list) or not 1 <= len(backends) <= schema.MAX_BACKENDS:
        raise ValueError("the plan has no config, or no backends")
    if not all(isinstance(backend, dict) for backend in backends):
        raise ValueError("a backend of the plan is not an object")
    data["config"] = _without_unknown(config, RunConfig)
    if isinstance(data.get("load"), dict):
        data["load"] = _without_unknown(data["load"], Load)
    data["backends"] = [_without_unknown(backend, Backend) for backend in backends]
    plan = validate.struct(data, Plan, "the plan")
    if plan.run != row["id"]:
        raise ValueError("the plan is of another run")
    validate.instant(plan.created_utc, "the time of the plan")
    # As plans have it. Expanding the ~ of an arbitrary user could query a network directory.
    if plan.config.model and not plan.config.model.startswith("/"):
        raise ValueError("the path of the model in the plan is not absolute")
    try:
        check_run(plan.config, Place("the plan").section("run"), Path("/"))
        place = Place("the plan").section("load")
        load = check_load(msgspec.structs.replace(plan.load, cells=None), place)
        plan = msgspec.structs.replace(plan, load=msgspec.structs.replace(load, cells=plan.load.cells))
        check_cells(plan.load, place)
        check_mix(plan.prompts, Place("the plan").section("prompts"))
        check_metric(plan.config, plan.load, Place("the plan").section("run"))
    except schema.ConfigError as error:
        raise ValueError(str(error)) from None
    for backend in plan.backends:
        name = backend.name
        if not is_backend_name(name):
            raise ValueError("the name of a backend is not 1 to 40 printable characters")
    if len({backend.name for backend in plan.backends}) < len(plan.backends):
        raise ValueError("two backends of the plan have the same name")
    for pair in plan.spreads:
        check_ranges(pair.spread, _SPREAD_RANGES)
    return plan


def names_of(plan: Plan) -> list[str]:
    """The names of the enabled backends of `plan`, in order."""
    return [backend.name for backend in plan.backends if backend.enabled]


def machine_of(row: sqlite3.Row) -> Machine:
    """Read the machine from a row of `runs`."""
    machine = validate.struct(validate.document(row["machine"], "the machine", _MAX_MORE), Machine, "the machine")
    check_ranges(machine, _MACHINE_RANGES)
    return machine


def state_of(row: sqlite3.Row, names: Collection[str]) -> BackendState:
    """Read the state from a row of `backends`, of a backend in `names`."""
    validate.text(row["model_digest"], "the digest of a model", _MAX_WORD)
    document = validate.document(row["state"], "the state of a backend", _MAX_STATE)
    state = validate.struct(document, BackendState, "the state of a backend")
    if state.name not in names:
        raise ValueError("a state is of a backend that the plan does not have")
    if state.name != row["backend"] or state.attempt != row["attempt"]:
        raise ValueError("a state is of another backend, or of another attempt")
    check_ranges(state, _STATE_RANGES)
    if not all(0 <= load_s <= _MAX_S for load_s in state.loads_s):
        raise ValueError(f"a start-up time is not between 0 and {_MAX_S:g} s")
    return state


def _without_unknown(data: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name in kind.__struct_fields__}
