"""The frame of the stand-ins: programs that take the flags of a real server and send its captured bytes.

A stand-in is a process of its own with a real socket. It knows exactly the flags of the server and the version that it
stands for. It refuses any other flag, a taken port and a missing model in the words and with the exit code of that
server. Standard library only: `install.py` starts them without site-packages, which is faster.

Environment variables control a stand-in:
- STAND_IN_VERSION: the version that it stands for.
- STAND_IN_FAULT: words, separated by commas: `die` (exits while it loads), `sigill` (ends as by an instruction that the
  processor does not have), `mute` (accepts connections and never answers), `next_port` (listens on the port after the
  one that it was given), `everywhere` (listens on all interfaces), `slow` (loads for a second), `no_version` (prints no
  version), `hang_version` (does not end when it is asked for its version).
- STAND_IN_RECORD: a file to which it appends its arguments and its environment as a line of JSON at each start, and
  each request.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

CAPTURES = Path(__file__).resolve().parent.parent / "fixtures" / "wire"
#: Between two chunks of a stream, so that tokens arrive one by one.
PAUSE_S = 0.002
LOAD_S = 1.0


class Request(NamedTuple):
    """One HTTP request. `body` is the parsed JSON, `{}` if it has none or is not an object."""

    method: str
    path: str
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        try:
            value = json.loads(self.raw)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def is_json(self) -> bool:
        try:
            json.loads(self.raw)
        except ValueError:
            return False
        return True


class Reply(NamedTuple):
    """A head without its empty line, and the pieces of the body, sent one by one."""

    head: bytes
    pieces: list[bytes]


def captured(name: str, changes: dict[str, str] | None = None) -> Reply:
    """Return the reply in `fixtures/wire/<name>.response`, with each text of `changes` replaced in its body."""
    head, _, rest = (CAPTURES / f"{name}.response").read_bytes().partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return plain(head, change(rest, changes))
    pieces = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            pieces.append(b"0\r\n\r\n")
            break
        pieces.append(chunk(change(rest[:count], changes)))
        rest = rest[count + 2 :]
    return Reply(head, pieces)


def change(body: bytes, changes: dict[str, str] | None) -> bytes:
    """Replace each text, as it stands in JSON."""
    for old, new in (changes or {}).items():
        body = body.replace(json.dumps(old)[1:-1].encode(), json.dumps(new)[1:-1].encode())
    return body


def chunk(data: bytes) -> bytes:
    """Encode one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def plain(head: bytes, body: bytes) -> Reply:
    """Return a reply with a body of known length."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    return Reply(b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]), [body])


def as_json(value: Any, status: str = "200 OK", head: str = "Content-Type: application/json") -> Reply:
    """Return a reply with a JSON body."""
    return plain(f"HTTP/1.1 {status}\r\n{head}\r\nConnection: close".encode(), json.dumps(value).encode())


class StandIn:
    """One server. Subclasses have its flags, its words and its replies."""

    #: Flags with a value, and those without, each with the key under which `options` has it.
    valued: dict[str, str] = {}
    switches: dict[str, str] = {}
    #: Whether `--flag=value` is allowed.
    equals = False
    #: Whether it listens before the model is loaded.
    listens_first = False

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self.options: dict[str, str] = {}
        self.words: list[str] = []
        self.faults = set(filter(None, os.environ.get("STAND_IN_FAULT", "").split(",")))
        self.loaded = threading.Event()
        self.port = 0

    # --- What subclasses give. ---

    def version(self) -> str:
        """Return what it prints when it is asked for its version."""
        raise NotImplementedError

    def asked_for_version(self) -> bool:
        return "--version" in self.argv

    def unknown_flag(self, flag: str) -> NoReturn:
        """Refuse a flag, in its own words."""
        raise NotImplementedError

    def address(self) -> tuple[str, int]:
        """Return where it was told to listen."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse a missing model, in its own words."""

    def dies(self) -> NoReturn:
        """Exit while it loads, in its own words."""
        self.end("error: failed to load model", 1)

    def port_taken(self, host: str, port: int) -> NoReturn:
        """Exit because the port is taken, in its own words."""
        raise NotImplementedError

    def listening(self, host: str, port: int) -> None:
        """Say where it listens, in its own words."""

    def reply(self, request: Request) -> Reply:
        raise NotImplementedError

    # --- The frame. ---

    def end(self, text: str, code: int) -> NoReturn:
        """Print an error and exit."""
        print(text, file=sys.stderr, flush=True)
        sys.exit(code)

    def run(self) -> None:
        self.record("start", argv=self.argv, env=dict(os.environ), cwd=os.getcwd())
        if self.asked_for_version():
            if "hang_version" in self.faults:
                signal.pause()
            print("" if "no_version" in self.faults else self.version(), flush=True)
            return
        self.parse()
        self.check()
        if self.listens_first:
            listener = self.listen()
            threading.Thread(target=self.load, daemon=True).start()
        else:
            self.load()
            listener = self.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def parse(self) -> None:
        """Fill in `options` and `words`."""
        rest = iter(self.argv)
        for word in rest:
            flag, is_pair, value = word.partition("=") if self.equals and word.startswith("--") else (word, "", "")
            if not word.startswith("-"):
                self.words.append(word)
            elif flag in self.valued:
                given = value if is_pair else next(rest, None)
                if given is None:
                    self.unknown_flag(flag)
                self.options[self.valued[flag]] = given
            elif flag in self.switches and not is_pair:
                self.options[self.switches[flag]] = "yes"
            else:
                self.unknown_flag(flag)

    def load(self) -> None:
        if "sigill" in self.faults:
            os.kill(os.getpid(), signal.SIGILL)
        if "slow" in self.faults:
            time.sleep(LOAD_S)
        if "die" in self.faults:
            try:
                self.dies()
            except SystemExit as error:
                os._exit(int(str(error.code)))
        self.loaded.set()

    def listen(self) -> socket.socket:
        host, port = self.address()
        if "everywhere" in self.faults:
            host = "0.0.0.0"
        if "next_port" in self.faults:
            port += 1
        for number in self.ports(port):
            try:
                listener = socket.create_server((host, number), backlog=64)
            except OSError:
                continue
            self.port = number
            self.listening(host, number)
            return listener
        self.port_taken(host, port)

    def ports(self, port: int) -> Iterator[int]:
        """The ports that it tries."""
        yield port

    def serve(self, connection: socket.socket) -> None:
        with connection:
            request = read(connection)
            if request is None:
                return
            if "mute" in self.faults:
                time.sleep(3600)
            self.record("request", method=request.method, path=request.path, body=request.body)
            reply = self.reply(request)
            try:
                connection.sendall(reply.head + b"\r\n\r\n")
                for number, piece in enumerate(reply.pieces):
                    if number:
                        time.sleep(PAUSE_S)
                    connection.sendall(piece)
            except OSError:
                return

    def record(self, what: str, **facts: Any) -> None:
        if path := os.environ.get("STAND_IN_RECORD"):
            line = json.dumps({"what": what, **facts}) + "\n"
            with open(path, "a") as file:
                file.write(line)


def read(connection: socket.socket) -> Request | None:
    """Read one request; None if the client closed the connection before it was whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return None
        body += more
    method, target, _ = first.split(" ", 2)
    return Request(method, target.partition("?")[0], body[:length])


def main(stand_in: Callable[[list[str]], StandIn]) -> None:
    """Run a stand-in with the arguments of this process."""
    stand_in(sys.argv[1:]).run()
