"""Own servers are started, asked and stopped; one that misbehaves is stopped with the reason."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from llmtui.model import Backend, OwnServerName
from llmtui.servers import launcher
from llmtui.servers.base import StartError
from llmtui.servers.launcher import ManagedServer
from llmtui.servers.listening_ports import listening_on
from llmtui.servers.ports import free_port, port_of
from llmtui.wire import OpenAIDialect
from tests.own.install import StandIns
from tests.own.shared import config, quiet
from tests.wire.replay import fold, run


def server(model: Path, name: OwnServerName, folder: Path, **limits: float) -> ManagedServer:
    return ManagedServer(Backend(name="x", server=name), config(model, **limits), folder)


@pytest.fixture
async def managed(tiny: Path, tmp_path: Path) -> AsyncIterator[list[ManagedServer]]:
    """Servers to stop at the end of the test."""
    servers: list[ManagedServer] = []
    yield servers
    for one in servers:
        await one.stop()
        assert one.pid is None or not psutil.pid_exists(one.pid)


async def failure(managed: ManagedServer) -> StartError:
    with pytest.raises(StartError) as caught:
        await managed.start(quiet)
    assert managed.pid is None or not psutil.pid_exists(managed.pid)
    return caught.value


PROGRAMS: list[tuple[OwnServerName, str, str]] = [
    ("llama-server", "llama-server", ""),
    ("llamafile", "llamafile", "0.9.3"),
    ("llamafile", "llamafile", "0.10.0"),
    ("mistralrs", "mistralrs", "0.9.2"),
    ("mistralrs", "mistralrs", "0.8.0"),
    ("mistralrs", "mistralrs-server", "0.6.0"),
    ("vllm", "vllm", ""),
]


#: The variable of each program with a key that it asks for.
KEYS = {"llama-server": "LLAMA_API_KEY", "llamafile": "LLAMA_API_KEY", "vllm": "VLLM_API_KEY"}


@pytest.mark.parametrize(("name", "program", "version"), PROGRAMS)
async def test_start_ask_and_stop(
    stand_ins: StandIns,
    tiny: Path,
    exported: Path,
    tmp_path: Path,
    managed: list[ManagedServer],
    monkeypatch: pytest.MonkeyPatch,
    name: OwnServerName,
    program: str,
    version: str,
) -> None:
    stand_ins.install(program, version=version)
    if program in KEYS:
        monkeypatch.setenv(KEYS[program], "of a server of the user")
    managed.append(server(tiny, name, tmp_path))
    ready = await managed[0].start(quiet)
    assert KEYS.get(program) not in stand_ins.environment(program)
    assert managed[0].pid is not None
    assert {str(one.address) for one in listening_on(managed[0].pid)} == {"127.0.0.1"}
    messages = [{"role": "user", "content": "Hi"}]
    body = {"model": ready.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"{ready.url}/v1/chat/completions", json={**body, **ready.options})
    assert reply.status_code == 200
    answer = fold(run(OpenAIDialect().parser(reply.headers["content-type"]), [reply.content]))
    assert answer["text"]
    assert answer["finish_reason"]


async def test_what_a_server_writes_beside_it_is_not_in_the_working_folder_of_the_user(
    stand_ins: StandIns, tiny: Path, tmp_path: Path, managed: list[ManagedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install("llamafile", version="0.9.3")
    users, runs = tmp_path / "user", tmp_path / "run"
    users.mkdir()
    runs.mkdir()
    monkeypatch.chdir(users)
    managed.append(server(tiny, "llamafile", runs))
    await managed[0].start(quiet)
    assert (runs / "llama.log").exists()
    assert list(users.iterdir()) == []


async def test_an_executable_for_several_systems(
    stand_ins: StandIns, tiny: Path, tmp_path: Path, managed: list[ManagedServer]
) -> None:
    program = stand_ins.install("llamafile", version="0.9.3")
    # As a llamafile begins: the kernel runs no file with it, a shell does.
    program.write_text(program.read_text().replace("#!/bin/sh\n", "MZqFpD='\n'\n"))
    with pytest.raises(OSError, match="Exec format error"):
        await asyncio.create_subprocess_exec(program)
    managed.append(server(tiny, "llamafile", tmp_path))
    assert (await managed[0].start(quiet)).version == "llamafile 0.9.3"


@pytest.mark.parametrize(
    ("name", "version", "remark"),
    [
        ("llamafile", "0.11.2", "version 0.11.2 is newer than 0.10, which llmtui knows"),
        ("ollama", "0.34.0", "version 0.34.0 is newer than 0.33, which llmtui knows"),
        ("mistralrs", "0.9.2", ""),
    ],
)
async def test_a_version_that_is_not_known(
    stand_ins: StandIns,
    tiny: Path,
    tmp_path: Path,
    managed: list[ManagedServer],
    name: OwnServerName,
    version: str,
    remark: str,
) -> None:
    stand_ins.install(name, version=version)
    managed.append(server(tiny, name, tmp_path))
    assert (await managed[0].start(quiet)).note == remark


async def test_a_program_that_does_not_say_its_version(
    stand_ins: StandIns, tiny: Path, tmp_path: Path, managed: list[ManagedServer]
) -> None:
    stand_ins.install("llamafile", "no_version", version="0.10.0")
    managed.append(server(tiny, "llamafile", tmp_path))
    assert (await managed[0].start(quiet)).note == "its version is unknown"


EVERY: list[OwnServerName] = ["ollama", "llamafile", "llama-server", "mistralrs", "vllm"]


@pytest.mark.parametrize("name", EVERY)
async def test_a_server_on_all_interfaces_is_stopped(
    stand_ins: StandIns, tiny: Path, exported: Path, tmp_path: Path, name: OwnServerName
) -> None:
    stand_ins.install(name, "everywhere")
    error = await failure(server(tiny, name, tmp_path))
    assert "it listens on 0.0.0.0 port " in error.failure.message
    assert "other machines can reach it" in error.failure.message
    assert len(stand_ins.starts(name)) == 1


async def test_one_that_is_still_loading_is_stopped_too(stand_ins: StandIns, tiny: Path, tmp_path: Path) -> None:
    stand_ins.install("llama-server", "everywhere", "slow", "mute")
    error = await failure(server(tiny, "llama-server", tmp_path))
    assert "other machines can reach it" in error.failure.message


async def test_llamafile_that_takes_the_next_port_is_started_again(
    stand_ins: StandIns, tiny: Path, tmp_path: Path, managed: list[ManagedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install("llamafile", version="0.9.3")
    # A program that listens and never answers, so that no health check ends the wait.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], free_port()]
        monkeypatch.setattr(launcher, "free_port", lambda: ports[len(stand_ins.starts("llamafile"))])
        managed.append(server(tiny, "llamafile", tmp_path))
        ready = await managed[0].start(quiet)
        assert port_of(ready.url) == ports[1]
    assert [argv[argv.index("--port") + 1] for argv in stand_ins.starts("llamafile")] == [str(port) for port in ports]
    assert stand_ins.records("llamafile", "browser") == []


async def test_a_server_that_listens_elsewhere_twice_is_an_error(
    stand_ins: StandIns, tiny: Path, tmp_path: Path
) -> None:
    stand_ins.install("llamafile", "next_port", version="0.9.3")
    error = await failure(server(tiny, "llamafile", tmp_path))
    assert error.failure.message.startswith("it listens on port ")
    assert " instead of port " in error.failure.message
    assert len(stand_ins.starts("llamafile")) == 2


@pytest.mark.parametrize("name", ["llamafile-0.12", "no-server"])
async def test_a_program_that_does_not_take_the_command_line(
    stand_ins: StandIns, tiny: Path, tmp_path: Path, name: str
) -> None:
    words = "exit" if name == "no-server" else 'echo "error: unknown argument: $1"; exit 1'
    program = stand_ins.folder / name
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    backend = Backend(name="x", server="llamafile", program=str(program))
    error = await failure(ManagedServer(backend, config(tiny), tmp_path))
    hint = "set `program` to llamafile 0.9.3 or 0.10, which llmtui knows, or start yours with `launch`"
    assert error.failure.hint == hint


async def test_a_text_instead_of_a_program(tiny: Path, tmp_path: Path) -> None:
    text = tmp_path / "llama-server"
    text.write_text("[run]\niterations = 5\n")
    text.chmod(0o755)
    managed = ManagedServer(Backend(name="x", server="llama-server", program=str(text)), config(tiny), tmp_path)
    assert "set `program` to llama-server" in (await failure(managed)).failure.hint


async def test_a_processor_without_an_instruction(stand_ins: StandIns, tiny: Path, tmp_path: Path) -> None:
    stand_ins.install("llamafile", "sigill")
    error = await failure(server(tiny, "llamafile", tmp_path))
    assert "built for another processor" in error.failure.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llamafile", "unable to load model"),
        ("mistralrs", "cannot find tensor info"),
        ("vllm", "Engine core initialization failed"),
    ],
)
async def test_a_model_that_it_cannot_load(
    stand_ins: StandIns, tiny: Path, exported: Path, tmp_path: Path, name: OwnServerName, words: str
) -> None:
    stand_ins.install(name, "die")
    error = await failure(server(tiny, name, tmp_path))
    assert "exited while loading (exit code 1)" in error.failure.message
    assert words in "\n".join(error.log_tail)


async def test_a_program_that_does_not_answer(stand_ins: StandIns, tiny: Path, tmp_path: Path) -> None:
    stand_ins.install("vllm", "mute")
    stand_ins.install("llamafile", "mute")
    error = await failure(server(tiny, "llamafile", tmp_path, load_timeout_s=0.7))
    assert error.failure.kind == "timeout"
