"""Results and iterations as CSV (RFC 4180, but with LF line ends; UTF-8). The columns are in llmtui.export.columns.

Instants are UTC. An unknown value is an empty cell, never a zero.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from llmtui.export.column import Column, Value
from llmtui.export.columns import Result
from llmtui.export.load_columns import ITERATION_COLUMNS, RESULT_COLUMNS, TURN_COLUMNS, LevelTurn, Sample
from llmtui.export.table import rows_of
from llmtui.model import Level
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize

_T = TypeVar("_T")
#: Rows in a piece of a table.
_ROWS = 512
#: Where a spreadsheet starts a formula: also in full width, and after the semicolon that separates cells in some
#: countries.
_FORMULA = re.compile(r"(^|;\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def results_csv(run_view: RunView) -> str:
    """One row per backend, of its current attempt, in the order of the plan; in a load per level and backend,
    those of a level from the best to the worst.

    `own_error_p95_s` is from the newest `llmtui accuracy` record of the run's machine, empty without one and with
    workers of a cluster. Intervals are at 95%. `first_request_s` is the latency of the cold server, a warm-up if the
    run has any. `comparable_to_fastest` says whether `ratio_to_fastest` compares equal work. `void`, `warnings` and
    `notes` have the codes of the checks on this backend or on all backends, and `evidence` has their texts and fixes.
    """
    levels: list[Level | None] = [*run_view.levels_shown] or [None]
    return "".join(_table(RESULT_COLUMNS, (result for level in levels for result in results(run_view, level))))


def results(run_view: RunView, level: Level | None) -> Iterator[Result]:
    """Yield the rows of the results at a level, of a race with None."""
    record, number = run_view.own_error(), level.number if level is not None else 0
    own_error_p95_s = record.own_error_p95_s() if record is not None else None
    estimates = {metric: run_view.estimates(metric, number) for metric, of in METRICS.items() if of.estimated}
    verdict, rows = run_view.verdict(level=number), rows_of(run_view, number)
    if level is not None:
        places = {standing.name: place for place, standing in enumerate(verdict.board.standings)}
        rows.sort(key=lambda row: places.get(row.backend_view.backend.name, len(places)))
    for row in rows:
        if run_view.plan.load.search and number not in row.backend_view.levels_with_turns:
            continue  # its search did not come here
        name = row.backend_view.backend.name
        yield Result(
            plan=run_view.plan,
            row=row,
            own_error_p95_s=own_error_p95_s,
            estimates={metric: of[name] for metric, of in estimates.items() if name in of},
            checks=[check for check in verdict.checks if not check.backends or name in check.backends],
            level=level,
        )


def iterations_csv(run_view: RunView) -> str:
    """One row per iteration of every attempt, warm-ups and failures too: by backend, in order of completion."""
    return "".join(iterations_lines(run_view))


def iterations_lines(run_view: RunView) -> Iterator[str]:
    """The same piece by piece: the requests of a load are read from the history while they are written."""
    return _table(ITERATION_COLUMNS, run_samples(run_view))


def run_samples(run_view: RunView) -> Iterator[Sample]:
    """Yield the rows of the iterations: those of a load are read from the history."""
    levels = run_view.plan.levels
    for backend_view in run_view.backends.values():
        for iteration in backend_view.iterations:
            yield Sample(iteration)
        for turn in backend_view.turns:
            for batch in run_view.requests(turn):
                for request in batch:
                    yield Sample(request, levels[turn.level - 1])


def turns_csv(run_view: RunView) -> str:
    """One row per turn of a load, warm-ups and partial ones too, of every attempt: by backend, as they ended."""
    return "".join(_table(TURN_COLUMNS, run_turns(run_view)))


def run_turns(run_view: RunView) -> Iterator[LevelTurn]:
    """Yield the rows of the turns."""
    levels = run_view.plan.levels
    for backend_view in run_view.backends.values():
        yield from (LevelTurn(turn, levels[turn.level - 1]) for turn in backend_view.turns)


def _table(columns: Sequence[Column[_T]], rows: Iterable[_T]) -> Iterator[str]:
    """The table in pieces of some rows."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    # The heading comes alone, so that it can be written before the first row is ready.
    yield out.getvalue()
    out.seek(0)
    out.truncate()
    for number, row in enumerate(rows, 1):
        writer.writerow([_cell(column.of(row)) for column in columns])
        if number % _ROWS == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _cell(value: Value) -> str:
    return text_cell(value) if isinstance(value, str) else number(value)


def text_cell(value: str) -> str:
    """`value` as a cell that a spreadsheet does not take for a formula, without terminal escapes."""
    return _FORMULA.sub(r"\1'", sanitize(value, 2_000))


def number(value: float | int | None) -> str:
    """The shortest decimal that reads back as `value` rounded to 1e-9, without an exponent; "" if unknown."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return ""
    if isinstance(value, int):
        return str(value)
    text = repr(round(value, 9))
    if "e" in text:
        text = f"{value:.9f}".rstrip("0")
    text = text.removesuffix(".").removesuffix(".0")
    return "0" if text == "-0" else text
