"""Two Dask workers of this machine against one local worker and two, with the same load, one turn after the other.

python -m tests.bench.cluster_figures --rounds 20

Two local workers show what comes from two workers on the same cores, and what from Dask.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
from pathlib import Path

import msgspec

from llmtui.load.crew import Crew
from llmtui.load.messages import Pulse, Slice
from llmtui.model import Iteration
from llmtui.stats.intervals import median_interval
from tests.bench.common import command_line, heading
from tests.cluster.helpers import dask, watched
from tests.load.helpers import run_slice, slice_for, truth, worker

LOADS = ({"streams": 8}, {"rate": 40.0})


def ttfts_ms(samples: list[Iteration]) -> list[float]:
    """Return the TTFTs of the window, in ms."""
    return [1000 * s.ttft_s for s in samples if s.share == "window" and s.ok and s.ttft_s is not None]


def interval(values: list[float]) -> str:
    """Return the 95% interval of the median of sorted values, or their range where they are too few."""
    low, high = median_interval(values) or (values[0], values[-1])
    return f"({low:.3f} to {high:.3f})"


def _silent(_: Pulse) -> None:
    """Ignore how far a turn is."""


async def compare(rounds: int, requests: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="llmtui-cluster-") as name:
        server, cluster = truth(ttft_ms=20, itl_ms=5, slots=8), dask(Path(name))
        async with contextlib.AsyncExitStack() as stack:
            url, local = await stack.enter_async_context(server), await stack.enter_async_context(worker())
            far = await stack.enter_async_context(watched(await stack.enter_async_context(cluster)))
            crew = Crew()
            stack.push_async_callback(crew.close)
            for load in LOADS:
                turns: dict[str, list[list[float]]] = {"one local": [], "two local": [], "two Dask": []}
                for number in range(rounds):
                    of: Slice = slice_for(url, requests=requests, settle=8, tokens=16, seed=f"{number}", **load)
                    samples, done = await run_slice(of, process=local)
                    turns["one local"].append(ttfts_ms(samples))
                    samples = []
                    done_two = await crew.run(msgspec.structs.replace(of, workers=2), samples.extend, _silent)
                    turns["two local"].append(ttfts_ms(samples))
                    theirs = await far.run(of)
                    turns["two Dask"].append(ttfts_ms(far.samples))
                    assert not (done.error or done_two.error or theirs.error), (done, done_two, theirs)
                print(f"{load}, {rounds} turns of {requests} requests each")
                for who, of_turns in turns.items():
                    all_ms = sorted(value for turn in of_turns for value in turn)
                    print(f"  {who:9} TTFT p50 {statistics.median(all_ms):8.3f} ms {interval(all_ms)}")
                for who, than in (("two local", "one local"), ("two Dask", "two local"), ("two Dask", "one local")):
                    pairs = zip(turns[who], turns[than], strict=True)
                    gaps = sorted(statistics.median(mine) - statistics.median(other) for mine, other in pairs)
                    print(f"  {who} - {than}, by turn: {statistics.median(gaps):+.3f} ms {interval(gaps)}", flush=True)
            print("\n".join(far.notes))


def main() -> None:
    """Compare."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=80)
    arguments = parser.parse_args()
    print(heading("two Dask workers against one local worker"), flush=True)
    asyncio.run(compare(arguments.rounds, arguments.requests))


if __name__ == "__main__":
    main()
