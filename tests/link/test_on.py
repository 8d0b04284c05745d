"""A run on another machine, over a real sshd on loopback: start, watch, lose the line, detach, attach, end."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from llmtui.accuracy.pty_monitor import Screen
from llmtui.cli import on
from llmtui.link.remote import RemoteEngine
from llmtui.link.ssh import OtherMachine as Named
from llmtui.model import Detach, Earlier, Hello, Iteration, IterationDone, RunChanged, Shutdown
from llmtui.store.open import open_store
from tests.leftovers import carrying
from tests.link.sshd import HOST, OtherMachine, other_machine, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() != "", reason=why_not())]

ENDS_S = 30.0


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherMachine]:
    with other_machine(tmp_path_factory.mktemp("far")) as machine:
        yield machine


def config(folder: Path, iterations: int, itl_ms: float = 1.0) -> Path:
    """Write a config of two truth servers, which are launched on the other machine."""
    server = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--itl-ms", str(itl_ms), "--port", "{port}"]
    path = folder / "race.toml"
    path.write_text(
        f"[run]\niterations = {iterations}\nwarmup = 1\nmax_tokens = 16\n"
        + "".join(f"[[backend]]\nname = {name!r}\nlaunch = {json.dumps(server)}\n" for name in ("one", "two"))
    )
    return path


def left(far: OtherMachine) -> list[list[str]]:
    """Return the command lines of processes of the other machine, sshd's own aside, once they had time to end."""
    end = time.monotonic() + ENDS_S
    while (found := carrying("XDG_RUNTIME_DIR", str(far.runtime))) and time.monotonic() < end:
        time.sleep(0.05)
    lines = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            lines.append(process.cmdline())
    return lines


