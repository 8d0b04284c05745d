"""Requests that no browser sends to `llmtui serve`, as bytes, sent by us or by another user of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.cli.served import DEADLINE_S, Served

NOBODY = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
#: The headers of a browser that opens a websocket.
HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def head(served: Served, path: str = "/", *more: str, host: str | None = None) -> bytes:
    """A request for `path`, without the token unless it is in the path."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{served.port}'}", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def with_token(served: Served, path: str = "/", *more: str, host: str | None = None) -> bytes:
    """A request for `path` with the token in it."""
    return head(served, f"{path}{'&' if '?' in path else '?'}token={served.token}", *more, host=host)


def answer(served: Served, request: bytes, host: str = "127.0.0.1") -> bytes:
    """All that comes back for `request`, until the other side closes; which it has to do within the deadline."""
    got = b""
    with (
        socket.create_connection((host, served.port), timeout=DEADLINE_S) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(request)
        while data := connection.recv(65536):
            got += data
    return got


def status(got: bytes) -> int:
    """The status of an answer, 0 where there is none."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", got)
    return int(found[1]) if found else 0


def become_a_stranger() -> None:
    """Make this process one of another user, for good."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def answer_to_a_stranger(address: tuple[str, int], request: bytes, source: tuple[str, int] | None = None) -> bytes:
    """What another user's process gets at `address` for `request`: the bytes, or the name of its error. `source` is the
    address that it connects from."""
    read, write = os.pipe()
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    pid = os.fork()
    if pid == 0:
        try:
            become_a_stranger()
            # Addresses are numbers here: another user may not be able to load what it takes to look up names.
            with socket.socket(family) as knock:
                knock.settimeout(10)
                if source is not None:
                    knock.bind(source)
                knock.connect(address)
                knock.sendall(request)
                while data := knock.recv(65536):
                    os.write(write, data)
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        got = answer.read()
    os.waitpid(pid, 0)
    return got


@contextlib.contextmanager
def a_knocking_stranger(address: tuple[str, int]) -> Iterator[None]:
    """A process of another user that connects to `address` again and again, as fast as it can."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            become_a_stranger()
            end = time.monotonic() + DEADLINE_S
            while time.monotonic() < end:
                with contextlib.suppress(OSError), socket.socket() as knock:
                    knock.settimeout(1)
                    knock.connect(address)
                    os.write(write, b".")
                    knock.recv(1)
        finally:
            os._exit(0)
    os.close(write)
    try:
        with open(read, "rb") as knocks:
            assert knocks.read(10) == b"." * 10
            yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
