"""The little programs that the tests of `llmtui.servers` run as servers, trees and engines. Standard library only.

`python programs.py NAME ARGUMENTS...`; the functions below are the names.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def serve(port: str, *modes: str) -> None:
    """Answers 200 on /health. `stubborn` ignores SIGTERM, `flood` prints megabytes first, `loading` answers 503."""
    if "stubborn" in modes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "flood" in modes:
        for number in range(200_000):
            print(f"\x1b[31mline {number} of a very talkative server\x1b[0m and the rest of what it has to say of it")
        sys.stdout.flush()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            health = 503 if "loading" in modes else 200
            self.send_response(health if self.path == "/health" else 404)
            self.end_headers()

    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


def die(code: str) -> None:
    """Says why, and ends."""
    print("starting", flush=True)
    print("\x1b[31merror: cannot load model: tensor 'x' is missing\x1b[0m", file=sys.stderr)
    sys.exit(int(code))


def report(port: str, name: str) -> socket.socket:
    """Tell name and PID over a connection that closes when this process ends."""
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.sendall(f"{name} {os.getpid()}\n".encode())
    return connection


def tree(port: str, name: str = "child", *below: str) -> None:
    """Reports in and ignores SIGTERM; starts the next name in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with report(port, name):
        if below:
            subprocess.Popen([sys.executable, __file__, "tree", port, *below], start_new_session=True)
        signal.pause()


def orphan(port: str) -> None:
    """Starts a process in a session of its own and ends before it."""
    subprocess.Popen([sys.executable, __file__, "tree", port, "left behind"], start_new_session=True)
    with report(port, "parent") as connection:
        connection.recv(1)


def hold(log: str, *command: str) -> None:
    """An engine: holds the command and does nothing else."""
    import asyncio

    from llmtui.servers.process_tree import GuardedProcess

    async def forever() -> None:
        process = GuardedProcess(Path(log))
        await process.start(command, grace_s=0.2)
        await process.wait()

    asyncio.run(forever())


def calm(port: str) -> None:
    """Reports in, and ends when it is asked to."""
    with report(port, "calm"):
        signal.pause()


def daemon(port: str) -> None:
    """Puts itself into the background: two forks, a session of its own, and the first process ends well."""
    here, told = os.pipe()
    if os.fork():
        os.close(told)
        os.read(here, 1)
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with report(port, "daemon"):
        os.close(told)
        signal.pause()


def storm(port: str, count: str) -> None:
    """Asked to end it forks, and each child forks again in a session of its own, `count` times; none ends by itself."""
    left = int(count)

    def fork(*_: object) -> None:
        nonlocal left
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while left and not os.fork():
            left -= 1
            os.setsid()

    signal.signal(signal.SIGTERM, fork)
    with report(port, "storm"):
        while True:
            signal.pause()


def flood(port: str, megabytes: str) -> None:
    """Prints so many MB in numbered lines of 100 bytes, reports in, and stays."""
    for number in range(0, int(megabytes) * 10_000, 1000):
        sys.stdout.write("".join(f"line {n:093d}!\n" for n in range(number, number + 1000)))
    sys.stdout.flush()
    tree(port, "flooded")


def chatter(port: str) -> None:
    """Prints without end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with report(port, "chatter"):
        for number in itertools.count():
            sys.stdout.write(f"{number}\n" * 1000)


def hog() -> None:
    """Takes memory until it gets no more."""
    taken = []
    while True:
        taken.append(os.urandom(1) * 20_000_000)


def burn(port: str) -> None:
    """Uses a third of a second of CPU and 50 MB, then says so and waits."""
    block = bytearray(os.urandom(1)) * 50_000_000
    while time.process_time() < 0.3:
        pass
    tree(port, f"burnt-{len(block)}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
