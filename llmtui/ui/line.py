"""The line to another machine on the screen: that it is down, and that it is up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp


def show_line(app: MonitorApp, reason: str) -> None:
    """Show that the line is down, for this `reason`, or that it is up again ("")."""
    view = app.view
    if app.announcer.muted or view.link == "gone":
        return
    if view.link == "up" or not reason:
        app.report(reason or "the line is up again", "warning" if reason else "info")
    view.link = "down" if reason else "up"
    view.banner = (reason, "warn") if reason else None
    app.announcer.update_title()
    app.main.invalidate_all()
    app.main.request_numbers()
