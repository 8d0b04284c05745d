"""The summary table as plain text, as `llmtui run` prints it and the monitor when it closes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llmtui.export.load_table import HEADING, FilledColumn, load_columns, load_remarks, load_rows
from llmtui.model import FAILED, STATE_WORDS
from llmtui.runview import levels as of_levels
from llmtui.runview.backend import BackendView
from llmtui.runview.launches import start_up
from llmtui.runview.objectives import objective_sentences
from llmtui.runview.presence import TELLS, absent_line, others_as_text
from llmtui.runview.probes import probe_sentences
from llmtui.runview.run import RunView
from llmtui.runview.search import search_sentences
from llmtui.runview.talks import talk_sentences
from llmtui.stats.board import DIFFERS, Standing
from llmtui.stats.intervals import TAIL_FROM, Estimate, Tail, tail
from llmtui.stats.metrics import ENERGY, METRICS, Metric, MetricKey
from llmtui.stats.summary import Spread
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, fit_name, wrapped
from llmtui.text.format import (
    DASH,
    Kind,
    count_text,
    figure,
    figures,
    left_out_text,
    lined_up,
    loaded_text,
    plural,
    scale_of,
    unit_of,
    with_limits,
)

_WIDEST_TEXT = 32
_RATIO = "vs best"
#: Added to the rank of a text that is the same in every row: it goes before those that differ.
_EQUAL = 20


class Row(msgspec.Struct):
    """One backend and its `standing`: its ratio to the best one by the metric that counts, as the verdict has it.

    `median_ratio` is its median latency as a multiple of that of `RunView.reference`; `alike`: both did the same work.
    `fastest`: it has the star of the verdict. `metric` is the one that counts.
    """

    backend_view: BackendView
    standing: Standing
    median_ratio: float | None
    alike: bool = True
    fastest: bool = False
    metric: MetricKey = "latency"


class _Column(msgspec.Struct):
    """A column of the table. On a narrow screen, the column with the highest `rank` is dropped first, 0 never.

    It has either cells, which are `text` or counts, or the figures of a `kind`, whose unit is in its heading. Columns
    of the `latency` share one unit. The `limit` of a figure is shown after it.
    """

    title: str
    rank: int
    cell: Callable[[Row], str] = lambda _: ""
    text: bool = False
    figure: Callable[[Row], float | None] | None = None
    kind: Kind = "s"
    latency: bool = False
    limit: Callable[[Row], float | None] | None = None
    #: Whether it is left out if no row has a figure, even while no backend has a sample.
    optional: bool = False


def _latency(title: str, rank: int, read: Callable[[Spread], float | None]) -> _Column:
    def value(row: Row) -> float | None:
        spread = row.backend_view.summary.latency
        return read(spread) if spread else None

    return _Column(title, rank, figure=value, latency=True)


def _tail(row: Row) -> Tail | None:
    return tail(row.backend_view.latencies, "latency")


def _median(metric: Metric, rank: int = 3) -> _Column:
    def value(row: Row) -> float | None:
        spread = row.backend_view.summary.spread(metric.key)
        return spread.median if spread else None

    return _Column(metric.column, rank, figure=value, kind=metric.unit, optional=metric is ENERGY)


def _tokens(row: Row) -> str:
    return count_text(row.backend_view.summary.output_tokens_median)


def rows_of(run_view: RunView, level: int = 0) -> list[Row]:
    """A row per backend, in the order of the plan; in a load at this level, by default the one that counts."""
    medians, verdict = run_view.ratios("latency", level), run_view.verdict(level=level)
    present = [name for name, ratio in medians.items() if ratio is not None]
    unlike = run_view.verdict("latency", level).unlike(run_view.reference("latency", level), present)
    return [
        Row(
            backend_view,
            verdict.board.row(name),
            medians[name],
            name not in unlike,
            name == verdict.fastest,
            verdict.asked,
        )
        for name, backend_view in run_view.backends.items()
    ]


COLUMNS: tuple[_Column, ...] = (
    _Column("backend", 0, lambda r: r.backend_view.backend.name, text=True),
    _Column("framework", 14, lambda r: r.backend_view.backend.framework, text=True),
    _Column("language", 13, lambda r: r.backend_view.backend.language, text=True),
    _Column("model", 12, lambda r: r.backend_view.model, text=True),
    _Column("server", 11, lambda r: r.backend_view.backend.start_words, text=True),
    _Column("weights", 5, lambda r: r.backend_view.weights, text=True),
    _Column("n", 2, lambda r: str(r.backend_view.summary.n)),
    _Column("err", 4, lambda r: str(r.backend_view.summary.errors) if r.backend_view.finished else DASH),
    _latency("mean", 8, lambda s: s.mean),
    _latency("median", 0, lambda s: s.median),
    _latency("min", 7, lambda s: s.min),
    _latency("max", 6, lambda s: s.max),
    _latency("stddev", 9, lambda s: s.stddev),
    _Column(
        "p95",
        10,
        figure=lambda r: t.value if (t := _tail(r)) else None,
        latency=True,
        limit=lambda r: t.limit if (t := _tail(r)) else None,
    ),
    *(_median(metric) for metric in METRICS.values() if metric.column),
    _median(ENERGY, 5),
    _Column("tokens", 11, _tokens),
    _Column(_RATIO, 1, lambda r: r.standing.figure),
    _Column("interval", 15, lambda r: r.standing.span),
)


def filled_columns(rows: Sequence[Row]) -> list[FilledColumn]:
    """All columns of the table with their cells. Text in them is not sanitized yet.

    Left out are empty columns, p95 if there are too few samples, and frameworks that are only the backends' names.

    The statistics of the latency share the unit that suits the medians. A column has one number of decimals.
    """
    medians = [s.median if (s := row.backend_view.summary.latency) else None for row in rows]
    latency_unit = unit_of(medians, "s")
    filled = list[FilledColumn]()
    for column in COLUMNS:
        if column.figure is None:
            cells, heading, rank = [column.cell(row) for row in rows], column.title, column.rank
            cells = cells if column.text else lined_up(cells)
            if column.title == _RATIO and rows:
                heading += METRICS[rows[0].metric].by
            if rank and (not any(cells) or (column.title == "framework" and cells == filled[0].cells)):
                continue
            if column.text and rank and len(rows) > 1 and len(set(cells)) == 1:
                rank += _EQUAL
        else:
            values = [column.figure(row) for row in rows]
            optional = column.rank and (any(medians) or column.title == "p95" or column.optional)
            if optional and not any(value is not None for value in values):
                continue
            scale = scale_of(values, column.kind, latency_unit if column.latency else None)
            cells, title = [scale.text(value) for value in values], column.title
            if column.limit is not None:
                cells, title = with_limits(scale, values, map(column.limit, rows)), f"{title} (up to)"
            heading, rank = title if title == scale.unit else f"{title} {scale.unit}", column.rank
        filled.append(FilledColumn(column.title, heading, rank, cells, column.text))
    return filled


def summary_table(run_view: RunView, width: int) -> str:
    """One row per backend in at most `width` cells, the least important columns dropped first.

    A backend that is shown to be fastest has `*` before it. One whose work differed has no ratio. Below the rows:
    failures and their reasons, intervals of the typical latency, comparisons and checks.
    No ANSI, no control characters; ends with a line end.
    """
    if run_view.plan.levels:
        return _load_summary(run_view, width)
    rows = rows_of(run_view)
    lines, columns = row_lines(rows, width)
    for row in rows:
        for remark in remarks_on(row.backend_view):
            lines += wrapped(f"  {remark}", width, indent="    ")
    withheld = any(row.backend_view.summary.latency and _tail(row) is None for row in rows)
    notes = [f"p95 needs {TAIL_FROM} iterations"] if withheld and any(column.key == "p95" for column in columns) else []
    if any(not row.standing.alike for row in rows):
        notes.append(f"{DIFFERS}: not comparable, as the work differed")
    presence = [
        absent_line(run_view.plan, TELLS),
        others_as_text(run_view.plan),
    ]
    for note in [*notes, *typical_values(run_view), *start_ups(run_view), *findings(run_view), *filter(None, presence)]:
        lines += wrapped(note, width)
    return "".join(line.rstrip() + "\n" for line in lines)


def _load_summary(run_view: RunView, width: int) -> str:
    """The table of a load: one row per level and backend, then what a race's table has below its rows."""
    lines, _ = load_lines(run_view, width)
    for remark in load_remarks(run_view):
        lines += wrapped(f"  {remark}", width, indent="    ")
    presence = [absent_line(run_view.plan, TELLS), others_as_text(run_view.plan)]
    beside = [*talk_sentences(run_view), *probe_sentences(run_view)]
    for note in [*beside, *start_ups(run_view), *findings(run_view), *filter(None, presence)]:
        lines += wrapped(note, width)
    return "".join(line.rstrip() + "\n" for line in lines)


