"""From the command line to the monitor and back: runs the screen over an engine, leaves its last words on stdout."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from llmtui.config import UiConfig
from llmtui.engine.client import Client, EngineLink
from llmtui.engine.lifecycle import EngineProcess
from llmtui.export.table import summary_table
from llmtui.model import AnyCommand, AnyEvent, Hello, Plan, Shutdown
from llmtui.ui.app import MonitorApp


def show(plan: Plan, engine: EngineProcess, ui: UiConfig) -> bool:
    """Show the run of an engine that was started for it. Returns whether a backend failed.

    When the user quits, engine and servers have ended on return; when the user leaves by another way, they go on.
    """

    async def link() -> EngineLink:
        return await engine.connect()

    app = MonitorApp(plan.public(), link, ui=ui)
    try:
        app.run()
    finally:
        if isinstance(app.farewell, Shutdown) or app.view.link != "up":
            asyncio.run(engine.ended())
        else:
            engine.leave()
    return _last_words(app)


def show_again(socket: Path, ui: UiConfig) -> bool:
    """Show a run that is going on already. Raises OSError when nobody listens at `socket`."""
    return asyncio.run(_show_again(socket, ui))


async def _show_again(socket: Path, ui: UiConfig) -> bool:
    client = await Client.connect(socket)
    events = client.events()
    hello = await anext(events, None)
    if not isinstance(hello, Hello):
        await client.close()
        raise ConnectionError("its engine ended just now")
    came = _Came(client, hello, events)

    async def link() -> EngineLink:
        return came

    app = MonitorApp(hello.plan, link, ui=ui)
    await app.run_async()
    return _last_words(app)


class _Came:
    """A link whose first event was read already, to learn of which run it is."""

    def __init__(self, client: Client, hello: Hello, rest: AsyncIterator[AnyEvent]) -> None:
        self._client = client
        self._hello = hello
        self._rest = rest

    async def events(self) -> AsyncIterator[AnyEvent]:
        """That event, then the others."""
        yield self._hello
        async for event in self._rest:
            yield event

    async def send(self, command: AnyCommand) -> None:
        """Pass it on."""
        await self._client.send(command)

    async def close(self) -> None:
        """Leave."""
        await self._client.close()


def _last_words(app: MonitorApp) -> bool:
    print(summary_table(app.board, shutil.get_terminal_size((120, 24)).columns), end="")
    if not isinstance(app.farewell, Shutdown) and app.view.link == "up" and app.board.run.phase != "done":
        run = app.board.plan.run
        print(f"llmtui: run {run} goes on; come back to it with: llmtui attach {run}", file=sys.stderr)
        return False
    return app.board.failed
