"""Commands that act on the monitor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.model import Shutdown

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp


def next_theme(app: MonitorApp) -> None:
    """Switch to the next theme."""
    from llmtui.ui import themes

    app.theme = themes.following(app.theme)
    # After the stylesheet has been applied.
    app.call_next(app.main.paint)


def quit_monitor(app: MonitorApp) -> None:
    """Quit, and shut the engine down; ask first while the run is in progress."""
    going = app.view.situation().phase in ("connecting", "starting", "running", "paused")
    if going and app.run_view.backends and not app.quit_question.asked:
        app.quit_question.ask()
    else:
        app.session.end(Shutdown())
