"""Overlay screens, built once and reused: building one costs many times what showing it costs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, get_args

from textual.screen import Screen

from llmtui.ui.screens.overlay import Overlay
from llmtui.ui.terminal import exempt_from_collections
from llmtui.ui.textual_internals import build_screen, lay_out

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp

OverlayName = Literal["details", "help", "here", "log", "verdict", "requests", "trend"]
#: The pause before each screen is built ahead: the run starts meanwhile.
_PAUSE_S = 0.3


class Overlays:
    """The overlay screens of an app. Their modules are imported when they are needed, after the first frame."""

    def __init__(self, app: MonitorApp) -> None:
        self._app = app
        self._built: dict[OverlayName, Screen[Any]] = {}

    def __getitem__(self, name: OverlayName) -> Screen[Any]:
        """The screen of this name, built on first use."""
        if name not in self._built:
            self._built[name] = self._build(name)
            self._app.install_screen(self._built[name], name)
        return self._built[name]

    def _build(self, name: OverlayName) -> Screen[Any]:
        view, keys = self._app.view, self._app.keys
        match name:
            case "details":
                from llmtui.ui.screens.details import DetailsScreen

                return DetailsScreen(view, keys)
            case "help":
                from llmtui.ui.screens.help import HelpScreen

                return HelpScreen(view, keys)
            case "here":
                from llmtui.ui.screens.here import HereScreen

                return HereScreen(view, keys, self._app.here)
            case "log":
                from llmtui.ui.screens.log import LogScreen

                return LogScreen(view, keys, self._app.log_book)
            case "requests":
                from llmtui.ui.screens.requests import RequestsScreen

                return RequestsScreen(view, keys)
            case "trend":
                from llmtui.ui.screens.trend import TrendScreen

                return TrendScreen(view, keys, self._app.trends)
            case "verdict":
                from llmtui.ui.screens.verdict import VerdictScreen

                return VerdictScreen(view, keys)

    async def build_ahead(self, pause_s: float = _PAUSE_S) -> None:
        """Build every screen, so that the first key that opens one does not wait for it.

        But the trend has to wait for what it reads anyhow.
        """
        app = self._app
        for name in get_args(OverlayName):
            await asyncio.sleep(pause_s)
            if not app.is_running:
                return
            if name == "trend" or (name == "requests" and not app.run_view.plan.levels):
                continue
            screen = self[name]
            await build_screen(app, screen)
            if app.is_running and not screen.is_current:
                # With a place for every part it is painted once when it opens, otherwise three times.
                if isinstance(screen, Overlay):
                    screen.place(app.size)
                # What scrolls has its scroll bar from the second time on.
                for _ in range(2):
                    lay_out(screen, app.size)
        if not app.is_headless:
            exempt_from_collections()
