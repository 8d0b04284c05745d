"""CPU that processes other than llmtui and the server under test used, from /proc (Linux).

Time stolen by the hypervisor counts too: it slows the server like another process does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_STAT = Path("/proc/stat")
#: The counters tick every hundredth of a second, each by itself: a difference below this is rounding error.
ROUNDING_S = 0.03


def busy_cpu_seconds() -> float | None:
    """Return the busy and stolen time of all cores since boot (s), None if /proc does not report it."""
    try:
        with _STAT.open("rb") as file:
            fields = file.readline().split()
    except OSError:
        return None
    if len(fields) < 9 or fields[0] != b"cpu":
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in fields[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def process_cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process, its threads and its reaped children (s), None if it has exited."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = raw[raw.rindex(b")") + 2 :].split()
    return sum(int(v) for v in fields[11:15]) / TICKS_PER_S


class OtherCpuMeter:
    """Measures the CPU of other processes between `start` and `stop`.

    `server_cpu_s` returns the CPU seconds of the server's process tree, or None if unknown: then the result is unknown
    too. `own` lists llmtui's processes. After `stop`, `server_cpu` is the server's own use in cores, None if unknown.
    """

    server_cpu: float | None = None

    def __init__(self, server_cpu_s: Callable[[], float | None], own: Callable[[], Sequence[int]]) -> None:
        self._server_cpu_s = server_cpu_s
        self._own = own
        self._from: tuple[int, float, float, dict[int, float]] | None = None

    def start(self) -> None:
        """Start measuring."""
        busy, server = busy_cpu_seconds(), self._server_cpu_s()
        self._from = self.server_cpu = None
        if busy is not None and server is not None:
            self._from = (time.monotonic_ns(), busy, server, self._own_cpu())

    def stop(self) -> float | None:
        """Return the cores that other processes used since `start`, to two decimals and at least 0; None if unknown."""
        if self._from is None:
            return None
        began_ns, busy0, server0, own0 = self._from
        own1, server1, busy1 = self._own_cpu(), self._server_cpu_s(), busy_cpu_seconds()
        elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
        if busy1 is None or server1 is None or elapsed_s <= 0:
            return None
        self.server_cpu = round(max(0.0, server1 - server0) / elapsed_s, 2)
        own_s = sum(now - own0[pid] for pid, now in own1.items() if pid in own0)
        foreign_s = (busy1 - busy0) - (server1 - server0) - own_s
        return round(foreign_s / elapsed_s, 2) if foreign_s > ROUNDING_S else 0.0

    def _own_cpu(self) -> dict[int, float]:
        return {pid: cpu for pid in self._own() if (cpu := process_cpu_seconds(pid)) is not None}
