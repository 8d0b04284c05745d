"""How many arrivals a second can one process read, parse and record before its error doubles?

    python -m tests.bench.arrivals_per_s [--clients llmtui httpx aiohttp] [--rates 5000 10000 ...] [--seconds 3]
        [--guidellm PATH] [--aiperf PATH] [--llama-benchy PATH]

Closed loop of `--streams` answers, 64 tokens each, every token an event and an arrival of its own. The server has one
core, the client the other. `llmtui` is the worker process of a load with all that it does; `httpx` and `aiohttp` are
clients of about twenty lines that decode each event with json and note the time.

The error of an arrival is its time since the request was written, minus the true one since the server received the
request. A client's reach is the highest rate up to which the p95 of the error stays below twice that of the lowest
rate, or below 0.1 ms, while the server sent at least 90 % of what was asked.

Other tools are measured if their commands are given (each from an environment of its own). They report no arrivals, so
their error is that of the TTFT: the difference of its p50, p95 and p99 as reported, and as the server logged them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import msgspec

from llmtui.load.messages import Slice
from llmtui.load.process import WorkerProcess
from llmtui.load.prompts import PLACEHOLDER, Template, line_of
from llmtui.model import Backend, Iteration, RunConfig, Struct
from llmtui.model import Level as Load
from llmtui.stats.summary import percentile
from llmtui.wire import dialect_for
from tests.bench.common import command_line, heading, two_cores
from tests.bench.replay_server import TOKENS, Replay
from tests.bench.rival_clients import TOOLS, reported_ttfts_ms, write_tokenizer

CLIENTS = ("llmtui", "httpx", "aiohttp")
RATES = (1000, 2000, 3000, 4000, 6000, 8000, 10000, 15000, 20000, 25000, 30000, 35000, 40000, 45000, 50000, 60000)
FLOOR_MS = 0.1
HOPELESS_MS = 20.0
SERVER = [sys.executable, "-P", "-m", "tests.bench.replay_server"]


class Seen(Struct, frozen=True):
    """One answer as a client recorded it: the fresh line of its prompt, and its arrivals in ns since it was written."""

    line: str
    arrivals_ns: list[int]


class Measured(Struct, frozen=True):
    """All answers of a client at one rate, and its processor time."""

    answers: list[Seen]
    cpu_s: float
    failed: int = 0


class Row(Struct, frozen=True):
    """One client at one rate: tokens a second that were sent, errors in ms, processor time of an arrival."""

    client: str
    rate: int
    sent: float
    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    ttft_p95_ms: float
    coalesced: float
    cpu_us: float
    failed: int


@contextlib.contextmanager
def replay_server(rate: float, streams: int, core: int) -> Iterator[tuple[str, list[Replay]]]:
    """Run a replay server; its log is in the list once the block has ended."""
    log: list[Replay] = []
    argv = [*SERVER, "--rate", str(rate), "--streams", str(streams), "--core", str(core)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdin is not None
        try:
            yield server.stdout.readline().decode().strip(), log
        finally:
            server.stdin.close()
            data = server.stdout.read()
    log += msgspec.msgpack.decode(data, type=list[Replay])


def by_worker(url: str, streams: int, requests: int) -> Measured:
    """Measure through llmtui's worker process."""
    backend, config = Backend(name="a", url=url, model="m"), RunConfig(max_tokens=TOKENS, timeout_s=60)
    request = dialect_for(backend).request(backend, config, f"{PLACEHOLDER}\nhi", "m")
    base = Iteration(run="r", backend="a", attempt=1, iteration=1, phase="measured", started_utc="")
    samples: list[Iteration] = []
    of = Slice(
        backend=backend,
        config=config,
        level=Load(number=1, streams=streams),
        base=base,
        method=request.method,
        url=request.url,
        headers=request.headers,
        template=Template(body=request.body, key="bench"),
        max_tokens=request.max_tokens,
        requests=requests,
        settle=streams,
        seed="bench",
    )

    async def run() -> float:
        worker = WorkerProcess()
        try:
            done = await worker.run(of, samples.extend, lambda _: None)
        finally:
            await worker.close()
        if done.error:
            sys.exit(str(done.error))
        return done.cpu_s

    cpu_s = asyncio.run(run())
    failed = [sample for sample in samples if sample.error is not None]
    if len(failed) == len(samples):
        sys.exit(f"every request failed: {failed[0].error}" if failed else "no request was sent")
    seen = [
        Seen(line=line_of(f"bench/{s.request}"), arrivals_ns=list(unfolded(s.arrivals_ns, s.arrival_tokens)))
        for s in samples
        if s.error is None and s.share != "settling"
    ]
    return Measured(answers=seen, cpu_s=cpu_s, failed=len(failed))


