"""Starts Ollama in the tests, a stand-in or the real one, and asks it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any

from llmtui.measure.transport import new_client
from llmtui.measure.untimed import fetch
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Ready
from llmtui.servers.launcher import ManagedServer
from llmtui.wire import common

#: Two threads are more than the default of a machine with two cores.
CONFIG = RunConfig(threads=2, load_timeout_s=60)


class Starter:
    """Starts servers and stops them at the end of the test."""

    def __init__(self, folder: Path, program: Path | str, model: Path) -> None:
        self._folder = folder
        self._program = program
        self.model = model
        self.servers: list[ManagedServer] = []
        self.steps: list[str] = []

    async def start(self, **settings: object) -> Ready:
        backend = Backend(
            name="Ollama",
            framework="Ollama",
            protocol="ollama",
            server="ollama",
            program=str(self._program),
            **settings,  # type: ignore[arg-type]
        )
        config = RunConfig(threads=CONFIG.threads, load_timeout_s=CONFIG.load_timeout_s, model=str(self.model))
        self.servers.append(server := ManagedServer(backend, config, self._folder))
        return await server.start(lambda step, _: self.steps.append(step))


async def ask(ready: Ready, path: str, body: bytes = b"") -> dict[str, Any]:
    """Send one request and return the object in its answer."""
    client = new_client(ready.url, connect_timeout_s=3)
    try:
        method = "POST" if body else "GET"
        reply = await fetch(client, method, ready.url + path, content=body, limit_bytes=1 << 20, timeout_s=30)
        return common.as_dict(reply.body.splitlines()[-1])
    finally:
        await client.aclose()


async def listening(port: int) -> None:
    """Wait until a server listens on this port."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


def times(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, path.stat().st_ctime_ns


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
