"""Commands that open a screen over the main one, and the one that goes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmtui.model import Requests, Shutdown
from llmtui.runview.turn_requests import TurnRequests
from llmtui.ui.actions.details import page
from llmtui.ui.actions.run import report_exported
from llmtui.ui.request_page import RequestPage
from llmtui.ui.screens.overlay import Overlay

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp
    from llmtui.ui.situation import Page


def details(app: MonitorApp) -> None:
    """Open the details of the selected backend; from there, the requests of the selected turn of a load."""
    if app.view.details:
        _requests(app)
        return
    app.view.details = True
    app.push_screen(app.overlays["details"])


def _requests(app: MonitorApp) -> None:
    """Open the requests of the turn that is selected in the details, and ask for them."""
    if (screen := page(app)) is None or (turn := screen.table.chosen_turn) is None:
        return
    requests = TurnRequests(turn, app.run_view.plan.slo)
    app.view.request_page = RequestPage(requests)
    app.push_screen(app.overlays["requests"])
    app.session.ask(requests.command)


def _leave_requests(app: MonitorApp) -> None:
    """Go back to the turns."""
    view, closed = app.view, app.screen
    if view.request_page is not None and not view.request_page.requests.complete:
        # Of no turn: the answer under way ends.
        app.session.ask(Requests(backend=view.request_page.requests.turn.backend, turn=0, figures=True))
    if isinstance(closed, Overlay):
        closed.forget()
    view.request_page = None
    app.pop_screen()


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


def trend(app: MonitorApp) -> None:
    """Open or close the trend of the selected backend over the runs of the history."""
    toggle(app, "trend")


def all_pairs(app: MonitorApp) -> None:
    """Show all pairs in the verdict, or those with the best backend only."""
    from llmtui.ui.screens.verdict import VerdictScreen

    for screen in app.screen_stack:
        if isinstance(screen, VerdictScreen):
            screen.toggle_pairs()


def server_log(app: MonitorApp) -> None:
    """Show the server's last lines in the details, or hide them."""
    from llmtui.ui.screens.details import DetailsScreen

    if isinstance(screen := page(app), DetailsScreen):
        screen.toggle_log()


def back(app: MonitorApp) -> None:
    """Clear the filter of the details, else go back a page; on the main screen, let a held one catch up."""
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
    if view.request_page is not None and not view.page:
        _leave_requests(app)
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
