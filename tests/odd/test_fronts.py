"""A front between llmtui and the engine: the CPU time and the memory are those of the engine, or unknown."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from llmtui.engine.watch.fronts import PATIENCE, FrontWatch
from llmtui.engine.watch.other_cpu import OtherCpuMeter
from llmtui.servers.peers import peers_of
from llmtui.servers.ports import free_port
from llmtui.servers.process_table import ProcessRow, process_table, tree, used_s
from llmtui.servers.server_processes import ServerProcesses, launched_processes, listening_processes
from llmtui.servers.unix_sockets import unix_sockets
from tests.odd.busy import WORK_S, running
from tests.odd.running import Outcome, run
from tests.odd.server import TOKENS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]

#: A machine on which nothing runs but the processes of this test.
_QUIET = """
import os, sys

if "llmtui.engine" in sys.orig_argv:
    from llmtui.engine.watch import other_cpu
    from llmtui.servers.process_table import TICKS_PER_S, process_table, tree

    def busy() -> float:
        table = process_table()
        pids = tree(table, [int(os.environ["TEST_PID"])])
        return sum(table[pid].cpu + table[pid].reaped for pid in pids) / TICKS_PER_S

    other_cpu.busy_cpu_seconds = busy
"""


def run_on_a_quiet_machine(folder: Path, tables: str, warmup: int = 0, iterations: int = 2) -> Outcome:
    """Run these backends where only the test's processes count as other work."""
    (folder / "sitecustomize.py").write_text(_QUIET)
    config = f"[run]\niterations = {iterations}\nwarmup = {warmup}\n{tables}"
    return run(folder, config, PYTHONPATH=str(folder), TEST_PID=str(os.getpid()))


def backend(name: str, port: int) -> str:
    return f'[[backend]]\nname = "{name}"\nurl = "http://127.0.0.1:{port}"\n'


@contextlib.contextmanager
def fronted(*upstream: str | int) -> Iterator[int]:
    """Run a busy server at `upstream`, and a proxy in front of it. Yield the proxy's port."""
    port = free_port()
    with running("server", *upstream), running("proxy", port, upstream[0]):
        yield port


def assert_computed(row: dict[str, Any]) -> None:
    """The server's CPU time is that of its work, give or take a few of the kernel's ticks."""
    assert row["server_cpu"] * row["latency_s"] > 0.7 * TOKENS * WORK_S, row


def assert_is_the_engine(outcome: Outcome) -> None:
    """The iterations are not disturbed, and the cores in use are the engine's."""
    assert outcome.code == 0, outcome.stderr
    for row in outcome.iterations:
        assert row["foreign_cpu"] < 0.1, row
        assert_computed(row)
    assert "busy: " not in outcome.stdout
    assert outcome.backend["state"]["note"].startswith("behind "), outcome.backend["state"]


def test_a_proxy_leads_to_the_engine(tmp_path: Path) -> None:
    with fronted(free_port()) as port:
        assert_is_the_engine(run_on_a_quiet_machine(tmp_path, backend("a", port)))


def test_a_proxy_leads_to_the_engine_by_a_unix_socket(tmp_path: Path) -> None:
    """ollama #739, llama-swap #122 and #365: engines on Unix sockets behind a reverse proxy."""
    with fronted(str(tmp_path / "engine.sock")) as port:
        assert_is_the_engine(run_on_a_quiet_machine(tmp_path, backend("a", port)))


def test_a_chain_of_fronts_and_an_engine_that_starts_a_runner(tmp_path: Path) -> None:
    """proxycache #5: a proxy before llama-swap before a cache before llama-server; Ollama's runner is a new child."""
    last, middle, first = free_port(), free_port(), free_port()
    with running("server", last, "CHILD"), running("proxy", middle, last), running("proxy", first, middle):
        assert_is_the_engine(run_on_a_quiet_machine(tmp_path, backend("a", first)))


def test_a_runner_that_starts_during_an_iteration_is_the_servers(tmp_path: Path) -> None:
    """Ollama starts a process for the model at a request: it is no other work."""
    port = free_port()
    with running("server", port, "CHILD"):
        outcome = run_on_a_quiet_machine(tmp_path, backend("a", port))
    assert all(row["foreign_cpu"] < 0.1 for row in outcome.iterations), outcome.iterations
    for row in outcome.iterations:
        assert_computed(row)
    assert outcome.backend["state"]["note"] == ""


def test_backends_with_one_engine_are_reported_in_one_note(tmp_path: Path) -> None:
    engine = free_port()
    with fronted(engine) as front:
        backends = backend("front", front) + backend("engine", engine) + backend("again", engine)
        outcome = run_on_a_quiet_machine(tmp_path, backends)
    assert "front, engine and again are served by the same process" in outcome.stderr
    assert outcome.stderr.count("the same process") == 1
    assert len(fresh_sets(outcome)) == 3, "each has prompts of its own"


def fresh_sets(outcome: Outcome) -> set[int]:
    return {one["state"]["fresh_set"] for one in outcome.run["backends"]}


