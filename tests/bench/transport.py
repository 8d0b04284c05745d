"""How many arrivals a second can one core take through llmtui's transport, and through plain httpx?

    python -m tests.bench.transport [--rounds 5] [--seconds 2] [--paths httpx llmtui llmtui+uvloop]

About four minutes, on two cores. A server on one core writes one token of a stream with each `send`, for 32 streams in
turns, at increasing rates. The client on the other core reads through httpx's own transport (httpcore, h11) or through
llmtui's. The error of an arrival is its stamp minus the time before the server's send. A path's reach is the highest
rate up to which its p95, the median of the rounds, stays below twice that of the lowest rate, or below 0.1 ms. Levels
during which other programs used more than 0.1 cores are counted and left out.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import contextlib
import gc
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil

from llmtui.measure.answer import Answer
from llmtui.measure.request import ask
from llmtui.measure.transport import new_client
from llmtui.model import Backend, RunConfig, Struct
from llmtui.wire import dialect_for
from tests.bench.common import command_line, two_cores

STREAMS = 32
RATES = (1000, 2000, 3000, 4000, 6000, 8000, 10000, 12500, 15000, 20000, 25000, 30000, 40000, 50000, 60000, 70000)
PATHS = ("httpx", "llmtui", "llmtui+uvloop")
FLOOR_MS = 0.1
HOPELESS_MS = 20.0
DISTURBED_CORES = 0.1
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Level(Struct, frozen=True):
    """One path at one rate. Errors in ms, `cpu_us` of the client per arrival, `sent` arrivals per second."""

    path: str
    rate: int
    sent: float
    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float
    foreign_cores: float


def _chunk(**delta: object) -> bytes:
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    data = b"data: " + json.dumps({**event, "choices": [{"index": 0, **delta}]}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def serve(core: int, rate: int, seconds: float) -> None:
    """Run the server: print its port, serve all streams, then write the time of each send to stdout."""
    os.sched_setaffinity(0, {core})
    listener = socket.create_server(("127.0.0.1", 0), backlog=STREAMS)
    print(listener.getsockname()[1], flush=True)
    streams: list[socket.socket] = []
    for _ in range(STREAMS):
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while not request.endswith(b"}"):
            request += connection.recv(65536)
        connection.sendall(_HEAD)
        streams.append(connection)
    token = _chunk(delta={"content": " token"}, finish_reason=None)
    total = int(rate * seconds) // STREAMS * STREAMS
    sent = array.array("q")
    sends = [connection.sendall for connection in streams]
    clock = time.monotonic_ns
    began = clock() + 50_000_000
    gc.disable()
    for k in range(total):
        due = began + k * 1_000_000_000 // rate
        while (now := clock()) < due:
            pass
        sent.append(now)
        sends[k % STREAMS](token)
    for connection in streams:
        connection.sendall(_chunk(delta={}, finish_reason="length") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    sys.stdout.buffer.write(sent.tobytes())


async def _httpx(client: httpx.AsyncClient, url: str) -> tuple[Answer, int]:
    """Read one answer as a client of httpx does, with the clock read after each chunk."""
    backend = Backend(name="a", url=url, model="m")
    dialect = dialect_for(backend)
    request = dialect.request(backend, RunConfig(max_tokens=8), "hi", "m")
    answer = Answer()
    async with client.stream(request.method, request.url, content=request.body, headers=request.headers) as response:
        parser = dialect.parser(response.headers["content-type"])
        async for data in response.aiter_bytes():
            answer.add(parser.feed(data), time.monotonic_ns())
    return answer, 0


async def _llmtui(client: httpx.AsyncClient, url: str) -> tuple[Answer, int]:
    backend = Backend(name="a", url=url, model="m")
    dialect = dialect_for(backend)
    request = dialect.request(backend, RunConfig(max_tokens=8), "hi", "m")
    written: list[int] = []

    async def note(response: httpx.Response) -> None:
        written.append(response.extensions["llmtui.stream"].written_ns)

    client.event_hooks = {"response": [note]}
    answer = await ask(client, request, dialect, timeout_s=120, on_tokens=lambda _: None)
    return answer, written[0]


async def _all_streams(path: str, url: str) -> tuple[list[tuple[Answer, int]], float]:
    async with contextlib.AsyncExitStack() as stack:
        asks = []
        for _ in range(STREAMS):
            if path == "httpx":
                client = await stack.enter_async_context(httpx.AsyncClient(timeout=None, trust_env=False))
                asks.append(_httpx(client, url))
            else:
                client = await stack.enter_async_context(new_client(url, connect_timeout_s=5))
                asks.append(_llmtui(client, url))
        began = time.process_time()
        answers = await asyncio.gather(*asks)
        return list(answers), time.process_time() - began


def _arrivals(answer: Answer, base_ns: int) -> Iterator[int]:
    for at_ns, tokens in zip(answer.arrivals_ns, answer.arrival_tokens, strict=True):
        for _ in range(tokens):
            yield base_ns + at_ns


def _foreign_s(cores: tuple[int, int]) -> float:
    """Return the CPU seconds that others, the hypervisor included, have used of these cores: compare two of them."""
    times = psutil.cpu_times(percpu=True)
    busy = sum(t.user + t.nice + t.system + getattr(t, "steal", 0.0) for t in (times[core] for core in cores))
    own = os.times()
    return float(busy - own.user - own.system - own.children_user - own.children_system)


def level(path: str, rate: int, seconds: float, cores: tuple[int, int]) -> Level:
    """Measure one path at one rate."""
    command = [sys.executable, "-m", "tests.bench.transport", "--serve", str(cores[1]), str(rate), str(seconds)]
    began, foreign_s = time.monotonic(), _foreign_s(cores)
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    os.sched_setaffinity(0, {cores[0]})
    factory = None
    if path.endswith("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    gc.collect()
    with asyncio.Runner(loop_factory=factory) as runner:
        answers, cpu_s = runner.run(_all_streams(path, url))
    sent = array.array("q", server.stdout.read())
    server.wait()
    foreign = (_foreign_s(cores) - foreign_s) / (time.monotonic() - began)
    # Connections may be accepted in another order than that of the requests.
    streams = sorted(list(_arrivals(answer, base)) for answer, base in answers)
    errors: list[float] = []
    for number, arrivals in enumerate(streams):
        assert len(arrivals) == len(sent) // STREAMS
        errors += [(a - s) / 1e6 for a, s in zip(arrivals, sent[number::STREAMS], strict=True)]
    errors.sort()
    took_s = (sent[-1] - sent[0]) / 1e9
    p50, p95, p99 = (errors[int(len(errors) * q)] for q in (0.5, 0.95, 0.99))
    return Level(path, rate, len(sent) / took_s, len(sent), p50, p95, p99, cpu_s * 1e6 / len(sent), foreign)


def reach(levels: dict[int, list[Level]]) -> int:
    """Return the highest rate before the p95 doubles."""
    best = 0
    bound_ms = FLOOR_MS
    for rate, rounds in sorted(levels.items()):
        p95_ms = statistics.median(each.p95_ms for each in rounds)
        if not best:
            bound_ms = max(2 * p95_ms, FLOOR_MS)
        elif p95_ms >= bound_ms or statistics.median(each.sent for each in rounds) < 0.97 * rate:
            break
        best = rate
    return best


def main() -> None:
    """Measure every path at every rate, and report."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate")
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS[:2]))
    parser.add_argument("--rates", nargs="+", type=int, default=list(RATES))
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        core, rate, seconds = options.serve
        serve(int(core), int(rate), float(seconds))
        return
    cores = two_cores()
    levels_of: dict[str, dict[int, list[Level]]] = {path: {} for path in options.paths}
    disturbed = dict.fromkeys(options.paths, 0)
    for _ in range(options.rounds):
        for path in options.paths:
            for rate in options.rates:
                now = level(path, rate, options.seconds, cores)
                if now.foreign_cores > DISTURBED_CORES:
                    disturbed[path] += 1
                    continue
                levels_of[path].setdefault(rate, []).append(now)
                if now.p50_ms > HOPELESS_MS:
                    break
    print(f"{'path':14} {'rate/s':>7} rounds {'n':>7} {'p50 ms':>8} {'p95 ms (min..max)':>24} {'p99 ms':>8} CPU us")
    for path, levels in levels_of.items():
        for rate, rounds in sorted(levels.items()):
            p50, p95, p99, cpu = (
                statistics.median(getattr(each, name) for each in rounds)
                for name in ("p50_ms", "p95_ms", "p99_ms", "cpu_us")
            )
            spread = f"{p95:.3f} ({min(r.p95_ms for r in rounds):.3f}..{max(r.p95_ms for r in rounds):.3f})"
            n = sum(each.n for each in rounds)
            print(f"{path:14} {rate:7} {len(rounds):6} {n:7} {p50:8.3f} {spread:>24} {p99:8.3f} {cpu:6.1f}")
    for path, levels in levels_of.items():
        print(f"{path}: {reach(levels)} arrivals/s before the p95 doubles ({disturbed[path]} levels left out)")


if __name__ == "__main__":
    main()
