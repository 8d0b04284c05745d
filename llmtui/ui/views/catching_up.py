"""What the monitor shows until it has all that happened before it connected."""

from __future__ import annotations

from llmtui.runview.loads import worded
from llmtui.runview.run import RunView
from llmtui.ui.text.spans import Line, fit

CATCHING_UP = "catching up"


def catching_up_line(run_view: RunView, width: int) -> Line:
    """Draw how much of what happened before has arrived."""
    words = f" {CATCHING_UP} with the run"
    if run_view.backlog is not None:
        have, total = run_view.backlog
        words += f": {have:,} of {total:,} iterations"
    return fit([(worded(words, run_view.plan), "accent")], width)
