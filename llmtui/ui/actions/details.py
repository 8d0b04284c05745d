"""Commands of the details page: filter, order, and jumps in the list of iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.runview.loads import worded

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp
    from llmtui.ui.screens.details import DetailsScreen

#: How long the answer to a jump that finds nothing is shown.
_BRIEF_S = 2.0


def page(app: MonitorApp) -> DetailsScreen | None:
    """Return the details page if it is open."""
    from llmtui.ui.screens.details import DetailsScreen

    return next((screen for screen in app.screen_stack if isinstance(screen, DetailsScreen)), None)


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
        screen.table.sort_by(screen.table.view.listing.sort.reversed())


def slowest(app: MonitorApp) -> None:
    """Go to the slowest iteration."""
    if (screen := page(app)) and not screen.table.jump_to_slowest():
        _nothing(app, worded("no measured iteration is listed", app.view.run_view.plan))


def next_failed(app: MonitorApp) -> None:
    """Go to the next iteration that failed."""
    from llmtui.ui.views.iteration_rows import failed

    if (screen := page(app)) and not screen.table.jump(failed):
        _nothing(app, worded("no failed iteration is listed", app.view.run_view.plan))


def next_outlier(app: MonitorApp) -> None:
    """Go to the next outlier."""
    from llmtui.ui.views.iteration_rows import outliers

    if (screen := page(app)) and not screen.table.jump(outliers):
        _nothing(app, "no outlier is listed")


def _nothing(app: MonitorApp, words: str) -> None:
    app.report(words, timeout=_BRIEF_S, log=False)
