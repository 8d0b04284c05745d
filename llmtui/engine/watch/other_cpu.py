"""Foreign CPU: what neither the server under test nor llmtui itself used of this machine, from /proc (Linux).

Time that the hypervisor took away (steal) counts as foreign: it slows the server just as another process does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_STAT = Path("/proc/stat")
#: The counters tick in hundredths of a second, each on its own: less than this is rounding and not other work.
ROUNDING_S = 0.03


def busy_cpu_seconds() -> float | None:
    """CPU time that all cores together spent busy or stolen since boot, in seconds; None where /proc does not tell."""
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
    """CPU time of one process, its threads and its reaped children, in seconds; None when it is gone."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = raw[raw.rindex(b")") + 2 :].split()
    return sum(int(v) for v in fields[11:15]) / TICKS_PER_S


class ForeignMeter:
    """Measures one stretch of time: `start`, then `stop`.

    `server_cpu_s` tells the CPU seconds of the server's process tree, None when it cannot be known: then the
    foreign CPU is unknown too. `own` lists llmtui's processes. After `stop`, `server_cpu` is how many cores the server
    used, None when unknown.
    """

    server_cpu: float | None = None

    def __init__(self, server_cpu_s: Callable[[], float | None], own: Callable[[], Sequence[int]]) -> None:
        self._server_cpu_s = server_cpu_s
        self._own = own
        self._from: tuple[int, float, float, dict[int, float]] | None = None

    def start(self) -> None:
        """The stretch begins."""
        busy, server = busy_cpu_seconds(), self._server_cpu_s()
        self._from = self.server_cpu = None
        if busy is not None and server is not None:
            self._from = (time.monotonic_ns(), busy, server, self._own_cpu())

    def stop(self) -> float | None:
        """Cores used by others since `start`, rounded to a hundredth, never below zero; None when unknown."""
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