def load_lines(run_view: RunView, width: int) -> tuple[list[str], list[FilledColumn]]:
    """Like `row_lines`, for a load."""
    rows = load_rows(run_view)
    return _drawn(HEADING, load_columns(rows), [row.fastest for row in rows], width)


def row_lines(rows: Sequence[Row], width: int) -> tuple[list[str], list[FilledColumn]]:
    """The headings and a line per row in at most `width` cells, and the columns that have room."""
    heading = "latency and TTFT (median), tok/s of one stream"
    return _drawn(heading, filled_columns(rows), [row.fastest for row in rows], width)


def _drawn(
    heading: str, columns: list[FilledColumn], fastest: Sequence[bool], width: int
) -> tuple[list[str], list[FilledColumn]]:
    for column in columns:
        if column.text:
            column.cells = [fit_name(sanitize(cell), _WIDEST_TEXT) for cell in column.cells]
    while _total(columns) > width and (most := max(column.rank for column in columns)):
        columns = [column for column in columns if column.rank != most]
    lines = [heading, "  " + _line([column.heading for column in columns], columns)]
    for index, star in enumerate(fastest):
        mark = "* " if star else "  "
        lines.append(mark + _line([column.cells[index] for column in columns], columns))
    return lines, columns


def remarks_on(backend_view: BackendView) -> list[str]:
    """Failures of a backend and of its iterations: plain text, a line each."""
    name = sanitize(backend_view.backend.name)
    remarks = []
    state = backend_view.state
    if state.failure is not None:
        remarks.append(f"{name}: {STATE_WORDS[state.state]}: {sanitize(str(state.failure))}")
    elif state.state in FAILED or state.state == "stopped":
        remarks.append(f"{name}: {STATE_WORDS[state.state]}")
    failed, total = backend_view.summary.errors, backend_view.finished
    if backend_view.previous is not None and (earlier := backend_view.previous.latency) is not None:
        before = f"previous attempt: median {figure(earlier.median, 's')}, n = {earlier.n}"
        remarks.append(f"{name}: attempt {state.attempt}; {before}")
    if 0 < total < state.planned:
        remarks.append(f"{name}: cut short: {total} of {plural(state.planned, 'iteration')}")
    if failed and state.failure is None:
        newest = backend_view.figures.last_failed
        last = sanitize(str(newest.error)) if newest and newest.error else "no result"
        remarks.append(f"{name}: {failed} of {plural(total, 'iteration')} failed: {last}")
    if left_out := backend_view.summary.left_out:
        remarks.append(f"{name}: {left_out_text(left_out)}")
    if loaded := backend_view.summary.loaded:
        remarks.append(f"{name}: {loaded_text(loaded, backend_view.summary.n)}")
    if whole := backend_view.evidence.whole:
        good = plural(backend_view.summary.n, "iteration")
        remarks.append(f"{name}: {whole} of {good} not streamed: the answer came in one piece")
    return remarks


