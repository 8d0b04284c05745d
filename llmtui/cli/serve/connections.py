"""Accepts, limits and drops the connections of `llmtui serve`, so that a flood of them does not lock the user out.

A connection is waiting until a request on it has passed all checks. Only a few may wait, each for a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import struct
import weakref
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import psutil
from aiohttp import web

from llmtui.cli.serve.access import Connected, Owner, owners
from llmtui.servers.tcp_table import endpoint

#: A connection without an accepted request is closed after this time, even while it is sending.
PATIENCE_S = 5.0
#: A pause in which dropped connections are closed, before the next attempt to accept one.
_PAUSE_S = 0.2
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Files that this process opens besides connections and pages: static files, the pipes of a new process.
_OTHER_FILES = 16
_FILES_PER_PAGE = 3
#: As many connections of other users of this machine may wait, so that they leave room for the user's own.
_WAITING_OF_OTHERS = 4

Reporter = Callable[[str], None]


class Limits(NamedTuple):
    """The limits of open connections, of those that may wait, of connections accepted per batch, and of open pages."""

    connections: int
    waiting: int
    batch: int
    pages: int

    @classmethod
    def of_this_process(cls) -> Self:
        """Derive the limits from the limit of open files (RLIMIT_NOFILE)."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if most == resource.RLIM_INFINITY:
            most = 2**16
        return cls.for_files(most - psutil.Process().num_fds())

    @classmethod
    def for_files(cls, free: int) -> Self:
        """Derive the limits from `free` file descriptors."""
        spare = free - _OTHER_FILES
        pages = _within(1, spare // 8, 16)
        half = (spare - _FILES_PER_PAGE * pages) // 2
        connections = _within(8, half, 256)
        return cls(connections, waiting=min(64, connections // 2), batch=_within(4, half, 64), pages=pages)


def _within(least: int, number: int, most: int) -> int:
    return min(max(least, number), most)


class Connections:
    """Accepts connections on a listener and passes them to a web server."""

    def __init__(self, listener: socket.socket, limits: Limits, report: Reporter, *, others: bool = False) -> None:
        """`report` prints a message to the user. Each message is printed once.

        `others`: connections of other users of this machine are accepted too, and `is_own` tells which they are.
        """
        listener.setblocking(False)
        self._listener = listener
        self._limits = limits
        self._report = report
        self._reported: set[str] = set()
        self._others = others
        self._of_others = weakref.WeakSet[asyncio.BaseTransport]()
        self._open: dict[asyncio.BaseTransport, socket.socket] = {}
        #: Connections without an accepted request, oldest first, with the timers that drop them.
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    async def accept(self, server: web.Server) -> None:
        """Accept connections for `server` until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted = [await loop.sock_accept(self._listener)]
            except OSError as error:
                await self._cannot_accept(error)
                continue
            started = loop.time()
            accepted += self._more()
            # The kernel's table is a file too: without a free descriptor every connection would be refused silently.
            while accepted and (fault := self._no_file_left()) is not None:
                await self._cannot_accept(fault)
                _reset(accepted.pop()[0])
            for connection, own in self._allowed(accepted):
                await self._hand_over(connection, server, own)
            # A flood can use at most two thirds of the time. The open pages and the benchmark need the rest.
            await asyncio.sleep((loop.time() - started) / 2)

    def admit(self, transport: asyncio.BaseTransport | None) -> None:
        """Mark this connection as accepted: one of its requests has passed all checks."""
        if transport is not None and (timer := self._waiting.pop(transport, None)) is not None:
            timer.cancel()

    def is_own(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether this connection is not another user's of this machine."""
        return transport not in self._of_others

    def drop_waiting(self, most_left: int = 0) -> None:
        """Drop the oldest waiting connections until at most `most_left` are left."""
        while len(self._waiting) > most_left:
            self._drop(next(iter(self._waiting)))

    def _more(self) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
        """Accept what else has arrived: one expensive reading of the kernel's table is enough for a batch."""
        for _ in range(self._limits.batch - 1):
            try:
                connection, address = self._listener.accept()
            except OSError:
                return  # no further connection, or an error that the next attempt meets again
            connection.setblocking(False)
            yield connection, address

    def _no_file_left(self) -> OSError | None:
        try:
            os.close(os.dup(self._listener.fileno()))
        except OSError as error:
            return error
        return None

    async def _cannot_accept(self, error: OSError) -> None:
        if error.errno in _NO_ROOM:
            self._report_once(
                "too many open files, so connections are dropped; "
                "raise the limit with ulimit -n, or close pages that you do not need"
            )
            self.drop_waiting(len(self._waiting) // 2)
        # Any other error is of a connection that was closed before it was accepted.
        await asyncio.sleep(_PAUSE_S)

    def _allowed(self, accepted: list[tuple[socket.socket, tuple[str, int]]]) -> list[tuple[socket.socket, bool]]:
        """Return the connections that are allowed, and whether they are not another user's. Reset the others before a
        byte of them is read."""
        connected: dict[socket.socket, Connected] = {}
        for connection, peer in accepted:
            try:
                local = connection.getsockname()
                connected[connection] = Connected(endpoint(*peer[:2]), endpoint(*local[:2]))
            except (OSError, ValueError):
                connection.close()
        owner_of = dict(zip(connected, owners(list(connected.values())), strict=True))
        allowed = {Owner.ALLOWED, Owner.ANOTHER_USER} if self._others else {Owner.ALLOWED}
        if Owner.ANOTHER_USER in owner_of.values() and not self._others:
            self._report_once("refused a connection of another user of this machine; further ones are refused silently")
        for connection, owner in owner_of.items():
            if owner not in allowed:
                _reset(connection)
        return [(each, owner is Owner.ALLOWED) for each, owner in owner_of.items() if owner in allowed]

    async def _hand_over(self, connection: socket.socket, server: web.Server, own: bool) -> None:
        self._make_room()
        crowded = not own and len(self._of_others & self._waiting.keys()) >= _WAITING_OF_OTHERS
        if crowded or len(self._open) >= self._limits.connections:
            _reset(connection)
            return
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(server, sock=connection)
        except OSError:
            connection.close()  # the peer has closed it
            return
        if not own:
            self._of_others.add(transport)
        self._open[transport] = connection
        self._waiting[transport] = loop.call_later(PATIENCE_S, self._drop, transport)

    def _make_room(self) -> None:
        for transport in [each for each, connection in self._open.items() if connection.fileno() < 0]:
            del self._open[transport]
            self.admit(transport)
        admitted = len(self._open) - len(self._waiting)
        self.drop_waiting(max(0, min(self._limits.waiting, self._limits.connections - admitted) - 1))

    def _drop(self, transport: asyncio.BaseTransport) -> None:
        self.admit(transport)
        assert isinstance(transport, asyncio.WriteTransport)
        if (connection := self._open.pop(transport, None)) is not None and connection.fileno() >= 0:
            _reset_on_close(connection)
        transport.abort()

    def _report_once(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._report(text)


def _reset(connection: socket.socket) -> None:
    """Reset a connection from which nothing was read."""
    _reset_on_close(connection)
    connection.close()


def _reset_on_close(connection: socket.socket) -> None:
    """Make closing the connection send a reset. Otherwise it stays in the kernel's table for a minute, and repeated
    floods make every reading of the table slow."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
