"""Runs a command of the registry, or says why it does not apply now. `ACTIONS` has the function of each command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmtui.text import sanitize
from llmtui.ui.actions import application, backend, details, here, overlays, run, view
from llmtui.ui.actions.registry import BY_ID

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp

ACTIONS: dict[str, Callable[[MonitorApp], None]] = {
    "rerun": backend.rerun,
    "stop": backend.stop,
    "rerun_all": run.rerun_all,
    "pause": run.pause_or_resume,
    "more": run.add_rounds,
    "hide": view.hide_or_show,
    "metric": view.next_metric,
    "chart": view.next_chart,
    "scale": view.other_scale,
    "first_half": view.first_half,
    "last_half": view.last_half,
    "all_iterations": view.all_iterations,
    "level_before": view.level_before,
    "level_after": view.level_after,
    "table": view.table_or_chart,
    "sort": view.sort,
    "reverse": view.reverse,
    "hold": view.hold_or_go_on,
    "verdict": overlays.verdict,
    "pairs": overlays.all_pairs,
    "log": overlays.log,
    "server_log": overlays.server_log,
    "detach": run.detach,
    "export": run.export,
    "export_as": overlays.export_as,
    "maximise": overlays.details,
    "back": overlays.back,
    "filter": details.filter_iterations,
    "slowest": details.slowest,
    "next_failed": details.next_failed,
    "next_outlier": details.next_outlier,
    "here": here.here,
    "trend": overlays.trend,
    "theme": application.next_theme,
    "help": overlays.help_keys,
    "quit": application.quit_monitor,
}

#: Why a command for the engine does not apply without one.
NO_ENGINE = "the engine is gone"
_NO_LINK = {
    "connecting": "the engine is still starting",
    "down": "the line to the other machine is down",
    "gone": NO_ENGINE,
}
#: How long the answer to a key that does not apply is shown.
_BRIEF_S = 2.0


def run_command(app: MonitorApp, command_id: str) -> None:
    """Run the command with this id."""
    command, view = BY_ID[command_id], app.view
    if command_id == "back" and app.quit_question.withdraw():
        return
    if app.rerun_question.answered_by(command_id):
        return
    if view.behind is not None and command.engine and command_id not in ("pause", "detach"):
        # It acts on the present state of the run, so the screen has to show that.
        app.session.catch_up()
    if command.applies(view.situation()):
        app.execute(command)
    elif command.engine and view.past is not None:
        app.report(view.past.refusal, log=False)
    elif command.engine and view.link != "up":
        app.report(_NO_LINK[view.link], timeout=_BRIEF_S, log=False)
    elif command.refusal:
        name = f"{sanitize(view.selected, 40)} is " if command.group == "Backend" else ""
        app.report(f"{name}{command.refusal}", timeout=_BRIEF_S, log=False)
