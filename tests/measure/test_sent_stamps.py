"""When a request was written, by the kernel's stamp, and by the clock before `send` where it gives none."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from llmtui.measure import sent_stamps
from llmtui.measure.stamped_socket import StampedSocket, kernel_stamps
from llmtui.measure.transport import new_client
from llmtui.model.sample import Stamp
from tests.measure.helpers import CHUNKED, send_through
from tests.scripted import scripted

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
EVENT = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
GOOD = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[StampedSocket, socket.socket]]:
    """Return both ends of a connection over loopback, the first with stamps."""
    if sys.platform != "linux":
        pytest.skip("Linux only")
    address = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    kernel_stamps()
    with socket.create_server((address, 0), family=request.param) as listener:
        ours = socket.create_connection(listener.getsockname()[:2])
        theirs, _ = listener.accept()
    ours.setblocking(False)
    stamped = StampedSocket(ours, 0)
    yield stamped, theirs
    stamped.close()
    theirs.close()


def send_all(stamped: StampedSocket, data: bytes, theirs: socket.socket) -> None:
    """Send all of `data` while the other end reads it."""
    reading = threading.Thread(target=lambda: theirs.recv(len(data), socket.MSG_WAITALL))
    reading.start()
    view = memoryview(data)
    while view:
        view = view[stamped.send(view) :]
    reading.join()


@pytest.mark.parametrize("size", [1, 300, 5_000_000])
def test_the_stamp_of_the_last_byte(pair: tuple[StampedSocket, socket.socket], size: int) -> None:
    stamped, theirs = pair
    for _ in range(3):
        stamped.start_request()
        send_all(stamped, b"x" * size, theirs)
        before_ns = stamped.written_ns
        stamped.read_sent()
        assert stamped.written_stamp == "kernel"
        assert before_ns <= stamped.written_ns <= time.monotonic_ns()
        assert stamped.receive() is None


def test_a_stamp_that_was_not_read_wakes_a_poll_only_once(pair: tuple[StampedSocket, socket.socket]) -> None:
    stamped, theirs = pair
    stamped.start_request()
    send_all(stamped, b"x", theirs)
    poll = select.poll()
    poll.register(stamped.fd, select.POLLIN)
    assert poll.poll(5000) == [(stamped.fd, select.POLLERR)]
    assert stamped.receive() is None
    assert poll.poll(0) == [] and stamped.written_stamp == "kernel"
    send_all(stamped, b"x", theirs)
    assert not stamped.readable()  # an idle connection can be used again


def test_arrivals_keep_their_stamps(pair: tuple[StampedSocket, socket.socket]) -> None:
    stamped, theirs = pair
    for _ in range(3):
        stamped.start_request()
        send_all(stamped, b"x", theirs)
        theirs.sendall(b"answer")
        assert stamped.receive() == b"answer" and stamped.stamp == "kernel"
        assert stamped.written_ns <= stamped.arrived_ns


@linux
@pytest.mark.parametrize("stamp", ["kernel", "user"])
async def test_the_answer_says_which_stamp_it_has(stamp: Stamp, monkeypatch: pytest.MonkeyPatch) -> None:
    if stamp == "user":
        monkeypatch.setattr(sent_stamps, "enable", lambda _: False)
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        for _ in range(3):
            answer = await send_through(client, server.url)
            assert answer.written_stamp == stamp


@linux
async def test_a_client_held_up_before_its_send_makes_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = StampedSocket.send

    def send(self: StampedSocket, data: memoryview | bytes) -> int:
        sent = real(self, data)
        self.written_ns -= 50_000_000  # as if the clock had been read that long before
        return sent

    monkeypatch.setattr(StampedSocket, "send", send)
    async with scripted([GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        before_ns = time.monotonic_ns()
        answer = await send_through(client, server.url)
        assert answer.written_stamp == "kernel" and answer.written_ns >= before_ns


@linux
async def test_a_stamp_that_comes_late_wakes_the_reader_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error queue of a socket wakes its reader until it is read."""
    woken, reads = asyncio.Event(), 0
    receive, read_sent = StampedSocket.receive, StampedSocket.read_sent
    skipped = iter([True])

    def count(self: StampedSocket) -> bytes | None:
        nonlocal reads
        reads += 1
        data = receive(self)
        if data is None:
            woken.set()
        return data

    def late(self: StampedSocket) -> None:
        if not next(skipped, False):
            read_sent(self)

    monkeypatch.setattr(StampedSocket, "receive", count)
    monkeypatch.setattr(StampedSocket, "read_sent", late)
    async with scripted([woken, GOOD]) as server, new_client(server.url, connect_timeout_s=2.0) as client:
        answer = await send_through(client, server.url)
    assert answer.written_stamp == "kernel" and reads == 2


def test_another_error_in_the_queue_is_no_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = struct.pack("@6l", 5, 7, 0, 0, 0, 0)

    def error(code: int, origin: int, info: int) -> bytes:
        return struct.pack("=IBBBBII", code, origin, 0, 0, 0, info, 41)

    class Queue:
        """An error queue."""

        def __init__(self, *errors: bytes) -> None:
            self._errors = list(errors)

        def recvmsg(self, *_: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
            if not self._errors:
                raise BlockingIOError
            return b"", [(1, 37, stamp), (0, 11, self._errors.pop(0))], 0, None

    queue = Queue(error(111, 2, 0), error(42, 4, 1), error(42, 4, 0), b"short")
    assert list(sent_stamps.read(queue)) == [(41, 5_000_000_007)]  # type: ignore[arg-type]
