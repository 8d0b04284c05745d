"""The programs of this machine, and what each prints when it is asked for its version."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import psutil
import pytest

from llmtui.config.frameworks import OWN_SERVERS, own_server
from llmtui.model import Backend
from llmtui.servers.base import StartError
from llmtui.servers.own import programs as found
from llmtui.servers.own.programs import MAX_OUTPUT_BYTES, program_of, programs, version_number, version_text
from tests.own.install import StandIns


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_programs_on_path(stand_ins: StandIns) -> None:
    assert programs() == []
    paths = {name: str(stand_ins.install(name)) for name in ("ollama", "llama-server", "mistralrs")}
    assert {one.server: one.path for one in programs()} == paths


def test_what_is_no_program(stand_ins: StandIns) -> None:
    (stand_ins.folder / "ollama").mkdir()
    (stand_ins.folder / "llama-server").write_text("")
    (stand_ins.folder / "mistralrs").symlink_to("nowhere")
    assert programs() == []


def test_the_program_of_llmtuis_own_environment_is_the_engine(
    stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(stand_ins.folder / "transformers", "")
    monkeypatch.setattr(sys, "executable", str(stand_ins.folder / "python"))
    assert found.find(own_server("transformers")) == ""
    monkeypatch.setattr(sys, "executable", "/elsewhere/python")
    assert found.find(own_server("transformers")) == str(path)


def test_a_program_for_which_llmtui_cannot_prepare_the_model(
    stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install("vllm")
    seen = {package for own in OWN_SERVERS for package in own.needs}
    monkeypatch.setattr(
        "llmtui.servers.own.programs.importlib.util.find_spec", lambda name: None if name in seen else name
    )
    assert programs() == []
    monkeypatch.setattr("llmtui.servers.own.programs.importlib.util.find_spec", lambda name: name)
    assert [one.server for one in programs()] == ["vllm"]


def refusal(program: str) -> tuple[str, str]:
    with pytest.raises(StartError) as caught:
        program_of(Backend(name="x", server="ollama", program=program))
    return caught.value.failure.message, caught.value.failure.hint


def test_the_program_that_the_config_names(stand_ins: StandIns, tmp_path: Path) -> None:
    path = script(tmp_path / "ollama-dev", "")
    assert program_of(Backend(name="x", server="ollama", program=str(path))) == str(path)
    other = script(stand_ins.folder / "ollama-dev", "")
    assert program_of(Backend(name="x", server="ollama", program="ollama-dev")) == str(other)
    assert refusal(str(tmp_path)) == (f"{tmp_path} is a folder, not a program", "correct `program` in [[backend]] x")
    path.chmod(0o644)
    assert refusal(str(path))[0] == f"{path} is not executable"
    assert refusal("/no/such")[0] == "/no/such does not exist"
    assert refusal("no-such")[0] == "no-such is not on PATH"


def test_no_program(stand_ins: StandIns) -> None:
    message, hint = refusal("")
    assert message == "ollama is not on PATH"
    assert hint == 'install it, or set program = "/path/to/ollama" in [[backend]] x'


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("echo version 1.2.3", "version 1.2.3\n"),
        ("echo 1.2.3 >&2", "1.2.3\n"),
        ("echo 4.5; exit 3", "4.5\n"),
        ("", ""),
        ("read line; echo got $line", "got\n"),
        ("printf '\\377'", "\N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_version_text(tmp_path: Path, text: str, printed: str) -> None:
    assert await version_text(str(script(tmp_path / "p", text))) == printed


async def test_an_endless_program_is_killed(tmp_path: Path) -> None:
    program = script(tmp_path / "p", "while :; do echo x; done")
    assert await version_text(str(program), limit_s=0.3) == ""


async def test_a_large_text_is_cut(tmp_path: Path) -> None:
    program = script(tmp_path / "p", "head -c 1000000 /dev/zero | tr '\\0' x")
    assert await version_text(str(program)) == "x" * MAX_OUTPUT_BYTES


async def test_what_a_program_forks_is_ended_too(tmp_path: Path) -> None:
    program = script(tmp_path / "p", f"sleep 1000 >/dev/null 2>&1 & echo $! > {tmp_path}/pid; echo 1.0")
    assert await version_text(str(program)) == "1.0\n"
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_a_child_that_holds_the_output_open_does_not_hold_it_up(tmp_path: Path) -> None:
    for child in ("sleep 1000", "setsid sleep 3"):
        program = script(tmp_path / "p", f"{child} & echo 1.0")
        assert await version_text(str(program), limit_s=30.0) == "1.0\n"


async def test_a_cancelled_question_leaves_no_pipe_open(tmp_path: Path) -> None:
    program = script(tmp_path / "p", "sleep 1000")
    await version_text(str(script(tmp_path / "first", "")))
    before = psutil.Process().num_fds()
    for steps in range(6):
        asking = asyncio.create_task(version_text(str(program)))
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
    # The loop notices the ends of what it has closed in its next rounds.
    for _ in range(100):
        await asyncio.sleep(0.01)
        if psutil.Process().num_fds() == before:
            break
    assert psutil.Process().num_fds() == before


async def test_no_program_has_no_version(tmp_path: Path) -> None:
    assert await version_text(str(tmp_path / "none")) == ""
    (tmp_path / "data").write_text("x")
    assert await version_text(str(tmp_path / "data")) == ""


def test_version_number() -> None:
    assert version_number("ollama version is 0.33.0-rc2") == "0.33.0"
    assert version_number("version: 0.1.0-dev (build 10488, commit x)", r"build (\d+)") == "10488"
    assert version_number("none") == ""
