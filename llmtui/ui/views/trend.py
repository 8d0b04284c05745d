"""The text of the trend page: what the runs of a backend show, then the runs, the newest first."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.runview.trend import changed_words, sentences, size_words
from llmtui.stats.metrics import ALL_METRICS
from llmtui.stats.run_series import RunPoint, RunSeries
from llmtui.text import sanitize
from llmtui.text.format import DASH, scale_of
from llmtui.ui.charts.trend import CHANGE, SHIFT
from llmtui.ui.text.spans import Line, Role, clip, pad, wrap

_SENTENCE = 2_000
#: The most lines of a sentence, and of what changed at a run.
_MOST_LINES = 12
_LABEL = 30


def trend_lines(series: RunSeries, left_out: str, width: int) -> list[Line]:
    """Return the sentences, then a row per run."""
    lines = [line for text in sentences(series) for line in _wrapped(text, width, "" if series.shifts else "dim")]
    if series.points:
        lines += [(), *_rows(series, width)]
    if left_out:
        lines += [(), *_wrapped(left_out, width, "dim")]
    return lines


def _wrapped(text: str, width: int, role: Role, indent: int = 1) -> Iterator[Line]:
    for number, piece in enumerate(wrap(sanitize(text, _SENTENCE), max(10, width - indent - 3), _MOST_LINES)):
        yield ((" " * (indent + (2 if number else 0)), ""), (piece, role))


def _rows(series: RunSeries, width: int) -> Iterator[Line]:
    points = series.points
    scale = scale_of([p.median for p in points], ALL_METRICS[series.metric].unit)
    columns = [
        ["run", *(sanitize(p.run, 8) for p in points)],
        ["started (UTC)", *(sanitize(p.created_utc[:16].replace("T", " ")) for p in points)],
        ["n", *(str(p.n) for p in points)],
        [f"median {scale.unit}", *(scale.text(p.median) for p in points)],
        ["95% interval", *(_interval(p, scale.text(p.low), scale.text(p.high)) for p in points)],
    ]
    widths = [max(map(len, column)) for column in columns]
    shifts = {shift.at: shift for shift in series.shifts}
    heading, *rows = (
        "  ".join(pad(cell, widths[at], right=2 <= at <= 3) for at, cell in enumerate(row))
        for row in zip(*columns, strict=True)
    )
    yield ((f"   {heading}", "dim"),)
    for place in range(len(points) - 1, -1, -1):
        point, shift = points[place], shifts.get(place)
        sign: tuple[str, Role] = (SHIFT, "warn") if shift else (CHANGE, "accent") if point.changes else (" ", "")
        notes = [f"[{clip(sanitize(point.label), _LABEL)}]"] if point.label else []
        notes += [f"{point.errors} failed"] if point.errors else []
        notes += ["other programs busy"] if point.disturbed else []
        yield ((" ", ""), sign, (f" {rows[place]}", ""), (f"  {', '.join(notes)}" if notes else "", "dim"))
        if shift is not None:
            yield from _wrapped(f"{size_words(shift, series.metric)} from this run on", width, "warn", 3)
        if point.changes:
            yield from _wrapped(f"changed: {changed_words(point)}", width, "accent", 3)


def _interval(point: RunPoint, low: str, high: str) -> str:
    return f"{low} to {high}" if point.low is not None else DASH
