"""How often is the verdict right in real races? Real engine and sockets, a server against itself or a slower one.

    python -m tests.bench.races [--races 2000] [--rounds 10] [--server truth|llama.cpp] [--slower 0] [--order ...]

Long runs of the engine are cut into consecutive races of 10 rounds, and each race is judged on its own.

A/A: two backends use the same truth server (with `--apart` one each), or a llama.cpp each; a winner is an error (goal:
at most 5%). A/B (`--slower 10`): the second truth server is slower by that many percent, and the verdict should find
that (goal: 95% with `--noise 3`, in percent). Coverage: how often the 95% interval contains the true ratio (goal: 93 to
97%), which is the centre of the ratios of all rounds in the servers' own logs.

`spread` is half of the middle 68%, as a share of the median. `b / a, all` is the estimate from all rounds together.
`after itself` compares requests that follow one of the same backend with those that follow one of the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import math
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from llmtui.accuracy.probe import truth_server
from llmtui.accuracy.truth_server import MAX_LOG
from llmtui.model import (
    AnyEvent,
    Backend,
    Earlier,
    Hello,
    Iteration,
    IterationDone,
    Order,
    RunConfig,
)
from llmtui.stats.compare import Comparison, compare
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.ranks import paired_shift
from llmtui.stats.summary import percentile
from tests import build
from tests.bench.calibration import Share
from tests.bench.common import command_line, heading
from tests.bench.engine_run import collected

ByBackend = dict[str, list[Iteration]]
#: The true figures of a request, from the truth server's log.
Log = dict[MetricKey, float]
COMPARED: tuple[MetricKey, ...] = ("latency", "ttft", "tokens_per_s")
#: Even, so that the first measured round has the order of the first round.
WARMUP = 4


@dataclasses.dataclass(frozen=True)
class Course:
    """The settings of a race. `slower` and `noise` are fractions."""

    server: str
    slower: float
    noise: float
    apart: bool
    order: Order
    tokens: int
    ttft_ms: float
    itl_ms: float

    def backend(self, name: str, url: str, factor: float) -> Backend:
        """Return a backend at a truth server, slower by `factor`."""
        truth = {"ttft_ms": self.ttft_ms * factor, "itl_ms": self.itl_ms * factor}
        return Backend(name=name, url=url, options={"truth": truth | ({"noise": self.noise} if self.noise else {})})


def iterations_of(event: AnyEvent) -> Sequence[Iteration]:
    """Return the iterations in an event."""
    match event:
        case Hello() | Earlier():
            return event.iterations
        case IterationDone():
            return [event.iteration]
    return []


async def raced(backends: Sequence[Backend], rounds: int, tokens: int, order: Order) -> list[Iteration]:
    """Run the engine. Return the measured iterations in the order in which they were made."""
    settings: dict[str, Any] = {"iterations": rounds, "warmup": WARMUP, "max_tokens": tokens, "order": order}
    run, created = secrets.token_hex(4), "2026-01-01T00:00:00Z"
    plan = build.plan(*backends, run=run, created_utc=created, on_disconnect="stop", **settings)
    return [iteration for iteration in await collected(plan, iterations_of) if iteration.phase == "measured"]


async def read_log(url: str, rounds: int) -> list[Log]:
    """Read the true figures of each measured request from the truth server at `url`."""
    logs: list[Log] = []
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for number in range(WARMUP + 1, WARMUP + rounds + 1):
            log = (await client.get(f"/truth/truth-{number}")).json()
            received, sent = log["received_ns"], log["sent_ns"]
            logs.append(
                {
                    "latency": (sent[-1] - received) / 1e9,
                    "ttft": (sent[0] - received) / 1e9,
                    "tokens_per_s": (len(sent) - 1) * 1e9 / (sent[-1] - sent[0]),
                }
            )
    return logs


def by_backend(made: Sequence[Iteration]) -> ByBackend:
    """Group iterations by backend, in alphabetical order."""
    names = sorted({iteration.backend for iteration in made})
    return {name: [iteration for iteration in made if iteration.backend == name] for name in names}


async def run(course: Course, rounds: int) -> tuple[list[Iteration], list[list[Log]]]:
    """Run one race course. Return its iterations, and the servers' logs if there are two truth servers."""
    if course.server != "truth":
        names = (course.server, f"{course.server} again")
        backends = [Backend(name=name, embedded="llama.cpp") for name in names]
        return await raced(backends, rounds, course.tokens, course.order), []
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(truth_server()) for _ in range(1 + course.apart)]
        backends = [course.backend("a", urls[0], 1), course.backend("b", urls[-1], 1 + course.slower)]
        made = await raced(backends, rounds, course.tokens, course.order)
        return made, [await read_log(url, rounds) for url in urls] if course.apart else []


def judged(backend_views: ByBackend, rounds: int, metric: MetricKey) -> list[Comparison]:
    """Judge the consecutive races in one run."""
    length = min(len(backend_view) for backend_view in backend_views.values())
    starts = range(0, length - rounds + 1, rounds)
    return [
        compare({n: backend_view[at : at + rounds] for n, backend_view in backend_views.items()}, metric)[0]
        for at in starts
    ]


