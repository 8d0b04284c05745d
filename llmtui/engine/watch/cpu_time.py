"""CPU time of the machine and of single processes, and what others used as the engine started.

From /proc (Linux), elsewhere from psutil. Imports little: the engine reads these counters before its other imports, and
again after them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from llmtui.servers.process_table import TICKS_PER_S

_PROC = Path("/proc")
#: The counters tick every hundredth of a second, each by itself: a difference below this is rounding error.
ROUNDING_S = 0.03
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")


def busy_cpu_seconds(proc: Path | None = None) -> float | None:
    """Return the busy and stolen time of all cores since boot (s), None if the system does not report it."""
    try:
        with ((proc or _PROC) / "stat").open("rb") as file:
            fields = file.readline().split()
    except OSError:
        return None if proc is not None else _busy_by_psutil()
    if len(fields) < 9 or fields[0] != b"cpu":
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in fields[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def process_cpu_seconds(pid: int, proc: Path | None = None) -> float | None:
    """Return the CPU time of a process, its threads and its reaped children (s), None if it has exited."""
    try:
        raw = ((proc or _PROC) / f"{pid}/stat").read_bytes()
    except OSError:
        return None if proc is not None or _PROC.is_dir() else _process_by_psutil(pid)
    fields = raw[raw.rindex(b")") + 2 :].split()
    return sum(int(v) for v in fields[11:15]) / TICKS_PER_S


def _busy_by_psutil() -> float | None:
    import psutil

    try:
        times = psutil.cpu_times()._asdict()
    except (psutil.Error, OSError):
        return None
    # The time of guests is part of user's.
    return float(sum(cpu_s for name, cpu_s in times.items() if name not in _NOT_BUSY))


def _process_by_psutil(pid: int) -> float | None:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except (psutil.Error, OSError):
        return None
    return float(times.user + times.system + times.children_user + times.children_system)


class Reading(NamedTuple):
    """The counters at one moment: seconds on the monotonic clock, CPU seconds of all and of llmtui's own processes."""

    at_s: float
    busy_s: float
    own_s: dict[int, float]


def read_counters(own: Collection[int], proc: Path | None = None) -> Reading | None:
    """Read the counters; None if /proc does not report them. `own` are llmtui's processes."""
    busy_s = busy_cpu_seconds(proc)
    if busy_s is None:
        return None
    own_s = {pid: cpu_s for pid in own if (cpu_s := process_cpu_seconds(pid, proc)) is not None}
    return Reading(time.monotonic(), busy_s, own_s)


def cores_of_others(before: Reading | None, now: Reading | None) -> float | None:
    """Return the cores that other programs kept busy between two readings, to two decimals; None if unknown."""
    if before is None or now is None or now.at_s <= before.at_s:
        return None
    own_s = sum(cpu_s - before.own_s[pid] for pid, cpu_s in now.own_s.items() if pid in before.own_s)
    others_s = now.busy_s - before.busy_s - own_s
    cores = others_s / (now.at_s - before.at_s) if others_s > ROUNDING_S else 0.0
    return min(float(os.cpu_count() or 1), round(cores, 2))
