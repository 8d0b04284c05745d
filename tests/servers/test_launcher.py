"""Launched servers, with small programs as servers: start, failures and their messages, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from llmtui.model import Backend, RunConfig
from llmtui.servers.base import StartError
from llmtui.servers.launcher import ManagedServer
from llmtui.servers.listener import find_listener, tree_cpu_seconds, tree_rss
from llmtui.servers.orphans import LINUX
from llmtui.servers.ports import free_port
from llmtui.servers.recipes import base_url
from tests.servers.conftest import PATIENCE_S, RollCall, program

CONFIG = RunConfig(load_timeout_s=PATIENCE_S, threads=3)
#: Only Linux counts the processes that it killed for memory.
KILLED = "not by the kernel" if LINUX else "out of memory"


def quiet(_: str, __: float | None) -> None:
    """Ignore the progress."""


def server(folder: Path, *modes: str, config: RunConfig = CONFIG, **fields: object) -> ManagedServer:
    backend = Backend(name="A tiny/server", launch=program("serve", "{port}", *modes), **fields)  # type: ignore[arg-type]
    return ManagedServer(backend, config, folder)


async def failure(managed: ManagedServer) -> StartError:
    with pytest.raises(StartError) as caught:
        await managed.start(quiet)
    if managed.pid is not None:
        assert managed.exited.is_set()
        assert not psutil.pid_exists(managed.pid)
    return caught.value


async def test_start_returns_the_facts_and_stop_ends_the_server(tmp_path: Path) -> None:
    steps: list[str] = []
    managed = server(tmp_path, model="some-model", weights="Q8_0")
    ready = await managed.start(lambda text, _: steps.append(text))
    port = int(ready.url.rpartition(":")[2])
    assert (ready.model, ready.weights, ready.threads) == ("some-model", "Q8_0", None)
    assert ready.load_s is not None
    assert 0 < ready.load_s < PATIENCE_S
    assert steps == ["loading"]
    assert managed.pid is not None
    listener = find_listener(port)
    assert listener in [process.pid for process in psutil.Process(managed.pid).children()]
    assert managed.sample()[0] > 1_000_000
    assert not managed.exited.is_set()
    await managed.stop()
    assert managed.exited.is_set()
    assert find_listener(port) is None
    assert managed.exit_reason() == "killed by signal 15 (SIGTERM)"


async def test_placeholders_of_the_command_are_filled_in(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", 'echo "$0 $1 $2 {\\"json\\": 1}"; exit 1', "{model}", "{threads}", "{port}"]
    managed = ManagedServer(Backend(name="x", launch=command, model="m"), CONFIG, tmp_path)
    error = await failure(managed)
    words = error.log_tail[0].split()
    assert words[:2] == ["m", "3"]
    assert words[2].isdigit()
    assert words[3:] == ['{"json":', "1}"]


async def test_a_configured_port_is_used(tmp_path: Path) -> None:
    port = free_port()
    backend = Backend(name="x", launch=program("serve", port), url=f"http://127.0.0.1:{port}/v1/")
    managed = ManagedServer(backend, CONFIG, tmp_path)
    ready = await managed.start(quiet)
    assert ready.url == f"http://127.0.0.1:{port}"
    await managed.stop()


async def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        backend = Backend(name="x", launch=program("serve", port), url=f"http://127.0.0.1:{port}")
        error = await failure(ManagedServer(backend, CONFIG, tmp_path))
    assert error.failure.kind == "server"
    assert error.failure.message == f"port {port} is in use by {psutil.Process().name()} (pid {os.getpid()})"
    assert "launch" in error.failure.hint


async def test_any_reply_is_healthy_unless_a_path_is_configured(tmp_path: Path) -> None:
    lenient = server(tmp_path, protocol="ollama")  # The stand-in has no /api/version: 404.
    await lenient.start(quiet)
    await lenient.stop()
    strict = server(tmp_path, ready="/nothing", config=RunConfig(load_timeout_s=0.5))
    assert (await failure(strict)).failure.kind == "timeout"


@pytest.mark.slow
async def test_a_server_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    error = await failure(server(tmp_path, "loading", "stubborn", config=RunConfig(load_timeout_s=0.5)))
    assert error.failure.kind == "timeout"
    assert "not ready within 0.5 s" in error.failure.message and "it listens on port" in error.failure.message
    assert "load_timeout_s" in error.failure.hint


async def test_an_exit_while_loading_has_the_reason(tmp_path: Path) -> None:
    error = await failure(ManagedServer(Backend(name="x", launch=program("die", 3)), CONFIG, tmp_path))
    assert error.failure.kind == "server"
    assert error.failure.message == (
        "exited while loading (exit code 3): "
        "the model file is damaged or incomplete: cannot load model: tensor 'x' is missing"
    )
    assert error.failure.hint == "download or copy the model file again"
    assert error.log_tail == ["starting", "error: cannot load model: tensor 'x' is missing"]


@pytest.mark.parametrize("mode", [pytest.param("says", marks=pytest.mark.slow), "silent"])
async def test_a_server_that_listens_elsewhere_is_reported_long_before_the_timeout(tmp_path: Path, mode: str) -> None:
    port = free_port()
    launch = program("serve", port, mode)
    began = time.monotonic()
    error = await failure(ManagedServer(Backend(name="x", framework="Ollama", launch=launch), CONFIG, tmp_path))
    assert time.monotonic() - began < PATIENCE_S / 2
    assert error.failure.message.startswith(f"the launched server listens on 127.0.0.1:{port}, not at http://127.0.0.1")
    assert error.failure.hint == (
        f'add env = {{ OLLAMA_HOST = "127.0.0.1:{{port}}" }} to it, or url = "http://127.0.0.1:{port}" if it always '
        "listens there"
    )


async def test_a_server_that_needs_another_port_than_asked_is_told_so(tmp_path: Path) -> None:
    """As `ollama serve` while Ollama runs: the port that is taken is not the one that llmtui chose."""
    words = "Error: listen tcp 127.0.0.1:11434: bind: address already in use"
    launch = ["/bin/sh", "-c", f"echo '{words}'; exit 1", "ollama"]
    managed = ManagedServer(Backend(name="x", launch=launch), CONFIG, tmp_path)
    error = await failure(managed)
    assert error.failure.message == (
        "exited while loading (exit code 1): listen tcp 127.0.0.1:11434: bind: address already in use"
    )
    assert 'OLLAMA_HOST = "127.0.0.1:{port}"' in error.failure.hint
    assert len(os.listdir(tmp_path)) == 1  # a second launch would need the same port


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(4000), "this system cannot run the file"),
        (b"hello\n", "the command hello does not exist"),
        (b"#!/bin/sh\nkill -ILL $$\n", "it was built for another processor"),
        (b"#!/bin/sh\nsh -c 'kill -ILL $$'\nexit 3\n", "it was built for another processor"),
    ],
)
async def test_a_program_that_cannot_run_here(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "server"
    file.write_bytes(content)
    file.chmod(0o700)
    error = await failure(ManagedServer(Backend(name="x", launch=[str(file)]), CONFIG, tmp_path))
    assert message in error.failure.message
    assert "install" in error.failure.hint


async def test_a_command_that_goes_into_the_background_is_an_error(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo started in the background"]
    error = await failure(ManagedServer(Backend(name="x", launch=command), CONFIG, tmp_path))
    assert error.failure.message == "exited before it answered (exit code 0): started in the background"
    assert "foreground" in error.failure.hint


async def test_a_server_killed_while_loading(tmp_path: Path, roll: RollCall) -> None:
    managed = ManagedServer(Backend(name="x", launch=program("tree", roll.port)), CONFIG, tmp_path)
    starting = asyncio.create_task(managed.start(quiet))
    await roll.here("child")
    os.kill(roll.pids["child"], signal.SIGKILL)
    with pytest.raises(StartError, match=rf"exited while loading .killed by signal 9 .{KILLED}"):
        await starting


@pytest.mark.slow
async def test_cancelling_the_start_stops_the_server(tmp_path: Path, roll: RollCall) -> None:
    command = program("tree", roll.port, "child", "grandchild")
    managed = ManagedServer(Backend(name="x", launch=command), CONFIG, tmp_path)
    starting = asyncio.create_task(managed.start(quiet))
    await roll.here("child", "grandchild")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await roll.gone("child", "grandchild")


async def test_an_unexpected_exit_is_noticed(tmp_path: Path) -> None:
    managed = server(tmp_path)
    await managed.start(quiet)
    assert managed.pid is not None
    for child in psutil.Process(managed.pid).children():
        child.kill()
    await asyncio.wait_for(managed.exited.wait(), PATIENCE_S)
    assert managed.exit_reason().startswith(f"killed by signal 9 ({KILLED}")


async def test_much_output_does_not_block_the_start(tmp_path: Path) -> None:
    managed = server(tmp_path, "flood")
    await managed.start(quiet)
    flood = [line for line in managed.log_tail(500) if line.startswith("line 1999")]
    assert "line 199999 of a very talkative server and the rest of what it has to say of it" in flood
    await managed.stop()


async def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    managed = server(tmp_path, "stubborn")
    await managed.start(quiet)
    await managed.stop(grace_s=0.1)
    assert managed.exit_reason() == "killed by signal 9: it did not exit on SIGTERM"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-server-anywhere", "no-such-server-anywhere is not installed or not on PATH"),
        ("/no/such/server", "/no/such/server does not exist"),
    ],
)
async def test_a_missing_command_is_an_error(tmp_path: Path, command: str, message: str) -> None:
    error = await failure(ManagedServer(Backend(name="x", launch=[command]), CONFIG, tmp_path))
    assert (error.failure.kind, error.failure.message) == ("missing", message)
    assert error.failure.hint


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_script_needs_the_program_of_its_first_line(tmp_path: Path, end: str) -> None:
    file = tmp_path / "server"
    file.write_text(f"#! /no/such/python -x{end}" if end == "\n" else f"#!/bin/sh{end}", newline="")
    file.chmod(0o700)
    error = await failure(ManagedServer(Backend(name="x", launch=[str(file)]), CONFIG, tmp_path))
    program = "'/no/such/python'" if end == "\n" else r"'/bin/sh\r'"
    assert error.failure.message == f"the first line of {file} names the program {program}, which does not exist"


async def test_a_folder_is_no_command(tmp_path: Path) -> None:
    error = await failure(ManagedServer(Backend(name="x", launch=[str(tmp_path)]), CONFIG, tmp_path))
    assert error.failure.message == f"{tmp_path} is a folder"


async def test_a_command_must_be_executable(tmp_path: Path) -> None:
    file = tmp_path / "server"
    file.write_text("")
    error = await failure(ManagedServer(Backend(name="x", launch=[str(file)]), CONFIG, tmp_path))
    assert error.failure.hint == f"chmod +x {file}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h:1/", "http://h:1"),
        ("http://h:1/v1", "http://h:1"),
        ("http://h:1/v1/", "http://h:1"),
        ("http://h:1/prefix/v1", "http://h:1/prefix"),
    ],
)
def test_the_base_of_a_url(given: str, expected: str) -> None:
    assert base_url(given) == expected


def test_memory_and_cpu_of_an_external_process() -> None:
    assert tree_rss(os.getpid()) > 1_000_000
    assert tree_cpu_seconds(os.getpid()) > 0
