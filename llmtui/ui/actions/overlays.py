"""Commands that open a screen over the main one, and the one that goes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmtui.model import Shutdown
from llmtui.ui.actions.details import page
from llmtui.ui.actions.run import report_exported

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp
    from llmtui.ui.situation import Page


def details(app: MonitorApp) -> None:
    """Open the details of the selected backend."""
    app.view.details = True
    app.push_screen(app.overlays["details"])


def toggle(app: MonitorApp, page: Page) -> bool:
    """Open or close a page over the main screen. Return whether it is open now."""
    if app.view.page == page:
        back(app)
        return False
    app.view.page = page
    app.push_screen(app.overlays[page])
    return True


def log(app: MonitorApp) -> None:
    """Open or close the log of the run."""
    if toggle(app, "log"):
        # Toasts are in the log, and would cover its newest lines.
        app.clear_notifications()


def verdict(app: MonitorApp) -> None:
    """Open or close the verdict."""
    toggle(app, "verdict")


def all_pairs(app: MonitorApp) -> None:
    """Show all pairs in the verdict, or those with the best backend only."""
    from llmtui.ui.screens.verdict import VerdictScreen

    for screen in app.screen_stack:
        if isinstance(screen, VerdictScreen):
            screen.toggle_pairs()


def server_log(app: MonitorApp) -> None:
    """Show the server's last lines in the details, or hide them."""
    if screen := page(app):
        screen.toggle_log()


def back(app: MonitorApp) -> None:
    """Clear the filter of the details, else go back to the main screen; there, let a held screen catch up."""
    from llmtui.ui.screens.overlay import Overlay

    view = app.view
    if app.here.asked:
        app.here.asked = False
        app.main.show_numbers()
        return
    if not app.run_view.backends:
        app.session.end(Shutdown())  # nothing is behind the page of what is here
        return
    if not view.covered:
        app.session.catch_up()
        return
    if (details := page(app)) and details.is_current and details.clear_filter():
        return
    view.details, view.page = False, ""
    closed = app.screen
    app.pop_screen()
    if isinstance(closed, Overlay):
        closed.forget()
    app.main.focus_selected()
    app.main.show_uncovered()


def help_keys(app: MonitorApp) -> None:
    """Open the list of keys; a click on one runs its command."""

    def closed(command_id: str | None) -> None:
        app.quit_question.withdraw()
        app.main.show_uncovered()
        if command_id:
            app.choose_command(command_id)

    app.push_screen(app.overlays["help"], closed)


def export_as(app: MonitorApp) -> None:
    """Open the export dialog."""
    from llmtui.ui.screens.export import ExportScreen

    def closed(path: Path | None) -> None:
        app.quit_question.withdraw()
        app.main.show_uncovered()
        if path is not None:
            report_exported(app, path)

    app.push_screen(ExportScreen(app.view, app.export_dir or Path.cwd(), app.wall()), closed)