def typical_values(run_view: RunView) -> list[str]:
    """Each backend's typical latency with its intervals, and its first request: plain text, a line each."""
    lines = []
    for name, estimate in run_view.estimates().items():
        summary, parts = run_view.backends[name].summary, _typical(estimate)
        if summary.first_s is not None and summary.warmups is not None:
            parts.append(f"first request: {figure(summary.first_s, 's')}")
        if parts:
            lines.append(f"{sanitize(name)}: {', '.join(parts)}")
    return lines


def _typical(estimate: Estimate) -> list[str]:
    """Median, mean and 95th percentile of the latency, each with how sure it is; empty for too few samples."""
    if estimate.median_interval is None:
        return []
    of_mean, bad_end = estimate.mean_interval or (None, None), estimate.tail
    values = [estimate.median, *estimate.median_interval, estimate.mean, *of_mean]
    unit, texts = figures([*values, *((bad_end.value, bad_end.limit) if bad_end else (None, None))], "s")
    median, low, high, mean, mean_low, mean_high, p95, limit = texts
    sure = f"no interval: {estimate.mean_withheld}" if estimate.mean_withheld else f"{mean_low} to {mean_high}"
    parts = [f"median {median} {unit} (95%: {low} to {high})", f"mean {mean} {unit} ({sure})"]
    return [*parts, f"p95 {p95} {unit} (up to {limit})"] if bad_end else parts


