"""A client of the engine: JSON lines over a Unix socket. The monitor and `llmtui run` speak through nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from llmtui.model import AnyCommand, AnyEvent

#: Longest line that either side accepts: an iteration with its text and arrivals stays far below it.
MAX_LINE_BYTES = 64 * 1024 * 1024
#: Read at a time: what lies ahead waits with the engine and not in the memory of who watches.
_READ_BYTES = 64 * 1024

#: An engine hangs up on a client that has taken leave well within this time.
FAREWELL_S = 10.0

_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(AnyEvent).decode


class EngineLink(Protocol):
    """What a monitor needs of an engine; the real one is `Client`."""

    def events(self) -> AsyncIterator[AnyEvent]:
        """Events as they come, the first a `Hello`; ends when the engine has gone."""

    async def send(self, command: AnyCommand) -> None:
        """Ask the engine for something. Never raises when the engine has gone: `events` then ends."""

    async def close(self) -> None:
        """Leave."""


class Client:
    """Connected client of one engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connect to an engine's socket. Raises OSError when nobody listens, or another user does."""
        reader, writer = await asyncio.open_unix_connection(str(path), limit=_READ_BYTES)
        uid, _ = peer(writer.get_extra_info("socket"))
        if uid is not None and uid != os.getuid():
            writer.close()
            raise PermissionError(errno.EPERM, "another user listens there", str(path))
        return cls(reader, writer)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Events as they come; ends when the engine has gone."""
        begun: list[bytes] = []
        size = 0
        while True:
            try:
                data = await self._reader.read(_READ_BYTES)
            except ConnectionError:
                return
            *lines, rest = data.split(b"\n")
            for line in lines:
                yield _decode_event(b"".join((*begun, line)))
                begun, size = [], 0
            begun.append(rest)
            size += len(rest)
            if not data or size > MAX_LINE_BYTES:
                return

    async def send(self, command: AnyCommand) -> None:
        """Send one command; silently does nothing when the engine has gone."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._writer.write(_encode(command) + b"\n")
            await self._writer.drain()

    async def send_last(self, command: AnyCommand) -> None:
        """Send a last command and read on until the engine hangs up: only then is it sure to have been heard.

        Closing with events unread would reset the connection, and what was sent last might be lost with it. Nobody else
        may be reading.
        """
        await self.send(command)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FAREWELL_S):
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
    """User and process at the other end (Linux: SO_PEERCRED, unix(7)); None where the platform does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None, None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return uid, pid
