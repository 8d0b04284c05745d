"""How many arrivals a second do two workers carry, compared with one?

    python -m tests.bench.workers [--rates 4000 8000 ...] [--seconds 4] [--rounds 3]
    python -m tests.bench.workers --pin [--rates 2000] [--rounds 12] [--busy 1]

`--pin` asks something else: is one worker more accurate if it is kept away from the cores of a local server? See
tests/bench/pinned_worker.py.

A server takes processor time too. So each worker shares a core with a server of its own, which replays a prepared
answer: one worker and one server on the first core, with the second core idle, against two of each on both. A worker is
not told which server is its own: both listen on one port, and the kernel deals out the connections. What grows with
the number of workers is then what llmtui adds: dealing, the common beginning and end, and one process that reads all
samples. That process is not pinned.

Closed loop of 32 streams for each worker, 64 tokens an answer, each an arrival of its own. `rate` is of one server. The
error of an arrival is its time since the request was written, minus the true one since the server received it. A number
of workers carries a rate as long as the servers send at least 95 % of it, less than 2 % of the tokens are read together
with another one, and the p95 of the error is below twice that at the lowest rate or below 0.1 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

import msgspec
import psutil

from llmtui.load.crew import Crew
from llmtui.load.messages import Slice, SliceDone
from llmtui.load.prompts import PLACEHOLDER, Template, line_of
from llmtui.model import Backend, Iteration, RunConfig, Struct
from llmtui.model import Level as Load
from llmtui.stats.summary import percentile
from llmtui.wire import dialect_for
from tests.bench.common import command_line, heading, two_cores
from tests.bench.replay_server import TOKENS, Replay

RATES = (4000, 6000, 8000, 10000, 12000, 14000, 16000, 18000, 20000, 24000)
STREAMS = 32
FLOOR_MS = 0.1
_STEP_US = 500


class Row(Struct, frozen=True):
    """One number of workers at one rate."""

    workers: int
    rate: int
    sent: float
    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    coalesced: float
    worker_us: float
    engine_us: float


@contextlib.contextmanager
def servers(number: int, rate: int, cores: Sequence[int | None]) -> Iterator[tuple[str, list[Replay]]]:
    """Run replay servers on one port, each on its core or (None) on any; their logs are in the list at the end."""
    log: list[Replay] = []
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        # A place for each connection, wherever the kernel sends it; an answer is as fast with more places.
        places = STREAMS * number
        argv = [sys.executable, "-P", "-m", "tests.bench.replay_server", "--step-us", str(_STEP_US)]
        argv += ["--port", str(port), "--rate", str(rate * number), "--streams", str(places)]
        started = [
            subprocess.Popen(
                [*argv, *(["--core", str(core)] if core is not None else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for core in cores[:number]
        ]
        try:
            for server in started:
                assert server.stdout is not None
                server.stdout.readline()
            yield f"http://127.0.0.1:{port}", log
        finally:
            for server in started:
                assert server.stdin is not None and server.stdout is not None
                server.stdin.close()
                log += msgspec.msgpack.decode(server.stdout.read(), type=list[Replay])
                server.wait()


async def turn(of: Slice, cores: Sequence[int | None], crew: Crew) -> tuple[list[Iteration], SliceDone, float]:
    """Carry out a turn with each worker on its core, or (None) on any. Return its samples, its end, and what this
    process used (s)."""
    samples: list[Iteration] = []
    pinned = set[int]()

    def pin(_: object) -> None:
        for pid, core in zip(crew.pids, cores, strict=False):
            if pid not in pinned and core is not None:
                pinned.add(pid)
                os.sched_setaffinity(pid, {core})

    warm = msgspec.structs.replace(of, requests=2 * of.level.streams, settle=0)
    await crew.run(warm, lambda _: None, pin)
    pin(None)
    before = sum(psutil.Process().cpu_times()[:2])
    done = await crew.run(of, samples.extend, lambda _: None)
    return samples, done, sum(psutil.Process().cpu_times()[:2]) - before


async def measure(
    workers: int,
    rate: int,
    seconds: float,
    cores: Sequence[int | None],
    server_cores: Sequence[int | None] | None = None,
) -> Row:
    """Measure a number of workers at one rate of each server; the servers are on the cores of the workers, or others.

    None in place of a core is any core.
    """
    streams = STREAMS * workers
    requests = max(2 * streams, round(workers * rate * seconds / TOKENS))
    with servers(workers, rate, server_cores or cores) as (url, log):
        backend, config = Backend(name="a", url=url, model="m"), RunConfig(max_tokens=TOKENS, timeout_s=60)
        request = dialect_for(backend).request(backend, config, f"{PLACEHOLDER}\nhi", "m")
        of = Slice(
            backend=backend,
            config=config,
            level=Load(number=1, streams=streams),
            base=Iteration(run="r", backend="a", attempt=1, iteration=1, phase="measured", started_utc=""),
            method=request.method,
            url=request.url,
            headers=request.headers,
            template=Template(body=request.body, key="bench"),
            max_tokens=request.max_tokens,
            requests=requests,
            settle=streams,
            stagger_s=streams * TOKENS / (workers * rate),
            seed="bench",
            workers=workers,
        )
        crew = Crew()
        try:
            samples, done, engine_s = await turn(of, cores, crew)
        finally:
            await crew.close()
    if done.error is not None:
        sys.exit(str(done.error))
    # The warm-up has the same fresh lines: the later answer is the one that counts.
    truths = {each.line: each for each in sorted(log, key=lambda each: each.received_ns)}
    counted = [sample for sample in samples if sample.share == "window"]
    errors, together = [], 0
    for sample in counted:
        truth = truths[line_of(f"bench/{sample.request}")]
        sent = [at - truth.received_ns for at in truth.sent_ns]
        arrivals = [at for at, n in zip(sample.arrivals_ns, sample.arrival_tokens, strict=True) for _ in range(n)]
        together += TOKENS - len(set(arrivals))
        errors += [abs(a - s) / 1e6 for a, s in zip(arrivals, sent, strict=False)]
    errors.sort()
    windows = done.windows or {0: (done.window_from_s or 0.0, done.window_to_s or 0.0)}
    rates = [
        sum(TOKENS for sample in counted if sample.worker == worker) / (to_s - from_s)
        for worker, (from_s, to_s) in windows.items()
    ]
    tokens = len(samples) * TOKENS
    return Row(
        workers=workers,
        rate=rate,
        sent=sum(rates),
        n=len(errors),
        p50_ms=percentile(errors, 0.5),
        p95_ms=percentile(errors, 0.95),
        p99_ms=percentile(errors, 0.99),
        coalesced=together / max(1, len(errors)),
        worker_us=done.cpu_s * 1e6 / tokens,
        engine_us=engine_s * 1e6 / tokens,
    )


def reach(rows: list[Row]) -> float:
    """Return the arrivals/s that were carried: at the highest rate before a condition fails."""
    best, bound_ms = 0.0, FLOOR_MS
    for rate in sorted({row.rate for row in rows}):
        of = [row for row in rows if row.rate == rate]
        p95_ms = statistics.median(row.p95_ms for row in of)
        sent = statistics.median(row.sent for row in of)
        if not best:
            bound_ms = max(2 * p95_ms, FLOOR_MS)
        elif (
            sent < 0.95 * rate * of[0].workers
            or statistics.median(row.coalesced for row in of) >= 0.02
            or p95_ms >= bound_ms
        ):
            break
        best = sent
    return best


def main() -> None:
    """Measure one worker and two at every rate, by turns, and report."""
    parser = command_line(__doc__)
    parser.add_argument("--rates", nargs="+", type=int, help="of one server, in tokens/s")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each rate")
    parser.add_argument("--rounds", type=int, help="3, or 12 with --pin")
    parser.add_argument("--pin", action="store_true", help="one worker, away from the server's core or anywhere")
    parser.add_argument("--busy", type=int, default=1, help="processes that compute beside the server, with --pin")
    options = parser.parse_args()
    cores = two_cores()
    if options.pin:
        from tests.bench.pinned_worker import compare  # which needs this module

        compare(options.rates or [2000], options.seconds, options.rounds or 12, options.busy, cores)
        return
    rates = options.rates or list(RATES)
    print(heading(f"one worker and two, each on a core with a replaying server, {STREAMS} streams each"))
    print(f"{'workers':>7}{'rate':>8}{'arrivals/s':>12}{'n':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}", end="")
    print(f"{'together':>10}{'worker us':>11}{'engine us':>11}")
    rows: dict[int, list[Row]] = {1: [], 2: []}
    for rate in rates:
        for _ in range(options.rounds or 3):
            for workers, of in rows.items():
                row = asyncio.run(measure(workers, rate, options.seconds, cores))
                of.append(row)
                print(f"{workers:>7}{rate:>8}{row.sent:>12.0f}{row.n:>9}{row.p50_ms:>9.3f}{row.p95_ms:>9.3f}", end="")
                print(
                    f"{row.p99_ms:>9.3f}{row.coalesced:>10.1%}{row.worker_us:>11.1f}{row.engine_us:>11.1f}", flush=True
                )
    one, two = reach(rows[1]), reach(rows[2])
    print(f"one worker carries {one:.0f} arrivals/s, two carry {two:.0f}: {two / one:.2f} times as many")
    for rate in rates:
        pairs = [[row.sent for row in of if row.rate == rate] for of in rows.values()]
        ratios = [b / a for a, b in zip(*pairs, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}, n = {len(ratios)}"
        print(f"at {rate} of each server two send {statistics.median(ratios):.2f} times as many ({spread})")
    if max(row.coalesced for of in rows.values() for row in of if row.rate == rates[0]) >= 0.02:
        print("the machine is busy: tokens are read together even at the lowest rate, so this says nothing")
    cpu = [statistics.median(row.worker_us for row in of) for of in rows.values()]
    print(f"processor time of a worker per arrival: {cpu[0]:.1f} us with one, {cpu[1]:.1f} us with two")


if __name__ == "__main__":
    main()
