"""The truth server: OpenAI's streaming chat with scheduled tokens, and a log of when each token was sent.

Start it with `python -m llmtui.accuracy.truth_server --port 0`. llmtui measures its own error against it, and tests use
it in place of a model. Options imitate other servers: stop early, reason, report cached tokens, report no usage. With
`--slots` it computes a number of requests at a time, and others wait or are refused (429); with `--slope` it becomes
slower with each of them. With `--processes` it answers in several processes, which share the connections.

A request may contain `{"truth": {"ttft_ms": 50, "itl_ms": 10, "per_chunk": 1, "noise": 0.03}}`. `noise` scales the
whole schedule by a random factor (standard deviation of its logarithm). An answer has exactly `max_tokens` tokens,
unless `--tokens` is less.

`GET /truth/ID` returns, once, the times of request ID on the monotonic clock (ns): `received_ns`, when its last byte
arrived (`stamp`: by the kernel's timestamp, or read in user space), `sent_ns`, one per event with tokens, taken right
before it is handed to the kernel, and `due_ns`, when it was to be sent. ID is the request's `user` if given, else the
"id" of its chunks. `POST /truth` with a list of IDs returns all of them that are known, by ID. `GET /truth` says how
late the server itself was (ms), and what it is doing. `GET /props` and `GET /slots` are llama.cpp's, with `--slots`.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import socket
import sys
from collections.abc import Sequence
from typing import Any

from llmtui.accuracy import truth_processes
from llmtui.accuracy.truth_connection import MODEL, Connection, enable_timestamps
from llmtui.accuracy.truth_pace import Capacity, Lateness, Pace, Truth
from llmtui.measure.promptness import wake_promptly

#: The log has the newest requests, up to this number.
MAX_LOG = 10_000


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """How the server answers: it stops after `tokens` tokens, of which the first `reasoning` are reasoning.

    It reports `cached` of its `prompt_tokens` unless that is None, and nothing without `usage`. `word` begins every
    token. With `tokens_per_word`, each word of the messages adds this many prompt tokens, and with `tokenize` it counts
    the words of a text like that at /tokenize. With `remember` the beginning that an earlier prompt had is reported as
    cached. Each prompt token that is not cached adds `prefill_ms` to the TTFT. A `strict` server refuses what does not
    fit into its context.
    """

    tokens: int = sys.maxsize
    reasoning: int = 0
    prompt_tokens: int = 10
    cached: int | None = None
    usage: bool = True
    word: str = "t"
    tokens_per_word: float = 0.0
    tokenize: bool = False
    remember: bool = False
    prefill_ms: float = 0.0
    strict: bool = False

    def prompt_of(self, request: dict[str, Any]) -> int:
        """Return the number of prompt tokens of a request."""
        if not self.tokens_per_word:
            return self.prompt_tokens
        messages = request.get("messages")
        texts = [str(message.get("content")) for message in messages] if isinstance(messages, list) else []
        return self.prompt_tokens + self.count(" ".join(texts))

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        return round(len(text.split()) * self.tokens_per_word)

    def usage_object(self, prompt_tokens: int, tokens: int, cached: int | None = None) -> dict[str, Any]:
        """Return the `usage` at the end of an answer."""
        usage: dict[str, Any] = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens}
        usage["total_tokens"] = prompt_tokens + tokens
        cached = self.cached if cached is None else cached
        if cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return usage


class TruthServer:
    """The server and its log, or one of its processes. `ttft_ms` and `itl_ms` are the defaults of requests; `siblings`
    are the inner ports of the other processes, and `number` is the place of this one, from 0 on."""

    def __init__(
        self,
        ttft_ms: float = 50.0,
        itl_ms: float = 10.0,
        behaviour: Behaviour | None = None,
        capacity: Capacity | None = None,
        siblings: Sequence[int] = (),
        number: int = 0,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.capacity = capacity or Capacity()
        self.ttft_ms = ttft_ms
        self.itl_ms = itl_ms
        self.count = 0
        self.log: dict[str, Truth] = {}
        self.pace = Pace(self.capacity)
        self.lateness = Lateness()
        #: The prompts so far, for `Behaviour.remember`.
        self._prompts: dict[str, None] = {}
        self._siblings = siblings
        self._ids = itertools.count(number + 1, len(siblings) + 1)

    def new_id(self) -> str:
        """Return the "id" of the next answer, and count it. No other process has it."""
        self.count += 1
        return f"truth-{next(self._ids)}"

    def cached_of(self, request: dict[str, Any]) -> int | None:
        """Return how many tokens of a prompt an earlier one began with, None if this server forgets them."""
        messages = request.get("messages")
        if not self.behaviour.remember or not isinstance(messages, list):
            return None
        beginnings = (messages[:place] for place in range(len(messages), 0, -1))
        known = next((each for each in beginnings if json.dumps(each) in self._prompts), None)
        self._prompts[json.dumps(messages)] = None
        if len(self._prompts) > MAX_LOG:
            del self._prompts[next(iter(self._prompts))]
        return self.behaviour.prompt_of({"messages": known}) if known else 0

    def add_to_log(self, request: str, truth: Truth) -> None:
        """Add a request, and drop the oldest beyond `MAX_LOG`."""
        self.log[request] = truth
        if len(self.log) > MAX_LOG:
            del self.log[next(iter(self.log))]

    def facts(self, path: str) -> Any:
        """Return what a GET of `path` reports about the server, None for an unknown path."""
        slots, context = self.capacity.slots, self.capacity.context
        known = {} if context is None else {"n_ctx": context}
        if path == "/health":
            return {"status": "ok"}
        if path == "/v1/models":
            return {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
        if path == "/props" and slots is not None:
            return {"total_slots": slots} | ({"default_generation_settings": known} if known else {})
        if path == "/slots" and slots is not None:
            return [{"id": number, "is_processing": number < self.pace.active, **known} for number in range(slots)]
        return None

    def own_status(self) -> dict[str, Any]:
        """Return what this process is doing, and how late it was (`late`: the counts of its `Lateness`)."""
        pace = self.pace
        return {
            "processes": 1,
            "requests": self.count,
            "active": pace.active,
            "waiting": pace.waiting,
            "refused": pace.refused,
            "late": self.lateness.counts,
        }

    async def status(self) -> dict[str, Any]:
        """Return what all processes are doing; `late_ms` has the percentiles of how late tokens were sent."""
        late = Lateness()
        total: dict[str, Any] = {}
        for status in [self.own_status(), *await self._ask_siblings("GET", None)]:
            late.merge(status.pop("late"))
            total = {name: total.get(name, 0) + value for name, value in status.items()}
        return total | {"late_ms": late.summary()}

    async def take(self, names: Sequence[str], *, own: bool = False) -> dict[str, Any]:
        """Return the logs of these requests, and forget them. With `own`, those of this process only."""
        logs = {name: log.as_json() for name in names if (log := self.log.pop(name, None)) is not None}
        if not own and (missing := [name for name in names if name not in logs]):
            for found in await self._ask_siblings("POST", missing):
                logs |= found
        return logs

    async def _ask_siblings(self, method: str, content: Any) -> list[Any]:
        body = json.dumps(content).encode() if content is not None else b""
        answers = []
        for port in self._siblings:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{method} /truth HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answers.append(json.loads(await reader.readexactly(length)))
            writer.close()
        return answers

    async def serve(self, port: int) -> None:
        """Listen on loopback, print the address, serve until cancelled."""
        with listen(port) as listener:
            announce(listener)
            await self.accept(listener)

    async def accept(self, listener: socket.socket, *, inner: bool = False) -> None:
        """Answer every connection to `listener`, until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            sock, _ = await loop.sock_accept(listener)
            Connection(self, sock, inner=inner)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a port of loopback; 0: on a free one. Raises OSError."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    # Enable timestamps early: Linux starts them shortly after the first socket enables them.
    enable_timestamps(listener)
    return listener


