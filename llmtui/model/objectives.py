"""Objectives: how soon an answer has to come, and what share of the requests has to keep that."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct

#: What an objective limits; each is a duration in s.
Objective = Literal["ttft", "tpot", "latency"]


class Slo(Struct, frozen=True, forbid_unknown_fields=True):
    """The objectives of a load (`[slo]`), in s; 0: none. `share` of the requests of a level has to keep all of them."""

    ttft_s: float = 0.0
    tpot_s: float = 0.0
    latency_s: float = 0.0
    share: float = 0.95

    @property
    def limits(self) -> dict[Objective, float]:
        """The objectives that are set, in s."""
        each: dict[Objective, float] = {"ttft": self.ttft_s, "tpot": self.tpot_s, "latency": self.latency_s}
        return {objective: limit for objective, limit in each.items() if limit}