def true_ratio(logs: Sequence[Sequence[Log]], metric: MetricKey) -> float:
    """Return how many times slower the second server was: the centre of the ratios of all rounds in the logs."""
    sign = -1 if METRICS[metric].higher_is_better else 1
    differences = [sign * (math.log(b[metric]) - math.log(a[metric])) for a, b in zip(*logs, strict=True)]
    return math.exp(paired_shift(differences, 0.05).estimate)


def after_itself(made: Sequence[Iteration], metric: MetricKey) -> float:
    """Return the median of requests after one of the same backend, divided by that after one of another backend."""
    same: dict[bool, list[float]] = {True: [], False: []}
    for before, after in itertools.pairwise(made):
        if (value := METRICS[metric].of(after)) is not None:
            same[before.backend == after.backend].append(value)
    return statistics.median(same[True]) / statistics.median(same[False])


def spread(backend_view: Sequence[Iteration], metric: MetricKey) -> float:
    """Return half of the middle 68% of one backend's values, as a share of their median."""
    values = sorted(v for i in backend_view if (v := METRICS[metric].of(i)) is not None)
    return (percentile(values, 0.84) - percentile(values, 0.16)) / 2 / percentile(values, 0.5)


def report(course: Course, runs: Sequence[tuple[list[Iteration], list[list[Log]]]], rounds: int) -> None:
    """Print two lines for each metric."""
    made = [iteration for part, _ in runs for iteration in part]
    backend_views = by_backend(made)
    names = list(backend_views)
    logs = [[entry for _, logs in runs for entry in logs[n]] for n in range(2)] if runs[0][1] else []
    failed = sum(not i.ok for backend_view in backend_views.values() for i in backend_view)
    disturbed = sum(i.disturbed for backend_view in backend_views.values() for i in backend_view)
    print(f"{2 * len(backend_views[names[0]])} iterations, {failed} failed, {disturbed} disturbed")
    for metric in COMPARED:
        comparisons = [c for part, _ in runs for c in judged(by_backend(part), rounds, metric)]
        wins = Counter(c.slower for c in comparisons if c.decided)
        truth = true_ratio(logs, metric) if logs else 1.0
        covered = sum(c.low <= (truth if c.slower == names[1] else 1 / truth) <= c.high for c in comparisons)
        whole = compare(backend_views, metric)[0]
        sign = 1 if whole.slower == names[1] else -1
        low, centre, high = sorted(value**sign for value in (whole.low, whole.ratio, whole.high))
        first = backend_views[names[0]]
        print(
            f"{METRICS[metric].title:9} median {statistics.median(_values(first, metric)):.6g}, spread "
            f"{spread(first, metric):.1%}; b / a, all: {centre:.4f} ({low:.4f} to {high:.4f}); "
            f"after itself: {after_itself(made, metric):.4f}"
        )
        shares = f"a winner {Share(wins.total(), len(comparisons))}"
        if course.slower:
            shares = f"power {Share(wins[names[1]], len(comparisons))}"
        print(
            f"{'':9} {shares}, a faster {wins[names[1]]}, b faster {wins[names[0]]}; in turns "
            f"{sum(c.paired for c in comparisons)} of {len(comparisons)}; true ratio {truth:.4f}, covered "
            f"{Share(covered, len(comparisons))}",
            flush=True,
        )


def _values(backend_view: Sequence[Iteration], metric: MetricKey) -> list[float]:
    return [v for i in backend_view if (v := METRICS[metric].of(i)) is not None]


async def main() -> None:
    """Race and report."""
    parser = command_line(__doc__)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--server", choices=("truth", "llama.cpp"), default="truth")
    parser.add_argument(
        "--slower", type=float, default=0.0, help="how much slower the second truth server is, in percent"
    )
    parser.add_argument("--noise", type=float, default=0.0, help="noise of the truth servers, in percent")
    parser.add_argument("--apart", action="store_true", help="a truth server for each backend")
    parser.add_argument("--order", choices=("round-robin", "shuffled"), default=RunConfig().order)
    parser.add_argument("--keep", type=argparse.FileType("wb"), help="write every iteration to this file")
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--ttft-ms", type=float, default=2.0)
    parser.add_argument("--itl-ms", type=float, default=1.0)
    given = parser.parse_args()
    if given.slower and given.server != "truth":
        parser.error("only a truth server can be made slower")
    course = Course(
        given.server,
        given.slower / 100,
        given.noise / 100,
        given.apart or given.slower > 0,
        given.order,
        given.tokens,
        given.ttft_ms,
        given.itl_ms,
    )
    print(heading(f"{'A/B' if course.slower else 'A/A'}: {course}\n{given.races} races of {given.rounds} rounds each"))
    began = time.monotonic()
    runs = []
    left = given.races
    while left > 0:
        # The truth server remembers no more requests than this.
        races = min(left, (MAX_LOG - WARMUP) // given.rounds)
        runs.append(await run(course, races * given.rounds))
        left -= races
    print(f"in {time.monotonic() - began:.0f} s: ", end="")
    report(course, runs, given.rounds)
    if given.keep is not None:
        given.keep.write(msgspec.json.Encoder().encode_lines([i for made, _ in runs for i in made]))


if __name__ == "__main__":
    asyncio.run(main())