def announce(listener: socket.socket) -> None:
    """Print the address."""
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)


def main() -> None:
    """Run the truth server from the command line."""
    parser = argparse.ArgumentParser(
        prog="llmtui.accuracy.truth_server", description="A server that logs the true times."
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", "--step-ms", type=float, default=10.0, help="time between two tokens")
    parser.add_argument("--tokens", type=int, default=Behaviour.tokens, help="stop after this many tokens")
    parser.add_argument("--reasoning", type=int, default=Behaviour.reasoning, help="this many of them are reasoning")
    parser.add_argument("--prompt-tokens", type=int, default=Behaviour.prompt_tokens, help="prompt tokens to report")
    parser.add_argument("--tokens-per-word", type=float, default=0.0, help="and this many for each word of the prompt")
    parser.add_argument("--tokenize", action="store_true", help="count the tokens of a text at /tokenize")
    parser.add_argument("--cached", type=int, default=Behaviour.cached, help="cached prompt tokens to report")
    parser.add_argument("--no-usage", dest="usage", action="store_false", help="report no usage")
    parser.add_argument("--word", default=Behaviour.word, help="the beginning of each token")
    parser.add_argument("--remember", action="store_true", help="report the known beginning of a prompt as cached")
    parser.add_argument("--prefill-ms", type=float, default=0.0, help="each token that is not cached adds this to TTFT")
    parser.add_argument("--strict", action="store_true", help="refuse what does not fit into --context")
    parser.add_argument("--slots", type=int, default=None, help="compute this many requests at a time")
    parser.add_argument("--queue", type=int, default=None, help="refuse a request if this many wait for a slot")
    parser.add_argument("--slope", type=float, default=0.0, help="each further request adds this share to --itl-ms")
    parser.add_argument("--context", type=int, default=None, help="report this context of a slot, in tokens")
    parser.add_argument("--processes", type=int, default=1, help="answer in this many processes")
    arguments = parser.parse_args()
    least = {"slots": 1, "queue": 0, "slope": 0, "context": 1, "processes": 1}
    for name, value in least.items():
        if (given := getattr(arguments, name)) is not None and given < value:
            parser.error(f"--{name}: {given} is below {value}")
    if arguments.queue is not None and arguments.slots is None:
        parser.error("--queue needs --slots: without slots, no request waits")
    if arguments.processes > 1 and (arguments.slots is not None or arguments.slope):
        parser.error("--slots and --slope need one process: the processes do not share their slots")
    behaviour = Behaviour(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Behaviour)})
    capacity = Capacity(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Capacity)})

    def server(siblings: Sequence[int], number: int) -> TruthServer:
        return TruthServer(arguments.ttft_ms, arguments.itl_ms, behaviour, capacity, siblings, number)

    wake_promptly()
    try:
        if arguments.processes == 1:
            asyncio.run(server((), 0).serve(arguments.port))
        else:
            with listen(arguments.port) as listener:
                truth_processes.serve(listener, arguments.processes, server, lambda: announce(listener))
    except KeyboardInterrupt:
        sys.exit(0)
    except OSError as error:
        sys.exit(f"cannot listen on port {arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()
