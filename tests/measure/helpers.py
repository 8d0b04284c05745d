"""Helpers: send a measured request, and servers on threads, for tests that wait for the server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from llmtui.measure.answer import Answer
from llmtui.measure.request import IterationError, ask
from llmtui.measure.transport import new_client
from llmtui.model import Backend, Failure, RunConfig
from llmtui.wire import dialect_for
from tests.scripted import Step, scripted

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def send_through(client: httpx.AsyncClient, url: str, prompt: str = "hi", timeout_s: float = 5.0) -> Answer:
    """One measured request through `client`."""
    backend = Backend(name="a", url=url, model="m")
    dialect = dialect_for(backend)
    return await ask(
        client, dialect.request(backend, RunConfig(max_tokens=8), prompt, "m"), dialect, timeout_s=timeout_s
    )


async def measured(url: str, prompt: str = "hi", *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> Answer:
    """One measured request through a client of its own."""
    async with new_client(url, connect_timeout_s=connect_timeout_s) as client:
        return await send_through(client, url, prompt, timeout_s)


async def failure_of(
    url: str, prompt: str = "hi", *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0
) -> Failure:
    """Return the failure of a request to `url`."""
    with pytest.raises(IterationError) as caught:
        await measured(url, prompt, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
    return caught.value.failure


async def failure_text(url: str, prompt: str = "hi", *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> str:
    """Return the failure of a request to `url` as `kind: message`."""
    failure = await failure_of(url, prompt, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
    return f"{failure.kind}: {failure.message}"


async def script_failure(*script: Step, timeout_s: float = 5.0) -> str:
    """Return the failure of a request to a server with this script."""
    async with scripted(script) as server:
        return await failure_text(server.url, timeout_s=timeout_s)


def read_request(connection: socket.socket) -> bytes:
    """Read one request, up to the end of its JSON."""
    request = b""
    while not request.endswith(b"}"):
        data = connection.recv(65536)
        if not data:
            break
        request += data
    return request


@contextmanager
def on_thread(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run `serve` on a thread, and yield the URL of its listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()
