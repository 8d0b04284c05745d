"""The requests before the iterations: answers that are wrong, too large, or redirects."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from llmtui.engine.bringup import Target
from llmtui.engine.server_probe import MAX_FACT_CHARS, MAX_REPLY_BYTES
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Ready, StartError
from tests.faults.servers import MEGABYTE, reply
from tests.scripted import HANG, scripted

CONFIG = RunConfig(connect_timeout_s=1.0)


async def bring_up(tmp_path: Path, **backend: Any) -> Ready:
    """Bring up a backend and close it."""
    target = Target(Backend(name="a", **backend), CONFIG, tmp_path)
    try:
        return await target.bring_up(lambda _, __: None)
    finally:
        await target.close()


async def start_error(tmp_path: Path, **backend: Any) -> str:
    """Return why a backend cannot be brought up."""
    with pytest.raises(StartError) as caught:
        await bring_up(tmp_path, **backend)
    return str(caught.value)


async def test_endless_answer_is_cut_off(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    async with scripted(reply(404)) as server:
        server.by_path = {
            b"GET /props": [[head, *([MEGABYTE] * 200), HANG]],
            b"GET /version": [reply(200, {"version": "1"})],
        }
        tracemalloc.start()
        try:
            ready = await bring_up(tmp_path, url=server.url, model="m")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert ready.version == "1"
    assert peak < 4 * MAX_REPLY_BYTES


async def test_server_facts_are_sanitized_and_short(tmp_path: Path) -> None:
    long = "v" * 10_000
    models = {"data": [{"id": long}, {"id": "good"}]}
    async with scripted(reply(404)) as server:
        server.by_path = {
            b"GET /v1/models": [reply(200, models)],
            b"GET /version": [reply(200, {"version": f"\x1b]0;x\x07\u202e{long}"})],
        }
        ready = await bring_up(tmp_path, url=server.url)
    assert ready.model == "good"
    assert ready.version.startswith("vvv") and len(ready.version) <= MAX_FACT_CHARS


async def test_redirects_are_not_followed_and_get_no_key(tmp_path: Path) -> None:
    """A redirect of the models decides nothing, to another server or within this one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        away = f"http://127.0.0.1:{other.getsockname()[1]}"
        async with scripted(reply(302, Location=f"{away}/login")) as server:
            await bring_up(tmp_path, url=server.url, api_key="sk-not-for-others")
            server.by_path = {b"GET /v1/models": [reply(308, Location="/v1/models/")]}
            ready = await bring_up(tmp_path, url=server.url, model="m", api_key="sk-not-for-others")
        with pytest.raises(BlockingIOError):
            other.accept()
    assert (ready.model, ready.version) == ("m", "")


@pytest.mark.parametrize("protocol", ["openai", "ollama", "tgi", "custom"])
async def test_refused_connection_is_reported_by_every_protocol(protocol: str, tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{bound.getsockname()[1]}"
        assert (
            await start_error(tmp_path, url=f"http://{place}", protocol=protocol)
            == f"nothing answers at {place}: start the server"
        )


async def test_non_ascii_key_is_an_error_and_not_shown(tmp_path: Path) -> None:
    async with scripted(reply(404)) as server:
        error = await start_error(tmp_path, url=server.url, api_key="sk-sécret")
    assert error == "a header has non-ASCII characters: check api_key and headers"


async def test_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtui.engine.server_probe.REPLY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("llmtui.engine.bringup.SILENCE_S", 0.1)
    async with asyncio.timeout(5), scripted([HANG]) as server:
        error = await start_error(tmp_path, url=server.url)
    assert error == "connects, but does not reply within 0.1 s: is this the right port?"
