"""The engine process: `python -m llmtui.engine`, with a `Launch` on standard input. Says "ready" once it listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import msgspec

# httpx's command line would bring Rich into this process; httpx does without when it cannot be imported.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

from llmtui.engine.coordinator import Runner
from llmtui.engine.recorder import Recorder
from llmtui.engine.redacted_log import RedactingStream
from llmtui.engine.watch.machine import describe_machine
from llmtui.link import run_folders
from llmtui.link.process import Launch
from llmtui.link.server import LinkServer
from llmtui.model import AnyEvent, Machine, Note
from llmtui.servers.orphans import sweep_dead
from llmtui.store.errors import StoreError
from llmtui.store.rows import StoredRun

#: An engine that nobody connects to within this time was abandoned at birth.
FIRST_CLIENT_S = 30.0


async def serve(launch: Launch) -> None:
    """Run the plan for the clients of the socket, until told to stop or left alone."""
    folder = run_folders.folder_of(launch.plan.run)
    hub: LinkServer | None = None

    def tell(event: AnyEvent) -> None:
        if hub is not None:
            hub.tell(event)

    def own_pids() -> list[int]:
        return [os.getpid(), *(hub.pids if hub is not None else [])]

    machine = describe_machine()
    recorder = Recorder(launch.plan, tell)
    stored, notes = None, recorder.notes
    if launch.resume:
        stored = recorder.resume(launch.store)
        notes.append(taken_up(stored, machine))
    else:
        notes = recorder.begin(launch.store, machine)
    runner = Runner(launch.plan, folder, tell, machine, own_pids, recorder, stored)
    runner.notes = notes
    hub = LinkServer(folder / run_folders.SOCKET_NAME, runner.hello, runner.obey, runner.audience)
    try:
        await _serve(runner, hub)
    finally:
        recorder.close()
        await hub.close()
        run_folders.remove(folder.name, own=True)


def taken_up(stored: StoredRun, machine: Machine) -> Note:
    """What clients are told of a run that goes on. Raises StoreError where this is not the machine that began it."""
    was, now = stored.machine, machine
    if (was.cpu, was.cores, was.gpu) != (now.cpu, now.cores, now.gpu):
        parts = ", ".join(part for part in (was.cpu, f"{was.cores} cores", was.gpu) if part)
        raise StoreError(
            f"run {stored.plan.run} was begun on another machine ({parts}); the figures of two machines do not belong "
            "into one table: begin a new run"
        )
    text = f"taken up again: {len(stored.iterations)} iterations are from before"
    changed = [
        f"{name} {a}, now {b}"
        for name, a, b in (("llmtui", was.llmtui, now.llmtui), ("Python", was.python, now.python), ("", was.os, now.os))
        if a != b
    ]
    return Note(text=f"{text}, made with {', '.join(changed)}" if changed else text, level="warning")


async def _serve(runner: Runner, hub: LinkServer) -> None:
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
    # What an engine left behind that was killed together with its guards.
    sweeping = asyncio.create_task(asyncio.to_thread(sweep_dead))
    alone = loop.call_later(FIRST_CLIENT_S, lambda: None if hub.visited else runner.shut_down())
    try:
        await runner.run()
    finally:
        alone.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


def main() -> None:
    """Read the launch and serve it."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit("the engine was given no plan")
    launch = msgspec.json.decode(line, type=Launch)
    sys.stderr = RedactingStream(sys.stderr, launch.plan)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(serve(launch))
        except (StoreError, run_folders.EngineError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
