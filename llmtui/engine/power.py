"""Power beside iterations and turns: looks for meters at the start of a run, and adds what they show."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import platformdirs

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.run import Run
from llmtui.engine.watch.find_meters import find_meters, may_have_meters, root_folder
from llmtui.engine.watch.meter_thread import answered
from llmtui.engine.watch.power import INTERVAL_S, PowerWatch, Recording
from llmtui.model import AnyEvent, Iteration, Note, Turn
from llmtui.text.format import figure

#: How long the drivers may take to say which meters there are, in s: some load a library and wake up cards.
FIND_S = 20.0


async def begin_power(run: Run) -> None:
    """Look for meters, and read the idle machine if there are any: before any server of the run is asked.

    A machine without meters is not delayed. What cannot be read is said once to each user, not in each run.
    """
    root = root_folder()
    if root is None or not may_have_meters(root):
        return
    try:
        # Its own thread is left behind if a driver hangs, and not waited for at the exit.
        found = await asyncio.to_thread(answered, lambda: find_meters(root), FIND_S)
    except TimeoutError:
        text = f"power is not measured: the driver of a meter did not answer for {FIND_S:g} s"
        run.add_note(Note(text=text, level="warning"))
        return
    for reason in found.unreadable:
        if _is_news(reason):
            run.add_note(Note(text=reason))
    if not found.meters:
        return

    def hung(names: list[str]) -> None:
        one = len(names) == 1
        text = (
            f"the {'meter' if one else 'meters'} {', '.join(names)} stopped answering; the run goes on without "
            f"{'it' if one else 'them'}, and without the energy of servers that use {'it' if one else 'them'}"
        )
        run.add_note(Note(text=text, level="warning"))

    watch = PowerWatch(found.meters, hung)
    await watch.measure_idle(lambda: run.stopping)
    if not watch.working:
        return
    known = [idle.watts for idle in watch.idle if idle.watts is not None]
    idle = f", idle {sum(known):.1f} W" if len(known) == len(watch.idle) else ""
    run.add_note(Note(text=f"power is read from {', '.join(meter.name for meter in watch.working)}{idle}"))
    for backend_run in run.backends:
        backend_run.power = watch


def start_power(backend_run: BackendRun) -> Recording | None:
    """Start to read the meters that a backend's server uses; None without any."""
    if backend_run.power is None:
        return None
    return backend_run.power.begin(backend_run.target.processes, backend_run.state.device)


def with_power(
    backend_run: BackendRun,
    iteration: Iteration,
    recording: Recording,
    emit: Callable[[AnyEvent], None],
    written_s: float,
) -> Iteration:
    """Return an iteration with what its meters showed from its request, written at `written_s`, to its last token.

    Connecting, and waiting for a server that keeps its connection open, are not part of it.
    """
    power = recording.power(iteration.output_tokens, (written_s, written_s + (iteration.latency_s or 0.0)))
    _tell(backend_run, recording, "an answer", iteration.latency_s, emit)
    return msgspec.structs.replace(iteration, power=power)


def with_turn_power(
    backend_run: BackendRun,
    turn: Turn,
    recording: Recording,
    emit: Callable[[Note], None],
    *,
    began_s: float,
    hidden: float = 0.0,
) -> Turn:
    """Return a turn, which began at `began_s` on the monotonic clock, with what its meters showed in its window.

    Its rate of output tokens is without the share `hidden` of them that was computed and not sent; its energy is not.
    """
    if turn.window_s is None or turn.window_from_s is None or not began_s:
        return turn
    begin_s = began_s + turn.window_from_s
    rate = turn.output_tokens_per_s
    tokens = rate * turn.window_s / (1 - hidden) if rate is not None and hidden < 1 else None
    power = recording.power(tokens, (begin_s, begin_s + turn.window_s))
    _tell(backend_run, recording, "a window", turn.window_s, emit)
    return msgspec.structs.replace(turn, power=power)


def _tell(
    backend_run: BackendRun,
    recording: Recording,
    what: str,
    seconds: float | None,
    emit: Callable[[Note], None],
) -> None:
    """Report once in a run why no energy was measured."""
    told = backend_run.power.told if backend_run.power is not None else set()
    if recording.silent and "silent" not in told:
        told.add("silent")
        names = ", ".join(recording.silent)
        emit(Note(text=f"no energy: {names} did not answer all the time", level="warning", backend=backend_run.name))
    if recording.too_short and "short" not in told:
        told.add("short")
        text = (
            f"no energy: {what} of {figure(seconds, 's')} is too short for readings every {INTERVAL_S:g} s; longer "
            "answers (max_tokens) or a load have it"
        )
        emit(Note(text=text, backend=backend_run.name))


def _is_news(reason: str) -> bool:
    """Whether this was not said to this user yet. What cannot be noted is said again."""
    folder = Path(os.environ.get("LLMTUI_STATE") or platformdirs.user_state_dir("llmtui"))
    mark = folder / f"told-{hashlib.sha256(reason.encode()).hexdigest()[:16]}"
    with contextlib.suppress(OSError, RuntimeError):
        if mark.exists():
            return False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch(mode=0o600)
    return True
