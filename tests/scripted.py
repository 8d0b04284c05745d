"""A server that sends exactly the given bytes, on real sockets and without an HTTP library."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

CLOSE = "close"
RESET = "reset"
HANG = "hang"
HALF_CLOSE = "half-close"

Step = bytes | str | asyncio.Event
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Scripted:
    """`requests` are those received, each with head and body.

    `by_path` maps the first bytes of a request to its own scripts, used in turn, the last one repeated.
    """

    def __init__(self, scripts: Sequence[Sequence[Step]]) -> None:
        self._scripts = list(scripts)
        self.requests: list[bytes] = []
        self.by_path: dict[bytes, Sequence[Sequence[Step]]] = {}
        self._taken: dict[bytes, int] = {}
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def _script(self, request: bytes) -> Sequence[Step]:
        for start, scripts in self.by_path.items():
            if request.startswith(start):
                self._taken[start] = self._taken.get(start, 0) + 1
                return scripts[min(self._taken[start], len(scripts)) - 1]
        return self._scripts[min(len(self.requests), len(self._scripts)) - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.requests.append(head + await reader.readexactly(length))
                for step in self._script(self.requests[-1]):
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    elif isinstance(step, asyncio.Event):
                        await step.wait()
                    elif step == RESET:
                        sock: socket.socket = writer.get_extra_info("socket")
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        writer.transport.abort()
                        return
                    elif step == HALF_CLOSE:
                        writer.write_eof()
                    elif step == HANG:
                        await asyncio.Event().wait()
                    else:
                        return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


@asynccontextmanager
async def scripted(
    *scripts: Sequence[Step], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """Serve the n-th request with the n-th script, and all later ones with the last."""
    self = Scripted(scripts)
    server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
    place = f"[{host}]" if ":" in host else host
    self.url = f"{'https' if tls else 'http'}://{place}:{server.sockets[0].getsockname()[1]}"
    try:
        yield self
    finally:
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def token(text: str) -> bytes:
    """One OpenAI streaming event with a token."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
#: A whole streamed answer of one token.
ANSWER: list[Step] = [SSE_HEAD, token("x"), FINISH, CLOSE]


def reply(status: int, content: object) -> list[Step]:
    """A reply with this JSON."""
    body = json.dumps(content).encode()
    return [
        b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
    ]
