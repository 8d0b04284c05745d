"""A scripted server and an engine for the tests of faults, and what they wait for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from llmtui.model import Backend, Note, Plan
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun
from tests.engine.helpers import DEADLINE_S, Followed, plan_of
from tests.scripted import CLOSE, FINISH, SSE_HEAD, Scripted, Step, scripted, token

NOBODY = 54321
IS_ROOT = os.geteuid() == 0
NOT_STORED = "this run is not in the history yet; writing is retried until it ends: "
LOCKED = "this run is not in the history yet; llmtui keeps trying: "
STORED_AGAIN = "the history is written again; nothing of this run is missing"


@contextlib.asynccontextmanager
async def server(*gates: asyncio.Event) -> AsyncIterator[Scripted]:
    """Answer each request with two tokens, the second one of the n-th request once the n-th gate is open."""
    not_found: list[Step] = [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]
    async with scripted(*[not_found] * 50) as scripted_server:
        end: list[Step] = [token("b"), FINISH, CLOSE]
        scripted_server.by_path[b"POST"] = [*([SSE_HEAD, token("a"), gate, *end] for gate in gates), [SSE_HEAD, *end]]
        yield scripted_server


def plan_for(scripted_server: Scripted, iterations: int, **config: object) -> Plan:
    backend = Backend(name="a", url=scripted_server.url, model="m")
    return plan_of(backend, iterations=iterations, warmup=0, **config)


def notes_of(run: Followed) -> list[str]:
    return [event.text for event in run.events if isinstance(event, Note)]


async def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds, for what no event reports. Raises TimeoutError after `DEADLINE_S`."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def wait_for_requests(scripted_server: Scripted, count: int) -> None:
    """Wait until the server has received `count` requests."""
    await wait_until(lambda: sum(request.startswith(b"POST") for request in scripted_server.requests) >= count)


def stored_run(path: Path, run: Followed) -> StoredRun:
    store, notes = open_store(path)
    with store:
        assert notes == []
        return store.load(run.run_view.plan.run)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small disk; skip the test if this user may not."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "llmtui-test", str(folder)]
    if not IS_ROOT or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
