"""Commands of the page that shows what is on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.config.lineup import Group
from llmtui.model import Shutdown
from llmtui.ui.actions.overlays import toggle

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp


def here(app: MonitorApp) -> None:
    """Open or close the page."""
    if toggle(app, "here") and not app.view.situation().measuring:
        look(app)


def look(app: MonitorApp) -> None:
    """Ask what is on this machine, unless that would disturb a measurement."""
    if app.here.look is None or app.here.looking:
        return
    if app.view.situation().measuring:
        app.report("a run is being measured, and looking would disturb it: pause it first, or wait", log=False)
        return
    app.here.looking = True
    app.run_worker(_look(app), name="look", exit_on_error=False)
    _show(app)


async def _look(app: MonitorApp) -> None:
    assert app.here.look is not None
    try:
        app.here.found = await app.here.look()
    finally:
        app.here.looking = False
        _show(app)


def choose(app: MonitorApp) -> None:
    """Start the selected race when the monitor has closed; ask first if a run is in progress."""
    race = _selected(app)
    if race is None:
        return
    if app.here.look is None:
        app.report("this monitor cannot start races; in a terminal: llmtui", log=False)
        return
    situation = app.view.situation()
    going = situation.measuring or (situation.backends > 0 and situation.phase == "paused")
    if going and not app.here.asked:
        app.here.asked = True
        _show(app)
        return
    app.here.chosen = race
    app.session.end(Shutdown())


def write(app: MonitorApp) -> None:
    """Write a config of the selected race."""
    race = _selected(app)
    if race is not None and app.here.write is not None:
        app.report(app.here.write(race, app.run_view.plan.config), log=False)


def _selected(app: MonitorApp) -> Group | None:
    races = app.here.races(app.run_view.plan)
    return races[app.here.selected] if app.here.selected < len(races) else None


def _show(app: MonitorApp) -> None:
    if app.view.page == "here":
        app.main.show_numbers()
