"""Another user of this machine: code that really runs in a process of another uid. Root only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pytest

#: Two users that own nothing.
NOBODY = 65534
SOMEBODY = 61234

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
#: Sends bytes from the other user's process to the test.
Send: TypeAlias = Callable[[bytes], object]


def become(uid: int) -> None:
    """Switch this process to `uid` for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def run_as(action: Callable[[Send], object], uid: int = NOBODY) -> bytes:
    """Run `action` in a process of another user. Return what it sends, then the name of the exception it raises."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            action(lambda data: os.write(write, data))
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as output:
        sent = output.read()
    os.waitpid(pid, 0)
    return sent


def attempts_by_nobody(*statements: str) -> list[str]:
    """Run each Python statement as another user. Return "done" or the name of the OSError for each."""

    def attempt(send: Send) -> None:
        for statement in statements:
            try:
                exec(statement, {"os": os})
                send(b"done\n")
            except OSError as error:
                send(f"{type(error).__name__}\n".encode())

    return run_as(attempt).decode("ascii").split()


class Stranger:
    """A listening process of another user."""

    def __init__(self, pid: int, output: int) -> None:
        self._pid = pid
        self._output = output

    def received(self) -> bytes:
        """End the process and return all that clients sent to it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        received = b""
        while data := os.read(self._output, 65536):
            received += data
        os.close(self._output)
        self._output = -1
        return received

    def end(self) -> None:
        """End the process, unless `received` did."""
        if self._output >= 0:
            self.received()


@contextmanager
def stranger_listening(
    port: int, host: str = "127.0.0.1", uid: int = NOBODY, answer: bytes = b"", *, closes_listener: bool = False
) -> Iterator[Stranger]:
    """Have another user listen on `port` and send `answer` for each piece of data that a client sends.

    With `closes_listener` it stops listening after the first connection.
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
