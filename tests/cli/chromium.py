"""A headless Chromium, driven by its own protocol (Chrome DevTools, a websocket of JSON): open, look, type."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DEADLINE_S = 60.0


class Browser:
    """One page. `asked` lists the addresses that it asked for anything; `logged` what it had to complain of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.asked: list[str] = []
        self.logged: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """The result of one call of the protocol; events that come meanwhile are noted."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            told = message.get("params", {})
            match message.get("method"):
                case "Network.requestWillBeSent":
                    self.asked.append(told["request"]["url"])
                case "Network.webSocketCreated":
                    self.asked.append(told["url"])
                case "Log.entryAdded":
                    self.logged.append(told["entry"]["text"])
                case "Runtime.exceptionThrown":
                    self.logged.append(str(told["exceptionDetails"]))

    async def open(self, url: str, width: int, height: int) -> None:
        """Open `url` in a window of this size."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Until an expression in the page is true."""
        script = (
            f"new Promise(done => {{ const look = () => ({condition}) ? done(true) : setTimeout(look, 20); look() }})"
        )
        async with asyncio.timeout(DEADLINE_S):
            await self.evaluate(script)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """A browser with its profile in `folder`, ended afterwards."""
    assert PROGRAM is not None
    # It leaves a socket among the temporary files, and the path of a socket has to be short.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        process = await asyncio.create_subprocess_exec(
            *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"),
            *("--no-first-run", "--disable-background-networking", "--remote-debugging-port=0"),
            *(f"--user-data-dir={folder}", "about:blank"),
            env=os.environ | {"TMPDIR": temporary},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            async with asyncio.timeout(DEADLINE_S):
                while not (line := await process.stderr.readline()).startswith(b"DevTools listening on "):
                    assert line, "chromium ended"
            place = line.decode().split("//")[1].split("/")[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{place}/json/list") as response:
                    page = next(p for p in await response.json() if p["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Browser(socket)
        finally:
            process.terminate()
            await process.communicate()
