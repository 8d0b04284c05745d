"""Commands whose output is text, on another machine, and what is said when the line or that machine fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import llmtui
from llmtui.cli.app import cli
from llmtui.cli.past_requests import RequestsThere
from llmtui.link import run_folders
from llmtui.link.line_messages import Greeting, Join, Joined, Planned, Start
from llmtui.link.remote import RemoteEngine
from llmtui.link.ssh import Line, LineError, RefusedError
from llmtui.model import RequestBatch
from llmtui.store.errors import StoreError
from tests import build
from tests.cli.histories import add
from tests.leftovers import carrying
from tests.link.stand_ins import HERE, LongRun, machine_of
from tests.store.turns import turn

GREETING = msgspec.json.encode(Greeting(llmtui=llmtui.__version__, link=1)).decode()


def llmtui_code(*words: str) -> int:
    """Carry out a command of llmtui in this process. Return its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words), prog_name="llmtui", standalone_mode=False)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history with two runs, for both ends."""
    path = tmp_path / "history.db"
    monkeypatch.setenv("LLMTUI_STORE", str(path))
    add(path, "ab12cd34", {"one": 0.2, "two": 0.3})
    add(path, "ab12cd35", {"one": 0.2, "two": 0.3}, label="über 2")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("show", "last", "--label", "a b"),
        ("history", "--json"),
        pytest.param(("show", "last~1"), marks=pytest.mark.slow),
        pytest.param(("history", "-n", "1"), marks=pytest.mark.slow),
    ],
)
def test_what_is_printed_there_is_printed_here(
    words: tuple[str, ...],
    history: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine_of(tmp_path, monkeypatch)
    assert llmtui_code(words[0], "--on", "far", *words[1:]) == 0
    there = capsys.readouterr()
    assert llmtui_code(*words) == 0
    here = capsys.readouterr()
    assert there.out == here.out and "one" in there.out
    assert there.err == here.err.replace("llmtui: ", "llmtui: far: ")


def test_a_refusal_there_has_its_sentence_and_its_exit_code(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine_of(tmp_path, monkeypatch)
    code = llmtui_code("show", "--on", "far", "no such run")
    assert code != 0
    assert "no such run" in capsys.readouterr().err
    with contextlib.closing(sqlite3.connect(history, isolation_level=None)) as connection:
        # As if the process that wrote them had ended: a run that is still open is kept.
        connection.execute("UPDATE runs SET engine_pid = 999999999")
    assert llmtui_code("history", "--on", "far", "--prune", "--keep", "0") == 2
    assert "nothing was deleted; to delete these runs without a question, add --yes" in capsys.readouterr().err


def test_check_sends_the_config_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    machine_of(tmp_path, monkeypatch, f"cd /; {HERE}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = Path("race.toml")
    config.write_text(f'[[backend]]\nname = "absent"\nurl = "http://127.0.0.1:{port}/v1"\nmodel = "m"\n')
    assert llmtui_code("check", "--on", "far", "race.toml", "--iterations", "3") == 1
    out = capsys.readouterr().out
    assert out.startswith("absent  ") and str(port) in out
    config.write_text(f'[prompts]\nfile = "not here.jsonl"\n{config.read_text()}')
    assert llmtui_code("check", "--on", "far", "race.toml") == 2
    assert capsys.readouterr().err == "llmtui: far: /not here.jsonl: no such file or folder of prompts\n"
    config.write_text("[run]\niterations = 0\n")
    assert llmtui_code("check", "--on", "far", "race.toml") == 2
    assert capsys.readouterr().err.startswith("llmtui: far: race.toml from ")


def test_another_version_that_cannot_says_how_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_of(tmp_path, monkeypatch, f"echo '{GREETING}'; read line")
    for words, command in (
        (("show", "--on", "far", "last"), "ssh far llmtui show -- last"),
        (("resume", "--on", "far", "last", "--text"), "ssh -t far llmtui resume last"),
    ):
        with pytest.raises(LineError, match=f"on far does not know {words[0]} --on; run it there, as in: {command}"):
            cli.main(list(words), prog_name="llmtui", standalone_mode=False)


def test_a_full_disk_there_is_said(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history.write_bytes(b"")
    machine_of(tmp_path, monkeypatch, f"trap '' XFSZ; ulimit -f 0; {HERE}")
    assert llmtui_code("history", "--on", "far") == 1
    err = capsys.readouterr().err
    assert err.startswith(f"llmtui: far: the disk of the history {history} failed or is full"), err


def test_control_c_ends_a_check_there(short_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_of(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    config = tmp_path / "race.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        config.write_text(f'[[backend]]\nname = "silent"\nurl = "{url}"\nmodel = "m"\nframework = "vLLM"\n')
        command = [sys.executable, "-P", "-m", "llmtui", "check", "--on", "far", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as here:
            accepted, _ = server.accept()
            with accepted:
                here.send_signal(signal.SIGINT)
                _, errors = here.communicate(timeout=60)
    assert here.returncode == 130, errors
    assert errors.decode().splitlines()[-1] == "llmtui: interrupted"
    assert carrying("XDG_RUNTIME_DIR", str(short_path)) == []


def test_ssh_that_is_killed_during_an_export_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = msgspec.json.encode(RequestBatch(backend="a", turn=1, samples=[build.iteration()], total=2)).decode()
    joined = msgspec.json.encode(Joined(run="ab12cd34")).decode()
    script = f"echo '{GREETING}'; read l; echo '{joined}'; read l; echo '{part}'; kill -9 $$"
    there = RequestsThere(machine_of(tmp_path, monkeypatch, script), "ab12cd34", "")
    with pytest.raises(StoreError, match="the requests are on far, and the line there has ended"):
        list(there(turn(1)))
    there.close()


def test_a_line_that_drops_before_the_plan_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_of(tmp_path, monkeypatch, f"echo '{GREETING}'; read l; echo broken pipe >&2; exit 255")
    line = Line.open(machine)
    try:
        with pytest.raises(LineError, match="no connection to far: broken pipe"):
            line.ask(Start(words=[]))
    finally:
        line.close()


async def test_a_line_that_drops_before_the_run_is_here_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = build.plan("a", run="1a2b3c4d")
    planned = msgspec.json.encode(Planned(plan=plan)).decode()
    machine = machine_of(tmp_path, monkeypatch, f"echo '{GREETING}'; read l; echo '{planned}'; read l; exit 255")
    line = await asyncio.to_thread(Line.open, machine)
    assert await asyncio.to_thread(line.ask, Start(words=[])) == Planned(plan=plan)
    engine = RemoteEngine(line, plan, "")
    engine.give_up_after(0.0)
    link = await engine.connect()
    machine_of(tmp_path, monkeypatch, "echo no route >&2; exit 255")
    with pytest.raises(LineError, match="no connection to far: no route; the run may go on: llmtui attach --on far 1a"):
        async for _ in link.events():
            pass
    await asyncio.to_thread(engine.detach)


@pytest.mark.slow
async def test_attach_with_no_run_and_with_two(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_of(short_path, monkeypatch)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    line = Line.open(machine)
    try:
        with pytest.raises(RefusedError, match="far: no active run; to start one, try: llmtui"):
            line.ask(Join())
    finally:
        line.close()
    one, two = LongRun("1a2b3c4d", 1), LongRun("1a2b3c4e", 1)
    async with one.listening(), two.listening():
        os.utime(run_folders.folder_of(one.plan.run), (1, 1))
        line = await asyncio.to_thread(Line.open, machine)
        try:
            assert await asyncio.to_thread(line.ask, Join()) == Joined(run="1a2b3c4e", others=["1a2b3c4d"])
        finally:
            await asyncio.to_thread(line.close)
