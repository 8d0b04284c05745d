"""What is asked of a server before the iterations: answers that are wrong, too much, or lead away."""

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


async def found(tmp_path: Path, **backend: Any) -> Ready:
    """What bringing it up tells."""
    target = Target(Backend(name="a", **backend), CONFIG, tmp_path)
    try:
        return await target.bring_up(lambda _, __: None)
    finally:
        await target.close()


async def refusal(tmp_path: Path, **backend: Any) -> str:
    """Why it cannot be brought up."""
    with pytest.raises(StartError) as caught:
        await found(tmp_path, **backend)
    return str(caught.value)


async def test_an_answer_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    async with scripted(reply(404)) as server:
        server.by_path = {
            b"GET /props": [[head, *([MEGABYTE] * 200), HANG]],
            b"GET /version": [reply(200, {"version": "1"})],
        }
        tracemalloc.start()
        try:
            ready = await found(tmp_path, url=server.url, model="m")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert ready.version == "1"
    assert peak < 4 * MAX_REPLY_BYTES


async def test_what_a_server_tells_of_itself_is_plain_and_short(tmp_path: Path) -> None:
    long = "v" * 10_000
    models = {"data": [{"id": long}, {"id": "good"}]}
    async with scripted(reply(404)) as server:
        server.by_path = {
            b"GET /v1/models": [reply(200, models)],
            b"GET /version": [reply(200, {"version": f"\x1b]0;x\x07\u202e{long}"})],
        }
        ready = await found(tmp_path, url=server.url)
    assert ready.model == "good"
    assert ready.version.startswith("vvv") and len(ready.version) <= MAX_FACT_CHARS


async def test_a_redirect_of_a_question_is_not_followed(tmp_path: Path) -> None:
    """Away from the server only the list of models tells; on the same server it tells nothing, as any other answer."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        away = f"http://127.0.0.1:{other.getsockname()[1]}"
        async with scripted(reply(302, Location=f"{away}/login")) as server:
            said = await refusal(tmp_path, url=server.url, api_key="sk-not-for-others")
            server.by_path = {b"GET /v1/models": [reply(308, Location="/v1/models/")]}
            ready = await found(tmp_path, url=server.url, model="m", api_key="sk-not-for-others")
        with pytest.raises(BlockingIOError):
            other.accept()
    assert said.startswith(f"HTTP 302: redirected to {away}: redirects are not followed")
    assert (ready.model, ready.version) == ("m", "")


@pytest.mark.parametrize("protocol", ["openai", "ollama", "tgi", "custom"])
async def test_every_protocol_says_alike_that_nobody_is_there(protocol: str, tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{bound.getsockname()[1]}"
        assert (
            await refusal(tmp_path, url=f"http://{place}", protocol=protocol)
            == f"nothing answers at {place}: start the server"
        )


async def test_a_key_that_no_header_can_hold_is_told_and_not_shown(tmp_path: Path) -> None:
    async with scripted(reply(404)) as server:
        said = await refusal(tmp_path, url=server.url, api_key="sk-sécret")
    assert said == "a header has non-ASCII characters: check api_key and headers"


async def test_a_server_that_takes_the_question_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtui.engine.server_probe.REPLY_TIMEOUT_S", 0.1)
    async with asyncio.timeout(5), scripted([HANG]) as server:
        said = await refusal(tmp_path, url=server.url)
    assert said == "connects, but says nothing within 0.1 s: is this the right port?"
