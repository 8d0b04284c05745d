"""The real Ollama on the shared model file. Not marked `real`: it is in no package registry."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llmtui.model import Backend, RunConfig
from llmtui.servers import file_records
from llmtui.servers.base import Ready, StartError
from llmtui.servers.model_file import q8_model, shared_model
from llmtui.servers.own import ollama_load
from llmtui.wire.ollama import OllamaDialect
from tests.own.ollama_starts import Starter, ask, digest
from tests.servers.model_files import cache, quiet

__all__ = ["cache"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("ollama"), reason="no ollama on PATH"),
]


@pytest.fixture
async def real(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Starter]:
    """The real Ollama on PATH, with the model of the usual cache, and then a cache of its own."""
    path, _ = await q8_model(await shared_model(RunConfig(), quiet), quiet)
    request.getfixturevalue("cache")
    starter = Starter(tmp_path, shutil.which("ollama") or "", path)
    yield starter
    for server in starter.servers:
        await server.stop()


async def chat(ready: Ready) -> dict[str, Any]:
    backend = Backend(name="x", url=ready.url, options=ready.options)
    request = OllamaDialect().request(
        backend, RunConfig(max_tokens=16), "How many helicopters can a human eat in one sitting?", ready.model
    )
    return await ask(ready, "/api/chat", request.body)


async def test_the_real_one_loads_the_file_itself(real: Starter, cache: Path) -> None:
    path = real.model
    before = file_records.state_of(path)
    ready = await real.start()
    answer = await chat(ready)
    assert isinstance(load_ns := answer["load_duration"], int) and load_ns < 100_000_000
    # As llama-server with the file's own template; with Ollama's, 20.
    assert answer["prompt_eval_count"] == 41
    (loaded,) = (await ask(ready, "/api/ps"))["models"]
    assert (loaded["name"], loaded["context_length"]) == (ready.model, 2048)
    assert "-t 2 " in real.servers[0].log.read_text() or "n_threads = 2" in real.servers[0].log.read_text()
    assert file_records.state_of(path) == before
    blob = cache / ".ollama" / "models" / "blobs" / digest(path).replace(":", "-")
    assert blob.is_symlink() and blob.resolve() == path


async def test_the_real_ones_api_sets_it_up_from_a_copy(
    real: Starter, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = real.model
    before = file_records.state_of(path)
    monkeypatch.setattr(ollama_load, "OWN_TEMPLATE", "99")
    ready = await real.start()
    assert (await chat(ready))["done_reason"] == "length"
    assert file_records.state_of(path) == before
    blob = cache / ".ollama" / "models" / "blobs" / digest(path).replace(":", "-")
    assert blob.is_symlink()
    await real.servers[0].stop()
    await real.start()
    assert [step for step in real.steps if "copying" in step] == ["copying the model into Ollama's store (once)"]


async def test_the_real_one_says_why_it_cannot_load(real: Starter, tmp_path: Path) -> None:
    whole = real.model.read_bytes()
    real.model = tmp_path / "odd.Q8_0.gguf"
    real.model.write_bytes(whole.replace(b"llama", b"lxxxa", 1))
    with pytest.raises(StartError) as raised:
        await real.start()
    assert "lxxxa" in raised.value.failure.message
