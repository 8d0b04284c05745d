"""From the command line to the monitor and back: runs the screen over an engine, leaves its last words on stdout."""

from __future__ import annotations

import asyncio
import shutil

from llmtui.config import UiConfig
from llmtui.engine.client import EngineLink
from llmtui.engine.lifecycle import EngineProcess
from llmtui.export.table import summary_table
from llmtui.model import Plan
from llmtui.ui.app import MonitorApp


def show(plan: Plan, engine: EngineProcess, ui: UiConfig) -> bool:
    """Show the run until the user leaves. Returns whether a backend failed. The engine has ended when this returns."""

    async def link() -> EngineLink:
        return await engine.connect()

    app = MonitorApp(plan.public(), link, ui=ui)
    try:
        app.run()
    finally:
        asyncio.run(engine.ended())
    print(summary_table(app.board, shutil.get_terminal_size((120, 24)).columns), end="")
    return app.board.failed
