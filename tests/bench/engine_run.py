"""A whole run in a real engine, for the benchmarks that need what it measured."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from llmtui.link.process import EngineProcess
from llmtui.model import AnyEvent, BackendChanged, Hello, Plan, RunChanged, Turn, TurnDone
from tests.bench.common import TRUTH_SERVER

T = TypeVar("T")


def turns_of(event: AnyEvent) -> Sequence[Turn]:
    """The turns in an event."""
    match event:
        case Hello():
            return event.turns
        case TurnDone():
            return [event.turn]
    return []


@contextlib.asynccontextmanager
async def truth_server(*arguments: str) -> AsyncIterator[str]:
    """Start a truth server on a free port and yield its URL."""
    argv = [*TRUTH_SERVER, "--port", "0", *arguments]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def collected(plan: Plan, of: Callable[[AnyEvent], Iterable[T]], store: str = "") -> list[T]:
    """Run the engine with the history `store`, by default one of its own that is deleted.

    Return what `of` finds in the events. Exit if a backend fails.
    """
    made: list[T] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
        engine = EngineProcess.start(plan, store=store or str(Path(folder) / "history.db"))
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
