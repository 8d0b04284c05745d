"""What does a line to another machine carry when it opens again during a long run?

    python -m tests.bench.on_again [--samples 100000] [--kb-s 56] [--delay-ms 300] [--rounds 5] [--whole]

The other machine is a real sshd on loopback behind a line of that rate and delay (each way). A stand-in for the engine
has a run of that many iterations, without texts. A client is given all of them but the last ten. Then the line opens
again: reported are the bytes that it carries until the client has the run, ssh and compression included, and how long
that takes. `--whole` opens it as a client does that has nothing, or that is older than the command for the rest.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

import msgspec

from llmtui.link.line_messages import Join
from llmtui.link.remote import RemoteLink
from llmtui.link.since import Received
from llmtui.link.ssh import Line
from llmtui.link.ssh import OtherMachine as Named
from llmtui.model import Earlier, Hello, Since
from tests.bench.common import command_line
from tests.bench.on_line import behind_a_slow_line, counts, line_options
from tests.link.sshd import HOST, OtherMachine
from tests.link.stand_ins import LongRun

NEW = 10
RUN = "1a2b3c4d"


async def once(machine: Named, have: Since | None, file: Path) -> tuple[float, int, int]:
    """Open a line and follow the run until it is here. Return the time in s, and the bytes up and down."""
    began = time.monotonic()
    line = await asyncio.to_thread(Line.open, machine, again=True)
    await asyncio.to_thread(line.ask, Join(run=RUN, again=True, have=have))
    link = RemoteLink(line, RUN, "")
    async for event in link.events():
        if (isinstance(event, Hello) and not event.earlier) or (isinstance(event, Earlier) and event.last):
            break
    took = time.monotonic() - began
    await asyncio.sleep(0.5)  # the proxy writes its counts five times a second
    up, down = counts(file)
    await link.close()
    await asyncio.to_thread(link.end, 0.0)
    return took, up, down


async def measure(far: OtherMachine, samples: int, rounds: int, whole: bool) -> None:
    """Open the line again and again."""
    run = LongRun(RUN, samples)
    received = Received()
    received.add(msgspec.structs.replace(run.hello(), iterations=run.iterations[:-NEW]))
    os.environ["XDG_RUNTIME_DIR"] = str(far.runtime)
    machine = Named.named(HOST, far.program)
    results = []
    async with run.listening():
        for _ in range(rounds):
            results.append(await once(machine, None if whole else received.since, far.folder / "counts"))
    took = [seconds for seconds, _, _ in results]
    down = [received / 1e3 for _, _, received in results]
    print(f"{samples} iterations, {NEW} of them new; n {len(results)}")
    print(f"kB down: median {statistics.median(down):.1f}, most {max(down):.1f}")
    print(f"until the run is here: median {statistics.median(took):.1f} s, most {max(took):.1f} s")


def main() -> None:
    """Open and count."""
    parser = command_line(__doc__)
    line_options(parser)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_args()
    with behind_a_slow_line(arguments) as far:
        os.environ["LLMTUI_SSH"] = far.env["LLMTUI_SSH"]
        asyncio.run(measure(far, arguments.samples, arguments.rounds, arguments.whole))


if __name__ == "__main__":
    main()
