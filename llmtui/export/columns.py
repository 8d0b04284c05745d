"""The columns of the CSV files: each with its name and its getter. Names and their order are a contract.

Units are part of the names. A new column goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from llmtui.export.table import Row
from llmtui.model import Backend, BackendState, Iteration, Plan
from llmtui.runview.run import BackendView
from llmtui.stats.checks import Check, Level
from llmtui.stats.estimates import Estimate
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import Spread, Summary

_T = TypeVar("_T")
Value = str | float | int | None


class Column(NamedTuple, Generic[_T]):
    """One column of a CSV file. `of` returns the value of its cell for one row, None when it is unknown."""

    name: str
    of: Callable[[_T], Value]


class Result(NamedTuple):
    """What one row of the results is made from. `checks` are those on this backend or on all backends."""

    plan: Plan
    row: Row
    own_error_p95_s: float | None
    estimate: Estimate | None
    checks: Sequence[Check]

    @property
    def view(self) -> BackendView:
        """The backend as its clients see it."""
        return self.row.backend_view

    @property
    def backend(self) -> Backend:
        """The backend as configured."""
        return self.view.backend

    @property
    def state(self) -> BackendState:
        """The backend's newest state."""
        return self.view.state

    @property
    def summary(self) -> Summary:
        """The summary of the current attempt."""
        return self.view.summary


def _statistic(key: MetricKey, name: Literal["mean", "median", "min", "max", "stddev", "p95"]) -> Column[Result]:
    """A statistic of a metric: `latency_mean_s`, `tokens_per_s_median`."""
    unit = "" if METRICS[key].rate else "_s"

    def of(result: Result) -> float | None:
        return _read(result.summary.spread(key), name)

    return Column(f"{key}_{name}{unit}", of)


def _read(spread: Spread | None, name: str) -> float | None:
    value: float | None = getattr(spread, name, None)
    return value


def _interval_end(of: Literal["median", "mean"], end: Literal["low", "high"]) -> Column[Result]:
    """One end of the 95% interval of the typical latency."""

    def value(result: Result) -> float | None:
        if result.estimate is None:
            return None
        interval = result.estimate.median_interval if of == "median" else result.estimate.mean_interval
        return interval[end == "high"] if interval is not None else None

    return Column(f"latency_{of}_{end}_s", value)


def _codes(name: str, level: Level) -> Column[Result]:
    """The codes of the checks of one level."""
    return Column(name, lambda r: " ".join(dict.fromkeys(c.code for c in r.checks if c.level == level)))


def _comparable(result: Result) -> str:
    return "" if result.row.ratio is None else "yes" if result.row.alike else "no"


_RESULT_COLUMNS: tuple[Column[Result], ...] = (
    Column("backend", lambda r: r.backend.name),
    Column("framework", lambda r: r.backend.framework),
    Column("language", lambda r: r.backend.language),
    Column("model", lambda r: r.view.model),
    Column("weights", lambda r: r.view.weights),
    Column("iterations", lambda r: r.summary.n),
    Column("errors", lambda r: r.summary.errors),
    Column("disturbed", lambda r: r.summary.disturbed),
    _statistic("latency", "mean"),
    _statistic("latency", "median"),
    _statistic("latency", "min"),
    _statistic("latency", "max"),
    _statistic("latency", "stddev"),
    _statistic("latency", "p95"),
    _statistic("ttft", "median"),
    _statistic("tokens_per_s", "median"),
    Column("output_tokens_median", lambda r: r.summary.output_tokens_median),
    Column("ratio_to_fastest", lambda r: r.row.ratio),
    Column("load_s", lambda r: r.state.load_s),
    _statistic("itl", "median"),
    Column("state", lambda r: r.state.state),
    Column("reason", lambda r: str(r.state.failure) if r.state.failure else ""),
    Column("version", lambda r: r.state.version),
    Column("threads", lambda r: r.state.threads),
    Column("attempt", lambda r: r.state.attempt),
    Column("run", lambda r: r.plan.run),
    Column("created_utc", lambda r: r.plan.created_utc),
    Column("own_error_p95_s", lambda r: r.own_error_p95_s),
    _interval_end("median", "low"),
    _interval_end("median", "high"),
    _interval_end("mean", "low"),
    _interval_end("mean", "high"),
    Column("outliers", lambda r: r.summary.outliers),
    Column("first_request_s", lambda r: r.summary.first_s),
    Column("warmup_median_s", lambda r: _read(r.summary.warmups, "median")),
    _statistic("tpot", "median"),
    _statistic("prefill_tokens_per_s", "median"),
    Column("comparable_to_fastest", _comparable),
    _codes("void", "void"),
    _codes("warnings", "warning"),
    _codes("notes", "note"),
    Column("evidence", lambda r: " | ".join(check.sentence for check in r.checks)),
)
_PLACED = frozenset(column.name for column in _RESULT_COLUMNS)

#: The results, one row per backend. Metrics without a place above come last, each with its median.
RESULT_COLUMNS: tuple[Column[Result], ...] = (
    *_RESULT_COLUMNS,
    *(column for key in METRICS if (column := _statistic(key, "median")).name not in _PLACED),
)


def _sample(name: str) -> Column[Iteration]:
    """A field or property of an iteration, for iterations that did not fail."""

    def of(iteration: Iteration) -> Any:
        return getattr(iteration, name) if iteration.ok else None

    return Column(name, of)


def _error(iteration: Iteration) -> str:
    return str(iteration.error) if iteration.error else "" if iteration.ok else "no result"


def _disturbed(iteration: Iteration) -> str:
    return ("yes" if iteration.disturbed else "no") if iteration.ok and iteration.foreign_cpu is not None else ""


#: The iterations, one row each.
ITERATION_COLUMNS: tuple[Column[Iteration], ...] = (
    Column("run", lambda i: i.run),
    Column("backend", lambda i: i.backend),
    Column("attempt", lambda i: i.attempt),
    Column("iteration", lambda i: i.iteration),
    Column("phase", lambda i: i.phase),
    Column("started_utc", lambda i: i.started_utc),
    _sample("latency_s"),
    _sample("ttft_s"),
    _sample("ttfo_s"),
    _sample("tpot_s"),
    _sample("tokens_per_s"),
    _sample("output_tokens"),
    _sample("prompt_tokens"),
    _sample("token_source"),
    Column("finish_reason", lambda i: i.finish_reason),
    _sample("connect_s"),
    _sample("server_prefill_s"),
    _sample("server_decode_s"),
    _sample("foreign_cpu"),
    Column("error", _error),
    _sample("itl_s"),
    _sample("cached_tokens"),
    _sample("server_load_s"),
    Column("disturbed", _disturbed),
    Column("stamp", lambda i: i.stamp),
    _sample("transport_and_client_s"),
    Column("refused", lambda i: i.refused),
)
