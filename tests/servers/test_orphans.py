"""Processes of an engine that was killed together with its guard are found by their mark and killed; no others are."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from llmtui.servers import orphans
from llmtui.servers.orphans import MARK, engine_is_dead, mark_of, new_mark, sweep_dead
from llmtui.servers.process_tree import GuardedProcess
from tests.hostile.strangers import NOBODY
from tests.servers.conftest import PATIENCE_S, RollCall, program, running

needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="has no pidfd")


@contextmanager
def carrier(mark: str, user: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with this mark."""
    command = ["/bin/sh", "-c", "echo here; read end"]
    with subprocess.Popen(
        command, env={**os.environ, MARK: mark}, user=user, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n"
            assert mark_of(process.pid) == mark
            yield process
        finally:
            process.kill()


def dead_mark() -> str:
    """Return the mark of an engine that has exited."""
    command = [sys.executable, "-c", "from llmtui.servers.orphans import new_mark; print(new_mark())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("reaped", [pytest.param(True, marks=pytest.mark.slow), False])
async def test_orphans_of_guard_and_engine_killed_together_are_swept(
    tmp_path: Path, roll: RollCall, reaped: bool
) -> None:
    names = ("child", "grandchild", "great-grandchild")
    with running(*program("hold", tmp_path / "log", *program("tree", roll.port, *names))) as engine:
        await roll.here(*names)
        guard_pid = psutil.Process(roll.pids["child"]).ppid()
        for number in (
            signal.SIGSTOP,
            signal.SIGKILL,
        ):  # suspended first, so that neither notices the exit of the other
            for pid in (guard_pid, engine.pid):
                os.kill(pid, number)
        await asyncio.to_thread(os.waitid, os.P_PID, engine.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
        if orphans.LINUX:  # elsewhere no signal tells a process that its parent has ended
            await roll.gone("child")
        # An engine of a parallel test may do it first: each sweeps at its start.
        sweep_dead()
        await roll.gone(*names)


async def test_processes_of_a_living_engine_are_not_swept(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("tree", roll.port, "child", "grandchild"), grace_s=0.1)
    await roll.here("child", "grandchild")
    assert not set(sweep_dead()) & {process.pid, *roll.pids.values()}
    assert all(psutil.Process(pid).is_running() for pid in roll.pids.values())
    await process.stop()


def test_a_suspended_engine_is_not_dead() -> None:
    with running("sleep", "600") as engine:
        os.kill(engine.pid, signal.SIGSTOP)
        namespace, _, _, token = new_mark().split(".")
        mark = f"{namespace}.{engine.pid}.{orphans._start(engine.pid)}.{token}"
        assert not engine_is_dead(mark)
        engine.kill()
        engine.wait()
        assert engine_is_dead(mark)


def test_a_reused_pid_does_not_protect_orphans() -> None:
    namespace, pid, start, token = new_mark().split(".")
    with carrier(f"{namespace}.{pid}.{int(start) - 1}.{token}") as stray:
        assert sweep_dead().count(stray.pid) == 1
        assert stray.wait() == -signal.SIGKILL
    # The PID belongs to this process now.


@pytest.mark.parametrize(
    "mark",
    ["", "0123456789abcdef", "a.b.c.d", "1.2", "4026531836.-1.5.x", "{other}.{pid}.1.x", "{own}.{pid}.0.x"],
)
def test_marks_that_cannot_be_checked_are_left_alone(mark: str) -> None:
    own, pid, *_ = dead_mark().split(".")
    with carrier(mark.format(own=own, other=int(own or 0) + 1, pid=pid)) as process:
        assert process.pid not in sweep_dead()
        assert process.poll() is None


def test_a_process_does_not_sweep_its_own_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = dead_mark()
    with carrier(mark) as process:
        monkeypatch.setenv(MARK, mark)
        assert process.pid not in sweep_dead()
        monkeypatch.setenv(MARK, secrets.token_hex(4))
        sweep_dead()
        # Killed here, or by an engine of a parallel test, which sweeps at its start.
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_another_users_processes_are_left_alone() -> None:
    with carrier(dead_mark(), user=NOBODY) as process:
        assert process.pid not in sweep_dead()


@needs_pidfd
def test_python_without_pidfd_kills_orphans_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.delattr(signal, "pidfd_send_signal")
    with carrier(dead_mark()) as process:
        sweep_dead()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


@needs_pidfd
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_kernel_without_pidfd_kills_orphans_too(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(pid: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pidfd_open", refused)
    with carrier(dead_mark()) as process:
        sweep_dead()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_mark_is_made_where_processes_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(orphans, "_start", hidden)
    assert new_mark().split(".")[2] == "0"
