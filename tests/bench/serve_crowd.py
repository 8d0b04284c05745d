"""Does `llmtui serve` serve its user while hundreds of silent connections are open?

    python -m tests.bench.serve_crowd [--connections 300] [--seconds 60] [--pages 60] [--reconnect] [--files N]

The crowd connects and sends nothing. Meanwhile the user opens the page --pages times, each time over a new connection.
Reported are the times to the complete page, and the lines that serve printed. With --reconnect each connection that
serve closes is opened again immediately. --files sets RLIMIT_NOFILE of serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from tests.bench.common import command_line, heading
from tests.cli.served import Served, serving

#: A page that takes longer counts as failed, in seconds.
BOUND_S = 30.0


@dataclasses.dataclass
class Result:
    """The time of each page in seconds, and what serve did meanwhile."""

    pages_s: list[float] = dataclasses.field(default_factory=list)
    failed: int = 0
    connects: int = 0
    lines: list[str] = dataclasses.field(default_factory=list)
    cpu_s: float = 0.0

    def table(self) -> str:
        """Return the report."""
        times = sorted(1000 * seconds for seconds in self.pages_s)
        figures = f"median {statistics.median(times):.1f} ms, max {times[-1]:.1f} ms" if times else "no times"
        lines = "".join(f"\n  {line}" for line in self.lines)
        return (
            f"pages: {len(times)} served, {self.failed} failed; {figures}\n"
            f"crowd: {self.connects} connections; serve used {self.cpu_s:.1f} s of CPU\n"
            f"lines printed: {len(self.lines)}{lines}\n"
        )


async def fetch(served: Served) -> bytes:
    """Fetch the page over a new connection, head and body. Raises OSError or TimeoutError."""
    async with asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        try:
            host = f"127.0.0.1:{served.port}"
            head = f"GET /?token={served.token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            return await reader.read(-1)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def crowd(served: Served, connections: int, reconnect: bool, result: Result) -> AsyncIterator[None]:
    """Open silent connections before the body of `async with` runs, and close them after it."""
    attempted = asyncio.Semaphore(0)

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError):
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                finally:
                    attempted.release()  # also if serve refused it
                result.connects += 1
                try:
                    await reader.read(1)
                finally:
                    writer.close()
            if not reconnect:
                return

    tasks = [asyncio.create_task(one()) for _ in range(connections)]
    try:
        async with asyncio.timeout(BOUND_S):
            for _ in range(connections):
                await attempted.acquire()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure(served: Served, connections: int, seconds: float, pages: int, reconnect: bool) -> Result:
    """Open the page `pages` times, evenly over `seconds`, while the crowd is connected."""
    result = Result()
    before = served.err
    process = psutil.Process(served.process.pid)
    cpu = sum(process.cpu_times()[:2])
    async with crowd(served, connections, reconnect, result):
        start = time.monotonic()
        for number in range(pages):
            await asyncio.sleep(max(0.0, start + seconds * number / pages - time.monotonic()))
            begun = time.monotonic()
            try:
                answer = await fetch(served)
            except (OSError, TimeoutError):
                answer = b""
            if answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"</html>\n"):
                result.pages_s.append(time.monotonic() - begun)
            else:
                result.failed += 1
        await asyncio.sleep(max(0.0, start + seconds - time.monotonic()))
    result.cpu_s = sum(process.cpu_times()[:2]) - cpu
    result.lines = served.err[len(before) :].splitlines()
    return result


def main() -> None:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--files", type=int, default=0, help="RLIMIT_NOFILE of serve; 0: inherited")
    parser.add_argument("--reconnect", action="store_true")
    options = parser.parse_args()

    def limit() -> None:
        if options.files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (options.files, options.files))

    print(heading(f"{options.connections} silent connections for {options.seconds:.0f} s"), flush=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), 1_000_000, prepare=limit) as served:
        print(
            asyncio.run(
                measure(served, options.connections, options.seconds, options.pages, options.reconnect)
            ).table(),
            end="",
        )


if __name__ == "__main__":
    main()
