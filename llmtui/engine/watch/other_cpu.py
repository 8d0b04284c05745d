"""CPU that processes other than llmtui and the server under test used.

Time stolen by the hypervisor counts too: it slows the server like another process does.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence

from llmtui.engine.watch.cpu_time import ROUNDING_S, busy_cpu_seconds, process_cpu_seconds
from llmtui.servers.server_processes import ServerProcesses


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
