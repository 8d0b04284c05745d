"""`llmtui serve`: one run, watched in a browser by as many pages as like. Textual's web terminal draws them.

The engine is started once, and each page is a monitor that attaches to it: two runs at once would measure each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import string
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import textual_serve
from aiohttp import WSMsgType, web

from llmtui.config import UiConfig
from llmtui.early import EXIT_INTERRUPTED
from llmtui.engine.board import Board
from llmtui.engine.client import Client
from llmtui.engine.lifecycle import EngineError, EngineProcess
from llmtui.export.table import summary_table
from llmtui.headless import EXIT_FAILED, EXIT_OK, Interruption, part, talk
from llmtui.model import Plan
from llmtui.plain import plain
from llmtui.ui import themes

EXIT_USAGE = 2
DEFAULT_PORT = 8321
#: Each open page is a process.
MAX_PAGES = 16
LEAVE_S = 3.0
MAX_MESSAGE_BYTES = 256 * 1024
#: A page may load and speak with nobody but us, whatever its address says.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GREETING = b"__GANGLION__\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(plan: Plan, ui: UiConfig, *, host: str, port: int, store: str = "") -> int:
    """Start an engine for `plan` and serve pages that show it, until interrupted or the engine ends. Returns the exit
    code: as `run` does, 2 when nobody can listen at `host` and `port` (0: a free one)."""
    try:
        listener = _listen(host, port)
    except OSError as error:
        talk(f"cannot listen at {host} port {port}: {error.strerror or error}; choose another with --host and --port")
        return EXIT_USAGE
    with listener, Interruption(signal.SIGHUP) as interrupted:
        try:
            engine = EngineProcess.start(plan, store)
        except EngineError as error:
            talk(str(error))
            return EXIT_FAILED
        try:
            return asyncio.run(_serve(plan, ui, host, listener, engine, interrupted))
        except EngineError as error:
            talk(str(error))
            return EXIT_FAILED
        finally:
            engine.kill()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that nothing is started where none can be had. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


async def _serve(
    plan: Plan, ui: UiConfig, host: str, listener: socket.socket, engine: EngineProcess, interrupted: Interruption
) -> int:
    client = await interrupted.cuts_short(engine.connect())
    if client is None:
        talk("interrupted")
        return EXIT_INTERRUPTED
    # Like every watcher it goes after the servers under test; its pages inherit that.
    os.nice(5)
    board = Board(plan, keep=0)
    follower = asyncio.create_task(_follow(board, client))
    pages = Pages(engine.socket, ui, host)
    runner = web.AppRunner(pages.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    _tell_address(listener)
    try:
        await interrupted.or_done(follower)
        if interrupted.is_set():
            talk("interrupted; stopping the servers")
    finally:
        await pages.close()
        await runner.cleanup()
    done = board.run.phase == "done"
    if follower.done() and not done:
        talk("the engine ended before the run did" + (f": {said}" if (said := engine.log_tail()) else ""))
    await part(client, follower, LEAVE_S)
    await engine.ended()
    print(summary_table(board, shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160), end="")
    if not done:
        return EXIT_INTERRUPTED if interrupted.is_set() else EXIT_FAILED
    return EXIT_FAILED if board.failed else EXIT_OK


async def _follow(board: Board, client: Client) -> None:
    """Keep the board, and by being there the engine, until the engine goes."""
    async for event in client.events():
        before = board.run.phase
        change, _ = board.apply(event)
        if board.run.phase == "done" != before:
            talk("the run is done; its pages stay, and can rerun it, until Ctrl-C")
        for note in board.notes[-1:] if change == "note" else ():
            talk(plain(f"{note.backend}: {note.text}" if note.backend else note.text, 600))


def _tell_address(listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    ip = ipaddress.ip_address(address.partition("%")[0])
    shown = "localhost" if ip.is_unspecified else f"[{ip}]" if ip.version == 6 else str(ip)
    talk(f"open http://{shown}:{port}/ in a browser; Ctrl-C here ends the run and its servers")
    if not ip.is_loopback:
        talk(
            f"WARNING: {address} is not loopback: whoever reaches port {port} can watch this run and steer it, "
            "unencrypted and without a password; safer is loopback and: "
            f"ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"
        )


# --- Who may come in. ---


def foreign(host: str, origin: str | None, served: str) -> str:
    """Why a request with these headers is not answered, "" when it is. `served` is the --host.

    A page of another site can reach a local port by a name of its own that leads here (DNS rebinding, told by Host), or
    openly (told by Origin). Names are therefore only this machine's; an address cannot be made to lead elsewhere.
    """
    if not re.fullmatch(r"[\w.:\[\]-]+", host, re.ASCII) or not _is_ours(_host_name(f"//{host}"), served):
        return f"{plain(host, 80)!r} is not this machine; open it by its address, or by the name given as --host"
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return "a page of another site asked for this"
    return ""


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_ours(name: str, served: str) -> bool:
    if name in {"localhost", served.lower(), socket.gethostname().lower()}:
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def foreign_user(peer: tuple[str, int], ours: tuple[str, int]) -> bool:
    """Whether the loopback connection from `peer` to `ours` is another user's (Linux: /proc/net/tcp, proc(5)).

    The port is open to all users of the machine, the run is not. Root is nobody else; unknown is let in.
    """
    if not ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback:
        return False
    ports = (f"{peer[1]:04X}", f"{ours[1]:04X}")
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if (fields[1].rpartition(":")[2], fields[2].rpartition(":")[2]) == ports:
                return int(fields[7]) not in (0, os.getuid())
    return False


# --- The pages. ---


class Pages:
    """The web application: the page, its parts, and for each open page a monitor at the other end of a websocket."""

    def __init__(self, engine: Path, ui: UiConfig, host: str) -> None:
        self._engine = engine
        self._options = msgspec.json.encode(msgspec.structs.replace(ui, theme=ui.theme or "dark")).decode()
        self._host = host
        self._light = ui.theme == "light"
        self._open: set[web.WebSocketResponse] = set()
        self._page = string.Template(importlib.resources.files("llmtui").joinpath("serve.html").read_text("utf-8"))
        assert textual_serve.__file__ is not None
        self._statics = Path(textual_serve.__file__).parent / "static"

    def application(self) -> web.Application:
        """What to serve."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/", self._index)
        application.router.add_get("/ws", self._websocket)
        application.router.add_static("/static", self._statics)
        return application

    async def close(self) -> None:
        """Close every page; their monitors then end."""
        await asyncio.gather(*(page.close(message=b"llmtui serve ended") for page in list(self._open)))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if why := foreign(request.host, request.headers.get("Origin"), self._host):
            return web.Response(status=403, text=f"llmtui: refused: {why}\n")
        transport = request.transport
        if transport is None or foreign_user(
            transport.get_extra_info("peername")[:2], transport.get_extra_info("sockname")[:2]
        ):
            return web.Response(status=403, text="llmtui: refused: this run is another user's\n")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = POLICY
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["Cache-Control"] = "no-store" if request.path == "/" else "max-age=3600"
        return response

    async def _index(self, request: web.Request) -> web.Response:
        theme = themes.LIGHT if self._light else themes.DARK
        # The address as the browser has it: the port may be another one at the other end of a tunnel.
        scheme = "wss" if (request.headers.get("Origin") or "").startswith("https:") else "ws"
        text = self._page.substitute(
            websocket=f"{scheme}://{request.host}/ws", background=theme.background, foreground=theme.foreground
        )
        return web.Response(text=text, content_type="text/html")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if len(self._open) >= MAX_PAGES:
            return web.Response(status=503, text=f"llmtui: {MAX_PAGES} pages are open already\n")
        page = web.WebSocketResponse(heartbeat=15.0, max_msg_size=MAX_MESSAGE_BYTES)
        self._open.add(page)
        try:
            await page.prepare(request)
            size = (_cells(request.query.get("width"), 80, 500), _cells(request.query.get("height"), 24, 200))
            await self._show(page, *size)
        finally:
            self._open.discard(page)
            await page.close()
        return page

    async def _show(self, page: web.WebSocketResponse, width: int, height: int) -> None:
        """Have a monitor draw on this page until either leaves."""
        monitor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "llmtui.ui.browser", str(self._engine), self._options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(width, height),
            # Ctrl-C at the terminal is ours to handle.
            start_new_session=True,
        )
        assert monitor.stdin is not None and monitor.stdout is not None
        parts = {
            asyncio.create_task(_draw(monitor.stdout, page)),
            asyncio.create_task(_listen_to(page, monitor.stdin)),
        }
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await _end(monitor)


