"""The monitor in one page of `llmtui serve`: `python -m llmtui.ui.browser SOCKET OPTIONS`, driven over its pipes.

The run belongs to `llmtui serve`: closing a page never stops it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from llmtui.config.schema import UiConfig
from llmtui.ui.actions.command import Command
from llmtui.ui.app import MonitorApp
from llmtui.ui.run import reach


class PageApp(MonitorApp):
    """A monitor that leaves without stopping the run, and exits with the process that started it."""

    async def on_mount(self) -> None:
        # Textual calls the handler of the base class too.
        self._parent_pid = os.getppid()
        self.set_interval(1.0, self._exit_if_orphaned)

    def execute(self, command: Command) -> None:
        if command.id in ("quit", "detach"):
            self.session.end()
        else:
            super().execute(command)

    def _exit_if_orphaned(self) -> None:
        # Textual's driver for the web does not notice the end of its input.
        if os.getppid() != self._parent_pid:
            self.session.end()


async def _show(socket: Path, ui: UiConfig) -> None:
    plan, link = await reach(socket)
    await PageApp(plan, link, ui=ui, attached=True).run_async()


def main() -> None:
    """Show the run behind the socket until the page is closed."""
    socket, options = sys.argv[1:]
    try:
        asyncio.run(_show(Path(socket), msgspec.json.decode(options, type=UiConfig)))
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
