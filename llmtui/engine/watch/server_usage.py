"""Memory and CPU of the servers during a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from llmtui.engine.backend_run import BackendRun
from llmtui.model import AnyEvent, Sampled

INTERVAL_S = 1.0


async def sample_servers(backend_runs: Collection[BackendRun], emit: Callable[[AnyEvent], None]) -> None:
    """Emit memory and CPU of each running server, once a second if they changed. Runs until cancelled.

    When other processes belong to the server than before, the CPU time that they used earlier is not counted.
    """
    last: dict[str, tuple[int, float]] = {}
    engines: dict[str, frozenset[int]] = {}
    while True:
        await asyncio.sleep(INTERVAL_S)
        for backend_run in backend_runs:
            sample = backend_run.target.sample() if backend_run.target.up else None
            if sample is None:
                # A front was sampled until it turned out that its engine is not seen.
                if last.pop(backend_run.name, None) is not None and backend_run.target.up:
                    emit(Sampled(backend=backend_run.name, rss_bytes=None, cpu_cores=None))
                continue
            rss_bytes, cpu_s = sample
            now = time.monotonic()
            before, backend_run.cpu = backend_run.cpu, (now, cpu_s)
            processes = backend_run.target.processes
            engine = processes.first if processes is not None else frozenset()
            if before is None or engines.get(backend_run.name, engine) != engine:
                before = None
            engines[backend_run.name] = engine
            if before is None:
                continue
            cores = round(max(0.0, (cpu_s - before[1]) / (now - before[0])), 1)
            megabytes = round(rss_bytes / 1e6)
            if last.get(backend_run.name) != (megabytes, cores):
                last[backend_run.name] = (megabytes, cores)
                emit(Sampled(backend=backend_run.name, rss_bytes=rss_bytes, cpu_cores=cores))
