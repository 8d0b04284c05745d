"""The truth server in several processes: the first accepts the connections and deals them out in turn.

Each of the others also listens on an inner port of loopback, where its siblings ask for the logs that it has. They end
with the first process.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmtui.accuracy.truth_connection import Connection
from llmtui.measure.promptness import wake_promptly

if TYPE_CHECKING:
    from llmtui.accuracy.truth_server import TruthServer

#: Makes the server of a process, given the inner ports of the others and its number.
Make = Callable[[Sequence[int], int], "TruthServer"]


def serve(listener: socket.socket, count: int, make: Make, ready: Callable[[], None]) -> None:
    """Serve `listener` by `count` processes, until interrupted. `ready` is called once they listen. Raises OSError."""
    inner = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(count)]
    ports = [each.getsockname()[1] for each in inner]
    lines: list[socket.socket] = []
    children: list[int] = []
    try:
        for number in range(count):
            ours, theirs = socket.socketpair()
            child = os.fork()
            if child == 0:
                server = make(ports[:number] + ports[number + 1 :], number)
                _run_child(theirs, [listener, ours, *lines], inner, number, server)
            theirs.close()
            lines.append(ours)
            children.append(child)
        for each in inner:
            each.close()
        ready()
        for line in itertools.cycle(lines):
            sock, _ = listener.accept()
            with sock:
                socket.send_fds(line, [b"+"], [sock.fileno()])
    finally:
        for line in lines:
            line.close()
        for child in children:
            os.waitpid(child, 0)


def _run_child(
    line: socket.socket, others: Sequence[socket.socket], inner: list[socket.socket], number: int, server: TruthServer
) -> None:
    """Serve what comes over `line`, and end the process with it."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for sock in (*others, *inner[:number], *inner[number + 1 :]):
            sock.close()
        gc.freeze()
        wake_promptly()
        asyncio.run(_serve_child(line, inner[number], server))
        status = 0
    finally:
        os._exit(status)


async def _serve_child(line: socket.socket, inner: socket.socket, server: TruthServer) -> None:
    accepting = asyncio.create_task(server.accept(inner, inner=True))
    ended = asyncio.Event()
    line.setblocking(False)

    def receive() -> None:
        try:
            _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            descriptors = []
        if not descriptors:
            ended.set()
        for descriptor in descriptors:
            Connection(server, socket.socket(fileno=descriptor))

    asyncio.get_running_loop().add_reader(line, receive)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(line)
    accepting.cancel()
