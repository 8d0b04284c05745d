"""A run of the history on the screen: what the monitor knows of it besides its events, and a link without an engine."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from llmtui.config.file import DEFAULT_SOURCE
from llmtui.config.source import words_of
from llmtui.model import (
    AnyCommand,
    AnyEvent,
    BackendChanged,
    Detach,
    Hello,
    Iteration,
    Logged,
    Note,
    RunChanged,
    RunState,
    Shutdown,
)
from llmtui.store.rows import StoredRun
from llmtui.text import sanitize

_ENDS = {"stopped": "the run was stopped", "died": "the run died: its engine ended without recording the end"}


@dataclasses.dataclass(frozen=True)
class PastRun:
    """A run that has ended. `origin` says which one, in facts for the header; `measure` how to measure it again."""

    state: Literal["done", "stopped", "died"]
    origin: tuple[str, ...]
    measure: str

    @property
    def refusal(self) -> str:
        """Why a key that needs an engine does nothing, and what to do instead."""
        return f"this run is over, and nothing is measured here; {self.measure}"


def past_run(stored: StoredRun) -> PastRun:
    """Describe a run that has ended."""
    plan = stored.plan
    state = "died" if stored.state == "running" else stored.state
    label = f" [{sanitize(stored.label, 20)}]" if stored.label else ""
    origin = (f"run {plan.run}{label}", f"{plan.created_utc[:16].replace('T', ' ')} UTC")
    if state == "done":
        return PastRun(state, origin, f"to measure again: {_command(plan.source)}")
    return PastRun(state, origin, f"to measure what is missing: llmtui resume {plan.run}")


def _command(source: str) -> str:
    """The command that starts a run with the plan from `source`: a config, the built-in default, or a command."""
    if source in ("", DEFAULT_SOURCE):
        return "llmtui"
    return sanitize(shlex.join(["llmtui", *(words_of(source) or [source])]), 200)


def past_hello(stored: StoredRun) -> Hello:
    """Return the event that shows a run which has ended, with its log as far as the history has one."""
    hello = stored.hello()
    created = stored.plan.created_utc
    newest = {i.backend: _end(i) for i in sorted(stored.iterations, key=_end)}
    end = stored.ended_utc or max(newest.values(), default=created)
    log = [Logged(at_utc=created, event=RunChanged(run=RunState(phase="starting")))]
    # A state has no time of its own: it is at least as old as the backend's last iteration.
    log += [Logged(at_utc=newest.get(s.name, created), event=BackendChanged(backend=s)) for s in hello.backends]
    ended: RunChanged | Note = RunChanged(run=hello.run)
    if stored.state != "done":
        ended = Note(text=_ENDS[past_run(stored).state], level="warning")
    return msgspec.structs.replace(hello, log=[*log, Logged(at_utc=end, event=ended)])


def _end(iteration: Iteration) -> str:
    """When an iteration ended. The times of a history can be any, up to the end of the calendar."""
    try:
        return (
            datetime.fromisoformat(iteration.started_utc) + timedelta(seconds=iteration.latency_s or 0.0)
        ).isoformat()
    except OverflowError:
        return iteration.started_utc


class PastLink:
    """An EngineLink that has one event, the whole run, and then waits until the monitor leaves."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._left = asyncio.Event()

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield the run."""
        yield self._hello
        await self._left.wait()

    async def send(self, command: AnyCommand) -> None:
        """End when the monitor leaves. Other commands need an engine and are ignored."""
        if isinstance(command, Shutdown | Detach):
            self._left.set()

    async def close(self) -> None:
        """Leave."""
        self._left.set()
