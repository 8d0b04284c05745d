"""Views of finished searches, in which each backend had turns at levels of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from llmtui.model import Load, Slo, TurnDone
from llmtui.runview.run import RunView
from tests import build, loads

KNEE = Load(concurrency=[1, 16], requests=40, search="knee")
SLO = Load(concurrency=[1, 16], requests=40, search="slo")


def throughput(slots: int, load: Load) -> Callable[[int, int], Mapping[str, Any]]:
    """Fields of the turns of a server with slots: its throughput differs a little from round to round."""

    def of(number: int, level: int) -> Mapping[str, Any]:
        streams = load.levels[level - 1].streams
        return {"output_tokens_per_s": 100.0 * min(streams, slots) * (1 + 0.004 * (-1) ** number)}

    return of


def searched(load: Load, probed: Mapping[str, list[int]], fields: Mapping[str, Any], slo: Slo | None = None) -> RunView:
    """A view of a finished search, in which each backend had turns at its own levels."""
    plan = loads.plan(*probed, load=load, iterations=6)
    view = build.run_view(msgspec.structs.replace(plan, slo=slo or Slo()), keep=0)
    for name, levels in probed.items():
        for level in levels:
            for number in range(1, 7):
                made = loads.turn(name, number, level, **fields[name](number, level))
                view.apply(TurnDone(turn=made))
        view.apply(build.changed(name, planned=6, slots=16))
    return view


def keeping(most: int) -> Callable[[int, int], Mapping[str, Any]]:
    return lambda _, level: {"kept": 40 if level <= most else 10, "missed": 0 if level <= most else 30}
