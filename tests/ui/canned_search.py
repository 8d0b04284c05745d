"""A search of two servers in canned events: one of 4 slots and one of 2, for the knee or for the objectives."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmtui.model import AnyEvent, BackendChanged, Hello, Level, Load, Plan, RunChanged, RunState, Slo, Tick, Turn
from llmtui.stats.buckets import Buckets
from tests import build, loads

KNEE = Load(concurrency=[1, 16], requests=40, search="knee")
OBJECTIVES = Load(concurrency=[1, 16], requests=40, search="slo")
SLO = Slo(ttft_s=0.12, share=0.95)
#: The slots of each server.
SLOTS = {"four": 4, "two": 2}
#: The streams that each server was probed with, in this order: what the search itself asks for.
PROBED = {"four": (1, 2, 4, 8, 6, 5, 3), "two": (1, 2, 4, 3)}
_ROUNDS = 6


def plan(load: Load = KNEE) -> Plan:
    """The plan of the search."""
    the_plan = loads.plan(*SLOTS, load=load, iterations=_ROUNDS, warmup=1)
    return msgspec.structs.replace(the_plan, slo=SLO if load.search == "slo" else Slo())


def turn(name: str, number: int, level: Level, load: Load, few: bool = False) -> Turn:
    """A turn of a server that computes as many requests at a time as it has slots. `few`: few requests a turn."""
    rng = random.Random(f"{name}/{number}/{level.number}")
    slots, streams = SLOTS[name], level.streams
    rate = 80.0 * min(streams, slots) * (1 + rng.gauss(0, 0.004))
    ttft_s = 0.05 + 0.8 * max(0, streams - slots) / slots
    firsts = Buckets()
    firsts.add(ttft_s * (1 + abs(rng.gauss(0, 0.1))) for _ in range(40))
    kept = (10 if few else 40) if streams <= slots else 0
    judged: dict[str, Any] = {"kept": kept, "missed": 0 if kept else 40} if load.search == "slo" else {}
    return loads.turn(
        name, number, level.number, seq=100 * level.number + number, output_tokens_per_s=rate,
        requests_per_s=rate / 64, in_flight=float(streams), in_flight_most=streams, ttft_s=ttft_s,
        started_utc=f"2026-11-22T12:{level.number:02}:{number:02}Z", percentiles={"ttft": firsts.percentiles()},
        buckets={"ttft": firsts.encoded()}, **judged,
    )  # fmt: skip


def hello(
    probed: Mapping[str, Sequence[int]] = PROBED, load: Load = KNEE, running: bool = True, few: bool = False
) -> Hello:
    """The first message, after these probes."""
    the_plan = plan(load)
    at = {level.streams: level for level in load.levels}
    turns = [
        turn(name, number, at[streams], load, few)
        for name, counts in probed.items()
        for streams in counts
        for number in range(1, _ROUNDS + 1)
    ]
    word = "running" if running else "done"
    states = [build.state(name, state=word, planned=_ROUNDS, slots=16) for name in SLOTS]
    run = RunState(phase="running" if running else "done", finished=len(turns), total=len(turns) + 20 * running)
    return Hello(plan=the_plan, machine=build.machine(), run=run, backends=states, turns=turns)


def tick(name: str = "two", streams: int = 4, load: Load = KNEE, **changes: Any) -> Tick:
    """How far a turn is."""
    number = next(level.number for level in load.levels if level.streams == streams)
    usual: dict[str, Any] = {
        "phase": "measured", "round": 3, "share": "window", "elapsed_s": 4.2, "sent": 38, "in_flight": streams,
        "finished": 30, "counted": 14, "requests": 40, "tokens": 1904,
    }  # fmt: skip
    return Tick(backend=name, level=number, **(usual | changes))


def done_events() -> list[AnyEvent]:
    """The events that end the run."""
    states = [BackendChanged(backend=build.state(name, state="done", planned=_ROUNDS, slots=16)) for name in SLOTS]
    return [*states, RunChanged(run=RunState(phase="done", finished=66, total=66, elapsed_s=300.0))]
