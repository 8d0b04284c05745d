"""A process that watches for stalls, or uses a core: `python -m tests.faults.stalls_process watch|burn`."""

from __future__ import annotations

import asyncio
import sys

from llmtui.measure.stalls import StallMeter


async def watch() -> None:
    """Watch until a line arrives on standard input, then print for how many seconds this process was stopped."""
    stalled = StallMeter()
    stalled.start()
    print("on", flush=True)
    line = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, line.set)
    await line.wait()
    print(stalled.stop(), flush=True)


def burn() -> None:
    """Use a core until killed."""
    print("on", flush=True)
    while True:
        pass


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        asyncio.run(watch())
    else:
        burn()
