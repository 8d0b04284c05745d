"""Small programs that the tests of `llmtui.servers` run as servers, trees and engines. Standard library only.

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
    """Reply 200 on /health. `stubborn` ignores SIGTERM, `flood` prints megabytes first, `loading` replies 503, `says`
    prints where it listens."""
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

    server = HTTPServer(("127.0.0.1", int(port)), Handler)
    if "says" in modes:
        print(f'level=INFO msg="Listening on 127.0.0.1:{port} (version 0.33.0)"', flush=True)
    server.serve_forever()


def die(code: str) -> None:
    """Print an error and exit."""
    print("starting", flush=True)
    print("\x1b[31merror: cannot load model: tensor 'x' is missing\x1b[0m", file=sys.stderr)
    sys.exit(int(code))


def report(port: str, name: str) -> socket.socket:
    """Send name and PID over a connection that closes when this process exits."""
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.sendall(f"{name} {os.getpid()}\n".encode())
    return connection


def tree(port: str, name: str = "child", *below: str) -> None:
    """Report and ignore SIGTERM; start the next name in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with report(port, name):
        if below:
            subprocess.Popen([sys.executable, __file__, "tree", port, *below], start_new_session=True)
        signal.pause()


def orphan(port: str) -> None:
    """Start a process in a session of its own and exit before it."""
    subprocess.Popen([sys.executable, __file__, "tree", port, "left behind"], start_new_session=True)
    with report(port, "parent") as connection:
        connection.recv(1)


def hold(log: str, *command: str) -> None:
    """Act as an engine: run the command under a guard."""
    import asyncio

    from llmtui.servers.process_tree import GuardedProcess

    async def forever() -> None:
        process = GuardedProcess(Path(log))
        await process.start(command, grace_s=0.2)
        await process.wait()

    asyncio.run(forever())


def calm(port: str) -> None:
    """Report, and exit on SIGTERM."""
    with report(port, "calm"):
        signal.pause()


def daemon(port: str) -> None:
    """Go into the background: two forks, a session of its own, and exit code 0 of the first process."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with report(port, "daemon"):
        os.close(write)
        signal.pause()


def storm(port: str, count: str) -> None:
    """On SIGTERM, fork `count` times, each child from the one before in a session of its own; none of them exits."""
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
    """Print this many MB in numbered lines of 100 bytes, then report and wait."""
    for number in range(0, int(megabytes) * 10_000, 1000):
        sys.stdout.write("".join(f"line {n:093d}!\n" for n in range(number, number + 1000)))
    sys.stdout.flush()
    tree(port, "flooded")


def chatter(port: str) -> None:
    """Print endlessly."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with report(port, "chatter"):
        for number in itertools.count():
            sys.stdout.write(f"{number}\n" * 1000)


def hog() -> None:
    """Allocate memory until that fails."""
    taken = []
    while True:
        taken.append(os.urandom(1) * 20_000_000)


def burn(port: str) -> None:
    """Use 0.3 s of CPU time and 50 MB, then report and wait."""
    block = bytearray(os.urandom(1)) * 50_000_000
    while time.process_time() < 0.3:
        pass
    tree(port, f"burnt-{len(block)}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