def start_ups(run_view: RunView) -> list[str]:
    """The launches of each server that was launched more than once, and their start-up: plain text, a line each."""
    lines = []
    for name, backend_view in run_view.backends.items():
        if (taken := start_up(backend_view.state)) is not None:
            unit, (median, least, most) = figures(taken, "s")
            count = f"{backend_view.state.launch} launches"
            lines.append(f"{sanitize(name)}: {count}, start-up: median {median} {unit} ({least} to {most})")
    return lines


def findings(run_view: RunView) -> list[str]:
    """Who keeps the objectives, the comparisons with the best backend, earlier attempts, then the checks.

    Plain text, a line each.
    """
    earlier = [attempt.sentence for attempt in run_view.earlier_attempts()]
    if run_view.plan.levels:
        sentences = of_levels.all_sentences(run_view)
        # Each level on its own says more than a search may, which pays for its looks.
        each_level = objective_sentences(run_view) if run_view.plan.load.search != "slo" else []
        found = [*search_sentences(run_view), *each_level]
        return [*found, *sentences, *earlier, *(check.sentence for check in of_levels.checks(run_view))]
    verdict = run_view.verdict()
    return [*verdict.sentences, *_disagreements(run_view), *earlier, *(check.sentence for check in verdict.checks)]


def _disagreements(run_view: RunView) -> list[str]:
    """Backends with a smaller median than the best one, which round by round are shown to be slower."""
    medians, lines = run_view.ratios(), []
    for c in run_view.verdict().board.comparisons:
        slower, faster = medians.get(c.slower), medians.get(c.faster)
        if not c.decided or c.metric != "latency" or slower is None or faster is None or slower >= faster:
            continue
        names = " and ".join(sanitize(name, 40) for name in (c.slower, c.faster))
        of = "rounds" if c.paired else "iterations"
        lines.append(f"the medians and the {of} of {names} are in different orders, so check the iterations")
    return lines


def _total(columns: Sequence[FilledColumn]) -> int:
    return 2 + sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _line(cells: Sequence[str], columns: Sequence[FilledColumn]) -> str:
    parts = []
    for cell, column in zip(cells, columns, strict=True):
        padding = " " * (column.width - cells_wide(cell))
        parts.append(cell + padding if column.text else padding + cell)
    return "  ".join(parts)
