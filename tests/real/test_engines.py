"""Every embedded engine with a real model: it starts, streams tokens over HTTP, reports failures and stops."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from llmtui.model import Embedded, RunConfig
from llmtui.servers.base import StartError, thread_count
from llmtui.servers.model_file import q8_model, shared_model
from tests.real.engines import CONFIG, ENGINES, chat, managed, quiet

pytestmark = [pytest.mark.real, pytest.mark.slow]

WEIGHTS: dict[Embedded, str] = {"llama.cpp": "Q8_0", "mistral.rs": "Q8_0", "transformers": "BF16"}
GGUF_ENGINES: list[Embedded] = ["llama.cpp", "mistral.rs"]


@pytest.mark.parametrize("name", ENGINES)
async def test_streams_tokens_and_leaves_no_process(name: Embedded, tmp_path: Path) -> None:
    server = managed(name, tmp_path)
    ready = await server.start(quiet)
    try:
        assert ready.weights == WEIGHTS[name]
        assert ready.threads == thread_count(CONFIG)
        assert ready.model == "SmolLM2-135M-Instruct"
        assert ready.version
        assert ready.load_s is not None
        assert ready.load_s > 0
        text, finish = "", None
        usage: dict[str, Any] = {}
        async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
            async for event in chat(client, ready):
                usage = event.get("usage") or usage
                for choice in event["choices"]:
                    text += choice["delta"].get("content") or ""
                    finish = choice.get("finish_reason") or finish
        assert "Paris" in text
        assert finish == "stop"
        assert 5 <= usage["completion_tokens"] <= 16
        rss, cpu_s = server.sample()
        assert 100_000_000 < rss < 4_000_000_000
        assert cpu_s > 0.05
        assert server.pid is not None
        everything = psutil.Process(server.pid).children(recursive=True)
    finally:
        await server.stop()
    assert everything
    assert not any(process.is_running() for process in everything)
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(ready.url)


@pytest.mark.parametrize("name", ENGINES)
async def test_stops_during_a_stream(name: Embedded, tmp_path: Path) -> None:
    server = managed(name, tmp_path)
    ready = await server.start(quiet)
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        events = chat(client, ready, max_tokens=1500, messages=[{"role": "user", "content": "Write a long story."}])
        await anext(events)
        await asyncio.wait_for(server.stop(), 6)
        with pytest.raises((httpx.HTTPError, StopAsyncIteration)):
            while True:
                await anext(events)


@pytest.mark.parametrize("name", GGUF_ENGINES)
async def test_unsuitable_model_file_is_a_failure(name: Embedded, tmp_path: Path) -> None:
    whole, _ = await q8_model(await shared_model(CONFIG, quiet), quiet)
    broken = tmp_path / "Broken.Q8_0.gguf"
    shutil.copy(whole, broken)
    with broken.open("r+b") as file:
        head = file.read(1000)
        file.seek(head.index(b"llama.block_count") + len(b"llama.block_count") + 4)
        file.write((31).to_bytes(4, "little"))
    server = managed(name, tmp_path, RunConfig(model=str(broken), load_timeout_s=60))
    with pytest.raises(StartError) as caught:
        await server.start(quiet)
    assert caught.value.failure.kind == "server"
    assert "exited while loading (exit code 1): " in caught.value.failure.message
    assert re.search(r"(blk|layers)\.30\.", caught.value.failure.message)
    assert caught.value.log_tail


@pytest.mark.parametrize("name", ENGINES)
async def test_engine_killed_while_loading_is_a_failure(name: Embedded, tmp_path: Path) -> None:
    server = managed(name, tmp_path)

    def strike() -> None:
        children = psutil.Process(server.pid).children() if server.pid else []
        for child in children:
            child.kill()
        if not children:
            asyncio.get_running_loop().call_later(0.005, strike)

    strike()
    with pytest.raises(StartError, match=r"exited while loading .killed by signal 9"):
        await server.start(quiet)


async def test_mistralrs_stops_when_its_client_disconnects(tmp_path: Path) -> None:
    server = managed("mistral.rs", tmp_path)
    ready = await server.start(quiet)
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        events = chat(client, ready, max_tokens=1500, messages=[{"role": "user", "content": "Write a long story."}])
        for _ in range(3):
            await anext(events)
        await events.aclose()  # type: ignore[attr-defined]
        # A second request is answered immediately, not after the 1500 tokens of the first.
        async with asyncio.timeout(10):
            assert [event async for event in chat(client, ready)]
    await server.stop()


@pytest.mark.parametrize("name", ENGINES)
async def test_bad_request_is_answered(name: Embedded, tmp_path: Path) -> None:
    server = managed(name, tmp_path)
    ready = await server.start(quiet)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(f"{ready.url}/v1/chat/completions", content=b"{")
        assert 400 <= answer.status_code <= 500
        assert [event async for event in chat(client, ready)]
    await server.stop()
