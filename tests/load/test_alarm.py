"""An alarm rings once, at its instant and not before, with the kernel's timer and without."""

from __future__ import annotations

import asyncio
import time

import pytest

from llmtui.load.alarm import Alarm


@pytest.mark.parametrize("kernel", [True, False])
async def test_an_alarm_rings_at_the_instant_of_the_last_set_and_only_once(kernel: bool) -> None:
    rung: list[int] = []
    rings = asyncio.Event()

    def ring() -> None:
        rung.append(time.monotonic_ns())
        rings.set()

    alarm = Alarm(ring, kernel=kernel)
    alarm.set(time.monotonic_ns() + 60_000_000_000)
    for at_ns in (time.monotonic_ns() + 20_000_000, 0):
        rings.clear()
        alarm.set(at_ns)
        await rings.wait()
        assert rung[-1] >= at_ns - 1_000_000 * (not kernel)
    await asyncio.sleep(0.01)
    assert len(rung) == 2
    alarm.set(time.monotonic_ns() + 1_000_000)
    alarm.close()
    alarm.close()
    await asyncio.sleep(0.01)
    assert len(rung) == 2