def _environment(width: int, height: int) -> dict[str, str]:
    """Of a monitor that draws for a browser, whatever terminal `llmtui serve` stands in."""
    return {
        **os.environ,
        "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": str(width),
        "ROWS": str(height),
    }


async def _end(monitor: asyncio.subprocess.Process) -> None:
    """End the monitor of a page that has gone: politely, then without asking. What it still says is read away."""
    assert monitor.stdin is not None
    with contextlib.suppress(ConnectionError, RuntimeError):
        monitor.stdin.write(packet(b"M", b'{"type":"quit"}'))
    try:
        async with asyncio.timeout(LEAVE_S):
            await monitor.communicate()
    except (TimeoutError, ConnectionError):
        with contextlib.suppress(ProcessLookupError):
            monitor.kill()
        await monitor.wait()


def packet(kind: bytes, payload: bytes) -> bytes:
    """What goes over the pipes of a monitor: a letter (D for data, M for news), the length in 4 bytes, the payload."""
    return kind + len(payload).to_bytes(4, "big") + payload


async def _draw(output: asyncio.StreamReader, page: web.WebSocketResponse) -> None:
    """What the monitor writes, to the page; until it says that it leaves, or is gone."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while await output.readline() not in (_GREETING, b""):
            pass
        while True:
            head = await output.readexactly(5)
            payload = await output.readexactly(int.from_bytes(head[1:], "big"))
            if head[:1] == b"D":
                await page.send_bytes(payload)
            elif head[:1] == b"M" and json.loads(payload).get("type") == "exit":
                return


async def _listen_to(page: web.WebSocketResponse, monitor: asyncio.StreamWriter) -> None:
    """What happens on the page, to the monitor; until the page is closed. What is not understood is passed over."""
    async for message in page:
        said = _understood(message.data) if message.type == WSMsgType.TEXT else None
        if said is None:
            continue
        if said[0] == "ping":
            await page.send_json(["pong", said[1]])
            continue
        with contextlib.suppress(ConnectionError, RuntimeError):
            monitor.write(said[1])
            await monitor.drain()


def _understood(text: str) -> tuple[str, Any] | None:
    try:
        match json.loads(text):
            case ["stdin", str(typed)]:
                return "data", packet(b"D", typed.encode("utf-8", "replace"))
            case ["resize", {"width": width, "height": height}]:
                size = {"type": "resize", "width": _cells(width, 80, 500), "height": _cells(height, 24, 200)}
                return "news", packet(b"M", json.dumps(size).encode())
            case ["blur" | "focus" as news]:
                return "news", packet(b"M", json.dumps({"type": news}).encode())
            case ["ping", str(mark)]:
                return "ping", mark[:40]
    except (ValueError, RecursionError):
        pass
    return None


def _cells(value: object, usual: int, most: int) -> int:
    """A size in cells as a browser gives it, within reason."""
    try:
        return min(max(int(str(value)), 2), most)
    except ValueError:
        return usual
