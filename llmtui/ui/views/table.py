"""The summary table: a heading and a line for each backend."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text.format import DASH, lined_up, scale_of, unit_of, with_limits
from llmtui.ui.text.format import HIDDEN_SIGN, shape
from llmtui.ui.text.spans import Line, Role, Span, clip, fit, pad, series_role
from llmtui.ui.views.attempts import shown_attempt
from llmtui.ui.views.columns import Column
from llmtui.ui.views.load_columns import LEVEL_KEYS, load_columns
from llmtui.ui.views.ranking import board
from llmtui.ui.views.scroll import out_of_sight, window
from llmtui.ui.views.sorting import AS_PLANNED, Sort, descending, sorted_column
from llmtui.ui.views.table_columns import SPREAD_KEYS, TableRow, table_columns

#: Texts of this rank or a higher one give their room to longer names.
_YIELDS = 5
#: Added to the rank of a text that is the same in every row.
_EQUAL = 10
#: No name gets more cells than this in place of other columns.
_NAME_MOST = 32
#: Nor does the name of an earlier run.
_AGAINST_MOST = 12
#: What a row keeps its line under.
_LINE = "line"


@dataclasses.dataclass
class FilledColumn:
    """A column with its title and unit, its width between `least` and `most` cells, and its cells row by row.

    Cells that depend on the width are None.
    """

    column: Column[TableRow]
    title: str
    rank: int
    least: int
    most: int
    cells: list[str] | None
    width: int = 0

    @property
    def yields(self) -> bool:
        """Whether it gives its room to longer names."""
        return self.rank >= _YIELDS and (self.column.text or self.column.key == "tokens")


@dataclasses.dataclass(frozen=True)
class TableLayout:
    """The columns of the table that fit its width, and the blanks between them."""

    columns: list[FilledColumn]
    gap: int

    @property
    def keys(self) -> list[str]:
        """The keys of the columns."""
        return [filled.column.key for filled in self.columns]

    @functools.cached_property
    def shape(self) -> tuple[object, ...]:
        """The columns with their widths, and the blanks between them: lines of two layouts of one shape are alike."""
        return (self.gap, *((filled.column.key, filled.width) for filled in self.columns))


def table_rows(run_view: RunView, metric: MetricKey, hidden: frozenset[str] = frozenset()) -> dict[str, TableRow]:
    """Return the row of each backend, in the plan's order."""
    placed, rows = board(run_view, metric), {}
    earlier = run_view.earlier_medians(metric)
    against = run_view.against.title if earlier and run_view.against is not None else ""
    for name, backend_view in run_view.backends.items():
        standing = placed.row(name) if placed is not None else None
        rows[name] = TableRow(
            backend_view,
            shown_attempt(backend_view),
            metric,
            standing,
            name in hidden,
            earlier.get(name),
            against,
        )
    return rows


def table_layout(rows: Sequence[TableRow], metric: MetricKey, width: int, sort: Sort = AS_PLANNED) -> TableLayout:
    """Lay out the table: the columns that fit, at least one cell apart, always with the one that is sorted by.

    What no row has a text or a figure of has no column. A text that is the same in all rows, and other facts that are
    no statistics, give their room to long names; statistics do if names would be cut to the same text.
    """
    columns = _filled(rows, metric, sort)
    name = columns[0]

    def taken(gap: int, name_width: int) -> int:
        """Cells that the columns take, `gap` apart, with the signs in front."""
        return 4 + name_width + sum(c.least for c in columns[1:]) + gap * len(columns)

    for name_width, any_of_them in ((name.most, False), (name.least, True)):
        while taken(1, name_width) > width:
            droppable = [c for c in columns if c.rank and (any_of_them or c.yields)]
            if not droppable:
                break
            # Of several with this rank, the last one goes first.
            columns.remove(max(reversed(droppable), key=lambda c: c.rank))
    gap = 2 if taken(2, name.most) <= width else 1
    extra = width - taken(gap, name.least)
    for column in columns:
        # Room to spare goes to the texts, which are the ones that get cut.
        column.width = column.least + max(0, min(extra, column.most - column.least))
        extra -= column.width - column.least
    return TableLayout(columns, gap)


def _only_names(rows: Sequence[TableRow]) -> bool:
    """Whether the frameworks are only the names of the backends again."""
    return all(row.backend_view.backend.framework == row.backend_view.backend.name for row in rows)


