"""A client of the engine: JSON lines over a Unix socket. The monitor and `llmtui run` speak through nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from llmtui.model import AnyCommand, AnyEvent

#: Longest line that either side accepts: an iteration with its text and arrivals stays far below it.
MAX_LINE_BYTES = 64 * 1024 * 1024

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
    async def connect(cls, socket: Path) -> Self:
        """Connect to an engine's socket. Raises OSError when nobody listens."""
        reader, writer = await asyncio.open_unix_connection(str(socket), limit=MAX_LINE_BYTES)
        return cls(reader, writer)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Events as they come; ends when the engine has gone."""
        while True:
            try:
                line = await self._reader.readline()
            except (ConnectionError, ValueError):
                return
            if not line.endswith(b"\n"):
                return
            yield _decode_event(line)

    async def send(self, command: AnyCommand) -> None:
        """Send one command; silently does nothing when the engine has gone."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._writer.write(_encode(command) + b"\n")
            await self._writer.drain()

    async def farewell(self, command: AnyCommand) -> None:
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
