"""A whole run as one JSON document: for programs, and for reading the figures again with nothing lost.

    schema_version  1; grows when a name changes its meaning
    run, created_utc, source    the run's id, when it was planned, the config it came from
    machine         cpu, cores, memory_bytes, os, python, llmtui (version)
    config          what every backend was asked to do
    backends        per backend: `backend` (as configured, no secrets), `state`, `summary` (of the current attempt;
                    durations in s, rates in tokens/s), `ratio_to_fastest`, `iterations` (every attempt, with text,
                    `arrivals_ns` since the request was written, and `arrival_tokens`)
    accuracy        what `llmtui accuracy` found last on this machine (llmtui.accuracy_record), null where it never did

Every field is there, null where unknown. Names inside are those of llmtui.model and llmtui.stats.summary.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmtui.accuracy_record import Record, newest
from llmtui.engine.board import Board
from llmtui.model import Backend, BackendState, Iteration, Machine, RunConfig, Struct
from llmtui.stats.summary import Summary

SCHEMA_VERSION = 1
#: DEL, C1, bidirectional controls, separators, what has no width: JSON lets them stand in texts, a terminal obeys some.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_SECRET = ("api_key", "headers", "secrets")


class BackendRecord(Struct, frozen=True):
    """One backend of the document."""

    backend: Backend
    state: BackendState
    summary: Summary
    ratio_to_fastest: float | None
    iterations: list[Iteration]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The document. Reads back with `msgspec.json.decode(text, type=RunRecord)`."""

    schema_version: int
    run: str
    created_utc: str
    source: str
    machine: Machine
    config: RunConfig
    backends: list[BackendRecord]
    accuracy: Record | None = None


def run_json(board: Board) -> str:
    """The run as an indented JSON document with a line end."""
    plan = board.plan.public()
    ratios = board.ratios()
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        run=plan.run,
        created_utc=plan.created_utc,
        source=plan.source,
        machine=board.machine,
        config=plan.config,
        backends=[
            BackendRecord(
                backend=lane.backend.public(),
                state=lane.state,
                summary=lane.summary,
                ratio_to_fastest=ratios[name],
                iterations=list(lane.iterations),
            )
            for name, lane in board.lanes.items()
        ],
        accuracy=newest(board.machine),
    )
    text = msgspec.json.format(msgspec.json.encode(_full(record)), indent=2).decode() + "\n"
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _full(value: Any) -> Any:
    """`value` with the fields that our structs leave out when they have their default; without those for secrets."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value)
        return {name: _full(v) for name, v in fields.items() if not (isinstance(value, Backend) and name in _SECRET)}
    if isinstance(value, list):
        return [_full(v) for v in value]
    return value
