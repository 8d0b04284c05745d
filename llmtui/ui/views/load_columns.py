"""The columns of the summary table under a load: a row for each backend and level."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from llmtui.model import Level
from llmtui.runview.level_figures import LevelFigures
from llmtui.stats.metrics import ENERGY, METRICS, MetricKey
from llmtui.text.format import DASH, Kind, plural
from llmtui.ui.views.columns import Column, Interval, SortValue
from llmtui.ui.views.load_panel import kept_text
from llmtui.ui.views.table_columns import TableRow, table_columns

#: Titles of the column of the metric that is shown, where it is a rate.
_RATES: dict[MetricKey, str] = {"output_tokens_per_s": "output", "tokens_per_s": "stream", "requests_per_s": ""}


#: The columns that say how much was asked and got: they are as wide as their cells.
LEVEL_KEYS = ("level", "asked", "got")


def level_mark(level: Level, here: bool) -> str:
    """A level in the table: "[8]" if it is the one that is shown, else " 8 "."""
    return f"[{level.short_title}]" if here else f" {level.short_title} "


def _level(row: TableRow, room: int) -> str:
    return level_mark(row.level, row.here) if row.level is not None else ""


def _figure(read: Callable[[LevelFigures], float | None]) -> Callable[[TableRow], float | None]:
    return lambda row: read(row.figures) if row.figures is not None and row.figures.turns else None


def _number(
    key: str,
    title: str,
    width: int,
    rank: int,
    read: Callable[[LevelFigures], float | None],
    text: Callable[[float], str] = lambda value: f"{value:g}",
    *,
    most_first: bool = True,
) -> Column[TableRow]:
    """A column of numbers without a unit."""
    value = _figure(read)

    def cell(row: TableRow, room: int) -> str:
        number = value(row)
        return DASH if number is None else text(number)

    return Column(key, title, width, rank, cell, value, most_first)


def _timed(
    key: str, title: str, rank: int, read: Callable[[LevelFigures], float | None], kind: Kind = "s"
) -> Column[TableRow]:
    """A column of durations, or of a rate."""
    return Column(key, title, 6, rank, value=_figure(read), kind=kind, most_first=kind not in ("s", "ms"))


def _asked(row: TableRow, room: int) -> str:
    if row.level is None:
        return ""
    return _per_s(row.level.rate) if row.level.trace else row.level.short_load


def _got(row: TableRow, room: int) -> str:
    figures, level = row.figures, row.level
    if figures is None or level is None:
        return DASH
    value = figures.delivered_rate if level.open else figures.in_flight
    return DASH if value is None else _per_s(value) if level.open else f"{value:.1f}"


def _per_s(rate: float) -> str:
    return f"{rate:.3g}/s"


def _span(metric: MetricKey) -> Callable[[TableRow], Interval | None]:
    def read(row: TableRow) -> Interval | None:
        from llmtui.stats.intervals import median_interval

        return median_interval(row.shown.figures(row.samples).ordered(metric))

    return read


def _kept(row: TableRow, room: int) -> str:
    return next(iter(kept_text(row.figures)), DASH) if row.figures is not None and row.figures.turns else DASH


def _attainment(row: TableRow) -> SortValue:
    return row.figures.attainment if row.figures is not None else None


def note_text(row: TableRow) -> str:
    """What to know of the turns of a row, the most serious first: "client-bound", "no steady state 3/6"; else "".

    What makes the figures of a level mean nothing has the name of its check.
    """
    figures, level = row.figures, row.level
    if figures is None or level is None:
        return ""
    if row.void:
        return row.void
    state = row.backend_view.state
    counted = (
        (figures.beyond_capacity, "beyond capacity"),
        (figures.unsettled, "no steady state"),
        (figures.drifting, "slows down"),
        (figures.partial, "partial turn"),
    )
    for count, words in counted:
        if count:
            return f"{words} {count}/{figures.turns + figures.partial}"
    return plural(state.slots, "slot") if state.slots and state.slots < level.slots else ""


@functools.cache
def load_columns(metric: MetricKey) -> tuple[Column[TableRow], ...]:
    """Return all columns of the table under a load: `metric` over the turns, and figures of all requests."""
    race = {column.key: column for column in table_columns(metric)}
    of_metric = _RATES.get(metric, METRICS[metric].title)
    return (
        Column("level", "level", 5, 0, _level),
        dataclasses.replace(race["backend"], title="backend"),
        *(dataclasses.replace(race[key], rank=race[key].rank + 4) for key in ("framework", "language", "model")),
        *(dataclasses.replace(race[key], rank=race[key].rank + 4) for key in ("server", "weights")),
        dataclasses.replace(race["n"], title="turns", width=5),
        Column("asked", "asked", 5, 9, _asked),
        Column("got", "got", 5, 5, _got),
        dataclasses.replace(race["dist"], rank=11),
        dataclasses.replace(race["median"], title=of_metric),
        Column("span", "95%", 8, 4, kind=METRICS[metric].unit, span=_span(metric)),
        race["before"],
        dataclasses.replace(race["min"], rank=12),
        dataclasses.replace(race["max"], rank=12),
        *([] if metric == "output_tokens_per_s" else [
            _timed("output", "output", 2, lambda figures: figures.output_tokens_per_s, "tokens/s")]),
        *([] if metric == "requests_per_s" else [
            _timed("requests/s", "", 5, lambda figures: figures.requests_per_s, "requests/s")]),
        _timed("TTFT", "TTFT p50", 2, lambda figures: figures.ttft.p50 if figures.ttft else None),
        _timed("TTFTp95", "p95", 3, lambda figures: figures.ttft.p95 if figures.ttft else None),
        # A percentile never stands without its n, so that is dropped last.
        _number("requests", "n", 4, 1, lambda figures: figures.ttft.n if figures.ttft else figures.finished),
        _timed("tpot", "TPOT", 6, lambda figures: figures.tpot.p50 if figures.tpot else None, "ms"),
        _timed("latency", "latency", 7, lambda figures: figures.latency.p50 if figures.latency else None),
        dataclasses.replace(race[ENERGY.column], rank=3),
        Column("kept", "kept", 4, 2, _kept, _attainment, most_first=True, optional=True),
        _number("err", "failed", 6, 3, lambda figures: figures.unsuccessful),
        dataclasses.replace(_timed("late", "late", 4, lambda figures: figures.late_s, "ms"), optional=True),
        race["against"],
        race["ratio"],
        race["interval"],
        Column("note", "note", 8, 4, lambda row, room: note_text(row), right=False, text=True),
    )  # fmt: skip
