"""Runs of a load as a view has them: turns of equal or unequal backends, round by round, at each level."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from llmtui.model import Load, Phase, Plan, Turn, TurnDone
from llmtui.runview.run import RunView
from tests import build

#: Closed loops of two levels, the second of which counts.
CLOSED = Load(concurrency=[4, 8], requests=40)
OPEN = Load(request_rate=[2.0], requests=40)
#: Fields of a turn, or a function from its round and level to them.
Fields = Mapping[str, Any] | Callable[[int, int], Mapping[str, Any]]


def plan(*names: str, load: Load = CLOSED, **config: Any) -> Plan:
    """A plan of these backends under a load; other keywords are settings of the run."""
    metric = "latency" if load.levels and load.levels[0].open else "output_tokens_per_s"
    return msgspec.structs.replace(build.plan(*names, **({"metric": metric} | config)), load=load)


def turn(backend: str = "a", round: int = 1, level: int = 1, speed: float = 1.0, **fields: Any) -> Turn:  # noqa: A002
    """A whole turn of 40 answers of 64 tokens at 8 streams by a server that is `speed` times as fast as another."""
    phase: Phase = fields.pop("phase", "measured")
    usual: dict[str, Any] = {
        "seq": round,
        "started_utc": f"2026-11-22T12:{round // 60 % 60:02}:{round % 60:02}Z",
        "state": "whole",
        "settled": 16,
        "window_s": 5.0 / speed,
        "elapsed_s": 7.0 / speed,
        "requests": 40,
        "finished": 40,
        "latency_s": 1.0 / speed,
        "ttft_s": 0.1 / speed,
        "ttfo_s": 0.1 / speed,
        "itl_s": 0.0143 / speed,
        "tpot_s": 0.0143 / speed,
        "tokens_per_s": 70.0 * speed,
        "requests_per_s": 8.0 * speed,
        "output_tokens_per_s": 512.0 * speed,
        "delivered_rate": 8.0 * speed,
        "in_flight": 8.0,
        "in_flight_most": 8,
        "output_tokens": 64,
        "prompt_tokens": 46,
        "cached_tokens": 0,
        "token_source": "usage",
        "finish_reason": "length",
        "stamp": "kernel",
        "foreign_cpu": 0.02,
        "server_cpu": 4.0,
        "worker_cpu": 0.2,
        "tokens_per_arrival": 1.0,
        "events_per_piece": 1.0,
        "text": "the same as ever",
        "text_of": 17,
    }
    of: dict[str, Any] = {"run": "r", "backend": backend, "attempt": 1, "phase": phase, "round": round, "level": level}
    return Turn(**(of | usual | fields))


def raced(
    speeds: Mapping[str, float],
    load: Load = CLOSED,
    rounds: int = 10,
    noise: float = 0.01,
    fields: Mapping[str, Fields] | None = None,
    states: Mapping[str, Mapping[str, Any]] | None = None,
    **config: Any,
) -> RunView:
    """A view of a finished run: in each round each backend has a turn at each level, with warm-up turns before.

    `speeds` are relative, `fields` those of turns and `states` those of the states, by backend.
    """
    view = build.run_view(plan(*speeds, load=load, iterations=rounds, warmup=1, **config), keep=0)
    view.machine = build.machine(cpu="Some CPU", cores=8, governor="performance", load_1m=0.3)
    rng = random.Random(6)
    seq = 0
    for number in range(rounds + 1):
        for level in load.levels:
            for name, speed in speeds.items():
                seq += 1
                of = (fields or {}).get(name, {})
                more = dict(of(number, level.number) if callable(of) else of)
                streams = {"in_flight": float(level.streams), "in_flight_most": level.streams} if level.streams else {}
                if level.open:
                    streams = {"delivered_rate": level.rate, "requests_per_s": level.rate, "in_flight": level.rate}
                made = turn(name, max(1, number), level.number, more.pop("speed", speed) * (1 + rng.gauss(0, noise)),
                            **({"seq": seq, "phase": "measured" if number else "warmup"} | streams | more))  # fmt: skip
                view.apply(TurnDone(turn=made))
    for name in speeds:
        known = {"slots": 16, "model": "smollm2", "weights": "Q8_0", "threads": 4, "device": "cpu"}
        view.apply(build.changed(name, planned=rounds, **(known | dict((states or {}).get(name, {})))))
    return view


def codes(checks: Sequence[Any]) -> list[str]:
    """The codes of these checks with their levels: "void little"."""
    return [f"{check.level} {check.code}" for check in checks]
