"""Carries lines between the engine's socket and a pair of pipes: the other end of a line to another machine.

It runs beside the engine that measures, so it copies bytes and looks at nothing but the ends of lines. Before that,
`only_new` lets the engine leave out what the other machine has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from typing import Literal

import msgspec

from llmtui.link.line_messages import SILENCE_S
from llmtui.model import Since, Struct

#: No more is read from the engine while this many bytes wait for the line: the engine then drops what may be dropped.
_MOST_WAITING = 64 * 1024
_READ_BYTES = 64 * 1024
#: How a line with a hello begins.
_HELLO = b'{"type":"hello"'

#: Who ended it: the engine, or the line.
Ending = Literal["engine", "line"]


class Bridge:
    """Carries the lines of one engine until it hangs up, or the line is gone or silent."""

    def __init__(
        self,
        engine: socket.socket,
        commands: int = 0,
        events: int = 1,
        silence_s: float = SILENCE_S,
        first: bytes = b"",
    ) -> None:
        self._engine = engine
        self._commands = commands
        self._events = events
        self._silence_s = silence_s
        self._typed = b""
        #: What is to be written, at first what was read of the engine before.
        self._waiting = bytearray(first)
        self._heard = time.monotonic()
        #: The last line with a command.
        self.last_command = b""

    def run(self) -> Ending:
        """Carry lines. At the end of the engine all that it sent has been written."""
        os.set_blocking(self._events, False)
        hung_up = False
        while not hung_up or self._waiting:
            poll = select.poll()
            poll.register(self._commands, select.POLLIN)
            if not hung_up and len(self._waiting) < _MOST_WAITING:
                poll.register(self._engine, select.POLLIN)
            # Without a flag it reports that the reader is gone.
            poll.register(self._events, select.POLLOUT if self._waiting else 0)
            left_s = self._heard + self._silence_s - time.monotonic()
            if left_s <= 0:
                return "line"
            ready = dict(poll.poll(left_s * 1000))
            try:
                if self._commands in ready and not self._carry_commands():
                    return "line"
                if self._engine.fileno() in ready:
                    hung_up = not self._take_events()
                if ready.get(self._events, 0) & (select.POLLERR | select.POLLHUP):
                    return "line"
                self._write_events()
            except OSError:
                return "line"
        return "engine"

    def _carry_commands(self) -> bool:
        """Pass whole commands on. Return False at the end of the line."""
        data = os.read(self._commands, _READ_BYTES)
        self._heard = time.monotonic()
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in filter(None, lines):
            self.last_command = line
            with contextlib.suppress(OSError):  # it has just hung up, and reading says so
                self._engine.sendall(line + b"\n")
        return bool(data)

    def _take_events(self) -> bool:
        try:
            data = self._engine.recv(_READ_BYTES)
        except ConnectionError:
            return False
        self._waiting += data
        self._write_events()
        return bool(data)

    def _write_events(self) -> None:
        if self._waiting:
            with contextlib.suppress(BlockingIOError):
                del self._waiting[: os.write(self._events, self._waiting)]


class _Skipped(Struct, frozen=True):
    """The part of a hello that says whether its engine knows `Since`."""

    skipped: int | None = None


def only_new(engine: socket.socket, have: Since) -> bytes:
    """Ask an engine, on a new connection, for what is new to a client. Return what it has sent of that.

    An engine of an older version sends everything. Raises OSError.
    """
    data = _with_line(engine, b"")
    if msgspec.json.decode(data[: data.index(b"\n")], type=_Skipped).skipped is None:
        return data
    engine.sendall(msgspec.json.encode(have) + b"\n")
    while True:
        data = _with_line(engine, data[data.index(b"\n") + 1 :])
        if data.startswith(_HELLO):
            return data


def _with_line(engine: socket.socket, data: bytes) -> bytes:
    """Return `data` and what follows it, at least to the end of a line. Raises OSError."""
    parts = [data]
    while b"\n" not in parts[-1]:
        parts.append(engine.recv(_READ_BYTES))
        if not parts[-1]:
            raise ConnectionResetError(errno.ECONNRESET, "it has just ended")
    return b"".join(parts)
