"""Results and iterations as CSV (RFC 4180, but with LF line ends; UTF-8). The columns are in llmtui.export.columns.

Instants are UTC. An unknown value is an empty cell, never a zero.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from llmtui.export.columns import ITERATION_COLUMNS, RESULT_COLUMNS, Column, Result, Value
from llmtui.export.table import rows_of
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize

_T = TypeVar("_T")
#: Where a spreadsheet starts a formula: also in full width, and after the semicolon that separates cells in some
#: countries.
_FORMULA = re.compile(r"(^|;\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def results_csv(run_view: RunView) -> str:
    """One row per backend, of its current attempt, in the order of the plan.

    `own_error_p95_s` is from the newest `llmtui accuracy` record of the run's machine, empty without one. Intervals
    are at 95%. `first_request_s` is the latency of the cold server, a warm-up if the run has any.
    `comparable_to_fastest` says whether `ratio_to_fastest` compares equal work. `void`, `warnings` and `notes` have
    the codes of the checks on this backend or on all backends, and `evidence` has their texts and fixes.
    """
    record = run_view.own_error()
    own_error_p95_s = record.own_error_p95_s() if record is not None else None
    estimates = {metric: run_view.estimates(metric) for metric, of in METRICS.items() if of.estimated}
    checks = run_view.verdict().checks
    results = (
        Result(
            plan=run_view.plan,
            row=row,
            own_error_p95_s=own_error_p95_s,
            estimates={metric: of[name] for metric, of in estimates.items() if name in of},
            checks=[check for check in checks if not check.backends or name in check.backends],
        )
        for row in rows_of(run_view)
        for name in [row.backend_view.backend.name]
    )
    return _table(RESULT_COLUMNS, results)


def iterations_csv(run_view: RunView) -> str:
    """One row per iteration of every attempt, warm-ups and failures too: by backend, in order of completion."""
    iterations = (i for backend_view in run_view.backends.values() for i in backend_view.iterations)
    return _table(ITERATION_COLUMNS, iterations)


def _table(columns: Sequence[Column[_T]], rows: Iterable[_T]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    writer.writerows([_cell(column.of(row)) for column in columns] for row in rows)
    return out.getvalue()


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
