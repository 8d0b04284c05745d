"""`llmtui open`: show a past run in the monitor, without an engine."""

from __future__ import annotations

from llmtui.cli.history import earlier_run, opened
from llmtui.cli.monitor import usual_ui
from llmtui.store.errors import NoRunError


def open_run(run: str, path: str, against: str | None = None) -> int:
    """Show a run of the history that has ended, beside the run `against`. Return the exit code.

    Raises StoreError, and UsageError if both are the same run.
    """
    with opened(path) as store:
        stored = store.load(run)
    if stored.state == "running":
        name = stored.plan.run
        raise NoRunError(
            f"run {name} is in progress; to watch it: llmtui attach {name}; for its results so far: llmtui show {name}"
        )
    from llmtui.ui.run import show_past

    return show_past(stored, usual_ui(), earlier_run(against, path, stored.plan.run), path)
