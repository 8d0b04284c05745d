"""Results and iterations as CSV (RFC 4180, but LF line ends; UTF-8). Names and order of the columns are a contract.

Units stand in the column names, instants are UTC, unknown is an empty cell and never a zero.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence

from llmtui.export.table import Row, rows_of
from llmtui.model import Iteration
from llmtui.runview.run import BackendView, RunView
from llmtui.stats.checks import Check, Level
from llmtui.stats.estimates import Estimate
from llmtui.stats.summary import Spread, Summary
from llmtui.store.accuracy_record import newest
from llmtui.text import sanitize

__all__ = ["ITERATION_COLUMNS", "RESULT_COLUMNS", "iterations_csv", "number", "results_csv"]

RESULT_COLUMNS: tuple[str, ...] = (
    "backend",
    "framework",
    "language",
    "model",
    "weights",
    "iterations",
    "errors",
    "disturbed",
    "latency_mean_s",
    "latency_median_s",
    "latency_min_s",
    "latency_max_s",
    "latency_stddev_s",
    "latency_p95_s",
    "ttft_median_s",
    "tokens_per_s_median",
    "output_tokens_median",
    "ratio_to_fastest",
    "load_s",
    "itl_median_s",
    "state",
    "reason",
    "version",
    "threads",
    "attempt",
    "run",
    "created_utc",
    "own_error_p95_s",
    "latency_median_low_s",
    "latency_median_high_s",
    "latency_mean_low_s",
    "latency_mean_high_s",
    "outliers",
    "first_request_s",
    "warmup_median_s",
    "tpot_median_s",
    "prefill_tokens_per_s_median",
    "comparable_to_fastest",
    "void",
    "warnings",
    "notes",
    "evidence",
)

ITERATION_COLUMNS: tuple[str, ...] = (
    "run",
    "backend",
    "attempt",
    "iteration",
    "phase",
    "started_utc",
    "latency_s",
    "ttft_s",
    "ttfo_s",
    "tpot_s",
    "tokens_per_s",
    "output_tokens",
    "prompt_tokens",
    "token_source",
    "finish_reason",
    "connect_s",
    "server_prefill_s",
    "server_decode_s",
    "foreign_cpu",
    "error",
    "itl_s",
    "cached_tokens",
    "server_load_s",
    "disturbed",
    "stamp",
    "transport_and_client_s",
    "refused",
)

#: Where a spreadsheet begins a formula: also in full width, and after the mark that separates cells in some countries.
_FORMULA = re.compile(r"(^|;\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def text_cell(value: str | None) -> str:
    """`value` as a cell that no spreadsheet takes for a formula and no terminal for a command."""
    return _FORMULA.sub(r"\1'", sanitize(value or "", 2_000))


def results_csv(run_view: RunView) -> str:
    """One row per backend, of its current attempt, in the order of the plan.

    `own_error_p95_s` is what `llmtui accuracy` found last on the machine of the run; empty where it never did. The
    intervals are of 95 %; `first_request_s` is that of the cold server, a warm-up where there are any.
    `comparable_to_fastest` says whether `ratio_to_fastest` is one of equal work; `void`, `warnings` and `notes` hold
    the codes of the checks on this backend, or on all, and `evidence` what they say, with what to do.
    """
    record = newest(run_view.machine)
    own_error = number(record.own_error_p95_s()) if record is not None else ""
    known = run_view.estimates()
    found = run_view.verdict().checks
    rows = (
        [
            *_result(run_view, row.backend_view, row.ratio),
            own_error,
            *_more(row.backend_view.summary, known.get(row.backend_view.backend.name)),
            *_fairness(row, found),
        ]
        for row in rows_of(run_view)
    )
    return _table(RESULT_COLUMNS, rows)


def iterations_csv(run_view: RunView) -> str:
    """One row per iteration of every attempt, warm-ups and failures too: by backend, in order of completion."""
    rows = (_iteration(i) for backend_view in run_view.backends.values() for i in backend_view.iterations)
    return _table(ITERATION_COLUMNS, rows)


def _result(run_view: RunView, backend_view: BackendView, ratio: float | None) -> list[str]:
    backend, state, summary = backend_view.backend, backend_view.state, backend_view.summary
    latency, ttft, rate, itl = summary.latency, summary.ttft, summary.tokens_per_s, summary.itl

    def of(spread: Spread | None, read: Callable[[Spread], float | None]) -> str:
        return number(read(spread)) if spread is not None else ""

    return [
        text_cell(backend.name),
        text_cell(backend.framework),
        text_cell(backend.language),
        text_cell(backend_view.model),
        text_cell(backend_view.weights),
        number(summary.n),
        number(summary.errors),
        number(summary.disturbed),
        of(latency, lambda s: s.mean),
        of(latency, lambda s: s.median),
        of(latency, lambda s: s.min),
        of(latency, lambda s: s.max),
        of(latency, lambda s: s.stddev),
        of(latency, lambda s: s.p95),
        of(ttft, lambda s: s.median),
        of(rate, lambda s: s.median),
        number(summary.output_tokens_median),
        number(ratio),
        number(state.load_s),
        of(itl, lambda s: s.median),
        text_cell(state.state),
        text_cell(str(state.failure) if state.failure else ""),
        text_cell(state.version),
        number(state.threads),
        number(state.attempt),
        text_cell(run_view.plan.run),
        text_cell(run_view.plan.created_utc),
    ]


def _more(summary: Summary, known: Estimate | None) -> list[str]:
    intervals = (known.median_interval, known.mean_interval) if known is not None else (None, None)
    return [
        *(number(end) for interval in intervals for end in interval or (None, None)),
        number(summary.outliers),
        number(summary.first_s),
        number(summary.warmups.median if summary.warmups else None),
        number(summary.tpot.median if summary.tpot else None),
        number(summary.prefill_tokens_per_s.median if summary.prefill_tokens_per_s else None),
    ]


def _fairness(row: Row, found: Sequence[Check]) -> list[str]:
    own = [c for c in found if not c.backends or row.backend_view.backend.name in c.backends]

    def codes(level: Level) -> str:
        return " ".join(dict.fromkeys(c.code for c in own if c.level == level))

    evidence = " | ".join(check.said for check in own)
    alike = "" if row.ratio is None else "yes" if row.alike else "no"
    return [alike, codes("void"), codes("warning"), codes("note"), text_cell(evidence)]


def _iteration(i: Iteration) -> list[str]:
    ok = i.ok

    def figure(value: float | int | None) -> str:
        return number(value) if ok else ""

    return [
        text_cell(i.run),
        text_cell(i.backend),
        number(i.attempt),
        number(i.iteration),
        i.phase,
        text_cell(i.started_utc),
        figure(i.latency_s),
        figure(i.ttft_s),
        figure(i.ttfo_s),
        figure(i.tpot_s),
        figure(i.tokens_per_s),
        figure(i.output_tokens),
        figure(i.prompt_tokens),
        (i.token_source or "") if ok else "",
        text_cell(i.finish_reason),
        figure(i.connect_s),
        figure(i.server_prefill_s),
        figure(i.server_decode_s),
        figure(i.foreign_cpu),
        text_cell(str(i.error)) if i.error else "" if ok else "no result",
        figure(i.itl_s),
        figure(i.cached_tokens),
        figure(i.server_load_s),
        ("yes" if i.disturbed else "no") if ok and i.foreign_cpu is not None else "",
        i.stamp or "",
        figure(i.transport_and_client_s),
        number(i.refused),
    ]


def _table(columns: Iterable[str], rows: Iterable[list[str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def number(value: float | int | None) -> str:
    """Shortest decimal that reads back as `value` rounded to a billionth, never in exponents; "" for unknown."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return ""
    if isinstance(value, int):
        return str(value)
    text = repr(round(value, 9))
    if "e" in text:
        text = f"{value:.9f}".rstrip("0")
    text = text.removesuffix(".").removesuffix(".0")
    return "0" if text == "-0" else text