def unfolded(arrivals_ns: list[int], tokens: list[int]) -> Iterator[int]:
    """Yield the arrival of each token."""
    for at, count in zip(arrivals_ns, tokens, strict=True):
        yield from itertools.repeat(at, count)


async def plain(client: str, url: str, streams: int, requests: int) -> list[Seen]:
    """Measure with a plain client: each event is decoded, the clock read after it."""
    url += "/v1/chat/completions"
    numbers = iter(range(1, requests + streams + 1))
    seen: list[Seen] = []

    def body(line: str) -> bytes:
        message = {"role": "user", "content": f"{line}\nhi"}
        return json.dumps({"model": "m", "messages": [message], "max_tokens": TOKENS, "stream": True}).encode()

    def take(event: str, arrivals: list[int]) -> None:
        now = time.monotonic_ns()
        if event.startswith("data: {"):
            choices = json.loads(event[6:])["choices"]
            if choices and choices[0]["delta"].get("content"):
                arrivals.append(now)

    async with contextlib.AsyncExitStack() as stack:
        if client == "httpx":
            limits = httpx.Limits(max_connections=None)
            by_httpx = await stack.enter_async_context(httpx.AsyncClient(timeout=None, trust_env=False, limits=limits))
        else:
            connector = aiohttp.TCPConnector(limit=0)
            by_aiohttp = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def stream() -> None:
            headers = {"Content-Type": "application/json"}
            for number in numbers:
                line = line_of(f"bench/{number}")
                arrivals: list[int] = []
                data, written = body(line), time.monotonic_ns()
                if client == "httpx":
                    async with by_httpx.stream("POST", url, content=data, headers=headers) as answer:
                        async for event in answer.aiter_lines():
                            take(event, arrivals)
                else:
                    async with by_aiohttp.post(url, data=data, headers=headers) as reply:
                        async for piece in reply.content:
                            take(piece.decode(), arrivals)
                seen.append(Seen(line=line, arrivals_ns=[at - written for at in arrivals]))

        await asyncio.gather(*(stream() for _ in range(streams)))
    return seen[streams:]


def by_plain(client: str, url: str, streams: int, requests: int) -> Measured:
    """Measure with a plain client in a process of its own."""
    argv = [sys.executable, "-P", "-m", "tests.bench.arrivals_per_s"]
    argv += ["--plain", client, url, str(streams), str(requests)]
    return msgspec.msgpack.decode(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout, type=Measured)


