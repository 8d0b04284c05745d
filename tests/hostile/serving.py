"""Servers whose replies contain control sequences, formulas and markup, and helpers to run llmtui against them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from llmtui.accuracy.pty_monitor import Screen
from tests.cli import in_process
from tests.scripted import CLOSE, SSE_HEAD, Scripted, Step, scripted

LLMTUI = [sys.executable, "-m", "llmtui"]
#: For a command that hangs; other tests may take the processor meanwhile.
DEADLINE_S = 100.0

#: One of each kind of active content. HOSTILE is inside sequences that a terminal does not display.
PAYLOAD = (
    "\x1b]52;c;HOSTILE\x07\x1b]8;;http://HOSTILE/\x1b\\link\x1b]8;;\x1b\\\x1bPHOSTILE\x1b\\\x1b]0;HOSTILE\x07"
    "\x1b[2J\x1b[31m\x9d52;c;HOSTILE\x9c\x90HOSTILE\x9c\x9b31m\x1b_HOSTILE\x1b\\"
    "[red]r[/red][link=http://evil]l[/link][/][@click=app.quit]q[/]"
    "\u202ebidi\u2066\u2069\u200f\u200bzero\ufeff\x00\x07\x08\x7f\x85\u2028\r\n\t"
    "|`<script>s</script>![i](http://evil.example/x)<b>&lt;"
)
#: The part that may be displayed.
SEEN = "[red]r[/red][link=http://evil]l[/link][/][@click=app.quit]q[/]"
#: Characters that no output may contain: C0 except newline, DEL, C1, bidi controls, zero width.
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def answer(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json", more: bytes = b"") -> list[Step]:
    """Return a complete HTTP reply."""
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n" % (status, kind, more, len(body))
    return [head, body]


def stream(*events: object) -> list[Step]:
    """Return a stream of events, each an object or raw bytes."""
    items = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return [SSE_HEAD, *(b"data: %b\n\n" % data for data in items), CLOSE]


def content(text: str, finish: str | None = None, **more: object) -> dict[str, object]:
    """Return one chunk of a chat."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more}


def told_by(name: str, text: str) -> dict[bytes, Sequence[Sequence[Step]]]:
    """Return the replies of a server at `/name` whose model, version and weights are `text`."""
    models = {"data": [{"id": text, "meta": {"ftype": text}}]}
    props = {"build_info": text, "model_ftype": text}
    place = name.encode()
    return {
        b"GET /%b/health" % place: [answer(b"{}")],
        b"GET /%b/v1/models" % place: [answer(json.dumps(models).encode())],
        b"GET /%b/props" % place: [answer(json.dumps(props).encode())],
        b"GET /%b/" % place: [answer(b"{}", b"404 Not Found")],
    }


class Hold(asyncio.Event):
    """A step of a script at which the server waits. Use `reached` and `release` from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self._waiting: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> Literal[True]:
        self._waiting = asyncio.get_running_loop()
        self.reached.set()
        return await super().wait()

    def release(self) -> None:
        """Let the server continue, also if it has not reached this step yet."""
        if self._waiting is None:
            self.set()
        else:
            self._waiting.call_soon_threadsafe(self.set)


@contextmanager
def serving(by_path: Mapping[bytes, Sequence[Sequence[Step]]]) -> Iterator[Scripted]:
    """Serve these scripts on a real socket in a thread."""
    loop = asyncio.new_event_loop()
    started: list[Scripted] = []
    up, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with scripted(answer(b"{}", b"404 Not Found")) as server:
            server.by_path.update(by_path)
            started.append(server)
            up.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    up.wait(10)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment for llmtui, with sockets and history in `folder`."""
    runtime = folder / "r"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "LLMTUI_STORE": str(folder / "history.db"), **more}


def llmtui(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run llmtui without a terminal in `folder`."""
    return subprocess.run(
        [*LLMTUI, *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=environment(folder, **more),
        timeout=DEADLINE_S,
        check=False,
    )


def inside(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run llmtui in this process, in `folder` with its history: for what measures nothing."""
    places = {name: environment(folder)[name] for name in ("XDG_RUNTIME_DIR", "LLMTUI_STORE")}
    done = in_process.llmtui(*arguments, cwd=folder, **places)
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.encode(), done.stderr.encode())


def drive(screen: Screen, keys: Sequence[bytes], until: Callable[[bytes], bool]) -> bytes:
    """Press keys in a monitor, at last q until it exits, and return its output. `until` says when the screen is ready.

    The next key is pressed when the screen has been quiet after the last one.
    """
    seen = b""
    waiting = list(keys)
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            answered = bool(select.select([screen], [], [], 0.3)[0])
            if answered:
                data = screen.drain()
                if data is None:
                    assert not waiting, f"it ended before {waiting}: {seen[-2000:]!r}"
                    return seen
                seen += data
            if not answered and until(seen):
                screen.press(waiting.pop(0) if waiting else b"q")
        raise AssertionError(f"not done: {seen[-2000:]!r}")
    finally:
        screen.close()


def assert_plain(output: bytes, *, swallowed: bool = True) -> str:
    """Check that output is sanitized. `swallowed`: text inside escape sequences must be removed with them."""
    text = output.decode()
    match = FORBIDDEN.search(text)
    assert match is None, text[max(0, match.start() - 60) : match.end() + 60]
    assert not (swallowed and "HOSTILE" in text) and "Traceback" not in text
    return text
