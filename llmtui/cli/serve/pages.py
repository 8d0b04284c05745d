"""The pages of `llmtui serve`: the web application, and the monitor process behind each open page."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import json
import logging
import os
import string
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import textual_serve
from aiohttp import WSMsgType, web

from llmtui.cli.serve.access import METRICS, Access
from llmtui.cli.serve.connections import Connections
from llmtui.config.schema import UiConfig
from llmtui.runview.run import RunView
from llmtui.ui import themes

LEAVE_S = 3.0
MAX_MESSAGE_BYTES = 256 * 1024
HEADERS = {
    # The page loads from and connects to this server only.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # For a browser, another port of this machine is the same site. It must not embed the page or get its window.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_GREETING = b"__GANGLION__\n"
_LOG = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """The web application: the page, its static files, and a monitor process behind the websocket of each open page."""

    def __init__(
        self,
        engine: Path,
        ui: UiConfig,
        access: Access,
        connections: Connections,
        most: int,
        scraped: RunView | None = None,
    ) -> None:
        """`connections` are those of the requests; at most `most` pages may be open.

        With `scraped` there is /metrics, with the figures of this run.
        """
        self._engine = engine
        self._options = msgspec.json.encode(msgspec.structs.replace(ui, theme=ui.theme or "dark")).decode()
        self._access = access
        self._connections = connections
        self._most = most
        self._scraped = scraped
        self._theme = themes.LIGHT if ui.theme == "light" else themes.DARK
        self._open: set[web.WebSocketResponse] = set()
        self._page = string.Template(
            importlib.resources.files("llmtui.cli.serve").joinpath("page.html").read_text("utf-8")
        )
        assert textual_serve.__file__ is not None
        statics = Path(textual_serve.__file__).parent / "static"
        #: Static files by name, so that no path of a request reaches the file system.
        self._statics = {file.relative_to(statics).as_posix(): file for file in statics.rglob("*") if file.is_file()}

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/", self._index)
        application.router.add_get("/ws", self._websocket, allow_head=False)
        application.router.add_get("/static/{name:.+}", self._static)
        if self._scraped is not None:
            application.router.add_get(METRICS, self._metrics)
        return application

    async def close(self) -> None:
        """Close every page, which ends its monitor."""
        await asyncio.gather(*(_close(page, b"llmtui serve ended") for page in list(self._open)))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if refused := self._access.refusal(request, own=self._connections.is_own(request.transport)):
            refusal = web.Response(status=refused.status, text=f"llmtui: refused: {refused.why}\n")
            refusal.force_close()
            return refusal
        self._connections.admit(request.transport)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
            response.headers["Cache-Control"] = (
                "no-store" if request.path in ("/", METRICS) else "private, max-age=3600"
            )
        return response

    async def _index(self, request: web.Request) -> web.Response:
        # The address that the browser uses: through a tunnel, the port may be another one.
        scheme = "wss" if (request.headers.get("Origin") or "").startswith("https:") else "ws"
        text = self._page.substitute(
            websocket=f"{scheme}://{request.host}/ws",
            background=self._theme.background,
            foreground=self._theme.foreground,
        )
        response = web.Response(text=text, content_type="text/html")
        if self._access.in_query(request):
            self._access.remember(request, response)
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        from llmtui.export.openmetrics import CONTENT_TYPE, openmetrics

        assert self._scraped is not None
        return web.Response(body=openmetrics(self._scraped).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _static(self, request: web.Request) -> web.StreamResponse:
        if file := self._statics.get(request.match_info["name"]):
            return web.FileResponse(file)
        raise web.HTTPNotFound

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if len(self._open) >= self._most:
            return web.Response(status=503, text=f"llmtui: {self._most} pages are already open; close one and reload\n")
        page = web.WebSocketResponse(heartbeat=15.0, max_msg_size=MAX_MESSAGE_BYTES)
        if not _is_handshake(page, request):
            return web.Response(status=400, text="llmtui: this path is the websocket of the page; open / instead\n")
        transport = request.transport
        self._open.add(page)
        try:
            await page.prepare(request)
            size = (_cells(request.query.get("width"), 80, 500), _cells(request.query.get("height"), 24, 200))
            await self._show(page, *size)
        except ConnectionError:
            # The page has gone. aiohttp requires a response, although it cannot be sent.
            return page if page.prepared else web.Response(status=400)
        finally:
            self._open.discard(page)
            await _close(page)
            if transport is not None:
                # Data that the page does not read would otherwise be buffered forever.
                asyncio.get_running_loop().call_later(LEAVE_S, transport.abort)
        return page

    async def _show(self, page: web.WebSocketResponse, width: int, height: int) -> None:
        """Run a monitor for this page until either of them ends."""
        try:
            monitor = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "llmtui.ui.browser", str(self._engine), self._options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(width, height),
                # Control-C at the terminal must not reach it.
                start_new_session=True,
            )
        except OSError as error:
            _LOG.error(
                "cannot start a monitor for a page (%s); close other pages, or raise the limit with ulimit",
                error.strerror,
            )
            return
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


def _is_handshake(page: web.WebSocketResponse, request: web.Request) -> bool:
    try:
        return bool(page.can_prepare(request))
    except ValueError:
        return False  # a key that is not ASCII, for which aiohttp raises


async def _close(page: web.WebSocketResponse, message: bytes = b"") -> None:
    """Close a page within `LEAVE_S`: one that no longer reads would never be closed."""
    if page.prepared:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await page.close(message=message)


def _environment(width: int, height: int) -> dict[str, str]:
    """The environment of a monitor that draws for a browser, independent of the terminal of `llmtui serve`."""
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
    """Ask the monitor of a closed page to quit, then kill it. Its remaining output is discarded."""
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
    """A packet of Textual's web driver: a letter (D for data, M for meta), the length in 4 bytes, the payload."""
    return kind + len(payload).to_bytes(4, "big") + payload


async def _draw(output: asyncio.StreamReader, page: web.WebSocketResponse) -> None:
    """Forward the monitor's output to the page until the monitor exits."""
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
    """Forward the page's input to the monitor until the page is closed. Skip invalid messages."""
    async for message in page:
        parsed = _parse(message.data) if message.type == WSMsgType.TEXT else None
        if parsed is None:
            continue
        if parsed[0] == "ping":
            await page.send_json(["pong", parsed[1]])
            continue
        with contextlib.suppress(ConnectionError, RuntimeError):
            monitor.write(parsed[1])
            await monitor.drain()


def _parse(text: str) -> tuple[str, Any] | None:
    """A page's message as (kind, packet), ping as ("ping", mark); None if it is invalid."""
    try:
        match json.loads(text):
            case ["stdin", str(typed)]:
                return "data", packet(b"D", typed.encode("utf-8", "replace"))
            case ["resize", {"width": width, "height": height}]:
                size = {"type": "resize", "width": _cells(width, 80, 500), "height": _cells(height, 24, 200)}
                return "meta", packet(b"M", json.dumps(size).encode())
            case ["blur" | "focus" as kind]:
                return "meta", packet(b"M", json.dumps({"type": kind}).encode())
            case ["ping", str(mark)]:
                return "ping", mark[:40]
    except (ValueError, RecursionError):
        pass
    return None


def _cells(value: object, usual: int, most: int) -> int:
    """A size in cells, from 2 to `most`; `usual` if the browser sent no number."""
    try:
        return min(max(int(str(value)), 2), most)
    except ValueError:
        return usual
