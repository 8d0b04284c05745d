"""Drives the monitor in tests: builds it over a fake engine, waits for it, reads its screen."""

from __future__ import annotations

import asyncio

from textual.pilot import Pilot

from llmtui.config.schema import UiConfig
from llmtui.model import (
    Plan,
)
from llmtui.ui.app import MonitorApp
from llmtui.ui.widgets.requests import RequestTable
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink


def make(link: FakeLink, plan: Plan | None = None, **options: object) -> MonitorApp:
    return MonitorApp(plan or canned.plan(), link, ui=UiConfig(**options))  # type: ignore[arg-type]


def screen_text(app: MonitorApp) -> str:
    """Return the text of the screen, row by row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


async def settle(pilot: Pilot[None], link: FakeLink | None = None) -> None:
    """Wait until the engine's events are applied and drawn."""
    if link is not None:
        while not link.queue.empty():
            await pilot.pause()
    await pilot.pause()
    await pilot.pause()


async def trend_read(app: MonitorApp, pilot: Pilot[None]) -> None:
    """Wait until the trend page shows what it reads."""
    async with asyncio.timeout(30.0):
        while app.trends.reading:
            await pilot.pause(0.01)
    await settle(pilot)


async def answer_shown(app: MonitorApp, pilot: Pilot[None], link: FakeLink) -> None:
    """Wait until the page of a turn's requests shows the answer of the selected one."""
    table = app.screen.query_one(RequestTable)
    async with asyncio.timeout(30.0):
        while table.elsewhere or table.at < 0:
            await pilot.pause(0.01)
    await settle(pilot, link)
