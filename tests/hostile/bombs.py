"""Replies that are small or endless on the wire and large in memory, and the memory of an engine that receives one."""

from __future__ import annotations

import asyncio
import functools
import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from llmtui.model import Backend
from llmtui.wire.base import MAX_LINE_BYTES
from tests.engine.helpers import engine_for, plan_of
from tests.scripted import FINISH, token

MEGABYTE = 1 << 20
#: A text just below the limit of a line.
LONG = MAX_LINE_BYTES - 4096
#: The largest reply: above every limit of llmtui, and bounded in case a limit fails.
MOST_BYTES = 160 * MEGABYTE

Body = Callable[[], Iterator[bytes]]


class Bomb(NamedTuple):
    """A reply to requests that begin with `path`; all others get 404. `config` is that of the backend."""

    name: str
    path: bytes
    head: bytes
    body: Body
    config: dict[str, Any] = {}


def head(kind: bytes, more: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """Return the head of a reply that ends with its connection."""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bConnection: close\r\n\r\n" % (status, kind, more)


SSE = head(b"text/event-stream")
JSON = head(b"application/json")
NDJSON = head(b"application/x-ndjson")


def once(data: bytes | Callable[[], bytes]) -> Body:
    """Return a body in one piece; a function creates it when it is sent."""
    return lambda: iter((data if isinstance(data, bytes) else data(),))


def endless(data: bytes, most: int = MOST_BYTES) -> Body:
    """Return a body that repeats `data`, up to `most` bytes."""
    return lambda: (data for _ in range(most // len(data)))


@functools.cache
def zeros(size: int) -> bytes:
    """Return `size` spaces compressed by gzip to a thousandth."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * MEGABYTE) for _ in range(size // MEGABYTE)) + packer.flush()


def coded(coding: bytes, kind: bytes = b"text/event-stream", status: bytes = b"200 OK") -> bytes:
    """Return the head of a compressed reply."""
    return head(kind, b"Content-Encoding: %b\r\n" % coding, status)


def filled(before: bytes, item: bytes, after: bytes, size: int = MAX_LINE_BYTES - 4096) -> Callable[[], bytes]:
    """Return a JSON document with as many `item` as fit into `size` bytes."""
    return lambda: before + b",".join([item] * ((size - len(before) - len(after)) // (len(item) + 1))) + after


def event(document: Callable[[], bytes]) -> Callable[[], bytes]:
    """Return the document as the data of a server-sent event."""
    return lambda: b"data: " + document() + b"\n\n"


def documents() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield JSON that takes many times its size once decoded, in every part of a chat reply."""
    for name, item in (
        ("objects", b"{}"),
        ("lists", b"[]"),
        ("pairs", b'{"a":0}'),
        ("words", b'"ab"'),
        ("ones", b"1.5"),
    ):
        yield f"choices of {name}", filled(b'{"choices":[', item, b"]}")
        yield f"usage of {name}", filled(b'{"choices":[],"usage":{"x":[', item, b"]}}")
        yield f"timings of {name}", filled(b'{"choices":[],"timings":{"x":[', item, b"]}}")
        yield f"reasoning of {name}", filled(b'{"choices":[{"delta":{"reasoning":[', item, b"]}}]}")
        yield f"message of {name}", filled(b'{"message":[', item, b"]}")
        yield f"content of {name}", filled(b'{"choices":[{"delta":{"content":[', item, b"]}}]}")
        yield f"tools of {name}", filled(b'{"choices":[{"delta":{"tool_calls":[', item, b"]}}]}")
        yield (
            f"arguments of {name}",
            filled(b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":[', item, b"]}}]}}]}"),
        )


