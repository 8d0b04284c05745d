"""Servers with a fault each, on real sockets: what they do, what the user is to read, what the history is to keep."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.measure.asking import CHUNKED
from tests.scripted import CLOSE, FINISH, HALF_CLOSE, HANG, RESET, SSE_HEAD, Step, chunk, scripted, token

KEY = "sk-for-this-one-alone"
MODEL = "m"
MEGABYTE = b"x" * 1_000_000
TEXT_BYTES = 10_000_000
DIED = "the server may have crashed; see its log"
BROKE = "connection lost before the first token"
WAIT_S = 0.3
GOOD: list[Step] = [SSE_HEAD, token("a"), token("b"), FINISH, CLOSE]


def reply(status: int, body: bytes | object = b"", **headers: str) -> list[Step]:
    """A whole answer; what is no bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {**headers, "Content-Length": str(len(content))}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    return [f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content]


@dataclass(frozen=True)
class Fault:
    """A row of the table. `words` is what the user reads: `{place}` is the server's address, `{elsewhere}` another's.

    `kept` is what the history has: a failed "iteration", the backend's "state" alone, or a good "sample".
    `hasty` ones are in the run with short timeouts.
    """

    name: str
    serve: Callable[[str], AbstractAsyncContextManager[str]]
    words: str = ""
    kept: str = "iteration"
    hasty: bool = False
    refused: int = 0


def _post(name: str, *scripts: Sequence[Step], words: str = "", hasty: bool = False, refused: int = 0) -> Fault:
    """A server that says 404 to every question, and these to the requests that are measured."""

    @asynccontextmanager
    async def serve(elsewhere: str) -> AsyncIterator[str]:
        def leading(step: Step) -> Step:
            return (
                step.replace(b"{elsewhere}", elsewhere.encode())
                if isinstance(step, bytes) and len(step) < 999
                else step
            )

        async with scripted(reply(404)) as server:
            server.by_path = {b"POST": [[leading(step) for step in script] for script in scripts]}
            yield server.url

    return Fault(name, serve, words, "iteration" if words else "sample", hasty, refused)


@asynccontextmanager
async def _bound(listening: bool) -> AsyncIterator[str]:
    """A port where nobody listens; or where somebody does, who takes no connection in and has a full queue."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        if listening:
            sock.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(sock.getsockname())
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def _address(url: str) -> AsyncIterator[str]:
    yield url


@asynccontextmanager
async def _gone_after_the_questions() -> AsyncIterator[str]:
    """Listens until the last question before the iterations has been answered."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                last = asked.startswith(b"GET /version")
                if last:
                    server.close()
                writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n" + b"Connection: close\r\n" * last + b"\r\n")
                if last:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def _leads_away(path: bytes, elsewhere: str) -> AsyncIterator[str]:
    """Answers the questions that begin with `path` with a redirect."""
    async with scripted(reply(404)) as server:
        server.by_path = {path: [reply(302, Location=f"{elsewhere}/v1/models")], b"POST": [GOOD]}
        yield server.url


def _redirect(status: int) -> Fault:
    return _post(
        f"redirect {status}",
        reply(status, Location="{elsewhere}/v1/chat/completions?key=1"),
        words=f"HTTP {status}: redirected to {{elsewhere}}: redirects are not followed; check url",
    )


def refusal(status: int, **headers: str) -> list[Step]:
    """ "Come back later"."""
    return reply(status, {"error": {"message": "too many"}}, **headers)


PAGE = b"""<!DOCTYPE html><html><head><style>h1 {color: red}</style><script>alert("<b>")</script></head><body>
<!-- nginx --><h1>Out of memory &amp; <b>luck</b></h1><p class="x">It is not us.&nbsp;Really.</p></body></html>"""

