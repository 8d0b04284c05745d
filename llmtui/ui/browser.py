"""The monitor of one page of `llmtui serve`: `python -m llmtui.ui.browser SOCKET OPTIONS`, spoken to over its pipes.

The run belongs to `llmtui serve`: leaving a page is leaving, and never the end of the run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from llmtui.config.schema import UiConfig
from llmtui.ui.actions.registry import Command
from llmtui.ui.app import MonitorApp
from llmtui.ui.run import reach


class PageApp(MonitorApp):
    """A monitor that only ever leaves: it sends no last word, and goes when the program that made it has gone."""

    async def on_mount(self) -> None:
        # Textual calls the handler of the base class too.
        self._maker = os.getppid()
        self.set_interval(1.0, self._orphaned)

    def execute(self, command: Command) -> None:
        if command.id in ("quit", "detach"):
            self.session.end()
        else:
            super().execute(command)

    def _orphaned(self) -> None:
        # Textual's own driver for the web does not notice the end of its input.
        if os.getppid() != self._maker:
            self.session.end()


async def _show(socket: Path, ui: UiConfig) -> None:
    plan, link = await reach(socket)
    await PageApp(plan, link, ui=ui).run_async()


def main() -> None:
    """Show the run behind the socket until the page is left."""
    socket, options = sys.argv[1:]
    try:
        asyncio.run(_show(Path(socket), msgspec.json.decode(options, type=UiConfig)))
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
