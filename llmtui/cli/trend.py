"""`llmtui trend BACKEND`: one backend over the runs of the history, as a table with a plot, or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmtui import exit_codes
from llmtui.cli.history import opened
from llmtui.cli.output import STDOUT, output_columns, report, write_output
from llmtui.model.errors import UsageError
from llmtui.runview.trend import changed_words, left_out_words, sentences, size_words
from llmtui.stats.level_shifts import ALPHA, LevelShift
from llmtui.stats.metrics import ALL_METRICS, ENERGY, MetricKey
from llmtui.stats.run_series import LEAST_SAMPLES, RunPoint, RunSeries, series_of
from llmtui.store.run_filter import RunFilter
from llmtui.store.series import FEW_SAMPLES, Found, backend_names, level_names, runs_of_series
from llmtui.text import sanitize
from llmtui.text.cells import fit, wrapped
from llmtui.text.format import DASH, plural, scale_of

#: The least and the most columns of the plot.
_PLOT = (16, 48)
_SENTENCE = 2_000
#: How many levels of a load are named.
_LEVELS = 12


def print_trend(
    backend: str,
    path: str,
    *,
    number: int,
    run: str = "",
    metric: MetricKey | None = None,
    wanted: RunFilter | None = None,
    level: str = "",
    as_json: bool = False,
) -> int:
    """Print the newest `number` runs of `backend` that are like `run`, the oldest first. Return the exit code.

    Without a `metric` it is the one that counts in the newest of them. `level` names that of a load, "" is the one that
    counts. Raises StoreError, and UsageError for a backend without runs.
    """
    with opened(path) as store:
        found = runs_of_series(store, backend, number, run=run, wanted=wanted, level=level)
        names = backend_names(store) if found is None else []
        levels = level_names(store, backend) if found is None and level else []
    if found is None:
        if backend in names and level:
            raise UsageError(_no_level(backend, level, levels))
        if backend in names:
            raise UsageError(
                f"no run that has ended has samples of {sanitize(backend, 60)!r}; to see all: llmtui history"
            )
        from llmtui.config.errors import suggestion

        known = suggestion(backend, [sanitize(name, 60) for name in names]) if names else "; the history is empty"
        raise UsageError(f"no run in the history has a backend {sanitize(backend, 60)!r}{known}")
    series = series_of(found.runs, backend, metric or found.metric, found.level)
    if as_json:
        return exit_codes.OK if write_output(STDOUT, trend_json(series, found)) else exit_codes.FAILED
    few, older = len(found.runs) - len(series.points), f"runs before the newest {number} (-n)"
    if text := left_out_words(found, few, older, "llmtui trend --like RUN shows the runs like that one"):
        report(text)
    print(trend_text(series, output_columns()), end="")
    return exit_codes.OK


def _no_level(backend: str, level: str, levels: Sequence[str]) -> str:
    """Why a level was not found, and which ones there are."""
    name = sanitize(backend, 60)
    if not levels:
        return f"--level: no run of {name!r} was a load; leave it out"
    there = ", ".join(levels[:_LEVELS]) + (", ..." if len(levels) > _LEVELS else "")
    return f"--level: {sanitize(level, 40)!r} names no level, or several, of {name!r}; its newest load has: {there}"


def trend_text(series: RunSeries, width: int) -> str:
    """The table, a row per run with its interval as a plot, and a sentence per shift, at most `width` columns wide."""
    of, points = ALL_METRICS[series.metric], series.points
    level = f" at {series.level}" if series.level else ""
    head = f"{sanitize(series.backend, 60)}{level}: {of.title}, the median of each run with its 95% interval"
    if not points:
        name = f"{sanitize(series.backend, 60)}{level}: "
        none = f"no run has {LEAST_SAMPLES} samples of {of.title}"
        power = "; what records it: llmtui explain power" if of is ENERGY else ""
        return "\n".join(wrapped(f"{name}{none}{power}", width)) + "\n"
    lines = wrapped(f"{head}; {plural(len(points), 'run')} of one setup, the oldest first", width)
    ends = [v for p in points for v in (p.median, p.low, p.high) if v is not None]
    scale = scale_of([p.median for p in points], of.unit)
    intervals = [f"{scale.text(p.low)} to {scale.text(p.high)}" if p.low is not None else DASH for p in points]
    columns = [
        ["run", *(sanitize(p.run, 8) for p in points)],
        ["started (UTC)", *(sanitize(p.created_utc[:16].replace("T", " ")) for p in points)],
        ["n", *(str(p.n) for p in points)],
        [f"median {scale.unit}", *(scale.text(p.median) for p in points)],
        ["interval", *intervals],
    ]
    widths = [max(map(len, column)) for column in columns]
    room = min(_PLOT[1], width - sum(widths) - 2 * len(widths))
    shifts = {shift.at: shift for shift in series.shifts}
    lines.append("")
    for place, row in enumerate(zip(*columns, strict=True)):
        cells = [
            cell.rjust(wide) if 2 <= number <= 3 else cell.ljust(wide)
            for number, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        plot = ""
        if room >= _PLOT[0]:
            low, high = scale.text(min(ends)), scale.text(max(ends))
            heading = f"{low}{high.rjust(room - len(low))}"
            plot = _plotted(points[place - 1], min(ends), max(ends), room) if place else heading
        if place:
            lines += _marks(points[place - 1], shifts.get(place - 1), series.metric, width)
        lines.append("  ".join([*cells, plot]).rstrip())
    lines += ["", *(line for text in sentences(series) for line in wrapped(sanitize(text, _SENTENCE), width))]
    return "\n".join(lines) + "\n"


def _plotted(point: RunPoint, least: float, most: float, width: int) -> str:
    """The interval of a run as a line of dashes, and its median as an o."""

    def column(value: float) -> int:
        return round((value - least) / (most - least) * (width - 1)) if most > least else width // 2

    at = column(point.median)
    low, high = (column(end) if end is not None else at for end in (point.low, point.high))
    return "".join("o" if x == at else "-" if low <= x <= high else " " for x in range(width)).rstrip()


def _marks(point: RunPoint, shift: LevelShift | None, metric: MetricKey, width: int) -> list[str]:
    """The lines above a run: a shift of the level at it, and what changed."""
    texts = [f"== {size_words(shift, metric)} from here on"] if shift is not None else []
    changes = changed_words(point)
    texts += [f"-- {changes}"] if changes else []
    return [fit(text, width) for text in texts]


def trend_json(series: RunSeries, found: Found) -> str:
    """The series as an indented JSON document.

    `backend`, `metric`, `level` (of a load, else ""), `runs` (the oldest first: `run`, `created_utc`, `label`, `n`,
    `errors`, `disturbed`, `median` and its 95% interval `low` to `high` in s or per second, `others` with the medians
    of the other backends, and `changes`: `what`, `before`, `after`), `shifts` (`run`, `created_utc`, `p`, `ratio`,
    `low`, `high`, `before` and `after` as numbers of runs, `others` with their ratios, `sentence`), `alpha` (the level
    of the test), `left_out` (the number of runs for each reason) and `measured_by` (the tool of imported runs, else
    "llmtui").
    """
    from llmtui.export.json import full, plain_json

    texts = sentences(series)
    shifts: list[Mapping[str, Any]] = [
        {
            "run": series.points[shift.at].run,
            "created_utc": series.points[shift.at].created_utc,
            **{name: value for name, value in msgspec.structs.asdict(shift).items() if name != "at"},
            "others": others,
            "sentence": sanitize(text, _SENTENCE),
        }
        for shift, others, text in zip(series.shifts, series.others_at, texts, strict=False)
    ]
    runs: Sequence[Any] = [full(point) for point in series.points]
    few = len(found.runs) - len(series.points)
    document = {"backend": series.backend, "metric": series.metric, "level": series.level, "runs": runs}
    left_out = dict(found.left_out)
    if few:
        left_out[FEW_SAMPLES] = left_out.get(FEW_SAMPLES, 0) + few
    tool = series.origin.title if series.origin is not None else "llmtui"
    return plain_json(document | {"shifts": shifts, "alpha": ALPHA, "left_out": left_out, "measured_by": tool})
