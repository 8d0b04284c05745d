"""Builders of the model's objects, with defaults that keywords override."""

from __future__ import annotations

from llmtui.model import Machine
from llmtui.model.accuracy import Errors, Level, MonitorLoad, Record


def record_of(
    machine: Machine, ttft_p95_s: float = 0.0002, streams: int = 1, monitor: bool = True, p99_s: float = 0.0004
) -> Record:
    """A record with one level and these errors."""
    errors = Errors(n=40, median=0.0001, p50=0.0001, p95=ttft_p95_s, p99=p99_s, max=1.25)
    level = Level(
        streams=streams,
        monitor=monitor,
        requests=40,
        tokens=2560,
        coalesced=0.01,
        ttft_s=errors,
        itl_s=errors,
        latency_s=errors,
        tokens_per_s_share=errors,
        failed=1,
    )
    return Record(
        measured_utc="2026-11-22T15:00:00Z",
        machine=machine,
        stamp="kernel",
        truth_stamp="kernel",
        tokens=64,
        ttft_ms=50,
        itl_ms=10,
        levels=[level],
        versions={"llmtui": "0.1.0", "httpx": "0.28.1"},
        watching=MonitorLoad(columns=120, rows=40, seconds=30, bytes_per_s=4_500, cpu_cores=0.04),
    )
