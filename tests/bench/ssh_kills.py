"""What is lost after `kill -9` of the ssh of a run on another machine, at a random moment?

    python -m tests.bench.ssh_kills [--kills 50] [--seed N]

The other machine is a real sshd on loopback. Each trial is a run of two truth servers there, followed here over the
line as the monitor and `llmtui run` follow one. ssh is killed once at a random moment, in every fifth trial twice; the
line opens again by itself. `lost` are iterations of the history there that did not arrive here, or differ, and the
other way round. `left` are processes of the other machine that still run 30 s after the end. `again` is the time from a
kill until the run is here again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from llmtui.cli import on
from llmtui.link.ssh import OtherMachine as Named
from llmtui.model import Earlier, Hello, Iteration, IterationDone, RunChanged, Shutdown
from llmtui.store.open import open_store
from tests.bench.common import command_line, heading, truth_config
from tests.leftovers import carrying
from tests.link.sshd import HOST, OtherMachine, other_machine, why_not

ITERATIONS = 12
BOUND_S = 30.0

Key = tuple[str, int, str, int]


async def one(far: OtherMachine, config: Path, chance: random.Random, twice: bool) -> tuple[int, int, list[float]]:
    """Carry out one trial. Return the iterations there, how many are lost, and how long each kill cut the line."""
    engine = on.planned(Named.named(HOST, far.program), on.Typed([str(config)], None, (), {}, "", ""), ())[0]
    link = await engine.connect()
    got: dict[Key, Iteration] = {}
    again: list[float] = []
    killed: list[float] = []

    async def kill() -> None:
        for _ in range(2 if twice else 1):
            await asyncio.sleep(chance.uniform(0.0, 0.9))
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.name() == "ssh":
                        process.kill()
                        killed.append(time.monotonic())

    killing = asyncio.create_task(kill())
    done = False
    async for event in link.events():
        match event:
            case Hello() | Earlier():
                got |= {key(i): i for i in event.iterations}
                if isinstance(event, Hello) and killed:
                    again.append(time.monotonic() - killed[-1])
            case IterationDone(iteration=iteration):
                got[key(iteration)] = iteration
        if isinstance(event, Hello | RunChanged):
            done = event.run.phase == "done"
        if done and killing.done():
            break
        if done:
            await killing
    await link.send_last(Shutdown())
    await engine.wait()
    store, _ = open_store(far.store)
    with store:
        there = {key(i): i for i in store.load(engine.plan.run).iterations}
    lost = sum(got.get(name) != there.get(name) for name in got.keys() | there.keys())
    return len(there), lost + (len(there) != 2 * ITERATIONS), again


def key(iteration: Iteration) -> Key:
    """Return what identifies an iteration in its run."""
    return iteration.backend, iteration.attempt, iteration.phase, iteration.iteration


def left(far: OtherMachine) -> list[str]:
    """Return the processes of the other machine that do not end."""
    until = time.monotonic() + BOUND_S
    while (found := carrying("XDG_RUNTIME_DIR", str(far.runtime))) and time.monotonic() < until:
        time.sleep(0.02)
    lines = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()[-4:]))
    return lines


def main() -> None:
    """Kill and count."""
    parser = command_line(__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    print(heading(f"kill -9 of ssh in {arguments.kills} runs, seed {arguments.seed}"), flush=True)
    chance = random.Random(arguments.seed)
    there = lost = remained = 0
    waits: list[float] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-ssh-") as name, other_machine(Path(name), arguments.port) as far:
        config = Path(name) / "race.toml"
        truth_config(config, {"one": 1.0, "two": 1.5}, iterations=ITERATIONS, warmup=0, max_tokens=32)
        os.environ["LLMTUI_SSH"] = far.env["LLMTUI_SSH"]
        for number in range(arguments.kills):
            count, missing, again = asyncio.run(one(far, config, chance, number % 5 == 4))
            rest = left(far)
            there, lost, remained = there + count, lost + missing, remained + len(rest)
            waits += again
            if missing or rest:
                print(f"run {number + 1}: {missing} lost, left: {rest}", flush=True)
    print(f"iterations there {there}, lost {lost}, processes left {remained}")
    print(f"lines opened again {len(waits)}: median {statistics.median(waits):.2f} s, most {max(waits):.2f} s")
    sys.exit(lost > 0 or remained > 0)


if __name__ == "__main__":
    main()
