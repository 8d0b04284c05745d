"""Reads the files of `--json` and `--jsonl` as runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from llmtui.api.errors import ReadError
from llmtui.api.run import Run
from llmtui.export.json import SCHEMA_VERSION, RunRecord, full
from llmtui.model import (
    Backend,
    BackendState,
    Hello,
    Iteration,
    Load,
    Machine,
    Plan,
    Prompts,
    RunConfig,
    RunState,
    Slo,
    Turn,
)
from llmtui.runview.run import RunView

_TURN_LINE = frozenset({"type", "level_title", "streams", "rate", "cap"})
#: Columns of the results that do not follow from samples: JSON Lines say nothing about them.
_UNKNOWN_IN_LINES = frozenset(
    {"framework", "language", "model", "weights", "version", "threads", "slots", "start", "state", "reason"}
    | {"created_utc", "load_s", "launches", "load_median_s", "load_min_s", "load_max_s"}
    | {"level_max_tokens", "level_prompt_tokens", "grid_backend", "grid_model", "grid_threads", "grid_args"}
)


def read_file(file: Path) -> Run:
    """Read a file of `--json` or `--jsonl`. Raises ReadError."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ReadError(f"cannot read {file}: {error.strerror or error}") from error
    if data.startswith(b"SQLite format 3\0"):
        raise ReadError(f"{file} is a history; name one of its runs: read_run('last', store={str(file)!r})")
    try:
        first = _first_line(data)
        if first is not None and first.get("type") in ("turn", "iteration", "search"):
            return _of_lines(file, data)
        return _of_document(file, data)
    except msgspec.MsgspecError as error:
        raise ReadError(
            f"{file} is not a run of `llmtui export RUN --json FILE` or `llmtui run --jsonl FILE`, or was written by a "
            f"newer llmtui: {error}"
        ) from error


def _first_line(data: bytes) -> dict[str, Any] | None:
    try:
        first = msgspec.json.decode(data.split(b"\n", 1)[0])
    except msgspec.DecodeError:
        return None  # the document is indented: its first line is a brace
    return first if isinstance(first, dict) else None


def _of_document(file: Path, data: bytes) -> Run:
    record = msgspec.json.decode(data, type=RunRecord)
    if record.schema_version > SCHEMA_VERSION:
        raise ReadError(f"{file} was written by a newer llmtui (schema {record.schema_version}); update llmtui")
    plan = Plan(
        run=record.run,
        created_utc=record.created_utc,
        config=record.config,
        backends=[each.backend for each in record.backends],
        source=record.source,
        load=record.load or Load(),
        slo=record.slo or Slo(),
        prompts=record.prompts or Prompts(),
        variants=record.variants,
    )
    iterations = [i for each in record.backends for i in each.iterations]
    view = _view(plan, record.machine, [each.state for each in record.backends], iterations, record.turns)
    requests: dict[int, list[Iteration]] = {}
    for request in record.requests:
        requests.setdefault(request.turn, []).append(request)
    return Run(
        run=record.run,
        created_utc=record.created_utc,
        label="",
        note="",
        state="",
        source=str(file),
        config=msgspec.to_builtins(full(record.config)),
        load=msgspec.to_builtins(full(record.load)) if record.load is not None else {},
        machine=msgspec.to_builtins(full(record.machine)),
        verdict=record.verdict.line if record.verdict is not None else "",
        _view=view,
        _requests=lambda turn: [requests.get(turn.seq, [])],
    )


def _of_lines(file: Path, data: bytes) -> Run:
    """A run from lines of samples, which say nothing of its settings. A last line that is cut off is left out."""
    iterations: list[Iteration] = []
    turns: list[Turn] = []
    levels: dict[int, tuple[float, str]] = {}
    open_loop = False
    lines = data.splitlines(keepends=True)
    for line in lines if data.endswith(b"\n") else lines[:-1]:
        of = msgspec.json.decode(line, type=dict[str, Any])
        if of.get("type") == "iteration":
            iterations.append(msgspec.convert({k: v for k, v in of.items() if k != "type"}, Iteration))
        elif of.get("type") == "turn":
            turn = msgspec.convert({k: v for k, v in of.items() if k not in _TURN_LINE}, Turn)
            turns.append(turn)
            streams, rate, title = (of.get(name) for name in ("streams", "rate", "level_title"))
            open_loop = open_loop or bool(rate)
            levels[turn.level] = (msgspec.convert(rate or streams, float), msgspec.convert(title, str))
    every: Iterable[Iteration | Turn] = [*iterations, *turns]
    names = list(dict.fromkeys(sample.backend for sample in every))
    if not names:
        raise ReadError(f"{file} has no samples")
    sizes = [levels.get(number, (1.0, ""))[0] for number in range(1, max(levels, default=0) + 1)]
    load = Load(request_rate=sizes) if open_loop else Load(concurrency=[round(n) for n in sizes], requests=2)
    plan = Plan(
        run=next(iter(every)).run,
        created_utc=min(sample.started_utc for sample in every),
        config=RunConfig(),
        backends=[Backend(name=name) for name in names],
        load=load if sizes else Load(),
    )
    attempts = {name: max(s.attempt for s in every if s.backend == name) for name in names}
    states = [BackendState(name=name, state="done", attempt=attempts[name]) for name in names]
    return Run(
        run=plan.run,
        created_utc=plan.created_utc,
        label="",
        note="",
        state="",
        source=str(file),
        config={},
        load={},
        machine={},
        verdict="",
        _view=_view(plan, Machine(), states, iterations, turns),
        _requests=lambda turn: [],
        _unknown=_UNKNOWN_IN_LINES,
        _titles={number: title for number, (_, title) in levels.items()},
    )


def _view(
    plan: Plan, machine: Machine, states: list[BackendState], iterations: list[Iteration], turns: list[Turn]
) -> RunView:
    view = RunView(plan)
    hello = Hello(
        plan=plan, machine=machine, run=RunState(phase="done"), backends=states, iterations=iterations, turns=turns
    )
    view.apply(hello)
    view.ended = True
    return view
