"""The engine process: `python -m llmtui.engine`. Reads an `EngineLaunch`, and prints "ready" when it listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import msgspec

# httpx's command line would import Rich into this process; httpx works without it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

from llmtui.engine.watch.cpu_time import read_counters

#: What the machine did until then is known once the imports below are done: no run waits for it.
_AT_START = read_counters([os.getpid(), os.getppid()])

from llmtui.engine.control import Control
from llmtui.engine.coordinator import Coordinator
from llmtui.engine.recorder import Recorder
from llmtui.engine.redacted_log import RedactingStream
from llmtui.engine.run import start_run
from llmtui.engine.run_log import RunLog
from llmtui.engine.watch.machine import describe_machine
from llmtui.link import run_folders
from llmtui.link.process import EngineLaunch
from llmtui.link.server import LinkServer
from llmtui.load.prompt_files.source import use_index
from llmtui.measure.promptness import wake_promptly
from llmtui.model import AnyEvent, Hello, Machine, Note
from llmtui.servers.orphans import sweep_dead
from llmtui.store.errors import StoreError
from llmtui.store.rows import StoredRun
from llmtui.text.format import plural

#: An engine exits if no client connects within this time.
FIRST_CLIENT_S = 30.0


async def serve(launch: EngineLaunch) -> None:
    """Run the plan for the clients of the socket, until it is shut down or done without a client."""
    folder = run_folders.folder_of(launch.plan.run)
    link: LinkServer | None = None
    log = RunLog()

    def emit(event: AnyEvent) -> None:
        log.record(event)
        if link is not None:
            link.emit(event)

    def own_pids() -> list[int]:
        return [os.getpid(), *(link.pids if link is not None else [])]

    machine = describe_machine(_AT_START)
    recorder = Recorder(launch.plan, emit)
    stored: StoredRun | None = None
    if launch.resume:
        stored = recorder.resume(launch.store)
        note = resume_note(stored, machine)
        recorder.notes.append(note)
        log.record(note)
    else:
        recorder.begin(launch.store, machine, launch.label)
    run = start_run(recorder.plan, folder, machine, recorder, emit, stored)
    control = Control(run)
    coordinator = Coordinator(run, control, own_pids)

    def hello() -> Hello:
        return msgspec.structs.replace(run.hello(), log=log.entries)

    socket = folder / run_folders.SOCKET_NAME
    link = LinkServer(socket, hello, control.handle_command, control.set_watched, run.requests)
    try:
        await _serve(coordinator, control, link)
    finally:
        recorder.close()
        await link.close()
        run_folders.remove(folder.name, own=True)


def resume_note(stored: StoredRun, machine: Machine) -> Note:
    """Return the note of a resumed run. Raises StoreError if the run started on another machine."""
    then, now = stored.machine, machine
    if (then.cpu, then.cores, then.gpu) != (now.cpu, now.cores, now.gpu):
        parts = ", ".join(part for part in (then.cpu, plural(then.cores, "core"), then.gpu) if part)
        raise StoreError(
            f"run {stored.plan.run} started on another machine ({parts}), whose results cannot be mixed with those of "
            "this one: start a new run"
        )
    whole = sum(turn.state == "whole" for turn in stored.turns)
    what = plural(whole, "whole turn") if stored.turns else plural(len(stored.iterations), "iteration")
    text = f"resumed with {what} from before"
    versions = (("llmtui", then.llmtui, now.llmtui), ("Python", then.python, now.python), ("", then.os, now.os))
    changed = [f"{name} {before}, now {after}" for name, before, after in versions if before != after]
    return Note(text=f"{text}, measured with {', '.join(changed)}" if changed else text, level="warning")


async def _serve(coordinator: Coordinator, control: Control, link: LinkServer) -> None:
    await link.open()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, control.shut_down)
    try:
        # As bytes: PYTHONIOENCODING may be anything.
        os.write(1, b"ready\n")
    except BrokenPipeError:
        return  # the process that started this one has exited

    def parent_exited() -> None:
        # Standard input is open as long as the process that started this one lives. After a client has connected, the
        # clients decide.
        loop.remove_reader(0)
        if not link.had_clients:
            control.shut_down()

    loop.add_reader(0, parent_exited)
    # Servers of an engine that was killed together with its guards.
    sweep = asyncio.create_task(asyncio.to_thread(sweep_dead))
    abandoned = loop.call_later(FIRST_CLIENT_S, lambda: None if link.had_clients else control.shut_down())
    try:
        await coordinator.run()
    finally:
        abandoned.cancel()
        await asyncio.gather(sweep, return_exceptions=True)


def main() -> None:
    """Read the launch from standard input and run it."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit("the engine got no plan on standard input")
    launch = msgspec.json.decode(line, type=EngineLaunch)
    sys.stderr = RedactingStream(sys.stderr, launch.plan)
    wake_promptly()
    use_index(launch.plan.prompts, launch.prompt_index)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(serve(launch))
        except (StoreError, run_folders.EngineError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
