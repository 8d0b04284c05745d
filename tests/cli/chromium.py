"""A headless Chromium, controlled through the Chrome DevTools protocol."""

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
    """One page. `asked` lists the URLs that it requested, `logged` its console errors and exceptions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.asked: list[str] = []
        self.logged: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Return the result of a call of the protocol. Record events that arrive meanwhile."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            params = message.get("params", {})
            match message.get("method"):
                case "Network.requestWillBeSent":
                    self.asked.append(params["request"]["url"])
                case "Network.webSocketCreated":
                    self.asked.append(params["url"])
                case "Log.entryAdded":
                    self.logged.append(params["entry"]["text"])
                case "Runtime.exceptionThrown":
                    self.logged.append(str(params["exceptionDetails"]))

    async def open(self, url: str, width: int, height: int) -> None:
        """Open `url` in a window of this size."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression. A promise is awaited."""
        reply = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return reply["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        script = f"new Promise(done => {{ const go = () => ({condition}) ? done(true) : setTimeout(go, 20); go() }})"
        async with asyncio.timeout(DEADLINE_S):
            await self.evaluate(script)

    async def type(self, text: str) -> None:
        """Type into the focused element."""
        await self.call("Input.insertText", text=text)

    async def screenshot(self) -> bytes:
        """A screenshot as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """A browser with its profile in `folder`."""
    assert PROGRAM is not None
    # It creates a socket in the temporary folder, and the path of a socket must be short.
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