def _filled(rows: Sequence[TableRow], metric: MetricKey, sort: Sort) -> list[FilledColumn]:
    """All columns with their figures: the statistics have one unit, that of the medians."""
    medians = [spread.median for row in rows if (spread := row.shown.summary.spread(metric))]
    unit = unit_of(medians, METRICS[metric].unit)
    sorted_by, filled = sorted_column(sort, metric), list[FilledColumn]()
    level = rows[0].level if rows else None
    for column in load_columns(metric) if level is not None else table_columns(metric):
        title, rank, longest, least = column.title, column.rank, 0, column.width
        if column.optional and all(row.value_in(column) is None for row in rows):
            continue
        if column.key == "against":
            if not rows or not rows[0].against:
                continue
            title = f"vs {clip(rows[0].against, _AGAINST_MOST)}"
        cells: list[str] | None = None
        if column.span is not None and column.kind is not None:
            ends = [row.span_in(column) for row in rows]
            if not any(ends):
                continue
            scale = scale_of([end for both in ends if both for end in both], column.kind, unit)
            cells = [row.figure_in(column, scale) for row in rows]
            least = max(map(len, cells))
        elif column.kind is not None:
            values = [value if isinstance(value := row.value_in(column), float) else None for row in rows]
            optional = rank and column.key != sorted_by and (medians or column.key in ("p95", "before"))
            if optional and not any(value is not None for value in values):
                continue
            scale = scale_of(values, column.kind, unit if column.key in SPREAD_KEYS else None)
            cells = [row.figure_in(column, scale) for row in rows]
            if column.limit is not None:
                cells = with_limits(scale, values, map(column.limit, rows))
            title = title if title == scale.unit else f"{title} {scale.unit}".lstrip()
            least = max(least, *map(len, cells)) if cells else least
        elif column.text:
            cells = [row.cell_in(column, _NAME_MOST) for row in rows]
            longest = max(map(cell_len, cells), default=0)
            if not rank:
                least = min(longest, max(least, _distinct_width(cells)))
                cells = None
            elif not longest or (column.key == "framework" and _only_names(rows)):
                continue
            else:
                least = min(longest, least)
                rank += _EQUAL if len(cells) > 1 and len(set(cells)) == 1 else 0
        elif column.key in ("ratio", *LEVEL_KEYS):
            cells = [row.cell_in(column, column.width) for row in rows]
            cells = lined_up(cells) if column.key == "ratio" else cells
            least = max(least, *map(len, cells)) if cells else least
        if column.key == sorted_by:
            rank, title = 0, ("↓" if descending(sort, metric, load=level is not None) else "↑") + title
        least = max(least, cell_len(title), column.width if not column.rank else 0)
        filled.append(FilledColumn(column, title, rank, least, max(least, longest), cells))
    return filled


def _distinct_width(names: Sequence[str]) -> int:
    """How wide these names must be to differ when they are cut."""
    least = 0
    for one, two in itertools.pairwise(sorted(names)):
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))
        # The letter that differs, and the dots after it.
        least = max(least, cell_len("".join(letter for letter, _ in same)) + 3)
    return least


def column_at(x: int, layout: TableLayout) -> str | None:
    """Return the key of the column whose heading is at cell `x`, None beside the headings."""
    end = 3
    for filled in layout.columns:
        start, end = end, end + layout.gap + filled.width
        if start <= x < end:
            return filled.column.key
    return None


def heading(layout: TableLayout, metric: MetricKey, sort: Sort, width: int) -> Line:
    head: list[Span] = [("   ", "")]
    for filled in layout.columns:
        strong = filled.column.key in (*SPREAD_KEYS, "backend", sorted_column(sort, metric))
        title = pad(filled.title, filled.width, filled.column.right)
        head.append((" " * layout.gap + title, "title" if strong else "dim"))
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

    A star marks the backend that is shown to be fastest by the metric that counts, a dot the best one without a star.
    A backend that did not do the same work as the best has no ratio. An arrow marks the column that is sorted by; with
    `cursor`, a sign points at the line of `focused`.
    """
    rows = table_rows(run_view, metric, hidden)
    layout = table_layout(list(rows.values()), metric, width, sort)
    lines = [heading(layout, metric, sort, width)]
    placed = board(run_view, metric)
    leader = placed.best if placed is not None and not placed.instead else ""
    starred = run_view.verdict(metric).fastest if leader else ""
    names = list(rows)
    for name in order or names:
        index, row = names.index(name), rows[name]
        mark = "" if name != leader else "*" if name == starred else "·"
        lines.append(row_line(layout, row, index, index, mark, name == focused, cursor, width))
    return lines


def row_line(
    layout: TableLayout, row: TableRow, at: int, index: int, mark: str, focused: bool, cursor: bool, width: int
) -> Line:
    """Draw the row of the backend at `index` in the plan; `at` is its place among the cells of the columns.

    A row that is drawn as before has the same line.
    """
    texts = tuple(
        filled.cells[at] if filled.cells is not None else row.cell_in(filled.column, filled.width)
        for filled in layout.columns
    )
    looks = (layout.shape, texts, index, mark, focused, cursor, width)
    before: tuple[object, Line] | None = row.made.get(_LINE)
    if before is not None and before[0] == looks:
        return before[1]
    spans: list[Span] = [
        (mark or " ", "best"),
        (HIDDEN_SIGN if row.hidden else shape(index), series_role(index)),
    ]
    for filled, text in zip(layout.columns, texts, strict=True):
        column = filled.column
        role: Role = "title" if column.key == "backend" and focused and not mark else ""
        role = role or _role(column.key, row, text, bool(mark))
        spans.append((" " * layout.gap + pad(text, filled.width, right=column.right), role))
    line = fit([(">" if cursor and focused else " ", "focus"), *spans], width)
    row.made[_LINE] = (looks, line)
    return line


def _role(key: str, row: TableRow, text: str, best: bool) -> Role:
    """The role of a cell."""
    if key == "backend":
        return "best" if best else ""
    if key == "err" and (row.figures.unsuccessful if row.figures is not None else row.backend_view.summary.errors):
        return "warn"
    if key == "note":
        return "warn"
    if key == "level":
        return "title" if row.here else "dim"
    if text == DASH or row.shown.earlier or key == "before":
        return "dim"
    if key == "median":
        return "best" if best else "strong"
    return ""


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
