"""The CPU of a server has that of every process that it starts during a request, from its first moment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from llmtui.servers.process_table import ProcessRow, orphans, used_s
from llmtui.servers.server_processes import ServerProcesses

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
BURNT_S = 0.12
#: Below this much CPU, a process that does next to nothing is told from one that used `BURNT_S`.
LITTLE_S = 0.08

#: Uses CPU, says so, and stays until its input ends.
_WORKER = f"""
import sys, time
while time.process_time() < {BURNT_S}: pass
print("done", flush=True)
sys.stdin.read()
"""
#: Starts a worker for each line of its input, and says when it has done its work.
_SERVER = f"""
import os, subprocess, sys
WORKER = {_WORKER!r}
BELOW = "import subprocess, sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', sys.argv[1]])"
START = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
kept = []
def worker():
    kept.append(subprocess.Popen([sys.executable, "-I", "-S", "-c", WORKER], **START))
    kept[-1].stdout.readline()
    return kept[-1]
for line in sys.stdin:
    how = line.strip()
    if how == "runs on":
        worker()
    elif how == "was waited for":
        worker().communicate()
    elif how == "was not waited for":
        ended = worker()
        ended.stdin.close()
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    elif how == "has no parent":
        kept.append(subprocess.Popen([sys.executable, "-I", "-S", "-c", BELOW, WORKER], **START))
        kept[-1].stdout.readline()
        kept[-1].wait()
    print("ok", flush=True)
"""


@contextlib.contextmanager
def server() -> Iterator[subprocess.Popen[str]]:
    """A server in a process group of its own, as a shell starts one; all that it started ends with it."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _SERVER],
        text=True,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        ask(process, "")
        yield process
        assert process.stdin is not None
        process.stdin.close()


def ask(process: subprocess.Popen[str], how: str) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(how + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ok\n"


@pytest.mark.parametrize("how", ["runs on", "was waited for", "was not waited for", "has no parent"])
def test_a_process_that_is_started_during_a_request_is_the_servers(how: str) -> None:
    with server() as process:
        processes = ServerProcesses({process.pid})
        assert processes.start()
        ask(process, how)
        processes.stop()
        assert processes.used_s() >= LITTLE_S


@pytest.mark.parametrize("how", ["runs on", "was waited for", "was not waited for", "has no parent"])
def test_what_it_used_before_a_request_is_not_counted_in_it(how: str) -> None:
    """A worker that ended before is in its parent's sum already, and one that goes on has its own."""
    with server() as process:
        ask(process, how)
        processes = ServerProcesses({process.pid})
        assert processes.start()
        ask(process, "")
        processes.stop()
        assert processes.used_s() < LITTLE_S


def test_what_has_no_parent_stays_the_servers() -> None:
    with server() as process:
        processes = ServerProcesses({process.pid})
        for how, least_s in (("has no parent", LITTLE_S), ("", 0.0), ("has no parent", LITTLE_S)):
            assert processes.start()
            ask(process, how)
            processes.stop()
            assert least_s <= processes.used_s() < 2 * BURNT_S
            assert processes.used_s() == processes.used_s()


def test_another_program_is_not_the_servers() -> None:
    with server() as process, server() as other:
        processes = ServerProcesses({process.pid})
        assert processes.start()
        ask(other, "has no parent")
        processes.stop()
        assert processes.used_s() < LITTLE_S


def row(parent: int, started: int = 1, cpu: int = 0, reaped: int = 0, group: int = 7) -> ProcessRow:
    return ProcessRow(parent, started, cpu, reaped, group)


def test_a_chain_that_ends_is_counted_once() -> None:
    """The server waited for a runner, which had waited for its own child: all that both had used is in its sum."""
    before = {1: row(0, reaped=5), 2: row(1, cpu=300), 3: row(2, cpu=200)}
    after = {1: row(0, reaped=5 + 300 + 200 + 12)}
    assert used_s(before, after, {1, 2, 3}) * TICKS_PER_S == pytest.approx(12)


def test_orphans_are_new_and_of_the_servers_group() -> None:
    before = {1: row(0, group=1), 7: row(1), 8: row(1, group=8), 30: row(1, started=3)}
    after = before | {
        20: row(1, started=9),
        21: row(20, started=9),
        22: row(1, started=9, group=8),
        30: row(1, started=9),
        31: row(1, started=3, group=1),
    }
    assert orphans(before, after, {7}) == {20, 30}, "21 is below 20, 22 and 31 are of other groups; 30 has a PID again"
    assert orphans(before, before, {7}) == set()
    # A script that starts a server and llmtui (50) has one group for all that it starts.
    assert orphans(before, after | {50: row(1)}, {7}, [50]) == set()
    assert orphans({7: row(1, group=0)}, {7: row(1, group=0), 9: row(1, 9, group=0)}, {7}) == set(), "unknown groups"
