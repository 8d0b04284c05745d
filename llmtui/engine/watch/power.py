"""Reads the meters of power while a backend is asked: in a thread, every tenth of a second, and at both ends."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgspec

from llmtui.engine.watch.energy import Energy, energy, mean
from llmtui.engine.watch.meter_thread import MeterThread, answered
from llmtui.engine.watch.meters import Meter, Reading
from llmtui.model.power import Power
from llmtui.servers.process_table import process_table, tree
from llmtui.servers.server_processes import ServerProcesses

#: Between two readings. Use and power of most cards change no more often.
INTERVAL_S = 0.1
#: How long the idle machine is read before the run, and how long of it quickly, to see how often counters change.
IDLE_S = 3.0
FAST_S = 0.5
_FAST_INTERVAL_S = 0.005
#: No energy is reported whose error is a larger share of it.
MOST_ERROR_SHARE = 0.25
#: How late a reading may be on a busy machine.
_LATE_S = 0.2
#: How often it is looked whether the idle machine was read, in s.
_LOOK_S = 0.02


class Idle(NamedTuple):
    """What a meter showed before the run: power (W) with its error, None if unknown, and how often it changes."""

    watts: float | None = None
    error_w: float = 0.0
    update_s: float = INTERVAL_S


class PowerWatch:
    """The meters of this machine. `told` has what was reported once; `lost` is told which meters hang, once each.

    A driver that hangs is not asked again in the run, about none of its meters.
    """

    def __init__(self, meters: Sequence[Meter], lost: Callable[[list[str]], None] = lambda _: None) -> None:
        self.meters = list(meters)
        self.idle: list[Idle] = [Idle() for _ in meters]
        self.told: set[str] = set()
        self._lost = lost
        self._hanging: set[type] = set()

    async def measure_idle(self, stopping: Callable[[], bool] = lambda: False, idle_s: float = IDLE_S) -> None:
        """Read the idle machine for `idle_s`, before any server of the run is launched or asked."""
        while meters := self.working:
            began = time.monotonic()
            fast_s = min(FAST_S, idle_s / 2)
            thread = MeterThread(
                meters,
                lambda: _FAST_INTERVAL_S if time.monotonic() - began < fast_s else INTERVAL_S,  # noqa: B023
            )
            hangs = thread.start()
            while hangs is None and time.monotonic() - began < idle_s and not stopping():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
            if (hangs := hangs or thread.stop()) is None:
                readings = dict(zip(map(id, meters), thread.readings, strict=True))
                self.idle = [_idle(meter, readings.get(id(meter), [])) for meter in self.meters]
                return
            self.drop(hangs)

    def begin(self, processes: ServerProcesses | None, device: str) -> Recording | None:
        """Start to read what a server uses; None if it is not on this machine, or its engine is not seen.

        `device` is what it computes on: one that has no card open uses none. If the cards do not tell whose processes
        they run, all of them count: one server is asked at a time.
        """
        if processes is None or processes.elsewhere:
            return None
        cards = [number for number, meter in enumerate(self.meters) if meter.kind == "gpu" and device != "cpu"]
        by_process = device == "cpu"
        if cards and (own := self._serving(cards, processes)):
            cards, by_process = own, True
        every = [n for n, meter in enumerate(self.meters) if meter.kind == "cpu" or n in cards]
        numbers = [n for n in every if self._works(self.meters[n])]
        if not numbers:
            return None
        # What hangs is a part of the machine that is not seen.
        recording = Recording(
            [self.meters[n] for n in numbers],
            [self.idle[n] for n in numbers],
            by_process,
            whole=len(numbers) == len(every),
            drop=self.drop,
        )
        recording.start()
        return recording

    def drop(self, hangs: Meter) -> None:
        """Ask the driver of a meter that hangs no more."""
        if self._works(hangs):
            self._hanging.add(type(hangs))
            self._lost([meter.name for meter in self.meters if type(meter) is type(hangs)])

    @property
    def working(self) -> list[Meter]:
        """Those that do not hang."""
        return [meter for meter in self.meters if self._works(meter)]

    def _works(self, meter: Meter) -> bool:
        return type(meter) not in self._hanging

    def _serving(self, cards: Collection[int], processes: ServerProcesses) -> list[int]:
        pids = tree(process_table(), processes.first, (os.getpid(),))
        return [number for number in cards if self._serves(self.meters[number], pids)]

    def _serves(self, meter: Meter, pids: Collection[int]) -> bool | None:
        if not self._works(meter):
            return None
        try:
            return answered(lambda: meter.serves(pids))
        except TimeoutError:
            self.drop(meter)
            return None


class Recording:
    """The readings of some meters from `start` to `stop`. `drop` is told which one hangs.

    `whole`: they are all that a server uses. Without one that hangs the sum would be too small, so there is none.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        idle: Sequence[Idle],
        by_process: bool = False,
        whole: bool = True,
        drop: Callable[[Meter], None] = lambda _: None,
    ) -> None:
        self._meters, self._idle, self._by_process = meters, idle, by_process
        self._complete, self._drop = whole, drop
        self._thread = MeterThread(meters, lambda: INTERVAL_S)
        self._began_s = 0.0
        #: When `stop` was called, on the monotonic clock; 0 before.
        self.ended_s = 0.0
        #: Why no energy was measured: the names of the meters that did not answer, and whether it was too short.
        self.silent: list[str] = []
        self.too_short = False

    def start(self) -> None:
        """Read all meters, then go on in a thread."""
        self._judge(self._thread.start())
        self._began_s = time.monotonic()

    def stop(self) -> None:
        """Read all meters a last time. Safe to call more than once."""
        if self.ended_s:
            return
        self.ended_s = time.monotonic()
        self._judge(self._thread.stop())

    def _judge(self, hangs: Meter | None) -> None:
        if hangs is not None:
            self._complete = False
            self._drop(hangs)

    def power(self, tokens: float | None, span: tuple[float, float] | None = None) -> Power | None:
        """Return what was read, after `stop`. `tokens` are the output tokens of the same time, None if unknown.

        `span` is the part that counts, two instants on the monotonic clock (s); by default it is all.
        """
        if not any(self._thread.readings):
            self.silent = [meter.name for meter in self._meters] if self._complete else []
            return None
        from_s, to_s = span or (self._began_s, self.ended_s)
        if to_s <= from_s:
            return None
        cards = [of for meter, of in zip(self._meters, self._thread.readings, strict=True) if meter.kind == "gpu"]
        memory = [r.memory_bytes for of in cards for r in of[-1:] if r.memory_bytes is not None]
        seconds = to_s - from_s
        power = Power(
            meters=[meter.name for meter in self._meters],
            by_process=self._by_process and bool(cards),
            seconds=round(seconds, 6),
            gpu_use=_mean([mean(of, lambda r: r.use, from_s, to_s) for of in cards], 4),
            gpu_memory_bytes=sum(memory) if memory else None,
            gpu_mhz=_mean([mean(of, lambda r: r.mhz, from_s, to_s) for of in cards], 1),
        )
        return self._with_energy(power, from_s, to_s, tokens)

    def _with_energy(self, power: Power, from_s: float, to_s: float, tokens: float | None) -> Power:
        if not self._complete:
            return power
        seconds = to_s - from_s
        parts: list[Energy] = []
        cards_j = 0.0
        for meter, idle, readings in zip(self._meters, self._idle, self._thread.readings, strict=True):
            part = energy(readings, from_s, to_s, meter.grain_j, idle.update_s, idle.watts)
            # A part of the machine that was not seen would be missing in the sum.
            if part is None or not self._whole(readings, from_s, to_s):
                self.silent.append(meter.name)
                continue
            parts.append(part)
            cards_j += part.joules if meter.kind == "gpu" else 0.0
        if self.silent:
            return power
        joules, error = sum(part.joules for part in parts), sum(part.error_j for part in parts)
        if joules <= 0 or error > MOST_ERROR_SHARE * joules:
            self.too_short = True
            return power
        figures: dict[str, float | None] = {
            "watts": joules / seconds,
            "joules": joules,
            "joules_error": error,
            "gpu_joules": cards_j if any(meter.kind == "gpu" for meter in self._meters) else None,
        }
        figures |= _per_token("joules_per_token", joules, error, tokens)
        if all(idle.watts is not None for idle in self._idle):
            idle_w = sum(idle.watts or 0.0 for idle in self._idle)
            above = joules - idle_w * seconds
            above_error = error + sum(idle.error_w for idle in self._idle) * seconds
            figures |= {"idle_watts": idle_w, "joules_above_idle": above, "joules_above_idle_error": above_error}
            figures |= _per_token("joules_per_token_above_idle", above, above_error, tokens)
        changes = {name: round(value, 9) for name, value in figures.items() if value is not None}
        return msgspec.structs.replace(power, **changes)

    def _whole(self, readings: Sequence[Reading], from_s: float, to_s: float) -> bool:
        """Whether a meter answered all the time."""
        times = [from_s, *(r.at_s for r in readings if from_s < r.at_s < to_s), to_s]
        most_s = 3 * INTERVAL_S * self._thread.stretched + _LATE_S
        reaches = readings[0].at_s <= from_s + _LATE_S and readings[-1].at_s >= to_s - _LATE_S
        return reaches and all(b - a <= most_s for a, b in itertools.pairwise(times))


def _idle(meter: Meter, readings: Sequence[Reading]) -> Idle:
    """What a meter showed on the idle machine."""
    if len(readings) < 2:
        return Idle()
    from_s, to_s = readings[0].at_s, readings[-1].at_s
    update_s = INTERVAL_S
    fast = [r for r in readings if r.joules is not None and r.at_s < from_s + FAST_S]
    changes = sum(a.joules != b.joules for a, b in itertools.pairwise(fast))
    if changes > 1:
        update_s = min(INTERVAL_S, (fast[-1].at_s - fast[0].at_s) / changes)
    of = energy(readings, from_s, to_s, meter.grain_j, update_s)
    if of is None:
        return Idle(update_s=update_s)
    return Idle(of.joules / (to_s - from_s), of.error_j / (to_s - from_s), update_s)


def _per_token(name: str, joules: float, error: float, tokens: float | None) -> dict[str, float | None]:
    return {name: joules / tokens, f"{name}_error": error / tokens} if tokens else {}


def _mean(values: Sequence[float | None], decimals: int) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), decimals) if known else None
