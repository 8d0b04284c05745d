"""A canvas of cells with axes, drawn by plotext. The only module that imports it, and only when there is data.

plotext keeps one global figure: `canvas` clears it, fills it and reads it back in one call, so no state remains.
Colours go in as numbers that stand for roles and are read back from the escape codes, so a new theme costs no redraw.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from llmtui.ui.text.spans import SERIES, TINTS, Line, Role, Span, fit

#: 256-colour numbers that stand for roles on their way through plotext.
_FIRST_COLOUR = 20
_ROLES: tuple[Role, ...] = (*SERIES, *TINTS, "accent", "rule", "strong", "dim")
_NUMBERS: dict[Role, int] = {role: _FIRST_COLOUR + i for i, role in enumerate(_ROLES)}
_COLOURS: dict[str, Role] = {str(number): role for role, number in _NUMBERS.items()}
_SGR = re.compile(r"\x1b\[([0-9;]*)m")

#: Column, row from the bottom, character, and colour.
Mark = tuple[int, int, str, Role]
#: A position along an axis in cells, and its label.
Tick = tuple[float, str]


def canvas_columns(y_ticks: Sequence[Tick], width: int) -> int:
    """How many columns the labels and the line of the value axis leave for the marks."""
    return width - max(len(label) for _, label in y_ticks) - 1


def canvas(
    marks: Sequence[Mark],
    width: int,
    height: int,
    *,
    rows: int,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick] | None = None,
) -> list[Line]:
    """Draw `marks` on `rows` rows over a horizontal axis: `height` lines of `width` cells.

    With `y_ticks` there is a vertical axis whose unit is a row; without, the marks have the whole width.
    """
    import plotext as plt

    plt.clear_figure()
    plt.theme("clear")
    # Otherwise plotext cuts the figure to the size of the terminal that it detects.
    plt.limit_size(False, False)
    plt.plotsize(width, height)
    plt.xaxes(True, False)
    if y_ticks is None:
        columns = width
        plt.yaxes(False, False)
        plt.ylim(-0.5, rows - 0.5)
        plt.yticks([0.0], [""])
    else:
        columns = canvas_columns(y_ticks, width)
        plt.yaxes(True, False)
        plt.ylim(0, rows - 1)
        plt.yticks([at for at, _ in y_ticks], [label for _, label in y_ticks])
    # Without a mark plotext draws no ticks.
    marks = marks or [(0, 0, " ", "dim")]
    plt.scatter(
        [x for x, _, _, _ in marks],
        [y for _, y, _, _ in marks],
        marker=[character for _, _, character, _ in marks],
        color=[_NUMBERS[role] for _, _, _, role in marks],
    )
    plt.xlim(0, columns - 1)
    plt.xticks([at for at, _ in x_ticks], [label for _, label in x_ticks])
    return _parse(str(plt.build()), width, height)


@functools.lru_cache(maxsize=8)
def _axes(width: int, height: int, rows: int, x_ticks: tuple[Tick, ...], y_ticks: tuple[Tick, ...]) -> tuple[Line, ...]:
    return tuple(canvas([], width, height, rows=rows, x_ticks=x_ticks, y_ticks=y_ticks))


def laid_over_axes(
    marks: Sequence[Mark], width: int, height: int, *, rows: int, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]
) -> list[Line]:
    """Like `canvas`, but the marks are laid over plotext's canvas and axes, which seldom change and are cached.

    This is for marks of which some change in every frame.
    """
    lines = list(_axes(width, height, rows, tuple(x_ticks), tuple(y_ticks)))
    margin = width - canvas_columns(y_ticks, width)
    by_row: dict[int, dict[int, Span]] = {}
    for x, row, text, role in marks:
        by_row.setdefault(row, {})[x] = (text, role)
    for row, some in by_row.items():
        line = fit(lines[rows - 1 - row], width)
        spans: list[Span] = list(_cut(line, margin))
        end = 0
        for x, span in sorted(some.items()):
            spans += [(" " * (x - end), ""), span] if x > end else [span]
            end = x + 1
        lines[rows - 1 - row] = fit(spans, width)
    return lines


def _cut(line: Line, width: int) -> Line:
    """The first `width` cells of a line, in which every character has one cell."""
    cut: list[Span] = []
    for text, role in line:
        cut.append((text[:width], role))
        width -= len(text)
        if width <= 0:
            break
    return tuple(cut)


def _parse(text: str, width: int, height: int) -> list[Line]:
    """Parse plotext's coloured text into lines of exactly `width` cells."""
    lines: list[Line] = []
    for raw in text.split("\n")[:height]:
        spans: list[Span] = []
        role: Role = "dim"
        at = 0
        for match in _SGR.finditer(raw):
            if match.start() > at:
                spans.append((raw[at : match.start()], role))
            at = match.end()
            parts = match.group(1).split(";")
            role = _COLOURS.get(parts[2], "dim") if parts[:2] == ["38", "5"] else "dim"
        if at < len(raw):
            spans.append((raw[at:], role))
        lines.append(fit(spans, width))
    return lines + [((" " * width, ""),)] * (height - len(lines))
