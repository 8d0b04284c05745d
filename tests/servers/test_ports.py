"""Ports in use: the owner is named, and replies of another process do not count as those of a launched server."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from llmtui.model import Backend, RunConfig
from llmtui.servers import launcher
from llmtui.servers.base import StartError
from llmtui.servers.launcher import ManagedServer
from llmtui.servers.ports import free_port, occupant
from tests.scripted import scripted
from tests.servers.conftest import PATIENCE_S, PROGRAMS, RollCall, logs, program, running

CONFIG = RunConfig(load_timeout_s=PATIENCE_S)
PYTHON = os.path.realpath(sys.executable)
HEALTHY = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]


def quiet(_: str, __: float | None) -> None:
    """Ignore the progress."""


@asynccontextmanager
async def started(managed: ManagedServer) -> AsyncIterator[str]:
    """Start the server, yield its URL, and stop it."""
    ready = await managed.start(quiet)
    try:
        yield ready.url
    finally:
        await managed.stop()


def me() -> str:
    return f"{psutil.Process().name()} (pid {os.getpid()})"


@pytest.mark.parametrize(
    ("listens", "asked", "taken"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
    ],
)
async def test_occupant_of_a_port(listens: str, asked: str, taken: bool) -> None:
    with socket.create_server((listens, 0)) as listener:
        url = f"http://{asked}:{listener.getsockname()[1]}/v1"
        assert await occupant(url) == (me() if taken else "")
    assert await occupant(url) == ""


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The ports that the launcher chooses next."""
    chosen: list[int] = []
    monkeypatch.setattr(launcher, "free_port", lambda: chosen.pop(0) if chosen else free_port())
    yield chosen


async def test_a_lost_port_is_replaced_by_another(tmp_path: Path, ports: list[int]) -> None:
    async with scripted(HEALTHY) as foreign:
        ports.append(int(foreign.url.rpartition(":")[2]))
        managed = ManagedServer(Backend(name="x", launch=program("serve", "{port}")), CONFIG, tmp_path)
        async with started(managed) as url:
            assert url != foreign.url
        assert len(logs(tmp_path)) == 2


async def test_a_server_whose_port_is_in_use_is_launched_twice(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo 'OSError: [Errno 98] Address already in use'; exit 1", "{port}"]
    managed = ManagedServer(Backend(name="x", launch=command), CONFIG, tmp_path)
    with pytest.raises(StartError, match=r"exited while loading .exit code 1.: OSError: .Errno 98. Address already"):
        await managed.start(quiet)
    assert len(logs(tmp_path)) == 2


async def test_a_reply_from_another_process_is_refused(tmp_path: Path, roll: RollCall) -> None:
    """The port was free at the launch, and then another process bound it."""
    port = free_port()
    backend = Backend(name="x", launch=program("calm", roll.port), url=f"http://127.0.0.1:{port}")
    starting = asyncio.create_task(ManagedServer(backend, CONFIG, tmp_path).start(quiet))
    await roll.here("calm")
    with running(*program("serve", port)) as foreign, pytest.raises(StartError) as caught:
        await asyncio.wait_for(starting, PATIENCE_S)
    assert f"port {port} is in use by " in caught.value.failure.message
    assert caught.value.failure.message.endswith(f"(pid {foreign.pid})")
    assert "stop it" in caught.value.failure.hint
    await roll.gone("calm")
    assert len(logs(tmp_path)) == 1


async def test_a_port_forwarder_of_a_container_counts_as_the_server(tmp_path: Path, roll: RollCall) -> None:
    """docker's proxy listens for a container and is not a child of `docker run`."""
    port = free_port()
    proxy = tmp_path / "docker-proxy"
    os.symlink(PYTHON, proxy)
    backend = Backend(name="x", launch=program("calm", roll.port), url=f"http://127.0.0.1:{port}")
    managed = ManagedServer(backend, CONFIG, tmp_path)
    starting = asyncio.create_task(managed.start(quiet))
    await roll.here("calm")
    with running(str(proxy), str(PROGRAMS), "serve", str(port)):
        await asyncio.wait_for(starting, PATIENCE_S)
        await managed.stop()


async def test_each_launch_has_a_log_of_its_own(tmp_path: Path) -> None:
    urls, log_files = [], []
    for _ in range(2):
        managed = ManagedServer(Backend(name="x", launch=program("serve", "{port}")), CONFIG, tmp_path)
        async with started(managed) as url:
            assert managed.pid is not None
            for child in psutil.Process(managed.pid).children():
                child.kill()
            await asyncio.wait_for(managed.exited.wait(), PATIENCE_S)
        urls.append(url)
        log_files.append(managed.log)
    assert len(set(urls)) == len(set(log_files)) == 2
    assert all(log.stat().st_size for log in log_files)
