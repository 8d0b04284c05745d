"""The connections of `llmtui serve`: they are accepted, counted and dropped here, so that no crowd shuts the user out.

A connection waits until a request on it has passed all checks. Few may wait, and none for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import psutil
from aiohttp import web

from llmtui.cli.serve.access import Connected, Owner, owners
from llmtui.servers.tcp_table import endpoint

#: A connection without an accepted request is closed after so long, however busily it sends.
PATIENCE_S = 5.0
#: Let connections that were just dropped go before the next attempt to accept one.
_PAUSE_S = 0.2
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Files that this process opens beside connections and pages: parts of the page, pipes of a process that starts.
_OTHER_FILES = 16
_FILES_PER_PAGE = 3

Say = Callable[[str], None]


class Limits(NamedTuple):
    """How many connections are held, how many of them may wait, how many more are accepted at a time to be checked,
    and how many pages may be open."""

    connections: int
    waiting: int
    batch: int
    pages: int

    @classmethod
    def of_this_process(cls) -> Self:
        """As many as the limit of open files (RLIMIT_NOFILE) allows."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if most == resource.RLIM_INFINITY:
            most = 2**16
        return cls.for_files(most - psutil.Process().num_fds())

    @classmethod
    def for_files(cls, free: int) -> Self:
        """As many as `free` file descriptors allow."""
        spare = free - _OTHER_FILES
        pages = _within(1, spare // 8, 16)
        half = (spare - _FILES_PER_PAGE * pages) // 2
        connections = _within(8, half, 256)
        return cls(connections, waiting=min(64, connections // 2), batch=_within(4, half, 64), pages=pages)


def _within(least: int, number: int, most: int) -> int:
    return min(max(least, number), most)


class Connections:
    """Accepts connections at a listener and hands them to a web server."""

    def __init__(self, listener: socket.socket, limits: Limits, say: Say) -> None:
        """`say` tells the user something, each thing once."""
        listener.setblocking(False)
        self._listener = listener
        self._limits = limits
        self._say = say
        self._said: set[str] = set()
        self._open: dict[asyncio.BaseTransport, socket.socket] = {}
        #: Those without an accepted request, the oldest first, and what ends them.
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
            begun = loop.time()
            accepted += self._more()
            # The kernel's table is a file too. Unread, it would have everybody refused, and nothing said.
            while accepted and (fault := self._no_file_left()) is not None:
                await self._cannot_accept(fault)
                _reset(accepted.pop()[0])
            for connection in self._own(accepted):
                await self._hand_over(connection, server)
            # So a flood cannot take all of our time: the open pages and the race on this machine want the rest.
            await asyncio.sleep((loop.time() - begun) / 2)

    def admit(self, transport: asyncio.BaseTransport | None) -> None:
        """A request on this connection passed all checks: it no longer counts among those that wait."""
        if transport is not None and (timer := self._waiting.pop(transport, None)) is not None:
            timer.cancel()

    def drop_waiting(self, most_left: int = 0) -> None:
        """Drop the oldest of the connections that wait, so that at most `most_left` are left."""
        while len(self._waiting) > most_left:
            self._drop(next(iter(self._waiting)))

    def _more(self) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
        """What else can be accepted now: one reading of the kernel's table is dear, and serves for all of them."""
        for _ in range(self._limits.batch - 1):
            try:
                connection, address = self._listener.accept()
            except OSError:
                return  # nothing more, or a fault that the next attempt meets again
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
            self._once(
                "too many open files: connections are dropped to make room; "
                "raise the limit with ulimit -n, or close pages that you do not need"
            )
            self.drop_waiting(len(self._waiting) // 2)
        # Any other fault is of a connection that broke before it was accepted.
        await asyncio.sleep(_PAUSE_S)

    def _own(self, accepted: list[tuple[socket.socket, tuple[str, int]]]) -> list[socket.socket]:
        """Those that may go on; the others are closed before a byte of them is read."""
        known: dict[socket.socket, Connected] = {}
        for connection, peer in accepted:
            try:
                ours = connection.getsockname()
                known[connection] = Connected(endpoint(*peer[:2]), endpoint(*ours[:2]))
            except (OSError, ValueError):
                connection.close()
        whose = dict(zip(known, owners(list(known.values())), strict=True))
        if Owner.ANOTHER_USER in whose.values():
            self._once("refused a connection of another user of this machine; more of them are refused silently")
        for connection, owner in whose.items():
            if owner is not Owner.ALLOWED:
                _reset(connection)
        return [connection for connection, owner in whose.items() if owner is Owner.ALLOWED]

    async def _hand_over(self, connection: socket.socket, server: web.Server) -> None:
        self._make_room()
        if len(self._open) >= self._limits.connections:
            _reset(connection)
            return
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(server, sock=connection)
        except OSError:
            connection.close()  # it broke meanwhile
            return
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
            _forget_at_close(connection)
        transport.abort()

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _reset(connection: socket.socket) -> None:
    """Close a connection that nothing was read from."""
    _forget_at_close(connection)
    connection.close()


def _forget_at_close(connection: socket.socket) -> None:
    """Have the kernel reset the connection when it is closed. Else it stays in the kernel's table for a minute, and a
    crowd that comes again and again makes each reading of the table slow."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
