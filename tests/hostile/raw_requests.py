"""HTTP requests to `llmtui serve` as raw bytes, sent by this user or by another one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator

from tests.cli.served import DEADLINE_S, Served
from tests.hostile.strangers import NOBODY, Send, become, run_as

#: The headers with which a browser opens a websocket.
HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def head(served: Served, path: str = "/", *more: str, host: str | None = None) -> bytes:
    """Return a GET request for `path`, without a token."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{served.port}'}", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def with_token(served: Served, path: str = "/", *more: str, host: str | None = None) -> bytes:
    """Return a GET request for `path` with the token."""
    return head(served, f"{path}{'&' if '?' in path else '?'}token={served.token}", *more, host=host)


def answer(served: Served, request: bytes, host: str = "127.0.0.1") -> bytes:
    """Send `request` and return all bytes until the server closes, which it must do within the deadline."""
    received = b""
    with (
        socket.create_connection((host, served.port), timeout=DEADLINE_S) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(request)
        while data := connection.recv(65536):
            received += data
    return received


def status(answer: bytes) -> int:
    """Return the status of an HTTP answer, 0 if it has none."""
    match = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(match[1]) if match else 0


def answer_to_stranger(address: tuple[str, int], request: bytes, source: tuple[str, int] | None = None) -> bytes:
    """Return what another user's process receives at `address` for `request`, then the name of its error, if any.

    `source` is the address from which it connects.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

    def ask(send: Send) -> None:
        # Addresses are numeric here: another user may not be allowed to load what resolves names.
        with socket.socket(family) as client:
            client.settimeout(10)
            if source is not None:
                client.bind(source)
            client.connect(address)
            client.sendall(request)
            while data := client.recv(65536):
                send(data)

    return run_as(ask)


@contextlib.contextmanager
def stranger_connecting(address: tuple[str, int]) -> Iterator[None]:
    """Have another user connect to `address` in a loop, as fast as possible."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            become(NOBODY)
            end = time.monotonic() + DEADLINE_S
            while time.monotonic() < end:
                with contextlib.suppress(OSError), socket.socket() as client:
                    client.settimeout(1)
                    client.connect(address)
                    os.write(write, b".")
                    client.recv(1)
        finally:
            os._exit(0)
    os.close(write)
    try:
        with open(read, "rb") as connected:
            assert connected.read(10) == b"." * 10
            yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
