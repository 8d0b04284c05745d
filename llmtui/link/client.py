"""A client of the engine: JSON lines over a Unix socket, for the monitor and `llmtui run`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import msgspec

from llmtui.model import AnyCommand, AnyEvent

#: Longest line that either side accepts. An iteration with its text and arrivals is far shorter.
MAX_LINE_BYTES = 64 * 1024 * 1024
#: Bytes read at a time. What is not read yet is queued in the engine and not in the client's memory.
_READ_BYTES = 64 * 1024

#: The most that `send_last` waits for the engine to hang up.
HANG_UP_S = 10.0

#: sys/un.h and sys/ucred.h of macOS.
_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 1, 2
_XUCRED_BYTES = 76

_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(AnyEvent).decode


class EngineLink(Protocol):
    """What a monitor needs of an engine; `Client` is the real one."""

    def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events as they arrive, first a `Hello`; end when the engine has exited."""

    async def send(self, command: AnyCommand) -> None:
        """Send a command. Does not raise if the engine has exited: `events` then ends."""

    async def close(self) -> None:
        """Disconnect."""


@runtime_checkable
class LineLink(Protocol):
    """A link over a line that may drop and be opened again. `events` yields a further `Hello` then."""

    #: Called with the reason when the line drops, and at each further try; with "" when it is up again.
    on_line: Callable[[str], None]

    @property
    def up(self) -> bool:
        """Whether the line is up."""


class RunLink(EngineLink, Protocol):
    """What a program needs that ends the run itself."""

    async def send_last(self, command: AnyCommand) -> None:
        """Send a command, wait until the engine hangs up, and disconnect."""


class Engine(Protocol):
    """A started engine, on this machine or on another one."""

    async def connect(self) -> RunLink:
        """Return a client, once the engine listens. Raises EngineError if the engine exited instead."""

    def log_tail(self) -> str:
        """Return the last line of the engine's log, "" if there is none."""

    async def wait(self) -> bool:
        """Wait for the engine to exit; return False if it had to be killed."""

    def detach(self) -> None:
        """Let the engine go on alone."""

    def kill(self) -> None:
        """End the engine and its servers."""


class Client:
    """A client connected to one engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connect to an engine's socket. Raises OSError if no process listens, or one of another user."""
        reader, writer = await asyncio.open_unix_connection(str(path), limit=_READ_BYTES)
        uid, _ = peer(writer.get_extra_info("socket"))
        if uid is not None and uid != os.getuid():
            writer.close()
            raise PermissionError(errno.EPERM, "another user listens there", str(path))
        return cls(reader, writer)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events as they arrive; end when the engine has exited."""
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                data = await self._reader.read(_READ_BYTES)
            except ConnectionError:
                return
            *lines, rest = data.split(b"\n")
            for line in lines:
                yield _decode_event(b"".join((*parts, line)))
                parts, size = [], 0
            parts.append(rest)
            size += len(rest)
            if not data or size > MAX_LINE_BYTES:
                return

    async def send(self, command: AnyCommand) -> None:
        """Send one command. Does nothing if the engine has exited."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._writer.write(_encode(command) + b"\n")
            await self._writer.drain()

    async def send_last(self, command: AnyCommand) -> None:
        """Send a command and read until the engine hangs up, which confirms that it received the command.

        Closing with events unread would reset the connection, and the command could be lost. Call it only when
        nothing reads `events` any more.
        """
        await self.send(command)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(HANG_UP_S):
                while await self._reader.read(65536):
                    pass
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._writer.close()
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


def peer(sock: socket.socket) -> tuple[int | None, int | None]:
    """Return user and process at the other end (Linux: SO_PEERCRED, macOS: LOCAL_PEERCRED), None on other systems."""
    if not hasattr(socket, "SO_PEERCRED"):
        return _local_peer(sock) if sys.platform == "darwin" else (None, None)
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return uid, pid


def _local_peer(sock: socket.socket) -> tuple[int | None, int | None]:
    """Return user and process at the other end as XNU has them (sys/un.h): the user is the second of struct xucred."""
    try:
        raw = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
        uid: int = struct.unpack_from("=II", raw)[1]
        return uid, sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID)
    except (OSError, struct.error):
        return None, None
