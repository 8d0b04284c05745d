"""`llmtui init` against sockets that answer with the bytes of real servers, and against other services."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from llmtui.cli.init import config_text, toml_string, write_config
from llmtui.cli.present import places
from llmtui.config import schema as configs
from llmtui.exit_codes import FAILED
from llmtui.model.discovered import CHAT, ELSEWHERE, NO_CHAT, VISION, DiscoveredServer, Found, Model
from llmtui.model.errors import UsageError
from llmtui.servers import discovery as scanning
from llmtui.servers import open_ports
from llmtui.servers.discovery import fitness
from tests.cli.in_process import llmtui
from tests.cli.server_pages import (
    API,
    LLAMACPP,
    LM_STUDIO,
    LOADING,
    LOCKED,
    LOCKED_GATEWAY,
    OLLAMA,
    PAGES,
    PYTHON_LLAMA,
    TGI,
    TRANSFORMERS,
    VLLM,
    Pages,
    openai,
    reply,
)
from tests.scripted import CLOSE, HANG, Step, scripted

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: It takes less than two seconds on an idle machine; one server after the other would take far longer.
PATIENCE_S = 15.0


class Places:
    """Servers on ports of their own, and the config that `init` writes for them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.file = folder / "config.toml"
        self.urls: list[str] = []

    async def add(
        self, pages: Pages | None = None, *, default: list[Step] | None = None, first: Sequence[Step] = ()
    ) -> str:
        """Serve these pages, each of them after the steps `first`. Returns the URL."""
        server = await self._stack.enter_async_context(scripted(default or [*first, NOT_FOUND, CLOSE]))
        for path, answer in (pages or {}).items():
            server.by_path[f"GET {path} ".encode()] = [[*first, answer, CLOSE]]
        self.urls.append(server.url)
        return server.url

    async def init(self, **options: Any) -> int:
        return await asyncio.to_thread(lambda: write_config(self.file, urls=self.urls, **options))

    def backends(self) -> dict[str, Any]:
        """The enabled backends of the config, except for embedded engines."""
        config = configs.load(self.file)
        return {b.name: b for b in config.backend if b.enabled and not b.embedded}


@pytest.fixture
async def here(tmp_path: Path) -> Any:
    async with AsyncExitStack() as stack:
        yield Places(tmp_path, stack)


