"""Two Dask workers of this machine against one local worker, with the same load, in turns by turns.

python -m tests.bench.cluster_figures --rounds 20
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from llmtui.load.messages import Slice
from llmtui.model import Iteration
from llmtui.stats.intervals import median_interval
from tests.bench.common import command_line, heading
from tests.cluster.helpers import dask, watched
from tests.load.helpers import run_slice, slice_for, truth, worker

LOADS = ({"streams": 8}, {"rate": 40.0})


def ttfts_ms(samples: list[Iteration]) -> list[float]:
    """Return the TTFTs of the window, in ms."""
    return [1000 * s.ttft_s for s in samples if s.share == "window" and s.ok and s.ttft_s is not None]


async def compare(rounds: int, requests: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="llmtui-cluster-") as name:
        server, cluster = truth(ttft_ms=20, itl_ms=5, slots=8), dask(Path(name))
        async with server as url, worker() as local, cluster as running, watched(running) as far:
            for load in LOADS:
                values: dict[str, list[float]] = {"local": [], "dask": []}
                gaps = []
                for number in range(rounds):
                    of: Slice = slice_for(url, requests=requests, settle=8, tokens=16, seed=f"{number}", **load)
                    samples, done = await run_slice(of, process=local)
                    theirs = await far.run(of)
                    assert done.error is None and theirs.error is None, (done.error, theirs.error)
                    both = ttfts_ms(samples), ttfts_ms(far.samples)
                    gaps.append(statistics.median(both[1]) - statistics.median(both[0]))
                    values["local"] += both[0]
                    values["dask"] += both[1]
                print(f"{load}, {rounds} turns of {requests} requests each")
                for who, all_ms in values.items():
                    low, high = median_interval(sorted(all_ms)) or (0.0, 0.0)
                    print(f"  {who:6} TTFT p50 {statistics.median(all_ms):8.3f} ms ({low:.3f} to {high:.3f})")
                low, high = median_interval(sorted(gaps)) or (min(gaps), max(gaps))
                print(f"  dask - local, by turn: {statistics.median(gaps):+.3f} ms ({low:+.3f} to {high:+.3f})")
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
