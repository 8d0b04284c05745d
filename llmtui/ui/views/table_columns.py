"""The columns of the summary table: titles, cells, and what each is sorted by."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from llmtui.model import Level
from llmtui.runview.backend import BackendView
from llmtui.runview.figures import SamplesView
from llmtui.stats.metrics import ENERGY, METRICS, Metric, MetricKey
from llmtui.text import sanitize
from llmtui.text.format import DASH, Scale, count_text
from llmtui.text.model_names import without_folder
from llmtui.ui.text.format import name_text, percent
from llmtui.ui.text.spans import clip
from llmtui.ui.views.attempts import ShownAttempt, at_level, median_before
from llmtui.ui.views.columns import Column, Interval, SortValue

if TYPE_CHECKING:
    from llmtui.runview.level_figures import LevelFigures
    from llmtui.stats.board import Standing

#: The fewest cells of a name.
NAME_LEAST = 12
#: The columns of the metric that the table shows: they have one unit.
SPREAD_KEYS = ("mean", "median", "before", "min", "max", "stddev", "p95")
#: The columns of the ratio to the best.
BY_RATIO = ("ratio", "interval")


@dataclasses.dataclass(frozen=True)
class TableRow:
    """One backend in the table, by the metric that the table shows."""

    backend_view: BackendView
    shown: ShownAttempt
    metric: MetricKey
    #: Its ratio to the best backend.
    standing: Standing | None = None
    hidden: bool = False
    #: The median of the same backend in an earlier run, and the name of that run.
    earlier: float | None = None
    against: str = ""
    #: The level of the row, None in a race.
    level: Level | None = None

    #: Whether it is the level that the screen shows.
    here: bool = True
    #: The code of the check by which the figures of a level mean nothing, "" if they do.
    void: str = ""
    #: What was made of this row so far: a row of a load is kept until one of its figures changes.
    made: dict[object, Any] = dataclasses.field(default_factory=dict, init=False, compare=False, repr=False)

    def value_in(self, column: Column[TableRow]) -> SortValue:
        """Its value in a column."""
        if column.key not in self.made:
            self.made[column.key] = column.value(self)
        value: SortValue = self.made[column.key]
        return value

    def span_in(self, column: Column[TableRow]) -> Interval | None:
        """Its interval in a column of intervals."""
        if column.key not in self.made:
            self.made[column.key] = column.span(self) if column.span is not None else None
        span: Interval | None = self.made[column.key]
        return span

    def cell_in(self, column: Column[TableRow], room: int) -> str:
        """Its cell in a column without a kind, in at most `room` cells."""
        key = column.key, room
        if key not in self.made:
            self.made[key] = column.cell(self, room)
        cell: str = self.made[key]
        return cell

    def figure_in(self, column: Column[TableRow], scale: Scale) -> str:
        """Its figure, or its interval, in a column of this scale."""
        key = column.key, scale
        if key not in self.made:
            self.made[key] = self._figure(column, scale)
        figure: str = self.made[key]
        return figure

    def _figure(self, column: Column[TableRow], scale: Scale) -> str:
        if column.span is not None:
            span = self.span_in(column)
            return f"{scale.text(span[0])} to {scale.text(span[1])}" if span is not None else DASH
        value = self.value_in(column)
        return scale.text(value if isinstance(value, float) else None)

    @property
    def samples(self) -> SamplesView:
        """The backend with its samples at the level."""
        return at_level(self.backend_view, self.level)

    @functools.cached_property
    def figures(self) -> LevelFigures | None:
        """What the turns at the level say together."""
        return self.backend_view.at_level(self.level.number, self.shown.attempt) if self.level is not None else None


def _name(row: TableRow, width: int) -> str:
    """The backend's name, with the attempt of its figures if it is not the first, and whether it is hidden."""
    name = name_text(row.backend_view.backend.name, 60)
    if row.hidden:
        return f"{name} hidden" if cell_len(name) + 7 <= width else f"({clip(name, width - 2)})"
    attempt = f" #{row.shown.attempt}" if row.backend_view.state.attempt > 1 else ""
    if row.shown.earlier:
        # Figures of an attempt that is over always say so.
        return clip(name, max(0, width - len(attempt))) + attempt
    return name + attempt if cell_len(name) + len(attempt) <= width else name


def _errors(row: TableRow) -> int | None:
    now = row.samples.summary
    summary = now if now.errors else row.shown.summary
    return summary.errors if summary.n or summary.errors else None


def _error_count(row: TableRow, room: int) -> str:
    errors = _errors(row)
    return DASH if errors is None else str(errors)


def _disturbed(row: TableRow, room: int) -> str:
    summary = row.shown.summary
    return f"{summary.disturbed}~" if summary.disturbed else ("0" if summary.n else DASH)


def _ratio(row: TableRow, room: int) -> str:
    return row.standing.figure if row.standing is not None else DASH