def planned(far: OtherMachine, path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteEngine:
    monkeypatch.setenv("LLMTUI_SSH", far.env["LLMTUI_SSH"])
    typed = on.Typed([str(path)], None, (), {}, "", "")
    return on.planned(Named.named(HOST, far.program), typed, ())[0]


def ssh_of(engine: RemoteEngine) -> psutil.Process:
    """Return the ssh process of a line."""
    return next(p for p in psutil.Process().children(recursive=True) if p.name() == "ssh")


def stored(far: OtherMachine, run: str) -> list[Iteration]:
    store, _ = open_store(far.store)
    with store:
        return store.load(run).iterations


def test_run_prints_there_and_writes_here(far: OtherMachine, tmp_path: Path) -> None:
    table = tmp_path / "here.csv"
    command = far.command("run", str(config(tmp_path, 3)), "--csv", str(table), "--fail-if", "latency_p50>60")
    done = subprocess.run(command, env=far.env, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("llmtui: run ") and f"; to see it again: llmtui show --on {HOST} --on-command " in last
    assert [row["backend"] for row in csv.DictReader(table.open())] == ["one", "two"]
    assert not (far.folder / "here.db").exists()
    assert left(far) == []


def test_requests_of_a_load_come_from_the_history_there(far: OtherMachine, tmp_path: Path) -> None:
    table, lines = tmp_path / "requests.csv", tmp_path / "run.jsonl"
    words = ["--concurrency", "2", "--requests", "6", "--iterations-csv", str(table), "--jsonl", str(lines)]
    command = far.command("run", str(config(tmp_path, 2)), *words)
    done = subprocess.run(command, env=far.env, capture_output=True, text=True, timeout=90, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [row for row in csv.DictReader(table.open()) if row["phase"] == "measured"]
    assert {row["backend"] for row in rows} == {"one", "two"}
    assert len(rows) >= 2 * 2 * 6
    assert left(far) == []


def test_a_refusal_of_the_other_machine_has_its_exit_code(far: OtherMachine, tmp_path: Path) -> None:
    for words, sentence in (
        (["/nowhere/race.toml"], f"llmtui: {HOST}: /nowhere/race.toml: no such config file"),
        ([str(config(tmp_path, 0))], f"llmtui: {HOST}: race.toml from "),
    ):
        done = subprocess.run(far.command("run", *words), env=far.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stderr.startswith(sentence), done.stderr
    assert left(far) == []


def test_a_run_that_was_stopped_is_resumed_there_with_the_config_of_this_machine(
    far: OtherMachine, tmp_path: Path
) -> None:
    path = config(tmp_path, 12, itl_ms=8)
    command = far.command("run", str(path))
    with subprocess.Popen(command, env=far.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("one"):
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    command = far.command("resume", "last", "--text", "--config", str(path))
    done = subprocess.run(command, env=far.env, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert len({(i.backend, i.iteration) for i in stored(far, "last") if i.phase == "measured"}) == 2 * 12
    assert left(far) == []


async def followed(
    engine: RemoteEngine, got: dict[tuple[str, str, int], Iteration]
) -> AsyncIterator[tuple[int, RunChanged | Hello | IterationDone]]:
    """Yield events with the number of the line, and collect iterations."""
    link = await engine.connect()
    lines = 0
    async for event in link.events():
        match event:
            case Hello() | Earlier():
                lines += isinstance(event, Hello)
                got |= {(i.backend, i.phase, i.iteration): i for i in event.iterations}
            case IterationDone(iteration=i):
                got[i.backend, i.phase, i.iteration] = i
        if isinstance(event, Hello | RunChanged | IterationDone):
            yield lines, event


async def test_a_killed_ssh_is_started_again_and_nothing_is_lost(
    far: OtherMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = planned(far, config(tmp_path, 15, itl_ms=4), monkeypatch)
    got: dict[tuple[str, str, int], Iteration] = {}
    said: list[str] = []
    engine._link.on_line = said.append
    killed = 0
    async for lines, event in followed(engine, got):
        if len(got) >= 4 * lines and killed < lines <= 2:
            ssh_of(engine).kill()
            killed += 1
        if lines == 3 and isinstance(event, Hello | RunChanged) and event.run.phase == "done":
            break
    assert killed == 2
    assert said == [f"the line to {HOST} dropped", ""] * 2
    await engine._link.send_last(Shutdown())
    assert await engine.wait()
    there = stored(far, engine.plan.run)
    assert {(i.backend, i.phase, i.iteration): i for i in there} == got
    assert len(there) == 2 * 16
    assert left(far) == []


async def test_a_run_that_ended_without_a_line_is_whole(
    far: OtherMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = planned(far, config(tmp_path, 4), monkeypatch)
    got: dict[tuple[str, str, int], Iteration] = {}
    phase = ""
    async for lines, event in followed(engine, got):
        if lines == 1 and len(got) == 2:
            # ssh cannot be started until the run has ended there.
            monkeypatch.setenv("LLMTUI_SSH", "sh -c 'exit 255'")
            ssh_of(engine).kill()

            def wait_for_the_end(reason: str) -> None:
                if "next try" in reason:
                    assert left(far) == []
                    monkeypatch.setenv("LLMTUI_SSH", far.env["LLMTUI_SSH"])

            engine._link.on_line = wait_for_the_end
        if isinstance(event, Hello | RunChanged):
            phase = event.run.phase
    assert phase == "done"
    assert len(got) == 2 * 5
    engine.detach()
    assert left(far) == []


def test_the_monitor_detaches_attaches_and_ends(far: OtherMachine, tmp_path: Path) -> None:
    path = config(tmp_path, 400, itl_ms=4)
    screen = Screen(far.command("monitor", str(path)), far.env)
    try:
        assert shows(screen, b"running")
        screen.press(b"d")
        text = rest(screen)
    finally:
        screen.close()
    assert screen.status == 0
    again = text[text.rindex(b"llmtui attach ") :].split(b"\n")[0].decode().split()[1:]
    assert again[:3] == ["attach", "--on", HOST]
    screen = Screen([sys.executable, "-P", "-m", "llmtui", *again], far.env)
    try:
        assert shows(screen, b"running")
        (ssh,) = [p for p in psutil.Process(screen.pid).children(recursive=True) if p.name() == "ssh"]
        ssh.send_signal(signal.SIGKILL)
        assert shows(screen, b"the line is up again")
        screen.press(b"q")
        assert shows(screen, b"still in progress")
        screen.press(b"q")
        rest(screen)
    finally:
        screen.close()
    assert screen.status == 130
    assert left(far) == []
    assert os.listdir(far.runtime / "llmtui") == []


def test_ssh_asks_before_the_screen_starts(far: OtherMachine, tmp_path: Path) -> None:
    asking = tmp_path / "ssh_config"
    known = far.folder / "known_hosts"
    text = (far.folder / "ssh_config").read_text().replace(str(known), str(tmp_path / "known"))
    asking.write_text(text.replace("StrictHostKeyChecking yes", "StrictHostKeyChecking ask"))
    env = {**far.env, "LLMTUI_SSH": f"ssh -F {asking}"}
    screen = Screen(far.command("monitor", str(config(tmp_path, 1))), env)
    try:
        assert shows(screen, b"Are you sure you want to continue connecting")
        assert not (tmp_path / "known").exists()
        screen.press(b"yes\n")
        assert shows(screen, b" done")
        screen.press(b"q")
        rest(screen)
    finally:
        screen.close()
    assert screen.status == 0
    assert (tmp_path / "known").exists()
    assert left(far) == []


def shows(screen: Screen, text: bytes) -> bool:
    """Whether the screen has this text within the time in which things end."""
    seen = b""
    for data in screen.chunks(ENDS_S):
        seen += data
        if text in seen:
            return True
    return False


def rest(screen: Screen) -> bytes:
    return b"".join(screen.chunks(ENDS_S))


async def test_an_engine_is_detached_from_over_the_line(
    far: OtherMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = planned(far, config(tmp_path, 5), monkeypatch)
    link = await engine.connect()
    await link.send_last(Detach())
    engine.detach()
    assert left(far) == []
    assert len(stored(far, engine.plan.run)) == 2 * 6
