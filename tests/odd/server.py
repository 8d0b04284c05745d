"""A small HTTP server on a thread whose answers a test writes byte by byte, and the usual pieces of an answer."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

STREAM = "text/event-stream"
MODEL = "m1"
#: Times of `stream`, far apart from what a machine under load adds to them.
TTFT_S = 0.03
ITL_S = 0.005
TOKENS = 12
#: An answer in one piece has fewer arrivals. A machine that pauses joins tokens: a stream may have fewer than TOKENS.
LEAST_ARRIVALS = 3


@dataclass
class Request:
    """One request as it was received. `body` is the decoded JSON, {} without one."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """One reply on the wire: `head`, `send` or `event`, then `end`; or `whole` for a short one."""

    sock: socket.socket
    chunked: bool = True

    def raw(self, data: bytes | str) -> None:
        """Send these bytes as they are."""
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def head(self, status: str = "200 OK", content_type: str = STREAM, *headers: str, chunked: bool = True) -> None:
        """Send status and headers; a body that is not chunked ends with the connection."""
        self.chunked = chunked
        lines = [f"HTTP/1.1 {status}", *headers]
        lines += [f"Content-Type: {content_type}"] if content_type else []
        lines += ["Transfer-Encoding: chunked"] if chunked else ["Connection: close"]
        self.raw("\r\n".join(lines) + "\r\n\r\n")

    def send(self, data: bytes | str) -> None:
        """Send a piece of the body."""
        data = data.encode() if isinstance(data, str) else data
        self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def event(self, value: Any) -> None:
        """Send an event whose data is `value`: text as it is, anything else as JSON."""
        self.send("data: " + (value if isinstance(value, str) else json.dumps(value)) + "\n\n")

    def end(self) -> None:
        """End the body."""
        if self.chunked:
            self.raw(b"0\r\n\r\n")

    def whole(self, value: Any, status: str = "200 OK", content_type: str = "application/json", *headers: str) -> None:
        """Send a complete reply with a length: bytes as they are, text encoded, anything else as JSON."""
        text = value if isinstance(value, str | bytes) else json.dumps(value)
        body = text.encode() if isinstance(text, str) else text
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        lines += [f"Content-Type: {content_type}"] if content_type else []
        self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def stream(self, tokens: int = TOKENS, ttft_s: float = TTFT_S, itl_s: float = ITL_S) -> None:
        """Send a role event and `tokens` events of content, without finish, usage and end."""
        time.sleep(ttft_s)
        self.event(delta(role="assistant"))
        for number in range(tokens):
            if number:
                time.sleep(itl_s)
            self.event(delta(f" w{number}"))

    def finish(self, tokens: int = TOKENS, reason: str = "stop") -> None:
        """Send the finish reason, the usage and [DONE], and end the body."""
        self.event(delta(finish=reason))
        self.event(usage(tokens))
        self.event("[DONE]")
        self.end()


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chunk with these choices; other keywords are fields beside them."""
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return base | {"choices": [*choices]} | fields


def delta(content: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one delta; other keywords are fields of the delta."""
    if content is not None:
        fields["content"] = content
    return chunk({"index": 0, "delta": fields, "finish_reason": finish})


def usage(tokens: int, prompt: int = 20, **fields: Any) -> dict[str, Any]:
    """A chunk with the usage alone; other keywords are fields of it."""
    counts = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    return chunk(usage=counts | fields)


def plain_chat(reply: Reply, request: Request) -> None:
    """Answer as every server should."""
    reply.head()
    reply.stream()
    reply.finish()


def chat_of(*events: Any) -> Callable[[Reply, Request], None]:
    """Return a chat that answers with these events and [DONE], at once."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for event in events:
            reply.event(event)
        reply.event("[DONE]")
        reply.end()

    return chat


def friendly(reply: Reply, request: Request) -> None:
    """Answer /health and /v1/models, and 404 to all else."""
    if request.path == "/health":
        reply.whole({"status": "ok"})
    elif request.path == "/v1/models":
        reply.whole({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "x"}]})
    else:
        reply.whole({"error": {"message": f"no route {request.path}"}}, "404 Not Found")


Handler = Callable[[Reply, Request], None]


@dataclass
class OddServer:
    """A running server: its port, and the requests so far."""

    port: int
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The root of the server."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def odd(chat: Handler = plain_chat, routes: Handler = friendly, *, keep_alive: bool = False) -> Iterator[OddServer]:
    """Run a server: `chat` answers POST, `routes` all else.

    It closes each connection after its answer, or with `keep_alive` when the client does or the test ends.
    """
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def handle(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := _read(sock)) is not None:
                server.requests.append(request)
                (chat if request.method == "POST" else routes)(Reply(sock), request)
                if not keep_alive:
                    break

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = listener.accept()[0]
                connections.append(sock)
                thread = threading.Thread(target=handle, args=(sock,), daemon=True)
                threads.append(thread)
                thread.start()

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        server = OddServer(listener.getsockname()[1])
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server
        finally:
            # Closing alone does not end a blocked accept.
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for sock in connections:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)


def _read(sock: socket.socket) -> Request | None:
    """Read one request, None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := sock.recv(65536)):
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (more := sock.recv(65536)):
            return None
        body += more
    method, path, _ = first.split(" ")
    return Request(method, path, headers, json.loads(body) if body[:1] == b"{" else {})


@contextlib.contextmanager
def speaking(first: bytes, *, greets: bool = False, reset: bool = False) -> Iterator[OddServer]:
    """Run a server of another protocol: it sends `first` and hangs up.

    It sends after it has read a request, or with `greets` at once; with `reset` it then resets the connection. It does
    not survive a client that resets one.
    """

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = listener.accept()[0]
                with sock:
                    if greets:
                        sock.sendall(first)
                    sock.recv(65536)
                    if not greets:
                        sock.sendall(first)
                    if reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield OddServer(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(10)
