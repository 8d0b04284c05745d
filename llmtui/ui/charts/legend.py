"""The line below a chart that says what its marks mean."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.charts.load_chart_data import HeatChart, LevelsChart, LoadChart, ParetoChart, TurnChart
from llmtui.ui.layout import LEGEND_FIGURE_WIDTH
from llmtui.ui.text.format import HIDDEN_SIGN, shape
from llmtui.ui.text.spans import Line, Role, Span, clip, clip_name, fit, series_role, width_of

#: With fewer cells for a name, a backend is called by the number of its panel.
SHORTEST_NAME = 4


def legend(chart: ChartData | LoadChart, width: int) -> tuple[Line, list[tuple[int, int, int]]]:
    """Return the legend, and which cells `[start, end)` stand for which backend (its index in the plan)."""
    spans: list[Span] = []
    spots: list[tuple[int, int, int]] = []
    if isinstance(chart, TurnChart | HeatChart):
        # Their rows have the names.
        return fit((), width), []
    if chart.kind == "bars":
        return bars_legend(width, chart.log), []
    if chart.kind == "box":
        spans += [("├─▒┃▒─┤ ", "strong"), ("quartiles, whiskers to 1.5 IQR   (figure: median)", "dim")]
        if width_of(spans) > width:
            spans = [("├─▒┃▒─┤ ", "strong"), ("quartiles, whiskers to 1.5 IQR", "dim")]
    else:
        entries = _entries(chart)
        entries = sorted([*entries, *((index, name, False) for index, name in chart.hidden)])
        room = _room_of_a_name([name for _, name, _ in entries], width)
        named = room >= SHORTEST_NAME and are_distinct([name for _, name, _ in entries], room)
        between, gap = (" ", "  ") if named else (" ", " ") if room >= 0 else ("", " ")
        for index, name, drawn in entries:
            start = width_of(spans)
            mark: Span = (shape(index, chart.ascii_only), series_role(index)) if drawn else (HIDDEN_SIGN, "")
            label = clip_name(name, room) if named else str(index + 1)
            spans += [mark, (f"{between}{label}", "dim"), (gap, "")]
            spots.append((start, width_of(spans) - len(gap), index))
        spans = spans[:-1]
    blank = max(0, (width - width_of(spans)) // 2)
    spots = [(start + blank, end + blank, index) for start, end, index in spots]
    return fit([(" " * blank, ""), *spans], width), spots


def _entries(chart: ChartData | LevelsChart | ParetoChart) -> list[tuple[int, str, bool]]:
    """The backends that are drawn: index in the plan, name, True."""
    if isinstance(chart, ChartData):
        return [(s.index, s.name, True) for s in chart.series if s.spread is not None]
    running = chart.so_far.index if isinstance(chart, LevelsChart) and chart.so_far is not None else None
    return [(s.index, s.name, True) for s in chart.series if s.points or s.index == running]


def are_distinct(names: Sequence[str], room: int) -> bool:
    """Whether the names differ from each other in `room` cells; else numbers replace them."""
    return len({clip_name(name, room) for name in names}) == len(set(names))


def _room_of_a_name(names: Sequence[str], width: int) -> int:
    """Return how many cells the longest name may have: short names leave room to long ones."""
    cells = sorted(map(cell_len, names))
    left = width + 2 - 4 * len(cells)
    for number, needed in enumerate(cells):
        equal = left // (len(cells) - number)
        if needed > equal:
            return equal
        left -= needed
    return width


def bars_legend(width: int, log: bool, complete: bool = True, against: str = "") -> Line:
    """Return the legend of the bars, or of the points of a logarithmic axis; without room only medians are drawn.

    `against` names an earlier run whose medians are drawn.
    """
    line = _bars_legend(width, log, complete, against)
    if against and width_of(line) > width:
        line = _bars_legend(0, log, complete, clip(against, 12))
    return fit([(" " * max(0, (width - width_of(line)) // 2), ""), *line], width)


def _bars_legend(width: int, log: bool, complete: bool, against: str) -> list[Span]:
    block = "⠒" if log else "█"
    figure = " (figure)" if width >= LEGEND_FIGURE_WIDTH else ""
    spans: list[Span] = [(f"{block * 3} ", "strong"), (f"median{figure}", "dim")]
    others: tuple[tuple[str, Role], ...] = (("min", "dim"), ("mean", "strong"), ("max", "dim"))
    for word, role in others if complete else ():
        spans += [("  ", ""), (block, role), (f" {word}", "dim")]
    if not complete:
        spans.append((", no room for the others", "dim"))
    if against:
        spans += [("  ", ""), ("⠂⠂", "dim"), (f" median in {against}", "dim")]
    return spans