def measure(client: str, rate: int, streams: int, seconds: float, cores: tuple[int, int]) -> Row:
    """Measure one client at one rate."""
    requests = max(2 * streams, round(rate * seconds / TOKENS))
    with replay_server(rate, streams, cores[1]) as (url, log):
        os.sched_setaffinity(0, {cores[0]})
        result = by_worker(url, streams, requests) if client == "llmtui" else by_plain(client, url, streams, requests)
    truths = {each.line: each for each in log}
    pairs = [(seen, truths[seen.line]) for seen in result.answers]
    errors, ttfts, gone = [], [], 0
    for seen, truth in pairs:
        if len(seen.arrivals_ns) != len(truth.sent_ns):
            gone += 1
            continue
        late = [(a - (s - truth.received_ns)) / 1e6 for a, s in zip(seen.arrivals_ns, truth.sent_ns, strict=True)]
        errors += [abs(value) for value in late]
        ttfts.append(abs(late[0]))
    errors.sort()
    ttfts.sort()
    # The rate of the server in the middle half: its start and its end have empty places.
    sends = sorted(at for each in log for at in each.sent_ns)
    middle = sends[len(sends) // 4 : 3 * len(sends) // 4]
    return Row(
        client=client,
        rate=rate,
        sent=(len(middle) - 1) / ((middle[-1] - middle[0]) / 1e9),
        n=len(errors),
        p50_ms=percentile(errors, 0.5),
        p95_ms=percentile(errors, 0.95),
        p99_ms=percentile(errors, 0.99),
        ttft_p95_ms=percentile(ttfts, 0.95),
        coalesced=1 - sum(len(set(seen.arrivals_ns)) for seen, _ in pairs) / max(1, len(errors)),
        cpu_us=result.cpu_s * 1e6 / len(sends),
        failed=result.failed + gone,
    )


def measure_tool(
    tool: str, program: str, rate: int, streams: int, seconds: float, cores: tuple[int, int], folder: Path
) -> Row:
    """Measure another tool at one rate. Raises what `reported_ttfts_ms` raises."""
    requests = max(4 * streams, round(rate * seconds / TOKENS))
    with replay_server(rate, streams, cores[1]) as (url, log):
        os.sched_setaffinity(0, {cores[0]})
        reported = sorted(reported_ttfts_ms(tool, program, url, streams, requests, folder))
    true = sorted((each.sent_ns[0] - each.received_ns) / 1e6 for each in log)
    p50, p95, p99 = (abs(percentile(reported, q) - percentile(true, q)) for q in (0.5, 0.95, 0.99))
    sends = sorted(at for each in log for at in each.sent_ns)
    middle = sends[len(sends) // 4 : 3 * len(sends) // 4]
    sent = (len(middle) - 1) / ((middle[-1] - middle[0]) / 1e9)
    return Row(tool, rate, sent, len(reported), p50, p95, p99, p95, 0.0, 0.0, max(0, len(true) - len(reported)))


def show(row: Row) -> None:
    """Print one row."""
    print(f"{row.client:13}{row.rate:8}{row.sent:8.0f}{row.n:8}{row.p50_ms:9.3f}{row.p95_ms:9.3f}", end="")
    print(f"{row.p99_ms:9.3f}{row.ttft_p95_ms:10.3f}{row.coalesced:11.1%}", end="")
    print(f"{row.cpu_us:8.1f}{row.failed:8}", flush=True)


def reach(rows: list[Row]) -> int:
    """Return the highest rate before the p95 doubles."""
    best, bound_ms = 0, FLOOR_MS
    for rate in sorted({row.rate for row in rows}):
        of = [row for row in rows if row.rate == rate]
        p95_ms = statistics.median(row.p95_ms for row in of)
        if not best:
            bound_ms = max(2 * p95_ms, FLOOR_MS)
        elif p95_ms >= bound_ms or statistics.median(row.sent for row in of) < 0.9 * rate:
            break
        best = rate
    return best


def tool_rows(tool: str, program: str, options: argparse.Namespace, cores: tuple[int, int]) -> Iterator[Row]:
    """Measure another tool at increasing rates, until it fails or its error is hopeless."""
    with tempfile.TemporaryDirectory(prefix="llmtui-rivals-") as name:
        write_tokenizer(Path(name))
        for rate in options.rates:
            try:
                row = measure_tool(tool, program, rate, options.streams, options.seconds, cores, Path(name))
            except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                print(f"{tool} failed at {rate}/s: {error}")
                return
            show(row)
            yield row
            if row.p50_ms > HOPELESS_MS:
                return


def main() -> None:
    """Measure every client at every rate, and report."""
    parser = command_line(__doc__)
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--rates", nargs="+", type=int, default=list(RATES))
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each rate")
    parser.add_argument("--rounds", type=int, default=1)
    for tool in TOOLS:
        parser.add_argument(f"--{tool}", default="", metavar="PATH")
    parser.add_argument("--plain", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        client, url, streams, requests = options.plain
        began = time.process_time()
        seen = asyncio.run(plain(client, url, int(streams), int(requests)))
        result = Measured(answers=seen, cpu_s=time.process_time() - began)
        sys.stdout.buffer.write(msgspec.msgpack.encode(result))
        return
    cores = two_cores()
    print(heading(f"arrivals a second in one process, {options.streams} streams, answers of {TOKENS} tokens"))
    print(f"{'client':13}{'asked/s':>8}{'sent/s':>8}{'n':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}", end="")
    print(f"{'TTFT p95':>10}{'coalesced':>11}{'CPU us':>8}{'failed':>8}")
    rows: dict[str, list[Row]] = {client: [] for client in options.clients}
    for _, client in itertools.product(range(options.rounds), options.clients):
        for rate in options.rates:
            row = measure(client, rate, options.streams, options.seconds, cores)
            rows[client].append(row)
            show(row)
            if row.p50_ms > HOPELESS_MS:
                break
    for tool in TOOLS:
        if program := getattr(options, tool.replace("-", "_")):
            rows[tool] = list(tool_rows(tool, program, options, cores))
        else:
            print(f"{tool} was not measured: give its command with --{tool}")
    for client, of in rows.items():
        print(f"{client}: {reach(of)} arrivals/s before the p95 doubles")


if __name__ == "__main__":
    main()
