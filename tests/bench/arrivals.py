"""How many arrivals a second can the client take on one core before its error doubles?

    python -m tests.bench.arrivals [--streams 32] [--rates 1000,2000,...]

The truth server has one core, this process with the engine's client another. The streams send faster from row to row.
A row has the requested rate and the one in the server's log, how busy the client's core was, the share of tokens that
were read together with an earlier one, and the absolute error of the arrivals as `llmtui accuracy` defines it: reported
arrival since the request was written - (sent - request received). If the sent rate is below the requested one, the
server or its core was the limit, and the row says nothing about higher rates.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time

from llmtui.accuracy.deviation import Truth
from llmtui.accuracy.probe import Job, truth_server
from llmtui.measure.answer import Answer
from llmtui.measure.transport import new_client
from llmtui.stats.summary import percentile
from tests.bench.common import command_line, heading, two_cores
from tests.bench.own_loop import run_level

SECONDS = 2.0
_TURNS = 2


def lateness_s(answer: Answer, truth: Truth) -> list[float]:
    """Return, for each token, the reported arrival minus the true one, in seconds."""
    arrived = [at for at, n in zip(answer.arrivals_ns, answer.arrival_tokens, strict=True) for _ in range(n)]
    return [(at - (sent - truth.received_ns)) / 1e9 for at, sent in zip(arrived, truth.sent_ns, strict=True)]


async def measure(streams: int, rates: list[int], cores: tuple[int, int]) -> None:
    """Print one row for each rate."""
    print(f"{'asked/s':>9}{'sent/s':>9}{'core busy':>11}{'coalesced':>11}{'p50, ms':>10}{'p95, ms':>10}{'p99, ms':>10}")
    os.sched_setaffinity(0, {cores[1]})
    async with truth_server() as url:
        os.sched_setaffinity(0, {cores[0]})
        for rate in rates:
            itl_ms = 1e3 * streams / rate
            tokens = max(8, round(SECONDS * 1e3 / itl_ms / _TURNS))
            job = Job(streams=[streams], requests=_TURNS, tokens=tokens, itl_ms=itl_ms)
            client = new_client(url, connect_timeout_s=5.0)
            gc.collect()
            wall, busy = time.monotonic(), time.process_time()
            pairs, failed = await run_level(client, url, job, streams)
            wall, busy = time.monotonic() - wall, time.process_time() - busy
            await client.aclose()
            if failed:
                sys.exit(f"{len(failed)} requests failed: {failed[0]}")
            # The rate while tokens flow: the waits for first tokens do not count.
            flowing = sum(truth.sent_ns[-1] - truth.sent_ns[0] for _, truth in pairs) / streams / 1e9
            count = sum(len(truth.sent_ns) for _, truth in pairs)
            coalesced = 1 - sum(len(answer.arrivals_ns) for answer, _ in pairs) / count
            late = sorted(abs(value) for answer, truth in pairs for value in lateness_s(answer, truth))
            errors = "".join(f"{percentile(late, q) * 1e3:>10.3f}" for q in (0.5, 0.95, 0.99))
            print(f"{rate:>9}{count / flowing:>9.0f}{busy / wall:>10.0%} {coalesced:>10.1%} {errors}", flush=True)


def main() -> None:
    """Pin the processes to cores, measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--rates", default="1000,2000,4000,6000,8000,12000,16000,20000,30000")
    arguments = parser.parse_args()
    cores = two_cores()
    print(heading(f"arrivals a second on one core, {arguments.streams} streams"))
    asyncio.run(measure(arguments.streams, [int(rate) for rate in arguments.rates.split(",")], cores))


if __name__ == "__main__":
    main()
