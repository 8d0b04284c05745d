"""Memory and CPU of the servers: never more cores than were used, and than there are."""

from __future__ import annotations

import asyncio
import itertools
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llmtui.engine.watch import other_cpu, server_usage
from llmtui.model import AnyEvent, Sampled


async def test_the_earlier_cpu_of_an_engine_that_joins_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(server_usage, "INTERVAL_S", 0.0)
    monkeypatch.setattr(server_usage, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    # A front has used 10 s. An engine that has used an hour is seen behind it, and then uses a core.
    readings = iter([(1, {1}, 10.0), (1, {1}, 10.5), (9, {2}, 3610.5), (9, {2}, 3611.5)])
    target = SimpleNamespace(up=True, processes=SimpleNamespace(first=frozenset[int]()))
    seen: list[float | None] = []

    def sample() -> tuple[int, float]:
        megabytes, first, cpu_s = next(readings)
        target.processes.first = frozenset(first)
        return megabytes * 1_000_000, cpu_s

    def emit(event: AnyEvent) -> None:
        assert isinstance(event, Sampled)
        seen.append(event.cpu_cores)

    target.sample = sample
    backend_run = cast(Any, SimpleNamespace(name="a", target=target, cpu=None))
    with pytest.raises(RuntimeError):  # the readings have ended
        await asyncio.wait_for(server_usage.sample_servers([backend_run], emit), 5)
    assert seen == [0.5, 1.0]


def test_a_short_iteration_has_no_more_busy_cores_than_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100.0, 100.0 + 50])
    monkeypatch.setattr(other_cpu, "busy_cpu_seconds", lambda: next(ticks))
    server = SimpleNamespace(start=lambda: True, stop=lambda: None, used_s=lambda: 0.0, judge=lambda *_: True)
    meter = other_cpu.OtherCpuMeter(cast(Any, server), lambda: [])
    meter.start()
    meter.stop()
    assert meter.result() == (float(os.cpu_count() or 0), 0.0)
