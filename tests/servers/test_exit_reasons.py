"""Descriptions of exits, and when a lack of memory is reported as the cause."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmtui.servers import exit_reasons as endings
from llmtui.servers.exit_reasons import Kills, MemoryWatch, exit_reason, kills
from llmtui.servers.process_tree import GuardedProcess
from tests.servers.conftest import program


@pytest.mark.parametrize(
    ("code", "facts", "words"),
    [
        (None, {}, "still running"),
        (0, {}, "exit code 0"),
        (1, {}, "exit code 1"),
        (1, {"reported": True}, "exit code 1; out of memory, according to its log"),
        (1, {"out_of_memory": True}, "exit code 1; the kernel killed a process at that time: out of memory"),
        (-6, {"reported": True}, "killed by signal 6 (SIGABRT); out of memory, according to its log"),
        (-11, {}, "killed by signal 11 (SIGSEGV)"),
        # ollama #644, #6044 and llama.cpp #8734: AVX instructions on a processor without them.
        (-4, {}, "killed by signal 4 (SIGILL); it was built for another processor"),
        (132, {}, "exit code 132; it was built for another processor"),
        (-99, {}, "killed by signal 99"),
        (-15, {"stopping": True, "out_of_memory": True}, "killed by signal 15 (SIGTERM)"),
        (-9, {"stopping": True, "out_of_memory": True}, "killed by signal 9: it did not exit on SIGTERM"),
        (-9, {}, "killed by signal 9 (out of memory?)"),
        (-9, {"out_of_memory": True}, "killed by the kernel: out of memory"),
        (
            -9,
            {"out_of_memory": True, "used_bytes": 3_100_000_000},
            "killed by the kernel: out of memory (it used 3.1 GB)",
        ),
        (137, {"out_of_memory": True, "used_bytes": 52_000_000}, "killed by the kernel: out of memory (it used 52 MB)"),
        (
            -9,
            {"out_of_memory": False},
            "killed by signal 9 (not by the kernel for lack of memory)",
        ),
        (137, {}, "exit code 137: killed by signal 9 (out of memory?)"),
    ],
)
def test_exit_reason_of_codes_and_signals(code: int | None, facts: dict[str, Any], words: str) -> None:
    assert exit_reason(code, **facts) == words


@pytest.mark.parametrize(
    ("before", "now", "code", "out_of_memory"),
    [
        (Kills(0, 0), Kills(1, 1), -9, True),
        (Kills(2, 7), Kills(2, 7), -9, False),
        (Kills(2, 7), Kills(2, 8), -9, None),  # elsewhere on the machine
        (Kills(2, 7), Kills(2, 8), 137, True),  # in a container
        (Kills(None, 7), Kills(None, 8), -9, True),
        (Kills(None, 7), Kills(None, 7), -9, False),
        (Kills(2, None), Kills(2, None), -9, False),
        (Kills(None, None), Kills(None, None), -9, None),
    ],
)
def test_out_of_memory_from_the_counters(before: Kills, now: Kills, code: int, out_of_memory: bool | None) -> None:
    counts = iter([before, now])
    assert MemoryWatch(lambda: next(counts)).out_of_memory(code) is out_of_memory


def test_a_kill_before_the_last_periods_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [Kills(0, 0)]
    watch = MemoryWatch(lambda: counts[-1])
    counts.append(Kills(1, 1))
    monkeypatch.setattr(endings, "SPAN_S", 0.0)
    watch.update(5)
    assert watch.out_of_memory(-9) is True
    watch.update(0)
    assert watch.out_of_memory(-9) is False
    assert watch.used_bytes == 5


def test_kills_are_read_from_cgroup_v1_and_v2(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    files = {
        proc / "self/cgroup": "4:memory:/old/group\n3:cpu:/x\n0::/user/app\n",
        proc / "vmstat": "nr_free_pages 5\noom_kill 40\n",
        groups / "user/app/memory.events": "oom 9\noom_kill 1\noom_group_kill 0\n",
        groups / "user/memory.events": "oom_kill 2\n",
        groups / "memory/old/group/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 10\n",
        groups / "x/memory.events": "oom_kill 1000\n",
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert kills(proc, groups) == Kills(13, 40)
    assert kills(tmp_path / "none", groups) == Kills(None, None)


async def test_a_memory_error_in_the_log_is_reported(tmp_path: Path) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(["/bin/sh", "-c", 'ulimit -v 400000; exec "$@"', "-", *program("hog")])
    assert await process.wait() == 1
    assert process.exit_reason() == "exit code 1; out of memory, according to its log"


def works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=5).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


async def test_a_kill_by_the_kernel_is_reported(tmp_path: Path) -> None:
    scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", "MemoryMax=100M", "-p", "MemorySwapMax=0"]
    if not await asyncio.to_thread(works, [*scope, "true"]):
        pytest.skip("no control group with a limit can be made here")
    process = GuardedProcess(tmp_path / "log")
    await process.start([*scope, *program("hog")])
    await process.wait()
    assert process.exit_reason().startswith("killed by the kernel: out of memory")
