"""Simulated turns of steady, cold, drifting and overloaded servers: what does a turn report?

    python -m tests.bench.turn_alarms [--turns 1000] [--seed 1] [--jobs 1]

A server with 8 slots batches continuously (tests.bench.load_sim); each request makes it 3% faster or slower. For each
load and length of a turn, the share of turns in which settling needs no more than the least, in which no steady state
is found, in which the TPOT is said to rise, and in which the load is said to be beyond capacity. The same for a server
that is 50% slower for its first 20 requests ("cold"), and for one that becomes 10% slower from the first request to the
last ("drifts"). Goals: steady turns alarm in at most 5% (drift and capacity up to 80% load), and closed loops of 160
requests find drift and cold start in at least 95%. Every share has its 95% interval (Wilson).
"""

from __future__ import annotations

import heapq
import multiprocessing
import random
from collections import Counter
from collections.abc import Sequence

from llmtui.model import Iteration, Level, Turn
from llmtui.stats.settling import least_settle
from llmtui.stats.turn_figures import TurnFigures
from tests.bench.calibration import Share
from tests.bench.common import command_line
from tests.bench.load_sim import BATCH_RATE, Machine, Served, batch_closed, batch_open, work

STREAMS = (1, 4, 8, 16)
LOADS = (0.5, 0.8, 0.9, 1.1, 1.5)
SIZES = (40, 160, 400)
COLD, COLD_FACTOR = 20, 1.5
DRIFT = 0.1


class Changing(Machine):
    """A machine that is slow at first, or becomes slower."""

    def __init__(self, rng: random.Random, kind: str, count: int) -> None:
        super().__init__(rng, 0.0, 0.03)
        self._kind, self._count, self._seen = kind, count, 0

    def next(self) -> float:
        """The factor of the next request."""
        self._seen += 1
        if self._kind == "cold":
            return super().next() * (COLD_FACTOR if self._seen <= COLD else 1.0)
        return super().next() * (1 + DRIFT * self._seen / self._count if self._kind == "drifts" else 1.0)


def turn(level: Level, kind: str, requests: int, rng: random.Random) -> Turn:
    """One simulated turn, with the figures of the real code."""
    settle = least_settle(level, requests)
    count = settle + requests
    machine = Changing(rng, kind, count)
    if level.open:
        served = batch_open(work(rng, count), level.rate / BATCH_RATE, 1.0, machine)
    else:
        served = batch_closed(work(rng, 3 * count + level.streams), level.streams, 1.0, machine, count)
    figures = TurnFigures(level)
    figures.add(samples(served, level, settle, count))
    window = sorted(served)[settle:count]
    bare = Turn(run="", backend="", attempt=1, phase="measured", round=1, level=1, seq=1, started_utc="")
    values = {name: getattr(bare, name) for name in bare.__struct_fields__}
    return Turn(**values | figures.figures(window[0].written_s, window[-1].written_s + 1e-6))


def samples(served: Sequence[Served], level: Level, settle: int, count: int) -> list[Iteration]:
    """The samples of these requests in the order in which they end."""
    made: list[tuple[float, Iteration]] = []
    ends: list[float] = []
    for number, of in enumerate(sorted(served)[:count], 1):
        while ends and ends[0] <= of.written_s:
            heapq.heappop(ends)
        heapq.heappush(ends, of.last_s)
        one = Iteration(
            run="", backend="", attempt=1, iteration=1, phase="measured", started_utc="", request=number,
            share="settling" if number <= settle else "window", written_s=of.written_s, in_flight=len(ends),
            due_s=of.written_s if level.open else None, latency_s=of.last_s - of.written_s,
            ttft_s=of.first_s - of.written_s, output_tokens=of.tokens,
            tpot_s=(of.last_s - of.first_s) / (of.tokens - 1) if of.tokens >= 4 else None,
        )  # fmt: skip
        made.append((of.last_s, one))
    return [one for _, one in sorted(made, key=lambda pair: pair[0])]


def line(case: tuple[Level, str, int, int, int]) -> str:
    """Return the line of one load, kind of server and length of a turn."""
    level, kind, requests, turns, seed = case
    rng = random.Random(f"{seed} {level} {kind} {requests}")
    found: Counter[str] = Counter()
    for _ in range(turns):
        made = turn(level, kind, requests, rng)
        found["least"] += made.settle_needed is not None and made.settle_needed <= least_settle(level, requests)
        found["cold found"] += made.unsettled or (made.settle_needed or 0) >= COLD
        found["not steady"] += made.unsettled
        found["drifts"] += made.drifts
        found["beyond"] += made.beyond_capacity
    what = ["cold found" if kind == "cold" else "least", "not steady", "drifts", "beyond"]
    title = f"{level.rate / BATCH_RATE:.0%} load" if level.open else level.title
    return f"{title:12}{kind:8}{requests:5}  " + "  ".join(f"{name} {Share(found[name], turns)!s:20}" for name in what)


def main() -> None:
    """Parse the command line and print the report."""
    parser = command_line(__doc__)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    levels = [
        *(Level(number=1, streams=streams) for streams in STREAMS),
        *(Level(number=1, rate=load * BATCH_RATE) for load in LOADS),
    ]
    cases = [
        (level, kind, requests, options.turns, options.seed)
        for level in levels
        for kind in (("steady", "cold", "drifts") if not level.open else ("steady",))
        for requests in SIZES
    ]
    with multiprocessing.Pool(options.jobs) as pool:
        for text in pool.imap(line, cases):
            print(text, flush=True)


if __name__ == "__main__":
    main()