@pytest.mark.parametrize(
    ("pages", "framework", "protocol", "model"),
    [
        (OLLAMA, "Ollama", "ollama", "smollm2:latest"),
        (LLAMACPP, "llama.cpp", "openai", "models/smollm2.q.ggu"),
        (VLLM, "vLLM", "openai", "smollm2"),
        (PYTHON_LLAMA, "llama-cpp-python", "openai", "models/smollm2.q.ggu"),
        (LM_STUDIO, "LM Studio", "openai", "small-1b"),
        (TRANSFORMERS, "HuggingFace", "openai", ""),
        (TGI, "TGI", "openai", "HuggingFaceTB/SmolLM2"),
        (LOADING, "llama.cpp", "openai", ""),
        (openai("default", owner="local"), "mistral.rs", "openai", "default"),
        (openai("m", owner="sglang"), "SGLang", "openai", "m"),
        (openai("m"), "OpenAI-compatible", "openai", "m"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_server_is_recognized(pages: Pages, framework: str, protocol: str, model: str, here: Places) -> None:
    url = await here.add(pages)
    assert await here.init() == 0
    (backend,) = here.backends().values()
    assert (backend.framework, backend.protocol, backend.model, backend.url) == (framework, protocol, model, url)


@pytest.mark.parametrize(
    ("pages", "default", "words"),
    [
        (PAGES, None, "a web page answers there, but not an LLM server"),
        (API, None, "a web server answers there, but not an LLM server"),
        ({}, [b"\x00\xff\x1b]0;gone\x07 220 smtp\r\n\r\n", CLOSE], "does not reply with HTTP"),
        ({}, [b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000, CLOSE], "not an LLM server"),
        ({}, [HANG], "does not reply with HTTP"),
    ],
    ids=["html", "json", "garbage", "flood", "hangs"],
)
async def test_other_services_are_reported_and_not_added(
    pages: Pages, default: list[Step] | None, words: str, here: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    await here.add(pages, default=default)
    began = time.monotonic()
    assert await here.init() == 0
    assert time.monotonic() - began < PATIENCE_S
    assert here.backends() == {}
    err = capsys.readouterr().err
    assert words in err and "\x1b" not in err and "found OpenAI" not in err


class EachAsked(asyncio.Event):
    """The step of one of several servers, at which it waits until each of them has been asked."""

    def __init__(self, number: int, waiting: set[int], all_asked: asyncio.Event) -> None:
        super().__init__()
        self._number, self._waiting, self._all_asked = number, waiting, all_asked

    async def wait(self) -> Literal[True]:
        self._waiting.discard(self._number)
        if not self._waiting:
            self._all_asked.set()
        return await self._all_asked.wait()


async def test_servers_are_probed_concurrently(here: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_ports.CONNECT_S + scanning.ANSWER_S < 2.0
    monkeypatch.setattr(scanning, "ANSWER_S", PATIENCE_S)
    for module in (open_ports, scanning):
        monkeypatch.setattr(module, "CONNECT_S", PATIENCE_S)
    servers = (OLLAMA, None, VLLM, None, LLAMACPP, None, None, None)
    waiting, all_asked = set(range(len(servers))), asyncio.Event()
    for number, pages in enumerate(servers):
        await here.add(pages, first=[EachAsked(number, waiting, all_asked)])
    assert await here.init() == 0
    assert all_asked.is_set()
    assert list(here.backends()) == ["Ollama", "vLLM", "llama.cpp server"]


async def test_servers_of_one_framework_get_different_names(here: Places) -> None:
    urls = [await here.add(VLLM) for _ in range(3)]
    assert await here.init() == 0
    assert [(b.name, b.url) for b in here.backends().values()] == [
        ("vLLM", urls[0]),
        ("vLLM server", urls[1]),
        (f"vLLM server {urls[2].rpartition(':')[2]}", urls[2]),
    ]


@pytest.mark.parametrize("pages", [LOCKED, LOCKED_GATEWAY], ids=["vLLM", "gateway"])
async def test_a_server_that_requires_a_key_is_an_example(
    pages: Pages, here: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    await here.add(pages)
    assert await here.init() == 0
    assert here.backends() == {}
    assert '# api_key = "${SERVER_KEY}"' in here.file.read_text()
    assert "requires a key" in capsys.readouterr().err


async def test_a_server_without_a_chat_model_is_disabled(here: Places) -> None:
    await here.add(openai("nomic-embed-text", "bge-m3", owner="vllm"))
    assert await here.init() == 0
    assert here.backends() == {}


HOSTILE = [
    'a"\nmodel = "b',
    "\x1b]0;owned\x07 x",
    "# \r\n[[backend]]",
    "\u202egnp.exe",
    "C:\\models\\x.gguf",
    "\x00\x7f\x85\u2028",
    '"""',
    "模型 😀",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_model_name_is_escaped(name: str, here: Places, capsys: pytest.CaptureFixture[str]) -> None:
    await here.add(openai(name, name + "2"))
    assert await here.init() == 0
    (backend,) = here.backends().values()
    assert backend.model == name
    err = capsys.readouterr().err
    text = here.file.read_text()
    for raw in ("\x1b", "\u202e", "\x07", "\x00", "\x85", "\u2028"):
        assert raw not in err and raw not in text


async def test_a_model_name_cannot_insert_environment_variables(here: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "s3cret")
    await here.add(openai("${A_SECRET}"))
    assert await here.init() == 0
    (backend,) = here.backends().values()
    assert backend.model == ""
    assert "s3cret" not in repr(backend)


@given(st.text())
def test_toml_strings_round_trip(text: str) -> None:
    assert tomli.loads(f"x = {toml_string(text)}") == {"x": text}
    assert toml_string(text).isprintable()


@given(
    st.lists(st.text(max_size=40), max_size=5),
    st.sampled_from(["vLLM", "OpenAI-compatible"]),
    st.booleans(),
    st.sampled_from([CHAT, NO_CHAT]),
)
def test_the_config_is_valid_for_any_model_names(names: list[str], framework: str, locked: bool, fit: int) -> None:
    found = DiscoveredServer(
        framework=framework,
        url="http://127.0.0.1:8000",
        version="".join(names),
        models=[Model(name=name, fitness=fit) for name in names],
        locked=locked,
    )
    text = config_text(Found(servers=[found], engines=["llama.cpp"]))
    config = configs.parse(text, source="made", folder=Path(), environ={})
    assert config.backend[0].name == "llama.cpp"
    assert len(config.backend) == (1 if locked else 2)


def test_uncommented_examples_are_a_valid_config() -> None:
    text = config_text(Found())
    assert "backend" not in tomli.loads(text)
    config = configs.parse(uncommented(text), source="made", folder=Path(), environ={})
    assert len(config.backend) == 10


def uncommented(text: str) -> str:
    """With the examples' comment signs taken away, as a user would."""
    head, sign, examples = text.partition("# --- Not found")
    lines = [line[2:] if " = " in line or "[[" in line else line for line in examples.split("\n")]
    return head + sign + "\n".join(lines)


@pytest.mark.parametrize(
    ("host", "asked", "elsewhere"),
    [
        ("", "http://127.0.0.1:11434", ""),
        ("0.0.0.0", "http://127.0.0.1:11434", ""),
        (":8000", "http://127.0.0.1:8000", ""),
        ("localhost:5", "http://localhost:5", ""),
        ("gpu-box:11434", "", "http://gpu-box:11434"),
        ("https://ollama.example", "", "https://ollama.example:443"),
        ("a:b:c", "http://127.0.0.1:11434", ""),
    ],
)
def test_ollama_host_is_probed_only_on_this_machine(host: str, asked: str, elsewhere: str) -> None:
    urls, other = places(host)
    assert other == elsewhere
    assert (asked in urls) is bool(asked)
    assert len(urls) == len(set(urls))
    assert all("127.0.0.1" in url or "localhost" in url for url in urls)


@pytest.mark.parametrize(
    ("name", "kinds", "fit"),
    [
        ("smollm2:135m", ["completion"], CHAT),
        ("nomic-embed-text:latest", [], NO_CHAT),
        ("anything", ["embedding"], NO_CHAT),
        ("BAAI/bge-m3", [], NO_CHAT),
        ("gte-small", [], NO_CHAT),
        ("whisper-large-v3", [], NO_CHAT),
        ("Qwen/Qwen2.5-VL-7B-Instruct", [], VISION),
        ("llava:7b", [], VISION),
        ("gemma3:4b", ["completion", "vision"], VISION),
        ("meta-llama/Llama-3.1-8B-Instruct", [], CHAT),
        ("mistral-nemo:12b", [], CHAT),
    ],
)
def test_fitness_of_models_for_chat(name: str, kinds: list[str], fit: int) -> None:
    assert fitness(name, kinds) == fit


async def test_local_models_are_preferred(here: Places) -> None:
    models = [
        {"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com"},
        {"name": "llava:7b", "capabilities": ["completion", "vision"]},
        {"name": "qwen3:0.6b", "capabilities": ["completion"]},
    ]
    await here.add({**OLLAMA, "/api/tags": reply({"models": models})})
    assert await here.init() == 0
    assert here.backends()["Ollama"].model == "qwen3:0.6b"
    assert ELSEWHERE > VISION > CHAT


async def test_an_existing_file_is_replaced_only_with_force(here: Places) -> None:
    here.file.write_text("mine")
    with pytest.raises(UsageError, match="already exists; use --force to overwrite it"):
        await here.init()
    assert here.file.read_text() == "mine"
    assert await here.init(force=True) == 0
    assert configs.load(here.file, implicit=True)


async def test_a_file_created_meanwhile_is_not_replaced(here: Places) -> None:
    def grab(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.file.write_text("mine")
        writer.close()

    async with await asyncio.start_server(grab, "127.0.0.1", 0) as server:
        here.urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(UsageError, match="already exists"):
            await here.init()
    assert here.file.read_text() == "mine"
    assert os.listdir(here.file.parent) == ["config.toml"]


async def test_the_file_gets_the_mode_of_the_umask(here: Places) -> None:
    before = os.umask(0o027)
    try:
        assert await here.init() == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(here.file.stat().st_mode) == 0o640
    assert os.listdir(here.file.parent) == ["config.toml"]


@pytest.mark.parametrize(
    ("file", "words"), [(".", "is a folder; name a file in it"), ("no/such/x.toml", "does not exist")]
)
def test_a_folder_and_a_missing_folder_are_refused(file: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        write_config(tmp_path / file, urls=[])


def test_a_file_that_cannot_be_written_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert write_config(Path("/proc/x.toml"), urls=[]) == FAILED
    assert "cannot write /proc/x.toml" in capsys.readouterr().err


def test_print_writes_no_file(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_config(None, to_stdout=True, urls=[]) == 0
    assert tomli.loads(capsys.readouterr().out)["run"]["iterations"] == 10
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["there.toml"],
            "llmtui: there.toml already exists; use --force to overwrite it, or --print to see the new config",
        ),
        (["x.toml", "--print"], "llmtui: --print writes no file; omit FILE"),
        ([""], "llmtui: '.' is not a file name"),
    ],
)
def test_wrong_usage_is_one_line_with_exit_code_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "there.toml").touch()
    done = llmtui("init", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence + "\n")


@pytest.mark.parametrize("command", ["init", "serve"])
def test_help_fits_a_screen(command: str) -> None:
    done = llmtui(command, "-h")
    assert 0 < len(done.stdout.splitlines()) <= 24
    assert max(map(len, done.stdout.splitlines())) <= 80
