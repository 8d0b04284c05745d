"""A metric against the load: the levels side by side, and in each of them the backends.

A backend's mark is at its value; a stroke shows the 95% interval, or reaches from p50 up to p95. A hollow mark is the
turn under way, a dotted line the objective.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from llmtui.text.format import plural
from llmtui.ui.charts.axes import AnyScale
from llmtui.ui.charts.found_strip import on_axis, rows_of, strip
from llmtui.ui.charts.load_chart_data import LevelsChart, LevelSeries, scale_of_values
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas_columns, laid_over_axes
from llmtui.ui.charts.slots import places_of, stroke
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import Line, overlay

#: The mark of the turn under way.
HOLLOW = "○"
#: A dotted line at the four heights of a row, from below.
_DOTS = "⣀⠤⠒⠉"
#: An objective further from all values than this is only named.
_FAR = 2.0
#: The same in a search for the most streams that keep it.
_FAR_IN_SEARCH = 10.0
#: The blank cells between two levels whose marks have figures.
_BETWEEN_LEVELS = 3

Cells = dict[tuple[int, int], Mark]


def draw_levels(chart: LevelsChart, width: int, height: int) -> tuple[list[Line], str]:
    """Draw the points with both axes in `height` lines. Return them with the caption of the horizontal axis."""
    strips = rows_of(chart.found, height - 2)
    rows = height - 2 - strips - len(chart.groups)
    values = _values(chart)
    objective = chart.in_unit(chart.objective) if chart.objective is not None else None
    far = _FAR_IN_SEARCH if chart.for_objectives else _FAR
    inside = objective is not None and min(values) / far <= objective <= max(values) * far
    scale = scale_of_values([*values, objective] if inside and objective is not None else values, rows, log=chart.log)
    ticks: list[Tick] = [(scale.cell(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]
    columns = canvas_columns(ticks, width)
    beside = _figure_width(chart, columns)
    points, left_out, strokes = _points_kept(chart, scale, columns, beside)
    cells = dict(points)
    hollow = _hollow(chart, scale, columns, beside, cells)
    if inside and objective is not None:
        row, dot = divmod(min(4 * scale.cells - 1, max(0, round(4 * scale.at(objective) + 1.5))), 4)
        for x in range(0, columns, 2):
            cells.setdefault((x, row), (x, row, _DOTS[dot], "warn"))
    count = len(chart.levels)
    middles = [(place * columns // count + (place + 1) * columns // count - 1) // 2 for place in range(count)]
    x_ticks = _labelled(chart, middles, columns)
    body = laid_over_axes(
        list(cells.values()), width, scale.cells + 2, rows=scale.cells, x_ticks=x_ticks, y_ticks=ticks
    )
    if chart.shown is not None and count > 1:
        body[-1] = _marked(body[-1], chart.levels[chart.shown], width - columns + middles[chart.shown])
    if chart.found and not strips:
        body[-2] = on_axis(body[-2], chart.found, count, width, columns, chart.ascii_only)
    below = [strip(mark, count, width, columns, chart.ascii_only) for mark in chart.found] if strips else []
    # A group ends where one of a row further out does.
    rows_of_groups = [list(zip(*chart.groups[n:], strict=True)) for n in range(len(chart.groups))]
    body += [_groups(chart, titles, width, columns) for titles in rows_of_groups]
    blank: Line = ((" " * width, ""),)
    caption = _caption(chart, width, inside=inside, hollow=hollow, left_out=left_out, strokes=strokes)
    return [*[blank] * (rows - scale.cells), *body, *below], caption


def _drawn(chart: LevelsChart) -> list[LevelSeries]:
    """The backends that have a point or the turn under way."""
    running = chart.so_far.index if chart.so_far is not None else None
    return [series for series in chart.series if series.points or series.index == running]


def _values(chart: LevelsChart) -> list[float]:
    """All values that the axis has to show, in its unit."""
    points = [point for series in chart.series for point in series.points]
    values = [value for point in points for value in (point.value, point.low, point.high) if value is not None]
    if chart.so_far is not None:
        values.append(chart.so_far.value)
    return [chart.in_unit(value) for value in values]


def _figure_width(chart: LevelsChart, columns: int) -> int:
    """The cells of a figure to the right of each mark, 0 if not all have room: levels stay apart."""
    room = columns // len(chart.levels) - _BETWEEN_LEVELS
    if room < len(_drawn(chart)) * 3:
        return 0
    size = max((len(_bare(chart, point.value)) for one in chart.series for point in one.points), default=0)
    return size if len(_drawn(chart)) * (size + 2) <= room else 0


def _bare(chart: LevelsChart, value: float) -> str:
    return chart.figure(value).partition(" ")[0]


#: The marks of the newest charts, each with what they follow from: a second of the turn under way changes none of them.
_newest: deque[tuple[object, tuple[Cells, int, bool]]] = deque(maxlen=4)


def _points_kept(chart: LevelsChart, scale: AnyScale, columns: int, figure: int) -> tuple[Cells, int, bool]:
    """The same as `_points`, which must not be changed."""
    running = chart.so_far.index if chart.so_far is not None else None
    # Series that have not changed are the same objects, so that they are compared at once.
    key = (chart.series, running, chart.metric, chart.unit, chart.ascii_only, chart.levels, scale, columns, figure)
    for other, found in _newest:
        if other == key:
            return found
    found = _points(chart, scale, columns, figure)
    _newest.appendleft((key, found))
    return found


def _points(chart: LevelsChart, scale: AnyScale, columns: int, figure: int) -> tuple[Cells, int, bool]:
    """The marks by column and row, how many had no cell of their own, and whether all strokes have room."""
    drawn = _drawn(chart)
    count = len(chart.levels)
    best = {n: max((point.value for point in series.points), default=0.0) for n, series in enumerate(drawn)}
    ranks = {n: rank for rank, n in enumerate(sorted(best, key=best.__getitem__))}
    # Side by side, or without strokes: one backend's would hide the marks of another one.
    beside = columns // count >= len(drawn)
    cells: Cells = {}
    left_out = 0
    for n, series in enumerate(drawn):
        mark = shape(series.index, chart.ascii_only)
        for point in series.points:
            row = scale.cell(chart.in_unit(point.value))
            places = places_of(point.place, n, ranks[n], len(drawn), count, columns, figure)
            x = next((x for x in places if (x, row) not in cells), None)
            if x is None:
                left_out += 1
                continue
            cells[x, row] = (x, row, mark, series.role)
            if figure:
                for at, c in enumerate(_bare(chart, point.value), x + 1):
                    cells[at, row] = (at, row, c, "dim")
            if not beside or (point.low is None and point.high is None):
                continue
            low, high = (chart.in_unit(point.value if end is None else end) for end in (point.low, point.high))
            for at, sign in stroke(max(-0.5, scale.at(low)), min(scale.cells - 0.5, scale.at(high))):
                if at != row and 0 <= at < scale.cells:
                    cells[x, at] = (x, at, sign, series.role)
    return cells, left_out, beside


def _hollow(chart: LevelsChart, scale: AnyScale, columns: int, figure: int, cells: Cells) -> bool:
    """Add the mark of the turn under way, where it hides nothing. Return whether it has room."""
    so_far = chart.so_far
    if so_far is None:
        return False
    drawn = _drawn(chart)
    n = next(n for n, series in enumerate(drawn) if series.index == so_far.index)
    row = scale.cell(chart.in_unit(so_far.value))
    places = places_of(so_far.place, n, n, len(drawn), len(chart.levels), columns, figure)
    for x in (places[1], places[0], *places[2:]) if len(places) > 1 else places:
        if (x, row) not in cells:
            cells[x, row] = (x, row, HOLLOW, drawn[n].role)
            return True
    return False


def _groups(chart: LevelsChart, titles: Sequence[tuple[str, ...]], width: int, columns: int) -> Line:
    """A row below the labels: the first title of each group of levels, with a line as wide as the group."""
    count, margin = len(chart.levels), width - columns
    line: Line = ((" " * width, ""),)
    for (title, *_), group in itertools.groupby(range(count), key=titles.__getitem__):
        places = list(group)
        start, end = places[0] * columns // count, (places[-1] + 1) * columns // count - 1
        room = end - start
        number = next(word for word in title.split() if word[0].isdigit())
        text = next((text for text in (f" {title} ", title, number) if len(text) <= room), "")
        if text:
            shown = chart.shown in places
            left = (room - len(text)) // 2
            if left > 1:
                line = overlay(line, margin + start, ("─" * room, "dim"))
            line = overlay(line, margin + start + left, (text, "strong" if shown else "dim"))
    return line


def _labelled(chart: LevelsChart, middles: Sequence[int], columns: int) -> list[Tick]:
    """The labels of the levels that have room, the last one and the one that is shown among them."""
    labels = chart.levels
    first = [len(labels) - 1] if chart.shown is None else [chart.shown, len(labels) - 1]
    taken: set[int] = set()
    ticks: list[Tick] = []
    for place in dict.fromkeys([*first, *range(len(labels))]):
        # Two more for the brackets around the level that is shown.
        size = len(labels[place]) + 2 * (place == chart.shown)
        start = middles[place] - size // 2
        cells = set(range(start - 1, start + size + 1))
        if not cells & taken and start >= 0 and start + size <= columns:
            taken |= set(range(start, start + size))
            ticks.append((middles[place], labels[place]))
    return sorted(ticks)


def _marked(line: Line, label: str, middle: int) -> Line:
    """Put brackets around the label of the level that is shown elsewhere, if it is there."""
    text = "".join(text for text, _ in line)
    start = next((at for at in range(middle, middle - len(label), -1) if text[at : at + len(label)] == label), None)
    if start is None or start < 1 or start + len(label) >= len(text):
        return line
    return overlay(line, start - 1, (f"[{label}]", "strong"))


def _caption(chart: LevelsChart, width: int, *, inside: bool, hollow: bool, left_out: int, strokes: bool) -> str:
    """What the axis counts and what the marks are, as far as there is room; what misleads without a word is first."""
    parts: list[list[str]] = []
    if left_out:
        parts.append([f"{plural(left_out, 'point')} behind others", f"{left_out} hidden"])
    if (so_far := chart.so_far) is not None:
        what = f"so far: {chart.figure(so_far.value)} in {so_far.seconds} s"
        sign = f"{HOLLOW} " if hollow else ""
        warming = "'s warm-up" if so_far.warmup else ""
        parts.append([f"{sign}{so_far.name}{warming} {what}", f"{sign}{what}", f"{sign}not final"])
    if chart.objective is not None:
        figure = chart.figure(chart.objective)
        where = "" if inside else ", outside the axis"
        parts.append([f"{'⠒ ⠒ ' if inside else ''}objective {figure}{where}", f"objective {figure}"])
    parts.append(_meaning(chart, strokes))
    texts = [chart.counted]
    for choices in parts:
        texts += [fitting] if (fitting := _first(texts, choices, width)) else []
    return ", ".join(texts)


def _first(texts: Sequence[str], choices: Sequence[str], width: int) -> str:
    return next((text for text in choices if len(", ".join([*texts, text])) <= width), "")


def _meaning(chart: LevelsChart, strokes: bool) -> list[str]:
    """What mark and stroke are, from the longest text to the shortest."""
    points = [point for series in chart.series for point in series.points]
    if not points:
        return []
    least, most = min(point.n for point in points), max(point.n for point in points)
    n = f"n {least}" if least == most else f"n {least} to {most}"
    if chart.kind == "ttft":
        tail = "line up to p95" if any(point.high is not None for point in points) else "p95 from 59 requests on"
        tail = tail if strokes else "no room for p95"
        return [f"mark at p50, {tail}, {n}", f"p50, {tail}, {n}", n]
    interval = any(point.low is not None for point in points)
    line = "line: 95% interval" if interval else "interval from 6 turns on"
    line = line if strokes else "no room for intervals"
    turns = f"{n.removeprefix('n ')} turn{'s' if most > 1 else ''}"
    return [f"mark: median of {turns}, {line}", f"{turns}, {line}", turns]
