"""The engine process: `python -m llmtui.engine`, with a `Launch` on standard input. Says "ready" once it listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec

# httpx's command line would bring Rich into this process; httpx does without when it cannot be imported.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

from llmtui.engine.hub import Hub
from llmtui.engine.journal import Journal
from llmtui.engine.lifecycle import Launch
from llmtui.engine.machine import describe_machine
from llmtui.engine.runner import Runner
from llmtui.model import AnyEvent

#: An engine that nobody connects to within this time was abandoned at birth.
FIRST_CLIENT_S = 30.0


async def serve(launch: Launch) -> None:
    """Run the plan for the clients of the socket, until told to stop or left alone."""
    folder = Path(launch.folder)
    hub: Hub | None = None

    def tell(event: AnyEvent) -> None:
        if hub is not None:
            hub.tell(event)

    def own_pids() -> list[int]:
        return [os.getpid(), *(hub.pids if hub is not None else [])]

    machine = describe_machine()
    journal = Journal(launch.plan, tell)
    notes = journal.begin(launch.store, machine)
    runner = Runner(launch.plan, folder, tell, machine, own_pids, journal)
    runner.notes = notes
    hub = Hub(Path(launch.socket), runner.hello, runner.obey, runner.audience)
    try:
        await _serve(runner, hub)
    finally:
        journal.close()
        await hub.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _serve(runner: Runner, hub: Hub) -> None:
    await hub.open()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, runner.shut_down)
    try:
        print("ready", flush=True)
    except BrokenPipeError:
        return  # whoever started us has gone already

    def parent_gone() -> None:
        # Standard input stays open while whoever started us is there. Once a client has come, the clients decide.
        loop.remove_reader(0)
        if not hub.visited:
            runner.shut_down()

    loop.add_reader(0, parent_gone)
    alone = loop.call_later(FIRST_CLIENT_S, lambda: None if hub.visited else runner.shut_down())
    try:
        await runner.run()
    finally:
        alone.cancel()


def main() -> None:
    """Read the launch and serve it."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit("the engine was given no plan")
    launch = msgspec.json.decode(line, type=Launch)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(launch))


if __name__ == "__main__":
    main()
