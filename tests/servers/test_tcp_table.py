"""The kernel's socket table: rows of real sockets with their owner, and invalid rows."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from llmtui.servers.tcp_table import ESTABLISHED, LISTEN, endpoint, tcp_sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's table")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_and_both_ends_of_its_connection_have_their_owner(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((host, port)) as client, listener.accept()[0]:
            here, there = endpoint(*client.getsockname()[:2]), endpoint(host, port)
            ends = {(here, there, ESTABLISHED), (there, here, ESTABLISHED)}
            # Other connections may have the same port.
            rows = [
                row
                for row in tcp_sockets(port) or []
                if (row.local, row.remote, row.state) in ends or (row.local == there and row.state == LISTEN)
            ]
            assert {(row.local, row.remote, row.state) for row in rows if row.state != LISTEN} == ends
            assert len(rows) == 3
            assert {row.uid for row in rows} == {os.getuid()}
            assert all(row.inode for row in rows)


def test_a_connection_that_is_not_accepted_has_no_inode() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        port = listener.getsockname()[1]
        rows = tcp_sockets(port) or []
        here = endpoint(*client.getsockname())
        (served,) = [row for row in rows if row.local.port == port and row.remote == here and row.state == ESTABLISHED]
        assert served.inode == 0


def test_an_ipv4_mapped_address_is_ipv4() -> None:
    assert endpoint("::ffff:127.0.0.1", 80) == endpoint("127.0.0.1", 80)
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0]:
            rows = tcp_sockets(port) or []
            here, there = endpoint(*client.getsockname()), endpoint("127.0.0.1", port)
            ends = {(row.local, row.remote) for row in rows if row.state == ESTABLISHED}
            assert {(here, there), (there, here)} <= ends


def test_invalid_rows_are_skipped_and_a_missing_table_is_none(tmp_path: Path) -> None:
    assert tcp_sockets(80, tmp_path) is None
    (tmp_path / "net").mkdir()
    good = "0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0"
    bad = ["1: 0100007F:0050", "2: ZZ:0050 00000000:0000 0A a b c d e f", "3: 01:0050 00000000:0000 0A 0 0 0 1 0 7"]
    (tmp_path / "net" / "tcp").write_text("\n".join(["head", good, *bad]) + "\n")
    rows = tcp_sockets(80, tmp_path)
    assert rows is not None and len(rows) == 1
    assert rows[0].local == endpoint("127.0.0.1", 80) and rows[0].uid == 1000 and rows[0].inode == 77
