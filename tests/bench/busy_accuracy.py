"""How large is the error of TTFT with a monitor on the screen, and when other programs keep every core busy?

    python -m tests.bench.busy_accuracy [--streams 1,32,256] [--rates 100,500] [--rounds 1]

Each level is measured by the loops that users run (llmtui.accuracy.probe), with a monitor on a terminal of 120x40: once
as it is, and once while a process on each core does nothing but compute. A row has the absolute error of TTFT; for an
open loop also how late requests were written. "server" is how late the truth server sent its tokens (p99), "cpu" the
share of a core that the worker used. The goals are for a machine that does nothing else.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from llmtui.accuracy.probe import Job
from llmtui.accuracy.pty_monitor import busy_monitor, levels
from llmtui.model.accuracy import Errors, Level
from tests.bench.common import command_line, heading

#: The goals for p95 and p99 of the error of TTFT, in ms, up to this many streams.
GOALS = {1: (0.05, 0.1), 32: (0.05, 0.1), 256: (0.2, 0.5)}
#: The same if every core is busy: only of p99.
BUSY_GOAL = 0.3
#: The goals for p50 and p99 of how late a request is written, in ms, up to this many requests per second.
LATE_GOALS = {100: (0.06, 0.5), 500: (0.06, 2.0)}
#: A p99 needs this many requests.
REQUESTS = 300
#: So that those of one stream do not take long.
SHORT: dict[str, Any] = {"tokens": 16, "ttft_ms": 20.0}


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy."""
    loop = [sys.executable, "-S", "-c", "while True: pass"]
    processes = [subprocess.Popen(loop) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _row(level: Level, busy: bool, title: str, errors: Errors, goal: str, holds: bool) -> None:
    values = "".join(f"{value * 1e3:>9.3f}" for value in (errors.p50, errors.p95, errors.p99, errors.max))
    late = f"{level.server_late_s.p99 * 1e3:.1f}" if level.server_late_s is not None else "-"
    cpu = f"{level.worker_cpu:.0%}" if level.worker_cpu is not None else "-"
    print(
        f"{level.title:20}{'busy' if busy else '':6}{title:6}{errors.n:>6}{values}  {goal:22}"
        f"{'holds' if holds else 'DOES NOT HOLD':14}{late:>7}{cpu:>6}",
        flush=True,
    )


def report(level: Level, busy: bool) -> None:
    """Print the rows of a level."""
    if level.failed:
        print(f"{level.title}: {level.failed} requests failed")
    errors = level.ttft_s
    p95, p99 = GOALS[min((streams for streams in GOALS if streams >= level.streams), default=max(GOALS))]
    if busy:
        _row(level, busy, "TTFT", errors, f"p99 {BUSY_GOAL}", errors.p99 * 1e3 <= BUSY_GOAL)
    else:
        holds = errors.p95 * 1e3 <= p95 and errors.p99 * 1e3 <= p99
        _row(level, busy, "TTFT", errors, f"p95 {p95}, p99 {p99}", holds)
    if (late := level.late_s) is not None and level.delivered_share is not None:
        p50, p99 = LATE_GOALS[min((rate for rate in LATE_GOALS if rate >= level.rate), default=max(LATE_GOALS))]
        holds = late.p50 * 1e3 <= p50 and late.p99 * 1e3 <= p99
        _row(level, busy, "late", late, f"p50 {p50}, p99 {p99}", holds)
        print(f"{'':20}{'':6}delivered {level.delivered_share:.2%} of the asked rate", flush=True)


def main() -> None:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--streams", default="1,32,256")
    parser.add_argument("--rates", default="100,500")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    arguments = parser.parse_args()
    jobs = []
    for streams in (int(part) for part in arguments.streams.split(",") if part):
        job = Job(streams=[streams], requests=arguments.requests, monitor=True)
        jobs.append(msgspec.structs.replace(job, **SHORT) if streams == 1 else job)
    jobs += [
        Job(streams=[], rates=[float(part)], requests=arguments.requests, monitor=True)
        for part in arguments.rates.split(",")
        if part
    ]
    print(heading("errors with a monitor on the screen, in ms"))
    print(
        f"{'level':20}{'cores':6}{'of':6}{'n':>6}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}  {'goal':22}{'':14}"
        f"{'server':>7}{'cpu':>6}"
    )
    with busy_monitor() as screen:
        for _ in range(arguments.rounds):
            for job in jobs:
                for busy in (False, True):
                    with busy_cores() if busy else contextlib.nullcontext():
                        for found in levels(job, screen):
                            assert found.level is not None
                            report(found.level, busy)


if __name__ == "__main__":
    main()
