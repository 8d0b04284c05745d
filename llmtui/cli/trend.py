"""`llmtui trend BACKEND`: one backend over the runs of the history, as a table with a plot, or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmtui import exit_codes
from llmtui.cli.history import opened
from llmtui.cli.output import STDOUT, output_columns, report, write_output
from llmtui.model.errors import UsageError
from llmtui.stats.level_shifts import ALPHA, SHOWN_FROM, LevelShift
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.run_series import LEAST_SAMPLES, RunPoint, RunSeries, series_of
from llmtui.store.run_filter import RunFilter
from llmtui.store.series import Found, backend_names, runs_of_series
from llmtui.text import sanitize
from llmtui.text.cells import fit, wrapped
from llmtui.text.format import DASH, percent_text, plural, scale_of

#: The least and the most columns of the plot.
_PLOT = (16, 48)
_CHANGE = 60
_SENTENCE = 2_000


def print_trend(
    backend: str,
    path: str,
    *,
    number: int,
    run: str = "",
    metric: MetricKey | None = None,
    wanted: RunFilter | None = None,
    as_json: bool = False,
) -> int:
    """Print the newest `number` runs of `backend` that are like `run`, the oldest first. Return the exit code.

    Without a `metric` it is the one that counts in the newest of them. Raises StoreError, and UsageError for a backend
    without runs.
    """
    with opened(path) as store:
        found = runs_of_series(store, backend, number, run=run, wanted=wanted)
        names = backend_names(store) if found is None else []
    if found is None or not found.runs:
        if backend in names:
            raise UsageError(
                f"no run that has ended has samples of {sanitize(backend, 60)!r}; to see all: llmtui history"
            )
        from llmtui.config.errors import suggestion

        known = suggestion(backend, [sanitize(name, 60) for name in names]) if names else "; the history is empty"
        raise UsageError(f"no run in the history has a backend {sanitize(backend, 60)!r}{known}")
    series = series_of(found.runs, backend, metric or found.runs[-1].plan.config.metric)
    if as_json:
        return exit_codes.OK if write_output(STDOUT, trend_json(series, found)) else exit_codes.FAILED
    if text := left_out_words(found, len(found.runs) - len(series.points), number):
        report(text)
    print(trend_text(series, output_columns()), end="")
    return exit_codes.OK


def left_out_words(found: Found, few: int, number: int) -> str:
    """Say which runs of the backend are not in the series, and why; "" if all are."""
    counts = dict(found.left_out)
    parts = [plural(count, "run") + words for key, words in _REASONS.items() if (count := counts.pop(key, 0))]
    if counts:
        settings = ", ".join(sorted(counts))
        parts.append(f"{plural(sum(counts.values()), 'run')} with another setting ({settings})")
    if few:
        parts.append(f"{plural(few, 'run')} with fewer than {LEAST_SAMPLES} samples")
    if found.cut:
        parts.append(f"runs before the newest {number} (-n)")
    return f"not in this series: {'; '.join(parts)}" if parts else ""


_REASONS = {
    "hardware": " on other hardware",
    "load": " of another load",
    "prompts": " with other prompts",
    "no samples": " without a sample of it",
    "unreadable": " that cannot be read",
}


def trend_text(series: RunSeries, width: int) -> str:
    """The table, a row per run with its interval as a plot, and a sentence per shift, at most `width` columns wide."""
    of, points = METRICS[series.metric], series.points
    level = f" at {series.level}" if series.level else ""
    head = f"{sanitize(series.backend, 60)}{level}: {of.title}, the median of each run with its 95% interval"
    lines = wrapped(f"{head}; {plural(len(points), 'run')} of one setup, the oldest first", width)
    if not points:
        return "\n".join(lines) + "\n"
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
    texts = [f"== {_size(shift, metric)} from here on"] if shift is not None else []
    changes = changed_words(point)
    texts += [f"-- {changes}"] if changes else []
    return [fit(text, width) for text in texts]


def changed_words(point: RunPoint) -> str:
    """What differs from the run before: "version 1.0 -> 1.1, settings (launch)"; "" if nothing does."""
    parts = []
    for change in point.changes:
        before, after = sanitize(change.before, _CHANGE), sanitize(change.after, _CHANGE)
        if change.what == "settings":
            parts.append(f"settings ({after})")
        else:
            parts.append(f"{change.what} {before or 'none'} -> {after or 'none'}")
    return ", ".join(parts)


def sentences(series: RunSeries) -> list[str]:
    """What the runs show: a sentence per shift, or why there is none, and which runs were disturbed."""
    points, texts = series.points, []
    for shift, others in zip(series.shifts, series.others_at, strict=True):
        point = points[shift.at]
        interval = f" ({_change(shift.low)} to {_change(shift.high)})" if shift.low and shift.high else ""
        text = (
            f"the level shifts at run {point.run} of {point.created_utc[:10]}: {_size(shift, series.metric)}{interval}"
            f", p {percent_text(shift.p)}, {shift.before} runs before it and {shift.after} from it on"
        )
        changes = changed_words(point)
        text += f"; changed at this run: {changes}" if changes else "; no change was recorded at this run"
        if others:
            text += f"; the other backends of these runs: {', '.join(f'{n} {_change(r)}' for n, r in others.items())}"
            if all((ratio > 1) == ((shift.ratio or 1) > 1) and _alike(ratio, shift.ratio) for ratio in others.values()):
                text += ": all shift alike, which looks like the machine"
        texts.append(text)
    if not texts:
        texts.append(
            f"no level shift shown at {percent_text(ALPHA)} in {plural(len(points), 'run')}"
            if len(points) >= SHOWN_FROM
            else f"{plural(len(points), 'run')}: a level shift needs {SHOWN_FROM} at least to be shown"
        )
    disturbed = [point.run for point in points if point.disturbed]
    if disturbed:
        texts.append(f"other programs were busy in {plural(len(disturbed), 'run')}: {', '.join(disturbed[:10])}")
    if series.shifts:
        texts.append("a shift is of the machine and the backend together: llmtui compare tells them apart")
    return texts


def _alike(ratio: float, shift: float | None) -> bool:
    """Whether another backend changed by at least half as much."""
    return shift is not None and abs(ratio - 1) >= abs(shift - 1) / 2


def _size(shift: LevelShift, metric: MetricKey) -> str:
    """The change at a shift: "latency +5.2%, slower"."""
    of = METRICS[metric]
    if shift.ratio is None:
        return f"{of.title} at another level"
    better = (shift.ratio > 1) == of.higher_is_better
    word = ("better" if better else "worse") if of.of_objectives else ("faster" if better else "slower")
    return f"{of.title} {_change(shift.ratio)}, {word}"


def _change(ratio: float) -> str:
    return f"{'+' if ratio >= 1 else '-'}{percent_text(abs(ratio - 1))}"


def trend_json(series: RunSeries, found: Found) -> str:
    """The series as an indented JSON document.

    `backend`, `metric`, `level` (of a load, else ""), `runs` (the oldest first: `run`, `created_utc`, `label`, `n`,
    `errors`, `disturbed`, `median` and its 95% interval `low` to `high` in s or per second, `others` with the medians
    of the other backends, and `changes`: `what`, `before`, `after`), `shifts` (`run`, `created_utc`, `p`, `ratio`,
    `low`, `high`, `before` and `after` as numbers of runs, `others` with their ratios, `sentence`), `alpha` (the level
    of the test) and `left_out` (the number of runs for each reason).
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
    left_out = dict(found.left_out) | ({"few samples": few} if few else {})
    return plain_json(document | {"shifts": shifts, "alpha": ALPHA, "left_out": left_out})
