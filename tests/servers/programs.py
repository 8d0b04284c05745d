"""The little programs that the tests of `llmtui.servers` run as servers, trees and engines. Standard library only.

`python programs.py NAME ARGUMENTS...`; the functions below are the names.
"""

from __future__ import annotations

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


def tree(port: str, name: str = "child", *below: str) -> None:
    """Tells its name and PID over a connection that closes when it ends; starts the next name in its own session."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.sendall(f"{name} {os.getpid()}\n".encode())
    if below:
        subprocess.Popen([sys.executable, __file__, "tree", port, *below], start_new_session=True)
    signal.pause()


def orphan(port: str) -> None:
    """Starts a process in a session of its own and ends before it."""
    subprocess.Popen([sys.executable, __file__, "tree", port, "left behind"], start_new_session=True)
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.sendall(f"parent {os.getpid()}\n".encode())
        connection.recv(1)


def hold(log: str, *command: str) -> None:
    """An engine: holds the command and does nothing else."""
    import asyncio

    from llmtui.servers.held import Held

    async def forever() -> None:
        held = Held(Path(log))
        await held.start(command, grace_s=0.2)
        await held.wait()

    asyncio.run(forever())


def burn(port: str) -> None:
    """Uses a third of a second of CPU and 50 MB, then says so and waits."""
    block = bytearray(os.urandom(1)) * 50_000_000
    while time.process_time() < 0.3:
        pass
    tree(port, f"burnt-{len(block)}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