def launched(name: str, port: int, *arguments: str | int) -> str:
    words = ", ".join(f'"{word}"' for word in (sys.executable, "-m", "tests.odd.busy", *arguments))
    return f'[[backend]]\nname = "{name}"\nlaunch = [{words}]\nurl = "http://127.0.0.1:{port}"\nready = "/v1/models"\n'


def test_a_launched_front_and_its_launched_engine_get_different_prompts(tmp_path: Path) -> None:
    """LiteLLM before an Ollama that llmtui launched too: the second to be asked found the prompt of the first."""
    engine, front = free_port(), free_port()
    tables = launched("engine", engine, "server", engine, "CHILD") + launched("front", front, "proxy", front, engine)
    other = free_port()
    outcome = run_on_a_quiet_machine(tmp_path, tables + launched("other", other, "server", other), warmup=1)
    assert outcome.code == 0, outcome.stderr
    states = {one["backend"]["name"]: one["state"]["fresh_set"] for one in outcome.run["backends"]}
    assert states["other"] == 0 and sorted([states["engine"], states["front"]]) == [0, 1]
    assert outcome.stderr.count("served by the same process: from now on each has prompts of its own") == 1
    for one in outcome.run["backends"]:
        for row in one["iterations"]:
            assert row["foreign_cpu"] < 0.1, row


