"""What stands still or is starved in the tests: `python -m tests.faults.standing watch|burn`."""

from __future__ import annotations

import asyncio
import sys

from llmtui.engine.watch.stalls import Stalled


async def watch() -> None:
    """Watch until a line comes on standard input, then say for how long this process stood still."""
    stalled = Stalled()
    stalled.start()
    print("on", flush=True)
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, told.set)
    await told.wait()
    print(stalled.stop(), flush=True)


def burn() -> None:
    """Use a processor until killed."""
    print("on", flush=True)
    while True:
        pass


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        asyncio.run(watch())
    else:
        burn()
