"""Commands of the details page: filter, order, and jumps in the list of iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.runview.loads import worded

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp
    from llmtui.ui.screens.listing import ListingScreen

#: How long the answer to a jump that finds nothing is shown.
_BRIEF_S = 2.0


def page(app: MonitorApp) -> ListingScreen | None:
    """Return the details page, or that of a turn's requests, if it is open."""
    from llmtui.ui.screens.listing import ListingScreen

    return next((screen for screen in reversed(app.screen_stack) if isinstance(screen, ListingScreen)), None)


def filter_iterations(app: MonitorApp) -> None:
    """Type a filter."""
    if screen := page(app):
        screen.ask_filter()


def sort(app: MonitorApp) -> None:
    """Sort the iterations by the next column."""
    if screen := page(app):
        screen.table.sort_next()


def reverse(app: MonitorApp) -> None:
    """Reverse the order of the iterations."""
    if screen := page(app):
        screen.table.sort_by(screen.table.listing.sort.reversed())


def slowest(app: MonitorApp) -> None:
    """Go to the slowest iteration."""
    if (screen := page(app)) and not screen.table.jump_to_slowest():
        _nothing(app, _worded(app, "no measured iteration is listed"))


def next_failed(app: MonitorApp) -> None:
    """Go to the next iteration that failed."""
    if (screen := page(app)) and not screen.table.jump_to_failed():
        _nothing(app, _worded(app, "no failed iteration is listed"))


def next_outlier(app: MonitorApp) -> None:
    """Go to the next outlier."""
    if (screen := page(app)) and not screen.table.jump_to_outlier():
        _nothing(app, "no outlier is listed")


def _worded(app: MonitorApp, words: str) -> str:
    """Words about iterations as words about what is listed."""
    if app.view.request_page is not None:
        return words.replace("measured iteration", "answered request").replace("iteration", "request")
    return worded(words, app.view.run_view.plan)


def _nothing(app: MonitorApp, words: str) -> None:
    app.report(words, timeout=_BRIEF_S, log=False)
