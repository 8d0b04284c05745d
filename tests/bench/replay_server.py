"""A server that replays one prepared answer, one token a send, as fast as one core can: `python -m
tests.bench.replay_server --rate 20000 --streams 32`.

It prints its address. It sends `--rate` tokens a second in all, to `--streams` answers in turn, each token by a call of
its own, and takes the time right before it. Once its standard input ends, it writes its log to standard output as
msgpack: a `Replay` for each answer.
"""

from __future__ import annotations

import array
import gc
import json
import os
import re
import selectors
import socket
import struct
import sys
import time

import msgspec

from llmtui.measure.clock import sample_offset
from llmtui.measure.stamped_socket import kernel_stamps
from llmtui.model import Struct
from tests.bench.common import command_line

TOKENS = 64
#: The fresh line in a prompt of llmtui, by which a request is found again.
_LINE = re.compile(rb"\[\d{12}\]")
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Replay(Struct, frozen=True):
    """The log of one answer, on the monotonic clock: the kernel's stamp of its request, and when each token was sent.

    `line` is the fresh line of its prompt, "" without one.
    """

    line: str
    received_ns: int
    sent_ns: list[int]


def event(**fields: object) -> bytes:
    """Return a chunk of the body with one event."""
    data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m", **fields}
    line = b"data: " + json.dumps(data).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


_FIRST = _HEAD + event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
_TOKEN = event(choices=[{"index": 0, "delta": {"content": " token"}, "finish_reason": None}])
_USAGE = {"prompt_tokens": 16, "completion_tokens": TOKENS, "total_tokens": 16 + TOKENS}
_LAST = (
    event(choices=[{"index": 0, "delta": {}, "finish_reason": "length"}])
    + event(choices=[], usage=_USAGE)
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)
_MESSAGE = {"role": "assistant", "content": " token" * TOKENS}
_WHOLE = {"id": "1", "object": "chat.completion", "created": 1700000000, "model": "m", "usage": _USAGE}
_WHOLE["choices"] = [{"index": 0, "message": _MESSAGE, "finish_reason": "length"}]
_MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1700000000, "owned_by": "bench"}]}


class _Answer:
    """An answer under way."""

    def __init__(self, connection: _Connection, line: str, received_ns: int) -> None:
        self.connection = connection
        self.send = connection.sock.sendall
        self.line = line
        self.received_ns = received_ns
        self.sent_ns = array.array("q")


class _Connection:
    """A client's connection, and what it has sent of its next request."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.sock = sock
        self.request = b""

    def read(self) -> _Answer | bool | None:
        """Read what has arrived. Return the answer to a whole request, None before its end, False at the end."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65_536, 64)
        except OSError:
            return False
        if not data:
            return False
        received_ns = time.monotonic_ns()
        if ancillary:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            received_ns = seconds * 1_000_000_000 + nanoseconds + sample_offset().offset_ns
        self.request += data
        head, end, body = self.request.partition(b"\r\n\r\n")
        if not end:
            return None
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return None
        self.request = b""
        if head.startswith(b"POST") and _STREAM.search(body):
            line = _LINE.search(body)
            return _Answer(self, line[0].decode() if line else "", received_ns)
        reply = json.dumps(_WHOLE if head.startswith(b"POST") else _MODELS).encode()
        if head.startswith(b"GET /book"):
            reply = b"a word and another one, " * 2000  # some tools cut their prompts from a book
        self.sock.sendall(_PLAIN_HEAD % (len(reply), reply))
        return None


class ReplayServer:
    """Serves one listener in one thread, by turns: each answer has a place in the round."""

    def __init__(self, listener: socket.socket, rate: float, streams: int, step_ns: int = 0) -> None:
        self._listener = listener
        self._step_ns = step_ns
        self._gap_ns = 1e9 / rate
        self._places: list[_Answer | None] = [None] * streams
        self._waiting: list[_Answer] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        self.log: list[_Answer] = []

    def run(self) -> None:
        """Serve until standard input ends."""
        places, clock = self._places, time.monotonic_ns
        count, turn, began = len(places), 0, clock()
        while True:
            due = began + int(turn * self._gap_ns)
            answer = places[turn % count]
            if (answer is None or turn % 64 == 0) and not self._poll():
                return
            if answer is None and self._waiting:
                answer = places[turn % count] = self._waiting.pop(0)
            while (now := clock()) < due:
                if self._step_ns:
                    if not self._poll(max(due - now, self._step_ns) / 1e9):
                        return
                elif due - now > 200_000 and not self._poll():
                    return
            if answer is not None:
                try:
                    if len(answer.sent_ns) < TOKENS:
                        answer.sent_ns.append(clock())
                        answer.send(_TOKEN)
                    else:
                        places[turn % count] = None
                        answer.send(_LAST)
                        self.log.append(answer)
                except OSError:
                    places[turn % count] = None
            turn += 1
            if now - due > 50_000_000:
                # A pause of the machine: go on from here instead of catching up.
                began += now - due

    def _poll(self, wait_s: float = 0.0) -> bool:
        """Accept connections and read requests. Return False once standard input has ended."""
        for key, _ in self._selector.select(wait_s):
            if key.fileobj is self._listener:
                sock, _ = self._listener.accept()
                connection = _Connection(sock)
                self._selector.register(sock, selectors.EVENT_READ, connection)
            elif key.data is None:
                return False
            else:
                answer = key.data.read()
                if answer is False:
                    self._selector.unregister(key.fileobj)
                    key.data.sock.close()
                elif answer is not None:
                    answer.send(_FIRST)
                    self._waiting.append(answer)
        return True


def main() -> None:
    """Serve from the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--rate", type=float, default=20_000)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--core", type=int)
    parser.add_argument("--port", type=int, default=0, help="shared with other servers that are given it")
    parser.add_argument(
        "--step-us", type=int, default=0, help="sleep so long instead of watching the clock, then send all that is due"
    )
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    kernel_stamps()
    gc.disable()
    with socket.create_server(("127.0.0.1", arguments.port), backlog=1024, reuse_port=arguments.port > 0) as listener:
        listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        server = ReplayServer(listener, arguments.rate, arguments.streams, arguments.step_us * 1000)
        server.run()
    log = [Replay(line=each.line, received_ns=each.received_ns, sent_ns=list(each.sent_ns)) for each in server.log]
    sys.stdout.buffer.write(msgspec.msgpack.encode(log))


if __name__ == "__main__":
    main()
