"""Is a worker more accurate if it is kept away from the cores of a local server? `tests.bench.workers --pin`.

A server that replays an answer runs on one core (as with taskset) or on any, together with processes that compute as an
engine does. One worker runs on the other core, or on any. The four cases take turns within a round. Each ratio is that
of a figure with the worker pinned over the same with the worker free, of the same round; its interval is that of the
median over the rounds. Below 1 pinning helps.

`error` is the time of an arrival since its request was written, minus the true one: see tests/bench/workers.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.bench.common import heading, interval
from tests.bench.workers import Row, measure

#: The figures of a row that pinning may change, and how they are called.
FIGURES = {"p50_ms": "error p50", "p95_ms": "error p95", "p99_ms": "error p99"}
_SPIN = "while True: pass"


@contextlib.contextmanager
def computing(processes: int, core: int | None) -> Iterator[None]:
    """Keep this many processes busy on one core, or (None) on any."""
    started = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(processes)]
    try:
        for process in started:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def compare(rates: Sequence[int], seconds: float, rounds: int, busy: int, cores: tuple[int, int]) -> None:
    """Measure and print."""
    server_core, worker_core = cores
    print(heading(f"one worker beside a local server and {busy} processes that compute, pinned or not"))
    print(f"{'rate':>6}  {'server':<8}{'worker':<8}{'n':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'together':>10}")
    for rate in rates:
        rows: dict[tuple[bool, bool], list[Row]] = {(s, w): [] for s in (True, False) for w in (True, False)}
        for number in range(rounds):
            # Each case is first as often as any other.
            order = list(rows)[number % len(rows) :] + list(rows)[: number % len(rows)]
            for server, worker in order:
                at = server_core if server else None
                with computing(busy, at):
                    row = asyncio.run(measure(1, rate, seconds, [worker_core if worker else None], [at]))
                rows[server, worker].append(row)
        for (server, worker), of in rows.items():
            medians = "".join(f"{statistics.median(getattr(row, name) for row in of):>9.3f}" for name in FIGURES)
            together = statistics.median(row.coalesced for row in of)
            print(f"{rate:>6}  {_word(server):<8}{_word(worker):<8}{sum(row.n for row in of):>9}", end="")
            print(f"{medians}{together:>10.1%}")
        for server in (True, False):
            for name, title in FIGURES.items():
                ratios = [
                    getattr(pinned, name) / getattr(free, name)
                    for pinned, free in zip(rows[server, True], rows[server, False], strict=True)
                ]
                low, high = interval(ratios)
                print(
                    f"server {_word(server)}: {title} of a pinned worker over a free one "
                    f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}, n = {len(ratios)} rounds, "
                    f"from {min(ratios):.2f} to {max(ratios):.2f})",
                    flush=True,
                )


def _word(pinned: bool) -> str:
    return "pinned" if pinned else "free"
