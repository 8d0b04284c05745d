"""What a second user of the machine does, in a process that really is another user's. Root only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

#: Two users that own nothing.
NOBODY = 65534
SOMEBODY = 61234

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def become(uid: int) -> None:
    """Give up root for `uid`, for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


class Stranger:
    """A process of another user; `heard` is what was sent to it."""

    def __init__(self, pid: int, output: int) -> None:
        self._pid = pid
        self._output = output

    def heard(self) -> bytes:
        """End it, and return all that it was sent by then."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        heard = b""
        while data := os.read(self._output, 65536):
            heard += data
        os.close(self._output)
        self._output = -1
        return heard

    def end(self) -> None:
        """End it, if it has not been asked what it heard."""
        if self._output >= 0:
            self.heard()


@contextmanager
def stranger_listening(
    port: int, host: str = "127.0.0.1", uid: int = NOBODY, answer: bytes = b"", *, closes_listener: bool = False
) -> Iterator[Stranger]:
    """Another user listens on `port` from here on, and gives `answer` to each connection that sends something.

    With `closes_listener` it stops listening as soon as one connection is there.
    """
    read, write = os.pipe()
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
                listener.listen()
                os.write(ready_write, b"!")
                while True:
                    connection, _ = listener.accept()
                    if closes_listener:
                        listener.close()
                    with connection:
                        while data := connection.recv(65536):
                            os.write(write, data)
                            if answer:
                                connection.sendall(answer)
        finally:
            os._exit(0)
    for end in (write, ready_write):
        os.close(end)
    stranger = Stranger(pid, read)
    try:
        assert os.read(ready_read, 1) == b"!", "the stranger could not listen"
        yield stranger
    finally:
        os.close(ready_read)
        stranger.end()
