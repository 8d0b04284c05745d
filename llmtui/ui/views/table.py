"""The summary table: a heading and a line for each backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.ui.text.format import DASH, HIDDEN_SIGN, shape
from llmtui.ui.text.spans import Line, Role, Span, fit, pad, series_role
from llmtui.ui.views.attempts import shown_attempt
from llmtui.ui.views.columns import Column
from llmtui.ui.views.ranking import not_comparable, ratios
from llmtui.ui.views.scroll import out_of_sight, window
from llmtui.ui.views.sorting import AS_PLANNED, Sort, descending
from llmtui.ui.views.table_columns import SPREAD_KEYS, TableRow, table_columns


def _taken(columns: Sequence[Column[TableRow]], gap: int) -> int:
    """Cells that these columns take, `gap` apart, with the two signs in front."""
    return 4 + sum(c.width for c in columns) + gap * len(columns)


def fitting_columns(metric: MetricKey, width: int, sorted_by: str = "") -> list[Column[TableRow]]:
    """Return the columns that fit `width`, at least one cell apart, always with the one that is sorted by."""
    columns = [dataclasses.replace(c, rank=0) if c.key == sorted_by else c for c in table_columns(metric)]
    while _taken(columns, 1) > width and any(c.rank for c in columns):
        worst = max(c.rank for c in columns)
        # Of several with this rank, the last one goes first.
        last = max(i for i, c in enumerate(columns) if c.rank == worst)
        columns = columns[:last] + columns[last + 1 :]
    return columns


def _placed(metric: MetricKey, width: int, sorted_by: str = "") -> tuple[list[Column[TableRow]], list[int], str]:
    """Return the columns of a table of `width`, the width of each, and the gap before each."""
    columns = fitting_columns(metric, width, sorted_by)
    gap = "  " if _taken(columns, 2) <= width else " "
    extra = width - _taken(columns, len(gap))
    # Room to spare goes to the texts, which are the ones that get cut.
    grow = {c.key: 0 for c in columns}
    for key, most in (("backend", 10), ("framework", 6), ("model", extra)):
        if key in grow and extra > 0:
            grow[key] = min(extra, most)
            extra -= grow[key]
    return columns, [c.width + grow[c.key] for c in columns], gap


def column_at(x: int, metric: MetricKey, width: int, sorted_by: str = "") -> str | None:
    """Return the key of the column whose heading is at cell `x`, None beside the headings."""
    columns, widths, gap = _placed(metric, width, sorted_by)
    end = 3
    for column, size in zip(columns, widths, strict=True):
        start, end = end, end + len(gap) + size
        if start <= x < end:
            return column.key
    return None


def _heading(metric: MetricKey, width: int, sort: Sort) -> Line:
    columns, widths, gap = _placed(metric, width, sort.column)
    head: list[Span] = [("   ", "")]
    for column, size in zip(columns, widths, strict=True):
        strong = column.key in (*SPREAD_KEYS, METRICS[metric].column, sort.column)
        title = pad(column.title, size, column.right)
        before = gap
        if column.key == sort.column:
            arrow = "↓" if descending(sort, metric) else "↑"
            # Right before the title, in the gap if the title fills its column: no column moves.
            filled = not column.right or len(column.title) == size
            before = gap[:-1] + arrow if filled else gap
            title = title if filled else pad(arrow + column.title, size, right=True)
        head.append((before + title, "title" if strong else "dim"))
    return fit(head, width)


def table_lines(
    run_view: RunView,
    metric: MetricKey,
    width: int,
    hidden: frozenset[str],
    focused: str,
    *,
    sort: Sort = AS_PLANNED,
    order: Sequence[str] = (),
    cursor: bool = False,
) -> list[Line]:
    """Draw the table: a heading and a line for each backend in `order` (else the plan's).

    A star marks the backend that is shown to be fastest, a dot the best figure so far. Ratios between backends that
    did not do the same work are in parentheses and never the best. An arrow marks the column that is sorted by; with
    `cursor`, a sign points at the line of `focused`.
    """
    columns, widths, gap = _placed(metric, width, sort.column)
    lines = [_heading(metric, width, sort)]
    multiples = ratios(run_view, metric)
    apart = not_comparable(run_view, metric)
    # Without data there is nothing to compute: the first frame does not wait for the statistics to be imported.
    fastest = run_view.verdict(metric).fastest if any(ratio is not None for ratio in multiples.values()) else ""
    names = list(run_view.backends)
    for name in order or names:
        index, backend_view = names.index(name), run_view.backends[name]
        row = TableRow(
            backend_view, shown_attempt(backend_view), metric, multiples[name], name not in apart, name in hidden
        )
        best = row.ratio == 1.0 and row.comparable
        spans: list[Span] = [
            (" " if not best else "*" if name == fastest else "·", "best"),
            (HIDDEN_SIGN if row.hidden else shape(index), series_role(index)),
        ]
        for column, size in zip(columns, widths, strict=True):
            # A small number may take the gap before it, all but one cell.
            text = column.cell(row, size + (len(gap) - 1 if column.right else 0))
            role: Role = "title" if column.key == "backend" and name == focused and not best else ""
            role = role or _role(column.key, row, text, best)
            if column.right:
                spans.append((pad(text, size + len(gap), right=True), role))
            else:
                spans.append((gap + pad(text, size), role))
        lines.append(fit([(">" if cursor and name == focused else " ", "focus"), *spans], width))
    return lines


def _role(key: str, row: TableRow, text: str, best: bool) -> Role:
    """The role of a cell."""
    if key == "backend":
        return "best" if best else ""
    if text == DASH or row.shown.earlier:
        return "dim"
    summary = row.backend_view.summary
    if key == "median":
        return "best" if best else "strong"
    return "warn" if (key == "err" and summary.errors) or (key == "dist" and summary.disturbed) else ""


def clip_table(lines: list[Line], width: int, height: int, at: int) -> list[Line]:
    """Cut a table to `height` rows: its heading, the lines around line `at`, and how many are out of sight."""
    head, body = lines[:1], lines[1:]
    if len(lines) <= height or height < 2:
        return lines[:height]
    rows = height - 2
    if rows < 1:
        return [*head, body[at]]
    start, end = window(len(body), rows, at)
    return [*head, *body[start:end], fit([("   " + out_of_sight(len(body), start, end), "dim")], width)]
