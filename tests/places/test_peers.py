"""What a Mac gives without root: the other end of a Unix socket, listeners, connections, processes, their CPU time."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import psutil
import pytest

from llmtui.engine.watch import cpu_time
from llmtui.link.client import peer
from llmtui.servers import listener, listening_sockets, process_table
from llmtui.servers.peers_by_psutil import Peers, peers_by_psutil
from llmtui.servers.tcp_table import endpoint


class _MacSocket:
    """Answers getsockopt as XNU does."""

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        if (level, option) == (0, 1):
            return struct.pack("=IIhh16I", 0, 501, 1, 0, *[20] * 16)
        assert (level, option, size) == (0, 2, 0)
        return 4242


def test_peer_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peer(cast(socket.socket, _MacSocket())) == (501, 4242)
    one, two = socket.socketpair()
    with one, two:
        assert peer(one) == (None, None), "a system without such an option"


def test_listeners_without_a_table_are_found_by_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(kind: str) -> object:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refused)
    monkeypatch.setattr(listener, "listening_rows", lambda port: None)
    monkeypatch.setattr(listening_sockets, "listening_rows", lambda **_: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listener.listeners(port) == [listener.Listener("127.0.0.1", os.getpid())]
        assert listener.find_listener(port) == os.getpid()
    assert listener.listeners(port) == []


def test_processes_and_cpu_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = process_table.process_table()
    monkeypatch.setattr(process_table, "_PROC", tmp_path / "none")
    monkeypatch.setattr(cpu_time, "_PROC", tmp_path / "none")
    table = process_table.process_table()
    row = table[os.getpid()]
    assert (row.parent, row.group) == (os.getppid(), os.getpgid(0))
    assert row.cpu > 0
    if os.getpid() in known:
        assert abs(row.cpu - known[os.getpid()].cpu) <= 100, "the same unit"
    before = cpu_time.read_counters([os.getpid()])
    assert before is not None and before.busy_s > 0
    sum(range(2_000_000))
    now = cpu_time.read_counters([os.getpid()])
    assert now is not None and now.own_s[os.getpid()] >= before.own_s[os.getpid()] > 0
    assert cpu_time.process_cpu_seconds(2**22 + 1) is None


def test_a_process_that_listens_on_both_protocols_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {endpoint("0.0.0.0", 7), endpoint("::", 7)}
    monkeypatch.setattr(psutil, "pids", lambda: [42])
    monkeypatch.setattr(psutil, "net_connections", lambda kind: (_ for _ in ()).throw(psutil.AccessDenied()))
    monkeypatch.setattr(listener, "listening_rows", lambda port: None)
    monkeypatch.setattr(listener, "sockets_by_psutil", lambda pid: both)
    assert {one.address for one in listener.listeners(7)} == {"0.0.0.0", "::"}


#: Connects to the port in its first argument if there is one, listens, prints its port, and accepts one connection.
_ACCEPTS = """
import socket, sys
engine = socket.create_connection(("127.0.0.1", int(sys.argv[1]))) if sys.argv[1:] else None
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
print("accepted", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def accepts(*arguments: object) -> Iterator[tuple[int, int, IO[bytes]]]:
    """Run a process that listens, and yield its PID, its port, and what it prints next."""
    with subprocess.Popen(
        [sys.executable, "-c", _ACCEPTS, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline()), process.stdout
        finally:
            process.kill()


def test_a_front_leads_to_its_engine_without_proc() -> None:
    with (
        accepts() as (engine, engine_port, of_engine),
        accepts(engine_port) as (front, front_port, of_front),
        socket.create_connection(("127.0.0.1", front_port)),
    ):
        assert of_engine.readline() == of_front.readline() == b"accepted\n"
        assert peers_by_psutil({front}, {front_port}) == Peers(frozenset({engine}), False, frozenset({engine_port}))
        assert peers_by_psutil({engine}, {engine_port}) == Peers(frozenset(), False)
        assert peers_by_psutil({engine, front}, {front_port}) == Peers(frozenset(), False)
        # No client uses the port, so the process that connected to it is a front.
        assert peers_by_psutil({engine}, set()).workers == {front}


def test_an_engine_that_cannot_be_seen_is_said_to_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with accepts() as (_, engine_port, _), accepts(engine_port) as (front, front_port, _):
        monkeypatch.setattr(psutil, "pids", lambda: [front])
        assert peers_by_psutil({front}, {front_port}) == Peers(frozenset(), True, frozenset({engine_port}))
