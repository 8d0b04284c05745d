"""All sockets with data are read before any of it is parsed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import sys
from collections.abc import Iterator

import pytest

from llmtui.measure.connection import Connection
from llmtui.measure.read_first import Sockets
from llmtui.measure.stamped_socket import StampedSocket
from llmtui.measure.transport import new_client
from tests.measure.helpers import CHUNKED, send_through
from tests.scripted import scripted

EVENT = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
GOOD = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)


class End:
    """One end of a connection, which notes in `steps` what is done with it."""

    def __init__(self, name: str, sock: socket.socket, steps: list[str], all_done: asyncio.Event, of: int) -> None:
        self._name, self._sock, self._steps, self._all_done, self._of = name, sock, steps, all_done, of

    def take(self) -> bool:
        self._steps.append(f"take {self._name}")
        return bool(self._sock.recv(100) != b"nothing")

    def handle(self) -> None:
        self._steps.append(f"handle {self._name}")
        if len(self._steps) >= self._of:
            self._all_done.set()


@contextlib.contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with contextlib.ExitStack() as stack:
        made = [socket.socketpair() for _ in range(count)]
        for one, other in made:
            stack.enter_context(one)
            stack.enter_context(other)
        yield made


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="Linux only")
async def test_all_are_read_before_any_is_handled() -> None:
    sockets, steps, done = Sockets(), [], asyncio.Event()  # type: ignore[var-annotated]
    with pairs(3) as made:
        for name, (ours, _) in zip("abc", made, strict=True):
            sockets.add(ours.fileno(), End(name, ours, steps, done, 5))
        for (_, theirs), data in zip(made, (b"x", b"nothing", b"x"), strict=True):
            theirs.sendall(data)
        await done.wait()
        assert sorted(steps[:3]) == ["take a", "take b", "take c"]
        assert sorted(steps[3:]) == ["handle a", "handle c"]
        for ours, _ in made:
            sockets.remove(ours.fileno())


@pytest.mark.parametrize("epoll", [True, False])
async def test_answers_with_and_without_epoll(epoll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not epoll:
        monkeypatch.delattr(select, "epoll", raising=False)
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        for _ in range(2):
            answers = await asyncio.gather(*(send_through(client, server.url) for _ in range(5)))
            assert [answer.text for answer in answers] == ["hi"] * 5


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with scripted([GOOD]) as server:
        for keepalive_s in (0.0, 2.0):
            async with new_client(server.url, connect_timeout_s=2.0, keepalive_s=keepalive_s) as client:
                await asyncio.gather(*(send_through(client, server.url) for _ in range(5)))
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the stamps' own connection, if this test is the first


async def test_an_error_of_one_connection_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = Sockets()
    with pairs(2) as made:
        connections = []
        for ours, _ in made:
            ours.setblocking(False)
            connections.append(Connection(StampedSocket(ours, 0), None, sockets))
        waits = [asyncio.create_task(each.exchange(b"GET / HTTP/1.1\r\n\r\n", "GET")) for each in connections]
        await asyncio.sleep(0)
        assert connections[0].reader is not None

        def broken(data: bytes) -> bytes:
            raise RuntimeError("a bug")

        monkeypatch.setattr(connections[0].reader, "feed", broken)
        for _, theirs in made:
            theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(RuntimeError, match="a bug"):
            await waits[0]
        assert (await waits[1]).status == 200
        for each in connections:
            each.close()