def bombs() -> Iterator[Bomb]:
    """Yield all bombs."""
    post, models, props, health = b"POST ", b"GET /v1/models", b"GET /props", b"GET /health"

    def nested() -> bytes:
        return gzip.compress(zeros(256 * MEGABYTE))

    single = functools.partial(zeros, 256 * MEGABYTE)
    for place, kind in (
        (post, b"text/event-stream"),
        (models, b"application/json"),
        (props, b"text/html"),
        (health, b"a/b"),
    ):
        where = place.decode().strip()
        yield Bomb(f"gzip in gzip, {where}", place, coded(b"gzip, gzip", kind), once(nested))
        yield Bomb(f"256 MB of gzip, {where}", place, coded(b"gzip", kind), once(single))
        yield Bomb(f"without an end, {where}", place, head(kind), endless(b"x" * MEGABYTE))
    yield Bomb("gzip in gzip, an error", post, coded(b"gzip, gzip", b"text/html", b"500 X"), once(nested))
    yield Bomb("256 MB of gzip, an error", post, coded(b"x-gzip", b"text/html", b"500 X"), once(single))
    yield Bomb("deflate", post, coded(b"deflate"), once(lambda: zlib.compress(b" " * (256 * MEGABYTE))))
    yield Bomb("a million gzip members", post, coded(b"gzip"), endless(gzip.compress(b"") * 4000, 8 * MEGABYTE))
    for name, document in documents():
        yield Bomb(name, post, JSON, once(document))
        yield Bomb(f"{name}, streamed", post, SSE, once(event(document)))
    for name, item in (("objects", b"{}"), ("pairs", b'{"a":0}'), ("words", b'"ab"')):
        custom = {"protocol": "custom", "answer": "content"}
        yield Bomb(f"custom, {name}", post, JSON, once(filled(b'{"a":[', item, b"]}")), custom)
        yield Bomb(f"models of {name}", models, JSON, once(filled(b'{"data":[', item, b"]}")))
        yield Bomb(f"props of {name}", props, JSON, once(filled(b'{"data":[', item, b"]}")))
        line = filled(b'{"message":{"tool_calls":[{"function":{"arguments":[', item, b"]}}]}}\n")
        yield Bomb(f"Ollama's arguments of {name}", post, NDJSON, once(line), {"protocol": "ollama", "model": "m"})
        yield Bomb(
            f"TGI's prefill of {name}",
            post,
            SSE,
            once(event(filled(b'{"details":{"prefill":[', item, b"]}}"))),
            {"protocol": "tgi"},
        )
    yield Bomb("long names of models", models, JSON, once(filled(b'{"data":[', b'{"id":"%b"}' % (b"n" * 299), b"]}")))
    yield Bomb("deep", post, JSON, once(b"[" * (MAX_LINE_BYTES - 10)))
    yield Bomb("a long text", post, SSE, once(token("x" * LONG) * 30 + FINISH))
    yield Bomb(
        "a long finish reason",
        post,
        SSE,
        once(token("x") + b'data: {"choices":[{"finish_reason":"%b"}]}\n\n' % (b"r" * LONG)),
    )
    yield Bomb("a long name of the model", post, SSE, once(b'data: {"model":"%b","choices":[]}\n\n' % (b"m" * LONG)))
    yield Bomb("a line without an end", post, SSE, endless(b"data: " + b"x" * MEGABYTE))
    yield Bomb("an event without an end", post, SSE, endless(b"data: " + b"x" * 100_000 + b"\n"))
    yield Bomb("comments without an end", post, SSE, endless(b": " + b"x" * 100_000 + b"\n"))
    yield Bomb("empty events without an end", post, SSE, endless(b'data: {"choices":[]}\n\n' * 1000))
    yield Bomb("tokens without an end", post, SSE, endless(token("x") * 1000))
    yield Bomb("headers without an end", post, b"HTTP/1.1 200 OK\r\n", endless(b"X-A: b\r\n" * 1000))
    yield Bomb("a header without an end", post, b"HTTP/1.1 200 OK\r\nX-A: ", endless(b"b" * 100_000))
    yield Bomb("interim answers without an end", post, b"", endless(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 1000))
    chunked = head(b"text/event-stream", b"Transfer-Encoding: chunked\r\n")
    yield Bomb("a chunk's extension without an end", post, chunked + b"5;", endless(b"x" * 100_000))
    yield Bomb("trailers without an end", post, chunked + b"0\r\n", endless(b"X-A: b\r\n" * 1000))
    yield Bomb("chunks of one byte", post, chunked, endless(b"1\r\nx\r\n" * 10_000))


@asynccontextmanager
async def exploding(bomb: Bomb) -> AsyncIterator[str]:
    """Run a server with this bomb and yield its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
            if asked.startswith(bomb.path):
                writer.write(bomb.head)
                for data in bomb.body():
                    writer.write(data)
                    await writer.drain()
            else:
                writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Came(NamedTuple):
    """The effect of one bomb: the largest resident memory of the engine, and the message to the user."""

    peak_bytes: int
    said: str


def peak_bytes(pid: int) -> int:
    """Return the largest resident memory of a process so far (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def explode(bomb: Bomb, iterations: int = 2, backends: int = 1) -> Came:
    """Run a real engine against servers with this bomb."""
    async with exploding(bomb) as url:
        plan = plan_of(
            *(Backend(name=f"b{n}", **{"url": url, "model": "m", **bomb.config}) for n in range(backends)),
            iterations=iterations,
            warmup=0,
            timeout_s=20.0,
        )
        async with engine_for(plan) as run:
            # A busy machine needs a minute for fifty.
            run_view = await run.until_done(60.0 + 4.0 * backends)
            peak = peak_bytes(run.engine.pid)
            backend_view = run_view.backends["b0"]
            failures = [str(i.error) for i in backend_view.measured if i.error is not None]
            return Came(peak, str(backend_view.state.failure or next(iter(failures), "a sample")))


async def peak_of(bombs: Sequence[Bomb]) -> int:
    """Run a real engine against servers with these bombs, one request after the other, and return its peak."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(exploding(bomb)) for bomb in bombs]
        backends = [
            Backend(name=f"b{n}", **{"url": url, "model": "m", **bomb.config})
            for n, (url, bomb) in enumerate(zip(urls, bombs, strict=True))
        ]
        plan = plan_of(*backends, iterations=1, warmup=0, timeout_s=20.0, order="sequential")
        run = await stack.enter_async_context(engine_for(plan))
        run_view = await run.until_done(20.0 * len(bombs))
        for of in run_view.backends.values():
            assert of.state.failure or of.iterations, f"{of.state.name} was not asked"
        return peak_bytes(run.engine.pid)
