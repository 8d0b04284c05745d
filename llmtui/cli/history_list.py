"""`llmtui history`: past runs, a line each, as a table on a terminal, or as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmtui import exit_codes
from llmtui.cli.history import opened
from llmtui.cli.output import STDOUT, on_terminal, output_columns, report, write_output
from llmtui.export.runs import failed, run_record
from llmtui.model import FAILED, STATE_WORDS
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.store.listing import BackendRow, RunRow
from llmtui.store.run_filter import RunFilter
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, pad, wrapped
from llmtui.text.format import figure, plural

_HEADINGS = ("run", "started (UTC)", "state", "failed")
_HEADING = "label, model: median latency of each backend"
_WIDTHS = (8, 16, 7, 6)
#: The last column is at least as wide as this. A terminal that is too narrow for it breaks the lines itself.
_LEAST = 20
#: A blank at which no line is broken: between a figure and its unit. Sanitized text has none.
_JOINED = "\xa0"


def list_runs(number: int, path: str, wanted: RunFilter | None = None, *, as_json: bool = False) -> int:
    """Print the newest runs that match, and report how many cannot be read. Return the exit code."""
    wanted = wanted or RunFilter()
    with opened(path) as store:
        rows = store.runs(number, wanted)
    if rows.unread:
        report(f"skipped {plural(rows.unread, 'unreadable run')}; for the reason, try: llmtui show RUN")
    elif not rows and wanted == RunFilter():
        report("the history is empty; try: llmtui")
    elif not rows:
        report("no run matches; to see all: llmtui history")
    if as_json:
        return exit_codes.OK if write_output(STDOUT, runs_json(rows)) else exit_codes.FAILED
    for line in table(rows, output_columns()) if on_terminal() else map(run_line, rows):
        print(line)
    return exit_codes.OK


def runs_json(rows: list[RunRow]) -> str:
    """The runs as an indented JSON list, newest first.

    An item has `run` (the id), `created_utc`, `state` ("running", "done", "stopped" or "died"), `label`, `note`,
    `llmtui` (the version), `failed` (how many backends failed, or have failed iterations) and `backends`. Each of these
    has `name`, `model`, `state`, and of its newest `attempt`: the number of measured iterations that succeeded
    (`measured`) and that failed (`errors`), and `latency_median_s` (s, null without samples).

    A load also has the `level` that counts, such as "8 streams", and the `metric`. What is measured are its turns at
    that level, and each backend also has the median of the metric (`metric_median`).
    """
    from llmtui.export.json import plain_json

    return plain_json([run_record(row) for row in rows])


def run_line(row: RunRow) -> str:
    """A run on one line, for programs: id, start, state, how many backends failed, label, model, and medians."""
    return f"{_head(_cells(row))}{_results(row)}".replace(_JOINED, " ")


def table(rows: list[RunRow], width: int) -> list[str]:
    """Headings, and the runs in lines of at most `width` cells."""
    listed = [(_HEADINGS, _HEADING), *((_cells(row), _results(row)) for row in rows)]
    widths = [max(map(cells_wide, column)) for column in zip(*(cells for cells, _ in listed), strict=True)]
    room = max(_LEAST, width - sum(widths) - 2 * len(widths))
    lines = []
    for cells, text in listed:
        head = _head(cells, widths)
        lines += [
            (head if n == 0 else " " * len(head)) + part for n, part in enumerate(wrapped(text, room, "") or [""])
        ]
    return [line.replace(_JOINED, " ").rstrip() for line in lines] if rows else []


def _head(cells: Sequence[str], widths: Sequence[int] = _WIDTHS) -> str:
    return "".join(f"{pad(cell, width)}  " for cell, width in zip(cells, widths, strict=True))


def _cells(row: RunRow) -> tuple[str, str, str, str]:
    count = len(failed(row))
    start = sanitize(row.created_utc[:16].replace("T", " "))
    return sanitize(row.run, 40), start, sanitize(row.state), f"{count} of {len(row.backends)}" if count else "-"


def _results(row: RunRow) -> str:
    """Label, level of a load, model, and each backend: the fastest first, then those without a result."""
    ranking = sorted(row.backends, key=lambda b: _rank(row, b))
    label = f"[{sanitize(row.label)}] " if row.label else ""
    level = f"{row.level}, " if row.level else ""
    models = row.models
    model = f"{sanitize(models[0], 40) if len(models) == 1 else plural(len(models), 'model')}: " if models else ""
    if level and not model:
        level = f"{row.level}: "
    return label + level + model + ", ".join(_backend(row, backend) for backend in ranking)


def _value(row: RunRow, backend: BackendRow) -> float | None:
    """The median by which the backends of a run are ordered."""
    return backend.metric_median if row.metric else backend.latency_median_s


def _rank(row: RunRow, backend: BackendRow) -> float:
    value = _value(row, backend)
    if value is None:
        return math.inf
    return -value if row.metric and METRICS[_metric(row)].higher_is_better else value


def _metric(row: RunRow) -> MetricKey:
    return next((key for key in METRICS if key == row.metric), "latency")


def _backend(row: RunRow, backend: BackendRow) -> str:
    name, value = sanitize(backend.name, 40), _value(row, backend)
    errors = f"{backend.errors} of {backend.measured + backend.errors} failed" if backend.errors else ""
    if value is None:
        return f"{name} {errors or STATE_WORDS[backend.state]}"
    more = [errors] if errors else []
    more += [STATE_WORDS[backend.state]] if backend.state in FAILED else []
    median = figure(value, METRICS[_metric(row)].unit) + (f" ({', '.join(more)})" if more else "")
    return f"{name} {median}".replace(" ", _JOINED)
