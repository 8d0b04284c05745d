"""Runs against the truth server in a real engine process, with a client to follow them."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psutil

from llmtui.link.client import Client
from llmtui.link.process import EngineProcess
from llmtui.link.run_folders import EngineError
from llmtui.model import AnyEvent, Backend, Load, Note, Plan, Shutdown, TurnDone
from llmtui.runview.run import RunView
from llmtui.store.open import open_store
from tests import build

DEADLINE_S = 60.0
TRUTH = [sys.executable, "-m", "llmtui.accuracy.truth_server", "--port", "{port}", "--ttft-ms", "5", "--itl-ms", "1"]


def truth_backend(name: str, **more: Any) -> Backend:
    """A backend whose server is the truth server, launched."""
    return Backend(name=name, framework=name, launch=[*TRUTH, *more.pop("arguments", [])], **more)


def plan_of(*backends: Backend, **config: Any) -> Plan:
    """A short plan over `backends`."""
    settings: dict[str, Any] = {
        "iterations": 3,
        "warmup": 1,
        "max_tokens": 4,
        "timeout_s": 10.0,
        "on_disconnect": "stop",
    }
    settings |= config
    return build.plan(*backends, run=secrets.token_hex(4), created_utc="2026-01-01T00:00:00Z", **settings)


class Followed:
    """A client, the run view that it updates, and all events that it received."""

    def __init__(self, plan: Plan, engine: EngineProcess, client: Client) -> None:
        self.engine = engine
        self.client = client
        self.run_view = RunView(plan)
        self.events: list[AnyEvent] = []
        self._stream = client.events()

    async def until(self, holds: Callable[[RunView], bool], deadline_s: float = DEADLINE_S) -> RunView:
        """Apply events until `holds`. Fails if the engine exits or the deadline passes before."""
        async with asyncio.timeout(deadline_s):
            while not holds(self.run_view):
                event = await anext(self._stream)
                self.events.append(event)
                self.run_view.apply(event)
        return self.run_view

    async def until_done(self, deadline_s: float = DEADLINE_S) -> RunView:
        """Apply events until the run is done."""
        return await self.until(lambda run_view: run_view.run.phase == "done", deadline_s)


@asynccontextmanager
async def engine_for(plan: Plan, prompt_index: bytes = b"") -> AsyncIterator[Followed]:
    """Start an engine with one client. At the end no process of either is left."""
    engine = EngineProcess.start(plan, prompt_index=prompt_index)
    try:
        client = await engine.connect()
        yield Followed(plan, engine, client)
        tree = process_tree(engine.pid)
        await client.close()
        assert await engine.wait(), "the engine exits after its last client has left"
        assert_gone(tree)
    finally:
        engine.kill()


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def assert_gone(processes: list[psutil.Process]) -> None:
    """Assert that all of them exit before the deadline."""
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S)
    assert alive == []


async def started(plan: Plan, *, resume: bool) -> Followed:
    """Start an engine and connect a client. The caller ends both."""
    engine = EngineProcess.start(plan, resume=resume)
    try:
        return Followed(plan, engine, await engine.connect())
    except EngineError:
        engine.kill()
        raise


async def ended(run: Followed) -> None:
    """Shut the run down and wait for its exit."""
    await run.client.send_last(Shutdown())
    assert await run.engine.wait()


def from_history(plan: Plan) -> RunView:
    """Return a view of the stored run."""
    store, _ = open_store()
    with store:
        stored = store.load(plan.run)
    run_view = RunView(stored.plan)
    run_view.apply(stored.hello())
    return run_view


def load_of(*backends: Backend, concurrency: list[int], requests: int = 6, **config: Any) -> Plan:
    """A short plan of a closed load over `backends`."""
    load = Load(concurrency=concurrency, requests=requests)
    return msgspec.structs.replace(plan_of(*backends, **({"iterations": 2} | config)), load=load)


def jobs_of(run: Followed, backend: str = "") -> list[tuple[str, int, int, str]]:
    """Phase, round, level and state of the turns that ended, of one backend or of all.

    Without those during which a busy machine stopped the worker for a moment: they are taken again.
    """
    turns = [event.turn for event in run.events if isinstance(event, TurnDone)]
    turns = [t for t in turns if t.error is None or not t.error.message.startswith("llmtui itself was stopped for ")]
    return [(t.phase, t.round, t.level, t.state) for t in turns if backend in ("", t.backend)]


def notes_of(run: Followed) -> list[str]:
    """The texts of all notes, each with its backend."""
    return [f"{e.backend}: {e.text}" for e in run.events if isinstance(e, Note)]