FAULTS: list[Fault] = [
    Fault("refused", lambda _: _bound(False), "nothing answers at {place}: start the server", "state"),
    Fault("refused later", lambda _: _gone_after_the_questions(), "nothing answers at {place}: start the server"),
    Fault(
        "unreachable",
        # TCP to a multicast address: Linux says so at once, and no packet leaves.
        lambda _: _address("http://224.0.0.1:9"),
        "{place} is unreachable: Network is unreachable: check url and the network",
        "state",
    ),
    Fault(
        "no such name",
        lambda _: _address("http://no.invalid:9"),
        "cannot resolve the host name of {place}: check url",
        "state",
    ),
    Fault(
        "slow accept",
        lambda _: _bound(True),
        "no connection to {place} within 1 s: check url and any firewall in between",
        "state",
        hasty=True,
    ),
    _post("reset before headers", [RESET], words=f"{BROKE}: {DIED}"),
    _post(
        "reset mid-stream",
        [SSE_HEAD, token("a"), token("b"), RESET],
        words=f"connection lost after 2 tokens: {DIED}",
    ),
    _post(
        "hang before headers",
        [HANG],
        words="not finished within 1 s (before the first token): raise timeout_s or lower max_tokens",
        hasty=True,
    ),
    _post(
        "hang mid-stream",
        [SSE_HEAD, token("a"), HANG],
        words="not finished within 1 s (after 1 token): raise timeout_s or lower max_tokens",
        hasty=True,
    ),
    _post(
        "half-close",
        [SSE_HEAD, token("a"), HALF_CLOSE, HANG],
        words=f"the answer is incomplete: no finish reason after 1 token: {DIED}",
    ),
    _post(
        "truncated chunk",
        [CHUNKED, chunk(token("a")), b"ff\r\ndat", CLOSE],
        words=f"connection lost after 1 token: closed in the middle of the body: {DIED}",
    ),
    _post("429 with Retry-After", refusal(429, Retry_After=str(WAIT_S)), GOOD, refused=1),
    _post(
        "503 with a date",
        refusal(503, Retry_After="Sun, 22 Nov 2026 18:00:01 GMT", Date="Sun, 22 Nov 2026 18:00:01 GMT"),
        refusal(503, Retry_After="0"),
        GOOD,
        refused=2,
    ),
    _post(
        "429 for an hour",
        refusal(429, Retry_After="3600"),
        words="HTTP 429: too many: the server asks to wait 3600 s, longer than timeout_s (20 s) allows",
        refused=1,
    ),
    _post(
        "429 without end",
        refusal(429, Retry_After="0.4"),
        words="HTTP 429: too many: the server asks to wait 0.4 s, longer than timeout_s (1 s) allows (refused 3 times)",
        hasty=True,
        refused=3,
    ),
    _post(
        "503 alone",
        reply(503, b"busy"),
        words="HTTP 503: busy: the server is overloaded or still loading; try again later",
    ),
    _post("401", refusal(401), words="HTTP 401: too many: set api_key for this backend"),
    _post(
        "404",
        reply(404, {"error": 'model "m" not found'}),
        words='HTTP 404: model "m" not found: check url, model and protocol',
    ),
    _post(
        "500 with HTML",
        reply(500, PAGE, Content_Type="text/html"),
        words="HTTP 500: Out of memory & luck: the server failed; see its log",
    ),
    _post(
        "500 without end",
        [b"HTTP/1.1 500 X\r\n\r\n<p>Out of luck</p>\n", *([b" " * 1_000_000] * 60), HANG],
        words="HTTP 500: Out of luck: the server failed; see its log",
    ),
    _post(
        "empty 200",
        reply(200, Content_Type="text/event-stream"),
        words="the answer is empty: no tokens: it has no finish reason",
    ),
    _post(
        "endless headers",
        [b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n" * 50_000, HANG],
        words=f"{BROKE}: invalid HTTP (more than 200 headers): {DIED}",
    ),
    _post(
        "endless header",
        [b"HTTP/1.1 200 OK\r\nX: ", MEGABYTE, HANG],
        words=f"{BROKE}: invalid HTTP (more than 65536 bytes of headers): {DIED}",
    ),
    _post(
        "endless line",
        [SSE_HEAD, token("a"), b"data: ", *([MEGABYTE] * 20), HANG],
        words="a line of the answer is longer than 2097152 bytes",
    ),
    _post(
        "endless body",
        [SSE_HEAD, token("a"), *([b": " + MEGABYTE + b"\n\n"] * 70), HANG],
        words="the answer is longer than 64 MB",
    ),
    _post("10 MB of one character", [SSE_HEAD, *([token("x" * 1_000_000)] * (TEXT_BYTES // 1_000_000)), FINISH, CLOSE]),
    *(_redirect(status) for status in (301, 302, 307, 308)),
    Fault(
        "redirect of the models",
        functools.partial(_leads_away, b"GET /v1/models"),
        "HTTP 302: redirected to {elsewhere}: redirects are not followed; check url",
        "state",
    ),
    Fault("redirect of health", functools.partial(_leads_away, b"GET /health"), kept="sample"),
    _post("good", GOOD),
    _post("good and hasty", GOOD, hasty=True),
]


async def cannot(fault: Fault, url: str) -> str:
    """Why this fault cannot be provoked on this machine, "" where it can."""
    if fault.name == "unreachable":
        with socket.socket() as sock:
            sock.setblocking(False)
            found = sock.connect_ex(("224.0.0.1", 9)) if sys.platform == "linux" else 0
        return "" if found == errno.ENETUNREACH else "only Linux refuses at once to connect to a multicast address"
    if fault.name == "slow accept":
        return "" if sys.platform == "linux" else "a full queue is known of Linux only"
    if fault.name == "no such name":
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.getaddrinfo("no.invalid", 9), 3)
        except socket.gaierror:
            return ""
        except TimeoutError:
            return "the resolver of this machine does not answer"
        return "the resolver of this machine knows every name"
    return ""
