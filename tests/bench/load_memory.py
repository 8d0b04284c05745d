"""Does a million requests take more memory than ten thousand? The engine and the monitor, each of a whole load.

    python -m tests.bench.load_memory [--few 10000] [--many 1000000] [--turns 20] [--rate 3000] [--tokens 64]

A stand-in takes the place of the worker process: it sends samples of answers of 64 tokens as fast as `--rate`, in the
frames of the real one. Everything else is real: the engine with its figures, recorder and history, the socket, and a
monitor in a pseudo-terminal. Both runs have the same number of turns, so that only the requests differ. Goals: at most
1.1 times the memory, an engine of at most 150 MB and a monitor of at most 90 MB. Prints the largest resident size of
each (VmHWM), and the bytes of a request in the history. A million requests take about six minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llmtui.accuracy.pty_monitor import Screen
from llmtui.link.process import EngineProcess
from llmtui.load.messages import EncodedBatch, Frames, Pulse, Slice, SliceDone, ToWorker, encoded, frame
from llmtui.model import Backend, Iteration, Load, Plan, RunConfig, Shutdown, TurnDone
from tests.bench.common import TRUTH_SERVER, command_line, heading

STREAMS = 32
BACKENDS = ("one", "two")
_KINDS = 500
_BATCH = 150
_decode = msgspec.msgpack.Decoder(ToWorker).decode


# --- The stand-in of the worker process: `python -m tests.bench.load_memory --worker`. ---


def answers(base: Iteration, tokens: int) -> list[Iteration]:
    """Return samples with different arrivals and texts, as a real server answers."""
    chance = random.Random(1)
    words = "a human eye can eat no helicopters in one sitting because they are too large to be eaten"
    made = []
    for _ in range(_KINDS):
        at = [chance.randint(90_000_000, 150_000_000)]
        for _ in range(tokens - 1):
            at.append(at[-1] + max(1_000, int(chance.gauss(12_500_000, 400_000))))
        rate = (tokens - 1) / ((at[-1] - at[0]) / 1e9)
        figures = {
            "latency_s": at[-1] / 1e9,
            "ttft_s": at[0] / 1e9,
            "ttfo_s": at[0] / 1e9,
            "itl_s": statistics.median(b - a for a, b in itertools.pairwise(at)) / 1e9,
            "tpot_s": 1 / rate,
            "tokens_per_s": rate,
            "output_tokens": tokens,
            "prompt_tokens": 46,
            "token_source": "usage",
            "finish_reason": "length",
            "stamp": "kernel",
            "in_flight": STREAMS,
            "text": " ".join(chance.choices(words.split(), k=tokens)),
            "arrivals_ns": at,
            "arrival_tokens": [1] * tokens,
        }
        made.append(msgspec.structs.replace(base, **figures))
    return made


def replay(of: Slice) -> None:
    """Send the samples of a slice."""
    rate, tokens = float(os.environ["LOAD_MEMORY_RATE"]), int(os.environ["LOAD_MEMORY_TOKENS"])
    kinds = answers(of.base, tokens)
    total = of.settle + of.requests
    # In the time of the turn the streams are busy without a pause.
    each_s = statistics.mean(kind.latency_s or 0.0 for kind in kinds) / STREAMS
    began, cpu_s, sent = time.monotonic(), time.process_time(), 0
    while sent < total:
        batch = []
        for number in range(sent + 1, min(total, sent + _BATCH) + 1):
            share = "settling" if number <= of.settle else "window"
            kind = kinds[number % _KINDS]
            batch.append(encoded(msgspec.structs.replace(kind, request=number, share=share, written_s=number * each_s)))
        sent += len(batch)
        _write(frame(EncodedBatch(samples=batch)))
        _write(frame(Pulse(share="window", elapsed_s=sent * each_s, sent=sent, in_flight=STREAMS, finished=sent)))
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    window = (of.settle + 1) * each_s, (total + 1) * each_s
    elapsed_s = time.monotonic() - began
    done = SliceDone(
        window_from_s=window[0],
        window_to_s=window[1],
        elapsed_s=elapsed_s,
        cpu_s=min(elapsed_s / 2, time.process_time() - cpu_s),
    )
    _write(frame(done))


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def worker() -> None:
    """Read slices and send samples until the engine closes standard input."""
    frames = Frames()
    while data := os.read(0, 65_536):
        for each in frames.feed(data):
            message = _decode(each)
            if isinstance(message, Slice):
                replay(message)


# --- The engine with that worker: `python -m tests.bench.load_memory --engine`. ---


def engine() -> None:
    """Run the engine as it is, but with the stand-in."""
    from llmtui.engine.__main__ import main as serve

    start = asyncio.create_subprocess_exec

    async def stand_in(*argv: str, **options: object) -> asyncio.subprocess.Process:
        if "llmtui.load.worker" in argv:
            argv = (sys.executable, "-m", "tests.bench.load_memory", "--worker")
        return await start(*argv, **options)  # type: ignore[arg-type]

    asyncio.create_subprocess_exec = stand_in  # type: ignore[assignment]
    serve()


# --- One load. ---


def plan_of(requests: int, turns: int, port: int) -> Plan:
    """Return the plan of a load with this many requests in all, in `turns` measured turns."""
    rounds = turns // len(BACKENDS)
    backends = [Backend(name=n, framework="llama.cpp", url=f"http://127.0.0.1:{port}", model="truth") for n in BACKENDS]
    return Plan(
        run=f"{random.SystemRandom().getrandbits(32):08x}",
        created_utc=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        config=RunConfig(iterations=rounds, warmup=1, metric="output_tokens_per_s"),
        backends=backends,
        load=Load(concurrency=[STREAMS], requests=requests // (turns + len(BACKENDS))),
    )


def largest_mb(pid: int) -> float:
    """Return the largest resident size of a process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def patched_engine() -> Iterator[None]:
    """Let `EngineProcess` start the engine of this module."""
    popen = subprocess.Popen

    def start(argv: list[str], **options: object) -> subprocess.Popen[bytes]:
        return popen([sys.executable, "-m", "tests.bench.load_memory", "--engine"], **options)  # type: ignore[call-overload,no-any-return]

    subprocess.Popen = start  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        subprocess.Popen = popen  # type: ignore[misc]


