"""Does a load send when it is due, and what was asked for?

    python -m tests.bench.open_loop [--rates 100 500] [--streams 1 8 32 256] [--rounds 3] [--seconds 10]

The worker of a load against truth servers on the same machine, as in a run. About four minutes. For rates: how much
later than due requests were written (ms), what an open loop sends of what was asked, and the processor time of the
worker. For streams: how many requests were under way (time average over the window) of those asked. All are of the
requests in the windows of all rounds. Rounds during which other programs used more than 0.1 cores are marked: they say
more about those.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psutil

from llmtui.accuracy.probe import truth_server
from llmtui.engine.watch.cpu_time import busy_cpu_seconds, process_cpu_seconds
from llmtui.load.messages import SliceDone
from llmtui.load.process import WorkerProcess
from llmtui.model import DISTURBED_CORES, Iteration, Struct
from llmtui.stats.summary import percentile
from llmtui.stats.turn_figures import late_s
from tests.bench.common import command_line, heading
from tests.load.helpers import in_flight, run_slice, share, slice_for, window

TOKENS = 8
SETTLE_S = 1.0
#: An answer of a rate takes about 0.06 s, one of a stream 0.2 s.
OPEN: dict[str, float] = {"ttft_ms": 20, "itl_ms": 5}
CLOSED: dict[str, float] = {"ttft_ms": 60, "itl_ms": 20}
CLOSED_S = 0.2


class Round(Struct, frozen=True):
    """One turn: its samples, how it ended, and the cores that others used meanwhile."""

    samples: list[Iteration]
    done: SliceDone
    foreign: float


def _foreign_s() -> float:
    """Return the CPU seconds that others have used: compare two of them, with the same processes of ours."""
    own = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return (busy_cpu_seconds() or 0.0) - sum(process_cpu_seconds(each.pid) or 0.0 for each in own)


async def turn(url: str, process: WorkerProcess, timing: dict[str, float], **of: Any) -> Round:
    """Carry out one turn."""
    body = slice_for(url, tokens=TOKENS, truth=timing, **of)
    began, foreign_s = time.monotonic(), _foreign_s()
    samples, done = await run_slice(body, process=process)
    foreign = (_foreign_s() - foreign_s) / (time.monotonic() - began)
    return Round(samples, done, foreign)


def counted(rounds: list[Round]) -> list[Iteration]:
    """Return the requests of all windows."""
    return [sample for each in rounds for sample in share(each.samples, "window")]


def row(rounds: list[Round]) -> Iterator[str]:
    """Yield what all levels have: requests, failures, the worker's processor time, and the others'."""
    samples = counted(rounds)
    elapsed_s = sum(each.done.elapsed_s for each in rounds)
    yield f"{len(samples):>8}{sum(not sample.ok for sample in samples):>7}"
    yield f"{sum(each.done.cpu_s for each in rounds) / elapsed_s:>8.0%}"
    disturbed = sum(each.foreign > DISTURBED_CORES for each in rounds)
    yield f"{disturbed:>10}/{len(rounds)}"


async def measure(options: argparse.Namespace) -> None:
    """Print one row for each level."""
    process = WorkerProcess()
    try:
        async with truth_server(options.processes) as url:
            print(f"{'requests/s':>12}{'delivered':>11}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}", end="")
            print(f"{'n':>8}{'failed':>7}{'worker':>8}{'disturbed':>12}")
            for rate in options.rates:
                rounds = [
                    await turn(
                        url,
                        process,
                        OPEN,
                        rate=rate,
                        arrival=options.arrival,
                        settle=round(rate * SETTLE_S),
                        requests=round(rate * options.seconds),
                        seed=f"{rate}/{number}",
                    )
                    for number in range(options.rounds)
                ]
                late = sorted((late_s(sample) or 0.0) * 1e3 for sample in counted(rounds))
                lengths = [high - low for low, high in (window(each.done) for each in rounds)]
                print(f"{rate:>12g}{len(late) / sum(lengths) / rate:>11.2%}", end="")
                print("".join(f"{percentile(late, q):>9.3f}" for q in (0.5, 0.95, 0.99, 1.0)), *row(rounds), sep="")
            print(f"\n{'streams':>12}{'under way':>11}{'share':>9}{'n':>8}{'failed':>7}{'worker':>8}{'disturbed':>12}")
            for streams in options.streams:
                rounds = [
                    await turn(
                        url,
                        process,
                        CLOSED,
                        streams=streams,
                        settle=2 * streams,
                        requests=max(20, round(streams * options.seconds / CLOSED_S)),
                        stagger_s=CLOSED_S,
                        seed=f"{streams}/{number}",
                    )
                    for number in range(options.rounds)
                ]
                lengths = [high - low for low, high in (window(each.done) for each in rounds)]
                busy = [in_flight(each.samples, each.done) for each in rounds]
                mean = sum(b * s for b, s in zip(busy, lengths, strict=True)) / sum(lengths)
                print(f"{streams:>12}{mean:>11.3f}{mean / streams:>9.2%}", *row(rounds), sep="")
    finally:
        await process.close()


def main() -> None:
    """Measure every level, and report."""
    parser = command_line(__doc__)
    parser.add_argument("--rates", nargs="*", type=float, default=[100.0, 500.0])
    parser.add_argument("--arrival", choices=("poisson", "constant"), default="poisson")
    parser.add_argument("--streams", nargs="*", type=int, default=[1, 8, 32, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each window")
    parser.add_argument("--processes", type=int, default=1, help="of the truth server")
    options = parser.parse_args()
    print(heading("due against written, delivered against asked"))
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
