"""The truth server: OpenAI's streaming chat with scheduled tokens, and a log of when each token was sent.

Start it with `python -m llmtui.accuracy.truth_server --port 0`. llmtui measures its own error against it, and tests use
it in place of a model. Options imitate other servers: stop early, reason, report cached tokens, report no usage.

A request may contain `{"truth": {"ttft_ms": 50, "itl_ms": 10, "per_chunk": 1, "noise": 0.03}}`. `noise` scales the
whole schedule by a random factor (standard deviation of its logarithm). An answer has exactly `max_tokens` tokens,
unless `--tokens` is less.

`GET /truth/ID` returns, once, the times of request ID on the monotonic clock (ns): `received_ns`, when its last byte
arrived (`stamp`: by the kernel's timestamp, or read in user space), and `sent_ns`, one per event with tokens, taken
right before it is handed to the kernel. ID is the request's `user` if given, else the "id" of its chunks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import math
import random
import socket
import struct
import sys
import time
from typing import Any

from llmtui.measure.clock import sample_offset

MODEL = "truth"
#: The log has the newest requests, up to this number.
MAX_LOG = 10_000
_LINE_END = b"\r\n"
#: asm-generic/socket.h; the same number names the option and the control message.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """How the server answers: it stops after `tokens` tokens, of which the first `reasoning` are reasoning.

    It reports `cached` of its `prompt_tokens` unless that is None, and nothing without `usage`. `word` begins every
    token.
    """

    tokens: int = sys.maxsize
    reasoning: int = 0
    prompt_tokens: int = 10
    cached: int | None = None
    usage: bool = True
    word: str = "t"

    def delta(self, numbers: range) -> dict[str, str]:
        """Return the delta of an event with these tokens."""
        text = "".join(f" {self.word}{n}" for n in numbers)
        return {"reasoning_content" if numbers[0] < self.reasoning else "content": text}

    def usage_object(self, tokens: int) -> dict[str, Any]:
        """Return the `usage` at the end of an answer."""
        usage: dict[str, Any] = {"prompt_tokens": self.prompt_tokens, "completion_tokens": tokens}
        usage["total_tokens"] = self.prompt_tokens + tokens
        if self.cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        return usage


def _enable_timestamps(sock: socket.socket) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


class _Connection:
    """One HTTP/1.1 connection with keep-alive. It uses the socket directly, so that no code runs between taking a time
    and calling the kernel."""

    def __init__(self, server: TruthServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._unsent = bytearray()
        self._stream: asyncio.Task[None] | None = None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _enable_timestamps(sock)
        self._loop.add_reader(sock, self._on_readable)

    def _on_readable(self) -> None:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(65536, _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, ancillary = b"", []
        received_ns = time.monotonic_ns()
        if not data:
            self._close()
            return
        stamp = "user"
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(payload) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(payload)
                received_ns = seconds * 1_000_000_000 + nanoseconds + sample_offset().offset_ns
                stamp = "kernel"
        self._buffer += data
        head, blank_line, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not blank_line:
            return
        lines = head.split(_LINE_END)
        try:
            method, target, _ = lines[0].decode("latin-1").split(" ", 2)
            fields = [line.partition(b":") for line in lines[1:]]
            length = sum(int(value) for key, _, value in fields if key.strip().lower() == b"content-length")
        except ValueError:
            self._close()
            return
        if len(rest) < length:
            return
        body = rest[:length]
        self._buffer = bytearray(rest[length:])
        self._answer(method, target, body, received_ns, stamp)

    def _write(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._close()
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._sock, self._on_writable)

    def _on_writable(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            return
        if not self._unsent:
            self._loop.remove_writer(self._sock)

    def _close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        if self._stream is not None:
            self._stream.cancel()

    def _answer(self, method: str, target: str, body: bytes, received_ns: int, stamp: str) -> None:
        if method == "GET" and target == "/health":
            self._reply(200, {"status": "ok"})
        elif method == "GET" and target == "/v1/models":
            self._reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif method == "GET" and target.startswith("/truth/"):
            truth = self._server.log.pop(target.removeprefix("/truth/"), None)
            self._reply(200 if truth else 404, truth or {"error": "no such request"})
        elif method == "POST" and target == "/v1/chat/completions":
            try:
                request_body: dict[str, Any] = json.loads(body)
            except ValueError:
                self._reply(400, {"error": {"message": "not JSON"}})
                return
            self._stream = asyncio.ensure_future(self._generate(request_body, received_ns, stamp))
        else:
            self._reply(404, {"error": {"message": f"no such path: {target}"}})

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._write(head.encode() + body)

    def _event(self, request: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
        content = {"id": request, "object": "chat.completion.chunk", "model": MODEL, "choices": choices, **more}
        data = b"data: " + json.dumps(content).encode() + b"\n\n"
        return b"%x\r\n%b\r\n" % (len(data), data)

    async def _generate(self, request_body: dict[str, Any], received_ns: int, stamp: str) -> None:
        self._server.count += 1
        request = f"truth-{self._server.count}"
        timing = request_body.get("truth", {})
        scale = math.exp(random.gauss(0, timing["noise"])) if "noise" in timing else 1.0
        ttft_s = timing.get("ttft_ms", self._server.ttft_ms) / 1e3 * scale
        itl_s = timing.get("itl_ms", self._server.itl_ms) / 1e3 * scale
        per_chunk = int(timing.get("per_chunk", 1))
        behaviour = self._server.behaviour
        requested = int(request_body.get("max_tokens", request_body.get("max_completion_tokens", 16)))
        total = min(requested, behaviour.tokens)
        sent_ns: list[int] = []
        truth = {"received_ns": received_ns, "stamp": stamp, "sent_ns": sent_ns}
        self._server.add_to_log(str(request_body.get("user") or request), truth)
        write = self._write
        write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        write(self._event(request, [{"index": 0, "delta": {"role": "assistant", "content": None}}]))
        loop = asyncio.get_running_loop()
        # Events are encoded ahead, so that no work is left between taking the time and the write.
        began = loop.time()
        for number in range(0, total, per_chunk):
            delta = behaviour.delta(range(number, min(number + per_chunk, total)))
            data = self._event(request, [{"index": 0, "delta": delta}])
            await asyncio.sleep(began + ttft_s + number // per_chunk * itl_s - loop.time())
            sent_ns.append(time.monotonic_ns())
            write(data)
        reason = "length" if total == requested else "stop"
        write(self._event(request, [{"index": 0, "delta": {}, "finish_reason": reason}]))
        if behaviour.usage:
            write(self._event(request, [], usage=behaviour.usage_object(total)))
        write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


class TruthServer:
    """The server and its log. `ttft_ms` and `itl_ms` are the defaults of requests."""

    def __init__(self, ttft_ms: float = 50.0, itl_ms: float = 10.0, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.ttft_ms = ttft_ms
        self.itl_ms = itl_ms
        self.count = 0
        self.log: dict[str, dict[str, Any]] = {}

    def add_to_log(self, request: str, truth: dict[str, Any]) -> None:
        """Add a request, and drop the oldest beyond `MAX_LOG`."""
        self.log[request] = truth
        if len(self.log) > MAX_LOG:
            del self.log[next(iter(self.log))]

    async def serve(self, port: int) -> None:
        """Listen on loopback, print the address, serve until cancelled."""
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
            # Enable timestamps early: Linux starts them shortly after the first socket enables them.
            _enable_timestamps(listener)
            listener.setblocking(False)
            print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
            while True:
                sock, _ = await loop.sock_accept(listener)
                _Connection(self, sock)


def main() -> None:
    """Run the truth server from the command line."""
    parser = argparse.ArgumentParser(
        prog="llmtui.accuracy.truth_server", description="A server that logs the true times."
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    parser.add_argument("--tokens", type=int, default=Behaviour.tokens, help="stop after this many tokens")
    parser.add_argument("--reasoning", type=int, default=Behaviour.reasoning, help="this many of them are reasoning")
    parser.add_argument("--prompt-tokens", type=int, default=Behaviour.prompt_tokens, help="prompt tokens to report")
    parser.add_argument("--cached", type=int, default=Behaviour.cached, help="cached prompt tokens to report")
    parser.add_argument("--no-usage", dest="usage", action="store_false", help="report no usage")
    parser.add_argument("--word", default=Behaviour.word, help="the beginning of each token")
    arguments = parser.parse_args()
    behaviour = Behaviour(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Behaviour)})
    try:
        asyncio.run(TruthServer(arguments.ttft_ms, arguments.itl_ms, behaviour).serve(arguments.port))
    except KeyboardInterrupt:
        sys.exit(0)
    except OSError as error:
        sys.exit(f"cannot listen on port {arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()
