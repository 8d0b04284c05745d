"""A run of the history on the screen: what the monitor knows of it besides its events, and a link without an engine."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Literal

from llmtui.model import AnyCommand, AnyEvent, Detach, Hello, Shutdown
from llmtui.store.rows import StoredRun
from llmtui.text import sanitize


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
        return PastRun(state, origin, f"to measure again: llmtui {sanitize(plan.source, 200)}".rstrip())
    return PastRun(state, origin, f"to measure what is missing: llmtui resume {plan.run}")


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
        """Leave, if the monitor does; there is no engine for other commands."""
        if isinstance(command, Shutdown | Detach):
            self._left.set()

    async def close(self) -> None:
        """Leave."""
        self._left.set()
