"""A server in a process of its own that computes while it streams, and proxies in front of it, each a process too.

    python -m tests.odd.busy server PORT_OR_PATH [CHILD]
    python -m tests.odd.busy proxy PORT UPSTREAM

With CHILD it computes in a child process that starts at the first request, as Ollama's runner does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.odd.server import TOKENS, delta, usage

#: Of work before each token, and of rest after it: other programs get their share of the machine.
WORK_S = 0.02
REST_S = 0.005
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
READY = "ready\n"


def burn(seconds: float) -> None:
    """Use this much CPU time."""
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        pass


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"POST"):
            body = json.dumps({"data": [{"id": "m1"}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        else:
            writer.write(HEAD)
            child = await _child() if "CHILD" in sys.argv else None
            for number in range(TOKENS):
                if child is None:
                    burn(WORK_S)
                else:
                    assert child.stdin is not None and child.stdout is not None
                    child.stdin.write(b"\n")
                    await child.stdout.readline()
                await asyncio.sleep(REST_S)
                writer.write(_event(delta(f" w{number}")))
                await writer.drain()
            for event in (delta(finish="length"), usage(TOKENS), "[DONE]"):
                writer.write(_event(event))
            if child is not None:
                child.kill()
                await child.wait()
        await writer.drain()
    writer.close()


def _event(value: object) -> bytes:
    return b"data: " + (value if isinstance(value, str) else json.dumps(value)).encode() + b"\n\n"


async def _child() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.odd.busy", "worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


def _work() -> None:
    while sys.stdin.readline():
        burn(WORK_S)
        print(flush=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    upstream = sys.argv[3]
    with contextlib.suppress(OSError):
        if upstream.isdecimal():
            ours, theirs = await asyncio.open_connection("127.0.0.1", int(upstream))
        else:
            ours, theirs = await asyncio.open_unix_connection(upstream)
        await asyncio.gather(_pump(reader, theirs), _pump(ours, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _serve() -> None:
    kind, place = sys.argv[1:3]
    handle = _answer if kind == "server" else _forward
    if place.isdecimal():
        server: asyncio.Server = await asyncio.start_server(handle, "127.0.0.1", int(place))
    else:
        server = await asyncio.start_unix_server(handle, place)
    sys.stdout.write(READY)
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


@contextlib.contextmanager
def running(*arguments: str | int | Path) -> Iterator[int]:
    """Run one of these processes, and yield its PID."""
    command = [sys.executable, "-m", "tests.odd.busy", *map(str, arguments)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ)
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == READY
            yield process.pid
        finally:
            process.kill()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        _work()
    else:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve())