def _interval(row: TableRow, room: int) -> str:
    return row.standing.span if row.standing is not None else ""


def _standing(row: TableRow) -> SortValue:
    return row.standing.ratio if row.standing is not None else None


def _change(row: TableRow) -> float | None:
    """The change of the median since the earlier run, as a share."""
    median = row.shown.summary.spread(row.metric)
    return median.median / row.earlier - 1 if median and row.earlier else None


def _change_text(row: TableRow, room: int) -> str:
    median = row.shown.summary.spread(row.metric)
    return (percent(median.median, row.earlier) if median and row.earlier else "") or DASH


def _text(key: str, width: int, rank: int, read: Callable[[BackendView], str], most: int) -> Column[TableRow]:
    """A column of text in at most `most` cells."""
    return Column(
        key,
        key,
        width,
        rank,
        lambda row, room: sanitize(read(row.backend_view), most),
        lambda row: sanitize(read(row.backend_view), 80).casefold() or None,
        right=False,
        text=True,
    )


def _spread(metric: MetricKey, key: str, rank: int) -> Column[TableRow]:
    """A column of one statistic of the metric that the table shows."""

    def read(row: TableRow) -> float | None:
        value: float | None = getattr(row.shown.summary.spread(metric), key, None)
        return value

    return Column(
        key,
        key,
        6,
        rank,
        value=read,
        most_first=METRICS[metric].higher_is_better and key != "stddev",
        kind=METRICS[metric].unit,
    )


def _before(metric: MetricKey) -> Column[TableRow]:
    """The column of the previous attempt's median, beside the new one."""
    return Column(
        "before",
        "before",
        6,
        1,
        value=lambda row: median_before(row.samples, metric),
        most_first=METRICS[metric].higher_is_better,
        kind=METRICS[metric].unit,
    )


def _tail(metric: MetricKey) -> Column[TableRow]:
    """The column of the 95th percentile (of a rate the 5th), each with its limit."""

    def read(row: TableRow) -> float | None:
        tail = row.shown.tail(row.samples, metric)
        return tail.value if tail is not None else None

    def limit(row: TableRow) -> float | None:
        tail = row.shown.tail(row.samples, metric)
        return tail.limit if tail is not None else None

    more = METRICS[metric].higher_is_better
    title = f"{METRICS[metric].bad_end_title} ({'down' if more else 'up'} to)"
    return Column("p95", title, 6, 3, value=read, most_first=more, kind=METRICS[metric].unit, limit=limit)


def _typical(metric: Metric) -> Column[TableRow]:
    """The column of another metric's median."""

    def read(row: TableRow) -> float | None:
        spread = row.shown.summary.spread(metric.key)
        return spread.median if spread else None

    return Column(
        metric.column,
        metric.column,
        6,
        1,
        value=read,
        most_first=metric.higher_is_better,
        kind=metric.unit,
        optional=metric is ENERGY,
    )


@functools.cache
def table_columns(metric: MetricKey) -> tuple[Column[TableRow], ...]:
    """Return all columns of the table that shows `metric`. The heading of the names is the metric."""
    more = METRICS[metric].higher_is_better
    return (
        dataclasses.replace(
            _text("backend", NAME_LEAST, 0, lambda view: view.backend.name, 60),
            title=f"{METRICS[metric].title} of", cell=_name,
        ),
        _text("framework", 12, 9, lambda view: view.backend.framework, 40),
        _text("language", 8, 5, lambda view: view.backend.language, 40),
        _text("model", 24, 8, lambda view: without_folder(view.model), 80),
        _text("server", 10, 7, lambda view: view.backend.start_words, 20),
        _text("weights", 7, 3, lambda view: view.weights, 20),
        Column(
            "n", "n", 3, 0, lambda row, room: str(row.shown.summary.n), lambda row: row.shown.summary.n or None,
            most_first=True,
        ),
        Column("err", "err", 3, 2, _error_count, _errors, most_first=True),
        Column(
            "dist", "busy", 4, 6, _disturbed,
            lambda row: row.shown.summary.disturbed if row.shown.summary.n else None,
            most_first=True,
        ),
        _spread(metric, "mean", 2),
        _spread(metric, "median", 0),
        _before(metric),
        _spread(metric, "min", 4),
        _spread(metric, "max", 4),
        _spread(metric, "stddev", 5),
        _tail(metric),
        *(_typical(other) for other in METRICS.values() if other.column and other.key != metric),
        _typical(ENERGY),
        Column(
            "tokens", "tokens", 6, 6, lambda row, room: count_text(row.shown.summary.output_tokens_median),
            lambda row: row.shown.summary.output_tokens_median, most_first=True,
        ),
        Column("against", "vs earlier", 6, 1, _change_text, _change, most_first=more),
        Column("ratio", "vs best", 7, 0, _ratio, _standing),
        Column("interval", "interval", 14, 10, _interval, _standing, text=True),
    )  # fmt: skip
