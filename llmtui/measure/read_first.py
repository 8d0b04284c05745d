"""Reads every socket that has data before any of the data is parsed.

The kernel keeps only the newest stamp of what waits in a socket, so none should wait while the data of others are
parsed. It also costs less than a callback of the event loop for each socket.
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol

_MAX_EVENTS = 1024


class Reading(Protocol):
    """What is read in two steps, neither of which may raise."""

    def take(self) -> bool:
        """Read what waits in the socket. Return whether there is something to handle."""

    def handle(self) -> None:
        """Handle what was read."""


class Sockets:
    """Watches sockets: on Linux with an epoll instance of its own, on which the event loop waits as one file.

    It is open while it watches any.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._readings: dict[int, Reading] = {}
        self._epoll: select.epoll | None = None

    def add(self, fd: int, reading: Reading) -> None:
        """Watch a socket."""
        self._readings[fd] = reading
        if not hasattr(select, "epoll"):
            self._loop.add_reader(fd, self._read_one, reading)
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop.add_reader(self._epoll.fileno(), self._read_all)
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Do not watch a socket any more. It must be open."""
        del self._readings[fd]
        if self._epoll is None:
            self._loop.remove_reader(fd)
            return
        self._epoll.unregister(fd)
        if not self._readings:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _read_all(self) -> None:
        epoll, readings = self._epoll, self._readings
        if epoll is None:
            return
        todo = [reading for fd, _ in epoll.poll(0, _MAX_EVENTS) if (reading := readings[fd]).take()]
        for reading in todo:
            reading.handle()

    def _read_one(self, reading: Reading) -> None:
        if reading.take():
            reading.handle()
