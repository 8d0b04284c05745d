"""A connection to the truth server: HTTP/1.1 with keep-alive on the bare socket, so that no code runs between taking a
time and calling the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmtui.accuracy.truth_pace import Schedule, Truth
from llmtui.measure.clock import sample_offset

if TYPE_CHECKING:
    from llmtui.accuracy.truth_server import TruthServer

MODEL = "truth"
#: How long a refused client is asked to wait, in s.
RETRY_AFTER_S = 1
_LINE_END = b"\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#: No text of a token has it.
_TEXT = "\x00"
#: asm-generic/socket.h; the same number names the option and the control message.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


def enable_timestamps(sock: socket.socket) -> None:
    """Let the kernel stamp what arrives on this socket, where it can."""
    if sys.platform in ("linux", "android"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(request: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
    """Return one server-sent event of an answer."""
    content = {"id": request, "object": "chat.completion.chunk", "model": MODEL, "choices": choices, **more}
    return chunk(b"data: " + json.dumps(content).encode() + b"\n\n")


def encoder(server: TruthServer, request: str) -> Callable[[range], bytes]:
    """Return what encodes an event with these numbers of tokens. It costs little, as it runs for each token."""
    templates = {}
    for key in ("content", "reasoning_content"):
        content = {"id": request, "object": "chat.completion.chunk", "model": MODEL}
        choices = [{"index": 0, "delta": {key: _TEXT}}]
        head, _, tail = json.dumps(content | {"choices": choices}).partition(json.dumps(_TEXT)[1:-1])
        templates[key] = (f"data: {head}".encode(), f"{tail}\n\n".encode())
    behaviour = server.behaviour
    word = json.dumps(behaviour.word)[1:-1]

    def encode(numbers: range) -> bytes:
        head, tail = templates["reasoning_content" if numbers[0] < behaviour.reasoning else "content"]
        return chunk(head + "".join(f" {word}{number}" for number in numbers).encode() + tail)

    return encode


class Connection:
    """One connection. With `inner` it is from another process of the same server, and gets what this one has."""

    def __init__(self, server: TruthServer, sock: socket.socket, *, inner: bool = False) -> None:
        self._server = server
        self._sock = sock
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._unsent = bytearray()
        self._schedule: Schedule | None = None
        self._replying: asyncio.Task[None] | None = None
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        enable_timestamps(sock)
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
        if self._schedule is not None:
            schedule, self._schedule = self._schedule, None
            self._server.pace.drop(schedule)
        if self._replying is not None:
            self._replying.cancel()

    def _answer(self, method: str, target: str, body: bytes, received_ns: int, stamp: str) -> None:
        if method == "POST" and target == "/v1/chat/completions":
            try:
                request_body: dict[str, Any] = json.loads(body)
            except ValueError:
                self._reply(400, {"error": {"message": "not JSON"}})
                return
            self._generate(request_body, received_ns, stamp)
        elif method == "POST" and target == "/tokenize" and self._server.behaviour.tokenize:
            text = str(json.loads(body).get("content"))
            self._reply(200, {"tokens": list(range(self._server.behaviour.count(text)))})
        elif target == "/truth" or target.startswith("/truth/"):
            self._replying = asyncio.ensure_future(self._report(method, target, body))
        elif method == "GET" and (content := self._server.facts(target)) is not None:
            self._reply(200, content)
        else:
            self._reply(404, {"error": {"message": f"no such path: {target}"}})

    def _reply(self, status: int, content: Any, more: str = "") -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self._write(head.encode() + body)

    async def _report(self, method: str, target: str, body: bytes) -> None:
        """Answer what the accuracy command asks about requests and about this server, all its processes included."""
        server = self._server
        if method == "GET" and target == "/truth":
            self._reply(200, server.own_status() if self._inner else await server.status())
            return
        try:
            names = json.loads(body) if method == "POST" else [target.removeprefix("/truth/")]
        except ValueError:
            names = None
        if not isinstance(names, list):
            self._reply(400, {"error": {"message": "not a list of requests in JSON"}})
            return
        logs = await server.take(names, own=self._inner)
        if method == "POST":
            self._reply(200, logs)
        else:
            log = logs.get(names[0])
            self._reply(200 if log else 404, log or {"error": "no such request"})

    def _generate(self, request_body: dict[str, Any], received_ns: int, stamp: str) -> None:
        server = self._server
        request = server.new_id()
        timing = request_body.get("truth", {})
        scale = math.exp(random.gauss(0, timing["noise"])) if "noise" in timing else 1.0
        behaviour = server.behaviour
        requested = int(request_body.get("max_tokens", request_body.get("max_completion_tokens", 16)))
        total = min(requested, behaviour.tokens)
        truth = Truth(received_ns, stamp, array("q"), array("q"))
        prompt_tokens, context = behaviour.prompt_of(request_body), server.capacity.context
        if behaviour.strict and context is not None and prompt_tokens + requested > context:
            message = f"this request of {prompt_tokens} tokens exceeds the available context size of {context}"
            self._reply(400, {"error": {"message": message}})
            return
        cached = server.cached_of(request_body)
        prefill_s = behaviour.prefill_ms / 1e3 * (prompt_tokens - (cached or 0))

        def finish() -> None:
            self._schedule = None
            reason = "length" if total == requested else "stop"
            usage = behaviour.usage_object(prompt_tokens, total, cached) if behaviour.usage else None
            self._write(
                event(request, [{"index": 0, "delta": {}, "finish_reason": reason}])
                + (event(request, [], usage=usage) if usage is not None else b"")
                + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
            )

        schedule = Schedule(
            server.pace,
            truth,
            server.lateness,
            total=total,
            per_chunk=int(timing.get("per_chunk", 1)),
            ttft_s=timing.get("ttft_ms", server.ttft_ms) / 1e3 * scale + prefill_s,
            itl_s=timing.get("itl_ms", server.itl_ms) / 1e3 * scale,
            head=_HEAD + event(request, [{"index": 0, "delta": {"role": "assistant", "content": None}}]),
            encode=encoder(server, request),
            write=self._write,
            finish=finish,
        )
        self._schedule = schedule
        server.add_to_log(str(request_body.get("user") or request), truth)
        if not server.pace.admit(schedule):
            self._schedule = None
            slots = server.capacity.slots
            message = f"all {slots} slots are taken, and {server.capacity.queue} requests wait"
            self._reply(429, {"error": {"message": message}}, f"Retry-After: {RETRY_AFTER_S}\r\n")
