"""The table of `llmtui compare`: a row per backend with both medians and the ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmtui.stats.compare import digits, times
from llmtui.stats.metrics import METRICS
from llmtui.stats.run_outcomes import Outcome
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, fit, wrapped
from llmtui.text.format import DASH, scale_of

_NAME = 32
#: The number of right-aligned columns, between the names and the slowdown.
_NUMBERS = 4
_MEANS = "slowdown above 1x: B is slower than A; below 1x: B is faster"


class Table(NamedTuple):
    """The columns of the table, each with its heading first. `left` is how many of them begin at the left."""

    head: str
    columns: list[list[str]]
    left: int


def table_of(outcomes: Sequence[Outcome]) -> Table:
    """Return the columns; the ratios are the last ones."""
    used = list(dict.fromkeys(outcome.metric for outcome in outcomes))
    # Of each metric, both columns have one unit and one number of decimals.
    scales = {
        m: scale_of([v for o in outcomes if o.metric == m for v in (o.median_a, o.median_b)], METRICS[m].unit)
        for m in used
    }
    unit = f" {scales[used[0]].unit}" if len(used) == 1 else ""
    columns = [
        ["backend", *(_row_name(o) for o in outcomes)],
        ["by", *(METRICS[o.metric].titled(scales[o.metric].unit) for o in outcomes)],
        ["n A", *(str(o.n_a) for o in outcomes)],
        ["n B", *(str(o.n_b) for o in outcomes)],
        [f"median A{unit}", *(scales[o.metric].text(o.median_a) for o in outcomes)],
        [f"median B{unit}", *(scales[o.metric].text(o.median_b) for o in outcomes)],
        ["slowdown", *(_ratio(o.slowdown) for o in outcomes)],
    ]
    if any(o.others for o in outcomes):
        columns.append(["relative", *(_ratio(o.relative) for o in outcomes)])
    head = "medians"
    if len(used) == 1:
        head = f"{METRICS[used[0]].title} (median)"
        del columns[1]
    return Table(f"{head}; {_MEANS}{_estimated(outcomes)}{_meaning(outcomes)}", columns, 2 if len(used) > 1 else 1)


def table_lines(outcomes: Sequence[Outcome], width: int) -> list[str]:
    """A heading and a row per backend. Names are shortened to fit `width`."""
    head, columns, left = table_of(outcomes)
    if columns[-1][0] == "relative" and sum(max(map(cells_wide, column)) + 2 for column in columns) - 2 > width:
        # The names are worth more than an interval that decides nothing.
        columns[-2] = [text.partition(" (")[0] for text in columns[-2]]
    widths = [max(map(cells_wide, column)) for column in columns]
    # Wide figures stand closer together rather than beyond the edge.
    narrow = len("backend") + sum(widths[1:]) + 2 * (len(widths) - 1) > width
    gap = " " if narrow else "  "
    widths[0] = max(len("backend"), min(widths[0], width - sum(widths[1:]) - len(gap) * (len(widths) - 1)))
    columns[0] = [fit(name, widths[0]) for name in columns[0]]
    lines = wrapped(head, width)
    for row in zip(*columns, strict=True):
        cells = []
        for place, (cell, wide) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (wide - cells_wide(cell))
            cells.append(padding + cell if left <= place < left + _NUMBERS else cell + padding)
        lines.append(gap.join(cells))
    return lines


def _estimated(outcomes: Sequence[Outcome]) -> str:
    """What the slowdowns are estimated from, as they are not the ratios of the medians beside them; "" without one."""
    of = next((o for o in outcomes if o.plain is not None), None)
    if of is None or of.plain is None:
        return ""
    if max(of.runs) > 1:
        source = "the median of each run"
    elif of.plain.basis in ("rounds", "launches"):
        source = "the ratio in each round"
    elif of.plain.basis == "runs":
        source = "all samples"
    else:
        source = "all pairs of samples"
    return f" (estimated from {source}, not from these two medians)"


def _meaning(outcomes: Sequence[Outcome]) -> str:
    """What the column of relative slowdowns means, if there is one."""
    return "; relative: to the other backends" if any(o.others for o in outcomes) else ""


def _row_name(outcome: Outcome) -> str:
    if outcome.a == outcome.b:
        return sanitize(outcome.a, 2 * _NAME)
    return f"{sanitize(outcome.a, _NAME)} / {sanitize(outcome.b, _NAME)}"


def _ratio(of_b: tuple[float, float | None, float | None] | None) -> str:
    if of_b is None:
        return DASH
    ratio, low, high = of_b
    if low is None or high is None:
        return f"{times(ratio)}x"
    middle, least, most = digits(ratio, low, high)
    return f"{middle}x ({least} to {most})"
