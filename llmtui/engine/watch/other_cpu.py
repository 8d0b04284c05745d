"""CPU that processes other than llmtui and the server under test used, from /proc (Linux).

Time stolen by the hypervisor counts too: it slows the server like another process does.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llmtui.servers.process_table import TICKS_PER_S
from llmtui.servers.server_processes import ServerProcesses

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

    `server` are the server's processes, None if unknown: then the result is unknown too. `own` lists llmtui's
    processes.
    """

    def __init__(self, server: ServerProcesses | None, own: Callable[[], Sequence[int]]) -> None:
        self._server = server
        self._own = own
        self._from: tuple[int, float, dict[int, float]] | None = None
        self._elapsed_s = 0.0
        self._others_s = 0.0

    def start(self) -> None:
        """Start measuring."""
        self._elapsed_s = 0.0
        busy = busy_cpu_seconds()
        self._from = None
        if busy is not None and self._server is not None and self._server.start():
            self._from = (time.monotonic_ns(), busy, self._own_cpu())

    def stop(self) -> None:
        """Stop measuring."""
        if self._from is None or self._server is None:
            return
        began_ns, busy0, own0 = self._from
        own1 = self._own_cpu()
        self._server.stop()
        busy1 = busy_cpu_seconds()
        elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
        if busy1 is not None and elapsed_s > 0:
            own_s = sum(now - own0[pid] for pid, now in own1.items() if pid in own0)
            self._elapsed_s, self._others_s = elapsed_s, busy1 - busy0 - own_s

    def result(self) -> tuple[float | None, float | None]:
        """Return the cores that other processes used, and those that the server used: to two decimals, at least 0.

        None if unknown. Call it once the server's processes are all known. The counters' ticks are longer than a short
        iteration, but no process uses more cores than there are.
        """
        if not self._elapsed_s or self._server is None:
            return None, None
        server_s = self._server.used_s()
        foreign_s = self._others_s - server_s
        most = float(os.cpu_count() or math.inf)
        foreign = min(most, round(foreign_s / self._elapsed_s, 2)) if foreign_s > ROUNDING_S else 0.0
        cores = min(most, round(max(0.0, server_s) / self._elapsed_s, 2))
        return (foreign, cores) if self._server.judge(cores, foreign) else (None, None)

    def _own_cpu(self) -> dict[int, float]:
        return {pid: cpu for pid in self._own() if (cpu := process_cpu_seconds(pid)) is not None}
