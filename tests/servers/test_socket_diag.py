"""One socket, asked from the kernel: the same owner as in its table of all sockets."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from llmtui.servers.socket_diag import find_socket
from llmtui.servers.socket_owners import socket_owners
from llmtui.servers.tcp_table import ESTABLISHED, LISTEN, Endpoint, endpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's way to ask")


@pytest.mark.parametrize(
    ("listens_on", "asked"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")]
)
def test_the_listener_and_the_connection_are_found_with_their_owner(listens_on: str, asked: str) -> None:
    family = socket.AF_INET6 if ":" in listens_on else socket.AF_INET
    with socket.create_server((listens_on, 0), family=family, dualstack_ipv6=listens_on == "::") as listener:
        there = endpoint(asked, listener.getsockname()[1])
        with socket.create_connection((asked, there.port)) as client:
            here = endpoint(*client.getsockname()[:2])
            waiting = find_socket(there, here)
            assert waiting is not None and (waiting.state, waiting.inode) == (ESTABLISHED, 0)
            with listener.accept()[0]:
                accepted = find_socket(there, here)
                assert accepted is not None and accepted.inode
                assert (accepted.state, accepted.uid) == (ESTABLISHED, os.getuid())
                listening = find_socket(there, Endpoint(here.address, 0))
                assert listening is not None and (listening.state, listening.uid) == (LISTEN, os.getuid())
                listener.close()
                assert socket_owners(here, there) == frozenset({os.getuid()})


def test_a_port_without_a_socket_has_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = endpoint(*listener.getsockname())
    assert find_socket(there, endpoint("127.0.0.1", 0)) is None
    assert socket_owners(endpoint("127.0.0.1", 1), there) == frozenset()


def test_a_kernel_that_does_not_tell_leaves_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        here, there = endpoint(*client.getsockname()), endpoint(*listener.getsockname())
        monkeypatch.setattr(socket, "AF_NETLINK", -1)
        assert find_socket(there, here) is None
        assert socket_owners(here, there) == frozenset({os.getuid()})