async def measure(requests: int, turns: int, port: int, folder: Path) -> dict[str, float]:
    """Carry out one load. Return the MB of the engine and of the monitor, and the bytes of a request on disk."""
    store = folder / f"{requests}.db"
    plan = plan_of(requests, turns, port)
    with patched_engine():
        started = EngineProcess.start(plan, str(store))
    began = time.monotonic()
    try:
        client = await started.connect()
        screen = Screen([sys.executable, "-P", "-m", "llmtui", "attach", plan.run, "--store", str(store)])
        reading = asyncio.create_task(asyncio.to_thread(_drain, screen))
        try:
            left = turns + len(BACKENDS)
            async for event in client.events():
                left -= isinstance(event, TurnDone)
                if not left:
                    break
            await asyncio.sleep(3.0)
            found = {"engine": largest_mb(started.pid), "monitor": largest_mb(screen.pid)}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(screen.pid, 15)
            await reading
            screen.close()
        await client.send_last(Shutdown())
        await started.wait()
    finally:
        started.kill()
    found["bytes"] = store.stat().st_size / requests
    found["minutes"] = (time.monotonic() - began) / 60
    return found


def _wait_for(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)


def _drain(screen: Screen) -> None:
    for _ in screen.chunks(7_200):
        pass


def main() -> None:
    """Measure few and many, and report."""
    parser = command_line(__doc__)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--rate", type=float, default=3_000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--engine", action="store_true")
    options = parser.parse_args()
    if options.worker:
        return worker()
    if options.engine:
        return engine()
    os.environ |= {"LOAD_MEMORY_RATE": str(options.rate), "LOAD_MEMORY_TOKENS": str(options.tokens)}
    print(heading(f"memory of a load of {options.turns} turns"))
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as name:
        os.environ["XDG_RUNTIME_DIR"] = name
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = subprocess.Popen([*TRUTH_SERVER, "--port", str(port), "--itl-ms", "1"], stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            found = [
                asyncio.run(measure(count, options.turns, port, Path(name))) for count in (options.few, options.many)
            ]
        finally:
            server.kill()
            server.wait()
    for count, of in zip((options.few, options.many), found, strict=True):
        words = f"engine {of['engine']:6.1f} MB  monitor {of['monitor']:6.1f} MB  {of['bytes']:4.0f} bytes a request"
        print(f"{count:>9,} requests  {words}  {of['minutes']:.1f} min")
    for what, most in (("engine", 150), ("monitor", 90)):
        ratio = found[1][what] / found[0][what]
        holds = ratio <= 1.1 and found[1][what] <= most
        print(f"{what:8} ratio {ratio:.2f} (goal 1.1), goal {most} MB: {'holds' if holds else 'DOES NOT HOLD'}")


if __name__ == "__main__":
    main()
