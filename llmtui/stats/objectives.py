"""Whether requests keep the objectives of a load (`[slo]`). `llmtui explain loads` has the rules.

Times count from when a request was written, as everywhere: in an open loop its client queue is not the server's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from llmtui.model import Failure, Iteration, Objective, Slo
from llmtui.model.sample import LOADED_S
from llmtui.stats.turn_edges import rate_of

#: "undetermined": it cannot be told, so the request counts on neither side.
Judgement = Literal["kept", "missed", "undetermined"]

#: In the order of `Turn.objectives`.
JUDGEMENTS: tuple[Judgement, ...] = ("kept", "missed", "undetermined")


def judge(sample: Iteration, slo: Slo) -> dict[Objective, Judgement]:
    """Judge a request by each objective that is set."""
    return {objective: _judge(sample, objective, limit) for objective, limit in slo.limits.items()}


def of_all(each: dict[Objective, Judgement]) -> Judgement:
    """Judge a request by all objectives together: one that is missed is enough to miss them."""
    found = set(each.values())
    if "missed" in found:
        return "missed"
    return "undetermined" if "undetermined" in found or not found else "kept"


def judge_columns(
    seconds: Mapping[str, Sequence[float]],
    errors: Iterable[Failure | None],
    slo: Slo,
    request: Callable[[int], Iteration],
) -> list[Judgement]:
    """Judge many requests by all objectives together, as `judge` and `of_all` do for one.

    `seconds` are columns of their figures, NaN without a value. `request` returns the one at a place: a request that
    failed, or during which the server may have loaded its model, is judged by itself.
    """
    latency = seconds["latency_s"]
    columns: dict[Objective, Iterable[float]] = {
        "tpot": seconds["tpot_s"],
        "ttft": (one if one == one else other for one, other in zip(seconds["ttft_s"], latency, strict=True)),
        "latency": latency,
    }
    found: list[Judgement] = ["kept"] * len(latency)
    for objective, limit_s in slo.limits.items():
        for at, value_s in enumerate(columns[objective]):
            if 0 <= value_s <= limit_s:
                continue
            if limit_s < value_s < math.inf:
                found[at] = "missed"
            elif found[at] == "kept":
                found[at] = "undetermined"
    for at, (error, load_s) in enumerate(zip(errors, seconds["server_load_s"], strict=False)):
        if error is not None or load_s >= LOADED_S:
            found[at] = of_all(judge(request(at), slo))
    return found


class Kept:
    """Counts which requests of a turn kept the objectives. Without objectives it counts none."""

    def __init__(self, slo: Slo | None) -> None:
        self._slo = slo if slo is not None and slo.limits else None
        self._all: Counter[Judgement] = Counter()
        self._kept: Counter[int] = Counter()
        self._each: dict[Objective, Counter[Judgement]] = {
            objective: Counter() for objective in (self._slo.limits if self._slo else ())
        }

    def add(self, sample: Iteration) -> None:
        """Add a request of the window."""
        if self._slo is None:
            return
        each = judge(sample, self._slo)
        judged = of_all(each)
        self._all[judged] += 1
        self._kept[sample.worker] += judged == "kept"
        for objective, judgement in each.items():
            self._each[objective][judgement] += 1

    def figures(self, windows: Mapping[int, tuple[float, float]]) -> dict[str, Any]:
        """Return the fields of a turn with these windows of its workers (s), {} without; none without objectives."""
        if self._slo is None:
            return {}
        return {
            **{judgement: self._all[judgement] for judgement in JUDGEMENTS},
            "objectives": {name: [counts[one] for one in JUDGEMENTS] for name, counts in self._each.items()},
            "goodput_per_s": rate_of(self._kept, windows),
        }


def _judge(sample: Iteration, objective: Objective, limit_s: float) -> Judgement:
    if sample.error is not None:
        return _judge_cut_off(sample, objective, limit_s) if sample.error.kind == "stopped" else "missed"
    # The load of a model is not part of an answer.
    value_s = None if sample.loaded else _value_s(sample, objective)
    if value_s is None or not 0 <= value_s < math.inf:
        return "undetermined"
    return "kept" if value_s <= limit_s else "missed"


def _value_s(sample: Iteration, objective: Objective) -> float | None:
    """What is compared with the limit (s), None if it is unknown, such as the TPOT of a short answer."""
    if objective == "tpot":
        return sample.tpot_s
    if objective == "ttft":
        # The first token of an answer in one piece came with the last.
        return sample.latency_s if sample.ttft_s is None else sample.ttft_s
    return sample.latency_s


def _judge_cut_off(sample: Iteration, objective: Objective, limit_s: float) -> Judgement:
    """Judge a request that llmtui cut off, by its age and by when its first token came."""
    age_s, ttft_s = sample.latency_s or 0.0, sample.ttft_s
    if objective == "ttft" and ttft_s is not None:
        return "kept" if ttft_s <= limit_s else "missed"
    return "missed" if objective != "tpot" and age_s > limit_s else "undetermined"
