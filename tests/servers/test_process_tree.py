"""No process outlives its engine: real process trees in which each process is killed in turn."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from llmtui.servers.listener import Tree
from llmtui.servers.orphans import LINUX
from llmtui.servers.process_tree import GuardedProcess, output_lines, send_signal
from tests.servers.conftest import PATIENCE_S, RollCall, marked, program

linux = pytest.mark.skipif(not LINUX, reason="needs prctl")


def hold(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    """Run an engine process with this command under its guard."""
    return subprocess.Popen(program("hold", folder / "log", *command))


async def test_killing_the_engine_ends_the_whole_tree(tmp_path: Path, roll: RollCall) -> None:
    command = program("tree", roll.port, "child", "grandchild", "great-grandchild")
    holder = hold(tmp_path, *command)
    await roll.here("child", "grandchild", "great-grandchild")
    holder.kill()
    holder.wait()
    await roll.gone("child", "grandchild", "great-grandchild")


async def test_killing_the_guard_ends_the_whole_tree(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("tree", roll.port, "child", "grandchild"))
    await roll.here("child", "grandchild")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    await roll.gone("child", "grandchild")
    assert await process.wait() == -signal.SIGKILL


@linux
async def test_killing_guard_and_engine_together_ends_the_command(tmp_path: Path, roll: RollCall) -> None:
    holder = hold(tmp_path, *program("tree", roll.port))
    await roll.here("child")
    guard_pid = psutil.Process(roll.pids["child"]).ppid()
    for pid in (guard_pid, holder.pid):
        os.kill(pid, signal.SIGKILL)
    holder.wait()
    await roll.gone("child")


@pytest.mark.parametrize("after_ms", [40, 60, 80, 100, 120, 140, 160, 200])
def test_an_engine_killed_at_any_moment_of_the_start_leaves_nothing(tmp_path: Path, after_ms: int) -> None:
    mark = f"LLMTUI_TEST_MARK={tmp_path.name}-{after_ms}"
    name, _, value = mark.partition("=")
    command = program("hold", tmp_path / "log", "sleep", "600")
    holder = subprocess.Popen(command, env={**os.environ, name: value})
    with pytest.raises(subprocess.TimeoutExpired):
        holder.wait(after_ms / 1000)
    holder.kill()
    holder.wait()
    deadline = time.monotonic() + PATIENCE_S
    while left := marked(mark):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


async def test_orphans_of_the_command_are_killed(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("orphan", roll.port), grace_s=0.1)
    await roll.here("parent", "left behind")
    os.kill(roll.pids["parent"], signal.SIGTERM)
    await roll.gone("left behind")
    assert await process.wait() == -signal.SIGTERM


async def test_a_daemon_is_killed_and_reported(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("daemon", roll.port), grace_s=0.1)
    await roll.here("daemon")
    await roll.gone("daemon")
    assert await process.wait() == 0
    if LINUX:  # elsewhere it is found by its mark, after the guard has ended
        assert process.tail() == ["[llmtui: the command exited and left 1 processes behind; they are killed]"]


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_a_process_that_forks_on_sigterm_is_killed(tmp_path: Path, roll: RollCall, killed: bool) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("storm", roll.port, 300), grace_s=0.02)
    await roll.here("storm")
    if killed:
        assert process.pid is not None
        os.kill(roll.pids["storm"], signal.SIGTERM)
        os.kill(process.pid, signal.SIGKILL)
    await asyncio.wait_for(process.stop(), PATIENCE_S)
    assert marked(process.mark) == []


async def test_the_exit_code_survives_a_signal_to_a_dead_process() -> None:
    """The exit code shows that the guard was killed and left processes behind."""
    for spins in range(0, 3000, 100):
        process = await asyncio.create_subprocess_exec("sleep", "600")
        os.kill(process.pid, signal.SIGKILL)
        for _ in range(spins):  # It takes some microseconds to die.
            pass
        send_signal(process, signal.SIGTERM)
        assert await process.wait() == -signal.SIGKILL


async def test_stop_kills_a_tree_that_ignores_sigterm_and_can_be_repeated(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.stop()
    await process.start(program("tree", roll.port, "child", "grandchild"), grace_s=0.1)
    await roll.here("child", "grandchild")
    await asyncio.gather(process.stop(), process.stop())
    await roll.gone("child", "grandchild")
    assert process.exited.is_set()
    await process.stop()


async def test_the_grace_period_of_stop_overrides_that_of_start(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("tree", roll.port), grace_s=600)
    await roll.here("child")
    await asyncio.wait_for(process.stop(grace_s=0.1), PATIENCE_S)
    await roll.gone("child")


async def test_a_suspended_process_can_exit_on_sigterm(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("calm", roll.port), grace_s=PATIENCE_S)
    await roll.here("calm")
    os.kill(roll.pids["calm"], signal.SIGSTOP)
    await process.stop(grace_s=PATIENCE_S)
    assert process.returncode == -signal.SIGTERM


async def test_a_suspended_process_is_killed(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("tree", roll.port), grace_s=0.1)
    await roll.here("child")
    os.kill(roll.pids["child"], signal.SIGSTOP)
    await process.stop()
    await roll.gone("child")


@pytest.mark.slow
async def test_a_suspended_guard_is_killed_with_its_tree(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("tree", roll.port, "child", "grandchild"), grace_s=0.1)
    await roll.here("child", "grandchild")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    await process.stop(grace_s=0.1)
    await roll.gone("child", "grandchild")


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("exit 0", 0), ("kill -SEGV $$", -11)])
async def test_the_exit_status_is_returned(tmp_path: Path, command: str, code: int) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(["/bin/sh", "-c", command])
    assert await process.wait() == code


async def test_a_command_that_cannot_run_prints_the_cause(tmp_path: Path) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start([str(tmp_path / "nothing")])
    assert await process.wait() == 127
    assert process.tail() == [f"cannot run {tmp_path / 'nothing'}: No such file or directory"]


async def test_a_script_without_a_shebang_runs(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo arguments: $1 $2\n")
    script.chmod(0o755)
    process = GuardedProcess(tmp_path / "log")
    await process.start([str(script), "a", "b"])
    assert await process.wait() == 0
    assert process.tail() == ["arguments: a b"]


async def test_memory_and_cpu_are_summed_over_the_tree(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    assert process.sample() == (0, 0.0)
    await process.start(program("burn", roll.port), grace_s=0.1)
    await roll.here("burnt-50000000")
    rss, cpu_s = process.sample()
    assert 50_000_000 < rss < 150_000_000
    assert 0.25 <= cpu_s < 10
    await process.stop()
    rss, later_s = process.sample()
    assert rss == 0
    assert later_s >= cpu_s


def test_an_exited_tree_uses_nothing() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert Tree(child.pid).sample() == (0, 0.0)


def test_output_lines_have_no_colors_progress_bars_or_controls() -> None:
    raw = "\x1b[1;31mred\x1b[0m\r\n 10%\r 20%\r100%\n\x1b]0;title\x07\n\n\ttab\x00bed\u009b\n"
    assert output_lines(raw) == ["red", "100%", "    tabbed"]