@contextlib.contextmanager
def burner() -> Iterator[None]:
    """A program that has nothing to do with the server."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def test_other_work_still_disturbs(tmp_path: Path) -> None:
    with fronted(free_port()) as port, burner():
        outcome = run_on_a_quiet_machine(tmp_path, backend("a", port))
    assert any(row["foreign_cpu"] > 0.1 for row in outcome.iterations), outcome.iterations
    assert "busy: other programs used" in outcome.stdout


def test_memory_is_that_of_front_and_engine() -> None:
    engine = free_port()
    with fronted(engine) as port:
        processes = listening_processes("127.0.0.1", port)
        behind = listening_processes("localhost", engine)
        assert processes is not None and behind is not None
        alone = processes.sample()
        with socket.create_connection(("127.0.0.1", port)):
            wait_for_peer(processes)
        assert processes.behind == behind.first and processes.shares_engine_with(behind)
        both = processes.sample()
        assert alone is not None and both is not None and both[0] > 1.5 * alone[0]
        assert processes.front == f"behind {psutil.Process(min(processes._roots)).name()} (pid {min(processes._roots)})"


def wait_for_peer(processes: ServerProcesses) -> None:
    """Look until the proxy has connected to its upstream."""
    for _ in range(1000):
        processes.look()
        if processes.behind:
            return
    raise AssertionError("the proxy does not connect")


def test_an_engine_that_cannot_be_seen_makes_other_work_unknown() -> None:
    processes = ServerProcesses({os.getpid()}, hidden=True)
    assert not processes.judge(0.02, 1.0) and processes.elsewhere
    assert processes.sample() is None and processes.front == ""
    # A server that computes itself is the engine, whatever else it is connected to.
    assert processes.judge(1.0, 0.3) and processes.sample() is not None


def fake_proc(folder: Path, rows: list[str], inodes: dict[int, list[int]]) -> Path:
    """Write the files of /proc that are read: a table of TCP sockets, and the sockets of each process."""
    (folder / "net").mkdir()
    lines = ["  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"]
    (folder / "net" / "tcp").write_text("\n".join(lines + rows) + "\n")
    for pid, numbers in inodes.items():
        (folder / str(pid) / "fd").mkdir(parents=True)
        for number in numbers:
            (folder / str(pid) / "fd" / str(number)).symlink_to(f"socket:[{number}]")
    return folder


def row(local: str, remote: str, state: str, inode: int) -> str:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1"


FRONT, ENGINE, CLIENT = "0100007F:1F90", "0100007F:2328", "0100007F:C350"
ANY = "00000000:0000"


@pytest.mark.parametrize(
    ("rows", "inodes", "pids", "unseen"),
    [
        # The engine accepted the connection.
        (
            [row("0100007F:D431", ENGINE, "01", 11), row(ENGINE, "0100007F:D431", "01", 21)],
            {1: [11], 2: [21]},
            {2},
            False,
        ),
        # It has not accepted it yet: the listener counts.
        (
            [row("0100007F:D431", ENGINE, "01", 11), row(ENGINE, "0100007F:D431", "01", 0), row(ENGINE, ANY, "0A", 20)],
            {1: [11], 2: [20]},
            {2},
            False,
        ),
        # The engine is another user's: no process shows that it has the socket.
        ([row("0100007F:D431", ENGINE, "01", 11), row(ENGINE, "0100007F:D431", "01", 21)], {1: [11]}, set(), True),
        # Its peer has closed the connection and is gone.
        ([row("0100007F:D431", ENGINE, "08", 11)], {1: [11]}, set(), False),
        # docker-proxy (10.0.0.5 is a container), or another machine.
        ([row("0100000A:D431", "0500000A:1F90", "01", 11)], {1: [11]}, set(), True),
        # A client of the front is not what the front leads to.
        (
            [row(FRONT, ANY, "0A", 10), row(FRONT, CLIENT, "01", 12), row(CLIENT, FRONT, "01", 31)],
            {1: [10, 12], 3: [31]},
            set(),
            False,
        ),
        # A worker connects to a port of its own, as those of Ray do.
        (
            [row(ENGINE, ANY, "0A", 10), row(ENGINE, CLIENT, "01", 12), row(CLIENT, ENGINE, "01", 31)],
            {1: [10, 12], 3: [31]},
            {3},
            False,
        ),
        # The port of the engine is also one of another machine.
        (
            [row("0100000A:D431", "0600000A:2328", "01", 11), row("00000000:2328", ANY, "0A", 20)],
            {1: [11], 2: [20]},
            set(),
            True,
        ),
    ],
)
def test_peers(rows: list[str], inodes: dict[int, list[int]], pids: set[int], unseen: bool, tmp_path: Path) -> None:
    assert peers_of([1], [8080], fake_proc(tmp_path, rows, inodes))[:2] == (frozenset(pids), unseen)


def test_a_client_of_another_port_leads_nowhere(tmp_path: Path) -> None:
    """Some servers have a port of their own for metrics, which a monitor reads."""
    asked = [row("0100007F:D431", ENGINE, "01", 11), row(ENGINE, "0100007F:D431", "01", 21)]
    reader = [row(FRONT, ANY, "0A", 10), row(FRONT, CLIENT, "01", 12), row(CLIENT, FRONT, "01", 31)]
    seen = peers_of([1], [1], fake_proc(tmp_path, asked + reader, {1: [10, 11, 12], 2: [21], 3: [31]}))
    assert seen.pids == {2, 3}
    assert seen.workers == {3}


def test_unix_sockets_have_their_peers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client.connect(str(tmp_path / "s"))
        with listener.accept()[0] as accepted:
            ours, theirs = (os.fstat(one.fileno()).st_ino for one in (client, accepted))
            table = unix_sockets()
    if not table:
        pytest.skip("this system does not list its Unix sockets")
    assert table[ours] == (theirs, "") and table[theirs] == (ours, str(tmp_path / "s"))


def test_cpu_of_processes_that_start_and_end_is_counted_once() -> None:
    before = {1: ProcessRow(0, 1, 100, 50), 2: ProcessRow(1, 5, 40, 0), 9: ProcessRow(0, 1, 7, 7)}
    # 2 ended with 60 ticks and its parent reaped it; 3 is new; 4 has the PID of 2's sibling that ended unseen.
    after = {1: ProcessRow(0, 1, 110, 110), 3: ProcessRow(1, 9, 30, 0), 9: ProcessRow(0, 1, 99, 7)}
    members = tree(before, [1]) | tree(after, [1])
    assert members == {1, 2, 3}
    assert used_s(before, after, members) * os.sysconf("SC_CLK_TCK") == 10 + 20 + 30


def test_a_tree_leaves_out_llmtui() -> None:
    table = {n: ProcessRow(n - 1, 1, 0, 0) for n in range(1, 6)}
    assert tree(table, [2], without=[4]) == {2, 3}
    assert os.getpid() in process_table()


def test_a_listener_that_no_child_of_a_launched_server_has_is_its_front() -> None:
    """`docker run` is the launched process, and docker-proxy has the port."""
    port = free_port()
    with running("server", port) as pid:
        processes = launched_processes(os.getpid(), "127.0.0.1", port)
        assert not processes.behind, "a child"
        assert launched_processes(pid, "127.0.0.1", port).behind == frozenset()
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as client:
            assert launched_processes(client.pid, "127.0.0.1", port).behind == {pid}
            client.communicate()


def test_a_server_that_was_started_again_has_other_processes() -> None:
    port = free_port()
    with running("server", port) as first:
        processes = listening_processes("127.0.0.1", port)
        assert processes is not None and processes.start() and processes.first == {first}
    with running("server", port) as second:
        assert processes.start() and processes.first == {second}
        assert processes.sample() is not None


async def test_looking_ends_when_nothing_is_unexplained() -> None:
    processes = ServerProcesses({os.getpid()})
    looks: list[int] = []
    processes.look = lambda: looks.append(threading.get_ident())  # type: ignore[method-assign]

    class Meter(OtherCpuMeter):
        def result(self) -> tuple[float | None, float | None]:
            return foreign, 0.0

    async def looks_in_an_iteration() -> int:
        looks.clear()
        watch = FrontWatch(processes)
        watch.start()
        watch.stop()
        assert await watch.explain(Meter(processes, list)) == (foreign, 0.0)
        return len(looks)

    foreign = 0.0
    assert await looks_in_an_iteration() == 1, "a short answer is looked at after its end"
    assert threading.get_ident() not in looks
    assert await looks_in_an_iteration() == 0, "nothing was unexplained"
    foreign = 0.5
    assert await looks_in_an_iteration() == 1
    for _ in range(PATIENCE):
        await looks_in_an_iteration()
    assert not processes.curious and await looks_in_an_iteration() == 0
    processes.behind = frozenset({1})
    foreign = 0.0
    await looks_in_an_iteration()
    assert processes.curious, "a front may ask another engine at any time"
