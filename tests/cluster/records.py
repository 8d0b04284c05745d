"""Records of llmtui accuracy as a worker's machine may have them."""

from __future__ import annotations

from typing import Any

from llmtui.model import Machine
from llmtui.model.accuracy import Errors, Level, Record

#: The p95 of the error of a TTFT in the record of one of the workers.
OWN_ERROR_S = 0.0005


def record(machine: Machine, ttft_p95_s: float) -> Record:
    """A record of this machine at 64 streams of a load."""
    errors = Errors(n=100, median=0.0, p50=0.0, p95=ttft_p95_s, p99=ttft_p95_s, max=ttft_p95_s)
    each: dict[str, Any] = dict.fromkeys(("ttft_s", "itl_s", "latency_s", "tokens_per_s_share"), errors)
    level = Level(streams=64, monitor=True, requests=100, tokens=8, coalesced=0.0, loop="load", **each)
    return Record(
        measured_utc="2026-11-29T00:00:00Z", machine=machine, stamp="kernel", truth_stamp="kernel", tokens=8,
        ttft_ms=5.0, itl_ms=1.0, levels=[level],
    )  # fmt: skip
