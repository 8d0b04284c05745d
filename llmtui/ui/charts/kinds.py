"""Which kinds of charts there are in a run, and in which order the key of the next chart shows them."""

from __future__ import annotations

from llmtui.model import Plan
from llmtui.ui.charts.chart_data import STATISTIC_KINDS, Kind

#: The kinds of a load of several levels; the last ones are of the turns of one of its levels.
OF_LEVELS: tuple[Kind, ...] = ("load", "ttft", "pareto", "turn", "heat", "scatter", *STATISTIC_KINDS)


def first_kinds(plan: Plan) -> tuple[Kind, Kind]:
    """What is shown at first: where one chart has room, and at the left of two."""
    return ("load", "load") if len(plan.levels) > 1 else ("scatter", "bars")


def right_kind(plan: Plan) -> Kind:
    """The right one of two charts."""
    return "ttft" if len(plan.levels) > 1 else "scatter"


def cycle_of(plan: Plan, charts: int) -> tuple[Kind, ...]:
    """The kinds that the key of the next chart shows: in the left one of two charts, else in the only one."""
    levels = len(plan.levels)
    every: tuple[Kind, ...] = OF_LEVELS if levels > 1 else ("scatter", *STATISTIC_KINDS)
    if levels == 1:
        every = (*every, "turn")
    return tuple(kind for kind in every if kind != right_kind(plan)) if charts == 2 else every
