"""What a run finds on this machine: real sockets that answer as llama-server and Ollama do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from llmtui.cli.check import check_backends
from llmtui.cli.present import complete, wanted_places
from llmtui.config.frameworks import absent_packages
from llmtui.config.schema import DEFAULT_FILE, load
from llmtui.exit_codes import FAILED
from llmtui.model import Absent, Backend, Plan
from llmtui.model.errors import UsageError
from llmtui.runview.presence import absent_line, others_as_text, others_line
from tests import build
from tests.cli.server_pages import LLAMACPP, Pages, openai, reply
from tests.scripted import CLOSE, HANG, Scripted, scripted

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: A port that nothing listens on.
UNUSED_ADDRESS = "http://127.0.0.1:9"
HAVE_LLAMA_CPP = not absent_packages("llama.cpp")

Serve = Callable[[Pages], "asyncio.Future[Scripted]"]


def ollama(*models: str) -> Pages:
    return {
        "/": reply(b"Ollama is running", head="Content-Type: text/plain"),
        "/api/version": reply({"version": "0.32.15"}),
        "/api/tags": reply({"models": [{"name": name, "model": name} for name in models]}),
    }


def llama_server(model: str) -> Pages:
    return {**LLAMACPP, **openai(model, owner="llamacpp")}


class Here:
    """Servers on free ports."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.servers: list[Scripted] = []

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers] + [UNUSED_ADDRESS]

    async def add(self, pages: Pages) -> str:
        server = await self._stack.enter_async_context(scripted([NOT_FOUND, CLOSE]))
        for path, answer in pages.items():
            server.by_path[f"GET {path} ".encode()] = [[answer, CLOSE]]
        self.servers.append(server)
        return server.url

    async def complete(self, plan: Plan, model: str = "") -> Plan:
        return await asyncio.to_thread(complete, plan, model, self.urls)


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    async with AsyncExitStack() as stack:
        yield Here(stack)


def default_plan(*only: str) -> Plan:
    return load(DEFAULT_FILE, environ={}).plan(only=only)


async def test_servers_with_the_model_of_the_race_are_raced_under_their_right_names(here: Here) -> None:
    llama = await here.add(llama_server("SmolLM2-135M-Instruct-Q8_0.gguf"))
    ours = await here.add(ollama("llama3.2:3b", "smollm2:135m", "qwen3:8b"))
    plan = await here.complete(default_plan("llama.cpp", "Llamafile", "Ollama"))
    assert [(b.name, b.url, b.model, b.protocol) for b in plan.backends] == [
        ("llama.cpp", llama, "SmolLM2-135M-Instruct-Q8_0.gguf", "openai"),
        ("Ollama", ours, "smollm2:135m", "ollama"),
    ]
    assert absent_line(plan, "i") == "not here: Llamafile (i)"
    assert others_line(plan) == ""


@pytest.mark.skipif(not HAVE_LLAMA_CPP, reason="needs the packages of llama.cpp's engine")
async def test_servers_with_other_models_are_offered(here: Here) -> None:
    await here.add(llama_server("Qwen3-8B-Q4_K_M.gguf"))
    await here.add(ollama("llama3.2:3b", "qwen3:8b", "mistral:7b", "gemma3:4b"))
    plan = await here.complete(default_plan("llama.cpp", "Llamafile", "Ollama"))
    assert [(b.name, b.embedded) for b in plan.backends] == [("llama.cpp", "llama.cpp")]
    assert absent_line(plan) == "not here: Llamafile"
    assert others_as_text(plan).endswith(" and 1 more (to race them: llmtui llama.cpp ollama)")
    assert others_line(plan, "i races them") == (
        "also running: llama.cpp with Qwen3-8B-Q4_K_M.gguf, "
        "Ollama with llama3.2:3b, qwen3:8b, mistral:7b and 1 more (i races them)"
    )


async def test_a_model_by_name_races_the_servers_that_have_it(here: Here) -> None:
    await here.add(llama_server("Qwen3-8B-Q4_K_M.gguf"))
    await here.add(ollama("llama3.2:3b", "qwen3:8b"))
    plan = await here.complete(default_plan(), "qwen3:8b")
    assert {b.name: b.model for b in plan.backends} == {"llama.cpp": "Qwen3-8B-Q4_K_M.gguf", "Ollama": "qwen3:8b"}


async def test_nothing_to_race_says_what_runs_and_what_to_do(here: Here) -> None:
    with pytest.raises(
        UsageError, match=r"nothing here can be raced: Ollama \(not running, not on PATH\); llmtui init says how"
    ):
        await here.complete(default_plan("Ollama"))
    await here.add(ollama("llama3.2:3b"))
    with pytest.raises(UsageError, match=r"has the model SmolLM2-135M-Instruct; running: Ollama with llama3\.2:3b; to"):
        await here.complete(default_plan("Ollama"))


async def test_a_url_alone_is_named_by_what_answers(here: Here) -> None:
    url = await here.add(llama_server("m"))
    plan = build.plan(Backend(url=url), Backend(url=UNUSED_ADDRESS))
    named = await here.complete(plan)
    assert [(b.name, b.framework, b.url) for b in named.backends] == [
        ("llama.cpp", "llama.cpp", url),
        (":9", ":9", UNUSED_ADDRESS),
    ]


async def test_whole_backends_are_not_looked_for(here: Here) -> None:
    url = await here.add(llama_server("m"))
    plan = build.plan(Backend(name="Llamafile", framework="llamafile", url=url))
    assert await here.complete(plan) is plan
    assert here.servers[0].requests == []


async def test_names_and_models_of_servers_are_sanitized(here: Here) -> None:
    await here.add(ollama("a\x1b[31mb\n:1", "smollm2:135m\x07"))
    plan = await here.complete(default_plan("Ollama", *(["llama.cpp"] if HAVE_LLAMA_CPP else [])), "smollm2:135m\x07")
    assert [b.name for b in plan.backends] == ["Ollama"]
    await here.add(ollama("b\x1b[31m:1b"))
    plan = await here.complete(default_plan("Ollama"), "smollm2:135m\x07")
    assert others_line(plan).isprintable()


@pytest.mark.slow
async def test_servers_that_do_not_reply_take_a_few_seconds(here: Here) -> None:
    async with scripted([HANG]) as silent:
        here.servers.append(silent)
        await here.add(ollama("smollm2:135m"))
        await here.complete(default_plan("Ollama"))  # imports
        began = time.monotonic()
        plan = await here.complete(default_plan("Ollama"))
        assert time.monotonic() - began < 6.0, "it takes 1.2 s on an idle machine"
    assert [b.name for b in plan.backends] == ["Ollama"]


def test_another_machine_is_asked_only_if_ollama_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://gpu-box.invalid:1234")
    remote = "http://gpu-box.invalid:1234"
    assert wanted_places([Backend(framework="ollama")])[0][0] == remote
    urls, elsewhere = wanted_places([Backend(framework="llama.cpp")])
    assert remote not in urls and elsewhere == remote
    assert wanted_places([Backend(url="http://far.invalid:1")]) == (["http://far.invalid:1"], "")


def test_check_says_what_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    plan = build.plan(Backend(name="gone", url=UNUSED_ADDRESS))
    plan = msgspec.structs.replace(plan, absent=[Absent(framework="TGI", reason="not running")])
    assert check_backends(plan) == FAILED
    assert "llmtui: not here: TGI (llmtui init says how to get them)" in capsys.readouterr().err
