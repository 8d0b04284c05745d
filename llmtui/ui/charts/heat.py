"""A heat map: a row for each backend (or other thing), a column for each level, a figure and a shade in each cell."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.stats.metrics import METRICS
from llmtui.ui.charts.load_chart_data import HeatChart, HeatRow
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import Line, Role, Span, clip_name, fit, pad, series_role

#: From nothing to all, in quarters.
SHADES = " ░▒▓█"
_WIDEST, _HIGHEST = 16, 3


def draw_heat(chart: HeatChart, width: int, height: int) -> list[Line]:
    """Draw the cells with the names on their left and the columns' labels above, and a caption in `height` lines."""
    heads = chart.heads or (("", chart.columns),)
    rows = height - 1 - len(heads)
    left_out = max(0, len(chart.rows) - rows)
    shown = chart.rows[: len(chart.rows) - left_out - (left_out > 0)]
    names = [cell_len(row.name) + 2 for row in shown] + [len(name) for name, _ in heads]
    margin = min(max(width // 4, 8 * bool(chart.heads)), max(names) + 1)
    texts = chart.texts()
    count = len(chart.columns)
    # A label that is cut would be another number.
    longest = max(len(label) for _, labels in heads for label in labels)
    wide = max(2, longest + 1, min(_WIDEST, (width - margin) // count))
    most_columns = max(1, (width - margin) // wide)
    first = _first_column(chart, most_columns)
    places = range(first, min(count, first + most_columns))
    room = (rows - bool(left_out)) // max(1, len(shown))
    high = max(1, min(_HIGHEST, room))
    figures = all(len(texts[n][place]) < wide for n in range(len(shown)) for place in places)
    fractions = _fractions(chart)
    lines: list[Line] = [_heading(chart, n, places, margin, wide) for n in range(len(heads))]
    for n, row in enumerate(shown):
        for line in range(high):
            middle = line == high // 2
            spans: list[Span] = [*_name(chart, row, margin, middle)]
            for place in places:
                fraction = fractions[n][place]
                figure = texts[n][place] if middle and figures else ""
                spans += _cell(fraction, figure, wide)
            lines.append(tuple(spans))
    if left_out:
        lines.append(fit([(f"+{left_out + 1} more: no room for them here", "warn")], width))
    blank: Line = ((" " * width, ""),)
    lines += [blank] * (height - 1 - len(lines))
    return [*(fit(line, width) for line in lines), _caption(chart, places, figures, width)]


def _first_column(chart: HeatChart, most: int) -> int:
    """The first column in sight if not all have room: the one that is shown elsewhere is among them."""
    count = len(chart.columns)
    at = chart.shown if chart.shown is not None else count - 1
    return 0 if count <= most else min(max(0, at - most // 2), count - most)


def _fractions(chart: HeatChart) -> list[list[float | None]]:
    """How dark each cell is: its share, or what it is of the best value of its metric."""
    if chart.metric is None:
        return [list(row.values) for row in chart.rows]
    values = [value for row in chart.rows for value in row.values if value]
    if METRICS[chart.metric].higher_is_better:
        best = max(values, default=1.0)
        return [[None if value is None else value / best for value in row.values] for row in chart.rows]
    best = min(values, default=1.0)
    return [[None if value is None else best / value if value else 1.0 for value in row.values] for row in chart.rows]


def _name(chart: HeatChart, row: HeatRow, margin: int, middle: bool) -> list[Span]:
    if not middle:
        return [(" " * margin, "")]
    if row.index is None:
        return [(pad(clip_name(row.name, margin - 1), margin), "dim")]
    mark = shape(row.index, chart.ascii_only)
    return [(f"{mark} ", series_role(row.index)), (pad(clip_name(row.name, margin - 3), margin - 2), "dim")]


def _cell(fraction: float | None, figure: str, wide: int) -> list[Span]:
    """A cell: its shade with the figure in its middle, and a blank column after it."""
    if fraction is None:
        return [("·".center(wide - 1) + " ", "dim")]
    shade = SHADES[min(4, max(0, round(4 * fraction)))]
    room = wide - 1 - len(figure)
    if not figure:
        return [(shade * (wide - 1) + " ", "accent")]
    if room < 4:
        return [(figure.center(wide - 1) + " ", "strong")]
    left = (room - 2) // 2
    return [(shade * left, "accent"), (f" {figure} ", "strong"), (shade * (room - 2 - left) + " ", "accent")]


def _heading(chart: HeatChart, head: int, places: range, margin: int, wide: int) -> Line:
    """A row of labels; all but the last one name only the first column of each group with the same label."""
    heads = chart.heads or (("", chart.columns),)
    name, labels = heads[head]
    last = head == len(heads) - 1
    spans: list[Span] = [(pad(name, margin), "dim")]
    for place in places:
        shown = place == chart.shown and len(chart.columns) > 1
        same = not last and place > places[0] and all(row[place - 1] == row[place] for _, row in heads[: head + 1])
        label = "" if same else labels[place]
        text = f"[{label}]" if shown and last and len(label) + 2 < wide else label
        role: Role = "strong" if shown and label else "dim"
        spans.append((pad(text, wide - 1).strip().center(wide - 1) + " ", role))
    return tuple(spans)


def _caption(chart: HeatChart, places: range, figures: bool, width: int) -> Line:
    what = "█ all, ░ a quarter" if chart.metric is None else "█ the best, ░ a quarter as good"
    parts = ["" if chart.heads else chart.counted, what]
    if len(places) < len(chart.columns):
        parts.insert(1, f"{len(places)} of {len(chart.columns)} columns")
    if not figures:
        parts.insert(1, "no room for figures")
    while len(", ".join(parts)) > width and len(parts) > 1:
        parts.pop()
    text = ", ".join(part for part in parts if part)
    return fit([(" " * max(0, (width - len(text)) // 2), ""), (text, "dim")], width)
