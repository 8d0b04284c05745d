"""Commands that act on the selected backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.model import Stop

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp


def rerun(app: MonitorApp) -> None:
    """Measure the backend again, as a new attempt: alone, or in turns with the one that it is compared with."""
    app.rerun_question.rerun()


def stop(app: MonitorApp) -> None:
    """Drop the backend's remaining iterations."""
    app.session.send(Stop(backend=app.view.selected))
