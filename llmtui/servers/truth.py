"""The truth server: speaks OpenAI's streaming chat, keeps its timetable, and remembers when each token was written.

`python -m llmtui.servers.truth --port 0`. Against it llmtui measures its own error; tests use
it where no model is needed.
A request may carry `{"truth": {"ttft_ms": 50, "itl_ms": 10, "per_chunk": 1}}`; its `max_tokens` is kept exactly.
`GET /truth/ID` tells the instants of request ID on the monotonic clock (ns): when its last byte was received, when each
token was handed to the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from typing import Any, cast

MODEL = "truth"
_LINE_END = b"\r\n"


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept alive."""

    def __init__(self, server: TruthServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stream is not None:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        received_ns = time.monotonic_ns()
        self._buffer += data
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.split(_LINE_END)
        method, target, _ = lines[0].decode("latin-1").split(" ", 2)
        length = 0
        for line in lines[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        body = rest[:length]
        self._buffer = bytearray(rest[length:])
        self._answer(method, target, body, received_ns)

    def _answer(self, method: str, target: str, body: bytes, received_ns: int) -> None:
        if method == "GET" and target == "/health":
            self._reply(200, {"status": "ok"})
        elif method == "GET" and target == "/v1/models":
            self._reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif method == "GET" and target.startswith("/truth/"):
            truth = self._server.log.pop(target.removeprefix("/truth/"), None)
            self._reply(200 if truth else 404, truth or {"error": "no such request"})
        elif method == "POST" and target == "/v1/chat/completions":
            try:
                question: dict[str, Any] = json.loads(body)
            except ValueError:
                self._reply(400, {"error": {"message": "not JSON"}})
                return
            self._stream = asyncio.ensure_future(self._generate(question, received_ns))
        else:
            self._reply(404, {"error": {"message": f"no such path: {target}"}})

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def _event(self, request: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
        content = {"id": request, "object": "chat.completion.chunk", "model": MODEL, "choices": choices, **more}
        data = b"data: " + json.dumps(content).encode() + b"\n\n"
        return b"%x\r\n%b\r\n" % (len(data), data)

    async def _generate(self, question: dict[str, Any], received_ns: int) -> None:
        self._server.count += 1
        request = f"truth-{self._server.count}"
        wish = question.get("truth", {})
        ttft_s = wish.get("ttft_ms", self._server.ttft_ms) / 1e3
        itl_s = wish.get("itl_ms", self._server.itl_ms) / 1e3
        per_chunk = int(wish.get("per_chunk", 1))
        total = int(question.get("max_tokens", 16))
        sent_ns: list[int] = []
        self._server.remember(request, {"received_ns": received_ns, "sent_ns": sent_ns})
        write = self._transport.write
        write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        write(self._event(request, [{"index": 0, "delta": {"role": "assistant", "content": None}}]))
        loop = asyncio.get_running_loop()
        # Encoded ahead: between the instant that is noted and the write stands nothing.
        began = loop.time()
        for number in range(0, total, per_chunk):
            text = "".join(f" t{i}" for i in range(number, min(number + per_chunk, total)))
            data = self._event(request, [{"index": 0, "delta": {"content": text}}])
            await asyncio.sleep(began + ttft_s + number // per_chunk * itl_s - loop.time())
            sent_ns.append(time.monotonic_ns())
            write(data)
        usage = {"prompt_tokens": 10, "completion_tokens": total, "total_tokens": total + 10}
        write(self._event(request, [{"index": 0, "delta": {}, "finish_reason": "length"}]))
        write(self._event(request, [], usage=usage))
        write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


class TruthServer:
    """The server and its memory. `ttft_ms` and `itl_ms` hold where a request does not say."""

    def __init__(self, ttft_ms: float = 50.0, itl_ms: float = 10.0) -> None:
        self.ttft_ms = ttft_ms
        self.itl_ms = itl_ms
        self.count = 0
        self.log: dict[str, dict[str, Any]] = {}

    def remember(self, request: str, truth: dict[str, Any]) -> None:
        """Keep the newest ten thousand."""
        self.log[request] = truth
        if len(self.log) > 10_000:
            del self.log[next(iter(self.log))]

    async def serve(self, port: int) -> None:
        """Listen on loopback, print the address, serve until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()


def main() -> None:
    """Command line of the truth server."""
    parser = argparse.ArgumentParser(prog="llmtui.servers.truth", description="A server whose times are known.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    arguments = parser.parse_args()
    try:
        asyncio.run(TruthServer(arguments.ttft_ms, arguments.itl_ms).serve(arguments.port))
    except KeyboardInterrupt:
        sys.exit(0)
    except OSError as error:
        sys.exit(f"cannot listen on port {arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()
