"""A whole run in a real engine, for the benchmarks that need what it measured."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from llmtui.link.process import EngineProcess
from llmtui.model import AnyEvent, BackendChanged, Plan, RunChanged

T = TypeVar("T")


async def collected(plan: Plan, of: Callable[[AnyEvent], Iterable[T]]) -> list[T]:
    """Run the engine with a history of its own. Return what `of` finds in the events. Exit if a backend fails."""
    made: list[T] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
        engine = EngineProcess.start(plan, store=str(Path(folder) / "history.db"))
        try:
            client = await engine.connect()
            async for event in client.events():
                made += of(event)
                if isinstance(event, BackendChanged) and event.backend.failure is not None:
                    sys.exit(f"{event.backend.name} failed: {event.backend.failure}")
                if isinstance(event, RunChanged) and event.run.phase == "done":
                    break
            await client.close()
            await engine.wait()
        finally:
            engine.kill()
    return made
