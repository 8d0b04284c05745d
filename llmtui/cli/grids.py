"""A large grid ([[sweep]]): llmtui asks before it starts one."""

from __future__ import annotations

import sys

import click

from llmtui.model import Plan
from llmtui.model.errors import UsageError
from llmtui.runview.loads import duration
from llmtui.text.format import plural

#: llmtui asks beyond this many cells, and if the grid is known to take longer than this, in s.
MOST_CELLS = 50
MOST_S = 3600.0


def confirm(plan: Plan, *, yes: bool) -> None:
    """Ask whether to carry out a large grid. Raises UsageError if the user does not want it, or cannot be asked."""
    backends, levels = len(plan.backends), max(1, len(plan.levels))
    cells = backends * levels
    rounds = plan.config.iterations + (plan.config.warmup > 0)
    least_s = cells * rounds * plan.load.turn_s
    if yes or (cells <= MOST_CELLS and least_s <= MOST_S):
        return
    text = f"the grid has {plural(cells, 'cell')}: {plural(backends, 'backend')} at {plural(levels, 'level')}"
    text += f", {plural(plan.config.iterations, 'round')}"
    text += f", at least {duration(least_s)}" if least_s else ""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{text}; to carry it out add --yes, or list fewer values in [[sweep]]")
    if not click.confirm(f"{text}. Carry it out?", err=True):
        raise UsageError("the grid was not started; list fewer values in [[sweep]]")
