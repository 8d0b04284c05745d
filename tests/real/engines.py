"""The embedded engines with a real model, for the tests in this folder."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmtui.model import Backend, Embedded, RunConfig
from llmtui.servers.base import Ready
from llmtui.servers.launcher import ManagedServer

PACKAGES: dict[Embedded, list[str]] = {
    "llama.cpp": ["xllamacpp"],
    "mistral.rs": ["mistralrs", "uvicorn"],
    "transformers": ["torch", "transformers", "fastapi", "accelerate", "gguf"],
}
ENGINES: list[Embedded] = ["llama.cpp", "mistral.rs", "transformers"]
CONFIG = RunConfig(load_timeout_s=300)


def quiet(_: str, __: float | None) -> None:
    """Ignore the progress."""


def managed(name: Embedded, folder: Path, config: RunConfig = CONFIG, *, slots: int = 1) -> ManagedServer:
    """Return an engine, or skip the test and name what is missing."""
    for package in PACKAGES[name]:
        pytest.importorskip(package, reason=f"{name} needs the package {package} (llmtui[local] or llmtui[hf])")
    return ManagedServer(Backend(name=name, embedded=name), config, folder, slots=slots)


async def chat(client: httpx.AsyncClient, ready: Ready, **more: Any) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of one streamed answer."""
    body = {
        "model": ready.model,
        "messages": [{"role": "user", "content": "Name the capital of France."}],
        "stream": True,
    }
    body |= {"temperature": 0, "max_tokens": 16, "stream_options": {"include_usage": True}}
    async with client.stream("POST", f"{ready.url}/v1/chat/completions", json=body | more) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                yield json.loads(line.removeprefix("data: "))
