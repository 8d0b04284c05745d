"""Commands that act on the whole run, and the export of its results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from llmtui.model import Detach, More, Pause, Rerun, Resume
from llmtui.runview.loads import worded
from llmtui.text import sanitize
from llmtui.text.format import plural

if TYPE_CHECKING:
    from llmtui.ui.actions.export_files import Choice
    from llmtui.ui.app import MonitorApp

#: The name of the task that writes the results of a large run.
_EXPORT = "export of the results"


def rerun_all(app: MonitorApp) -> None:
    """Measure every backend again."""
    app.session.send(Rerun())


def pause_or_resume(app: MonitorApp) -> None:
    """Pause the run after the current iteration, or resume it."""
    app.session.send(Resume() if app.view.phase == "paused" else Pause())


def add_rounds(app: MonitorApp) -> None:
    """Ask the engine for more rounds; it decides how many and reports it.

    It is asked for the metric that decides the ranking, also if the one on the screen is not comparable.
    """
    app.session.send(More(metric=app.view.run_view.verdict(app.view.metric).used))


def detach(app: MonitorApp) -> None:
    """Leave the run going and close the monitor."""
    app.session.end(Detach())


def export(app: MonitorApp) -> None:
    """Write the results table as CSV to a new file."""
    from llmtui.ui.actions import export_files

    choice = export_files.choices_of(app.view.run_view)[0]
    path = (app.export_dir or Path.cwd()) / export_files.file_name(choice, app.wall())
    if choice.takes_long(app.run_view):
        if not any(worker.name == _EXPORT and not worker.is_finished for worker in app.workers):
            app.run_worker(_export_long(app, choice, path), name=_EXPORT, exit_on_error=False)
        return
    try:
        path = export_files.write_beside(app.view.run_view, choice, path)
    except export_files.ExportError as error:
        app.report(f"cannot export: {error}", "error", timeout=10.0)
    else:
        report_exported(app, path.absolute())


async def _export_long(app: MonitorApp, choice: Choice, path: Path) -> None:
    """The same for a large run, while the screen goes on. If the monitor ends first, it leaves no file."""
    from llmtui.ui.actions import export_files
    from llmtui.ui.actions.export_process import Long

    long = Long(app.run_view, choice)
    app.report(f"writing {sanitize(str(path), 400)} ...", log=False)
    try:
        path = await asyncio.to_thread(export_files.write_beside, app.run_view, choice, path, long)
    except export_files.Stopped:
        pass
    except export_files.ExportError as error:
        app.report(f"cannot export: {error}", "error", timeout=10.0)
    else:
        report_exported(app, path.absolute())
    finally:
        long.stop()


def report_exported(app: MonitorApp, path: Path) -> None:
    """Say where the file is, and copy its path to the clipboard."""
    # The clipboard is UTF-8, a path may be any bytes.
    app.copy_to_clipboard(str(path).encode("utf-8", "replace").decode())
    behind = app.view.behind
    count = worded(plural(behind or 0, "iteration"), app.view.run_view.plan)
    without = f"without the {count} since the screen was held " if behind else ""
    app.report(f"exported {without}(path copied to the clipboard): {sanitize(str(path), 400)}", timeout=10.0)
