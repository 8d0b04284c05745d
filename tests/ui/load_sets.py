"""Loads of several levels for the charts, from one backend with a turn a level to nine at sixteen levels."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Sequence

import msgspec

from llmtui.config.schema import UiConfig
from llmtui.model import Hello, Level, Load, Machine, RunState, Slo, Tick, Turn, TurnDone
from llmtui.stats.buckets import Buckets
from llmtui.ui.layout import layout_for
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.chart import inner_size
from tests import build, loads

#: The answers of a turn.
_ANSWERS = 40


@dataclasses.dataclass(frozen=True)
class LoadSet:
    """Backends of these speeds (output tokens/s at one stream) at these levels, with this number of turns at each."""

    speeds: Sequence[float]
    levels: Sequence[int] = (1, 2, 4, 8, 16)
    turns: int = 8
    noise: float = 0.05
    ttft_s: float = 0.1
    #: The objective of the TTFT in s, 0 without one.
    objective_s: float = 0.0
    #: Levels whose turns have not come yet.
    missing: Sequence[int] = ()


SETS: dict[str, LoadSet] = {
    "three": LoadSet((80.0, 60.0, 19.0)),
    "three, noisy": LoadSet((80.0, 76.0, 70.0), noise=0.25),
    "two that are equal": LoadSet((80.0, 80.0), noise=0.0),
    "one, a turn a level": LoadSet((80.0,), turns=1),
    "nine": LoadSet(tuple(60.0 + 4 * n for n in range(9)), levels=(1, 4, 16), noise=0.1),
    "nine at sixteen levels": LoadSet(tuple(50.0 + 5 * n for n in range(9)), levels=range(1, 17), turns=6),
    "one 50x slower": LoadSet((800.0, 700.0, 15.0), noise=0.1),
    "an objective": LoadSet((80.0, 60.0), objective_s=0.3),
    "slow first tokens": LoadSet((80.0, 60.0), levels=(1, 8, 64, 256), ttft_s=0.05, noise=0.2),
    "two levels of four": LoadSet((80.0, 60.0), missing=(8, 16)),
}


def rate(of: LoadSet, backend: int, streams: int, number: int) -> float:
    """The output tokens/s of a turn."""
    rng = random.Random(f"{backend}/{streams}/{number}")
    return of.speeds[backend] * streams / (1 + (streams - 1) / 6) * (1 + of.noise * rng.uniform(-1, 1))


def first_tokens(of: LoadSet, backend: int, streams: int, number: int) -> list[float]:
    """The TTFT of each answer of a turn, in s."""
    middle = of.ttft_s * (1 + backend / 3) * (1 + (streams - 1) / 3)
    return [middle * (1 + of.noise * late) for late in _late(backend, streams, number)]


@functools.cache
def _late(backend: int, streams: int, number: int) -> list[float]:
    rng = random.Random(f"ttft {backend}/{streams}/{number}")
    return [rng.expovariate(1.0) for _ in range(_ANSWERS)]


def turn_of(of: LoadSet, backend: int, level: Level, number: int, names: Sequence[str]) -> Turn:
    """The turn of a round, whose number gives its values."""
    firsts = Buckets()
    firsts.add(first_tokens(of, backend, level.streams, number))
    total = rate(of, backend, level.streams, number)
    kept = round(_ANSWERS / (1 + backend + level.streams / 8))
    return loads.turn(
        names[backend], number, level.number, run="r", output_tokens_per_s=total, requests_per_s=total / 64,
        stream_tokens_per_s=total / level.streams, buckets={"ttft": firsts.encoded()}, kept=kept,
        missed=_ANSWERS - kept,
    )  # fmt: skip


@functools.cache
def view_of(name: str) -> ViewState:
    """The monitor's view of a set's run. Do not change it."""
    return view_with(SETS[name])


def view_with(of: LoadSet) -> ViewState:
    """The monitor's view of this run."""
    names = [f"{'abcdefghijklmnop'[n]}-server" for n in range(len(of.speeds))]
    load = Load(concurrency=list(of.levels), requests=_ANSWERS)
    plan = msgspec.structs.replace(loads.plan(*names, load=load, iterations=of.turns), slo=Slo(ttft_s=of.objective_s))
    view = ViewState(plan, UiConfig())
    states = [build.state(name, state="running", planned=of.turns) for name in names]
    view.run_view.apply(Hello(plan=plan, machine=Machine(), run=RunState(phase="running"), backends=states))
    view.link = "up"
    for number in range(1, of.turns + 1):
        for level in load.levels:
            if level.streams in of.missing:
                continue
            for n in range(len(names)):
                view.run_view.apply(TurnDone(turn=turn_of(of, n, level, number, names)))
    view.structure_changed()
    return view


def size_at(view: ViewState, size: tuple[int, int]) -> tuple[int, int]:
    """The columns and rows that a chart has in a terminal of this size."""
    width, height = size
    view.layout = layout_for(width, height, len(view.names))
    return inner_size(width // max(1, view.layout.charts), view.layout.chart_height)


def ticks(backend: str = "a-server", level: int = 4, seconds: float = 12.0, *, each_s: float = 0.25) -> list[Tick]:
    """A turn that settles for 2 s, of 200 arrivals and 4 answers a second: at 6 s two are refused, and one fails."""
    found = []
    for number in range(round(seconds / each_s) + 1):
        at = number * each_s
        wrong = at > 6
        found.append(
            Tick(
                backend=backend,
                phase="measured",
                round=9,
                level=level,
                share="settling" if at < 2 else "window",
                elapsed_s=at,
                in_flight=min(8, int(8 * at)),
                tokens=int(200 * max(0.0, at - 0.5)),
                finished=int(4 * at),
                failed=3 * wrong,
                refused=2 * wrong,
            )
        )
    return found
