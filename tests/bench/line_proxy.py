"""A line of a given rate and delay, for ssh's ProxyCommand: `python -m tests.bench.line_proxy PORT COUNTS [--kb-s N]`.

It connects to a port of loopback and carries bytes between that and its stdin and stdout. Each packet leaves at the
rate of the line and arrives after its delay, in both directions. The bytes so far, up and down, are written into the
file COUNTS.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from pathlib import Path

_PACKET = 1400


class Direction:
    """One direction of the line."""

    def __init__(self, rate: float, delay_s: float) -> None:
        self._rate = rate
        self._delay_s = delay_s
        self._free_at = 0.0
        self.bytes = 0
        self.queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def put(self, data: bytes) -> None:
        """Send `data`; returns when the line has taken it."""
        loop = asyncio.get_running_loop()
        for at in range(0, len(data), _PACKET):
            packet = data[at : at + _PACKET]
            self.bytes += len(packet)
            self._free_at = max(loop.time(), self._free_at) + len(packet) / self._rate
            await self.queue.put((self._free_at + self._delay_s, packet))
        await asyncio.sleep(self._free_at - loop.time())

    async def get(self) -> bytes:
        """Return the next packet when it arrives, b"" at the end."""
        due, packet = await self.queue.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        return packet

    async def end(self) -> None:
        """Send the end."""
        await self.queue.put((self._free_at + self._delay_s, b""))


async def carry(port: int, counts: Path, rate: float, delay_s: float) -> None:
    """Carry bytes until one end is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    up, down = Direction(rate, delay_s), Direction(rate, delay_s)
    loop = asyncio.get_running_loop()

    def read_stdin() -> None:
        while data := os.read(0, 65536):
            asyncio.run_coroutine_threadsafe(up.put(data), loop).result()
        asyncio.run_coroutine_threadsafe(up.end(), loop)

    threading.Thread(target=read_stdin, daemon=True).start()

    async def take() -> None:
        while data := await reader.read(65536):
            await down.put(data)
        await down.end()

    async def send() -> None:
        while packet := await up.get():
            writer.write(packet)
        writer.close()

    async def show() -> None:
        while packet := await down.get():
            sys.stdout.buffer.write(packet)
            sys.stdout.buffer.flush()

    async def count() -> None:
        while True:
            partial = counts.with_suffix(".new")
            partial.write_text(f"{up.bytes} {down.bytes}")
            partial.replace(counts)
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(work()) for work in (take, send, show, count)]
    await asyncio.wait(tasks[1:3], return_when=asyncio.FIRST_COMPLETED)
    os._exit(0)  # the thread may still read


def main() -> None:
    """Carry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("counts", type=Path)
    parser.add_argument("--kb-s", type=float, default=56.0)
    parser.add_argument("--delay-ms", type=float, default=300.0)
    arguments = parser.parse_args()
    asyncio.run(carry(arguments.port, arguments.counts, arguments.kb_s * 1e3, arguments.delay_ms / 1e3))


if __name__ == "__main__":
    main()
