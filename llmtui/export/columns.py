"""The columns of the CSV files: each with its name and its getter. Names and their order are a contract.

Units are part of the names. A new column goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from llmtui.export.column import Column, Value
from llmtui.export.table import Row
from llmtui.model import Backend, BackendState, Iteration, Plan
from llmtui.model import Level as LoadLevel
from llmtui.runview.figures import SamplesView
from llmtui.runview.launches import start_up
from llmtui.runview.level_figures import LevelFigures
from llmtui.stats.checks import Check, Level
from llmtui.stats.intervals import MEAN_FROM, MEDIAN_FROM, TAIL_FROM, Estimate
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import P95_FROM, Spread, Summary


class Result(NamedTuple):
    """What one row of the results is made from. `checks` are those on this backend or on all backends.

    In a load it is a backend at a `level`; a race has none.
    """

    plan: Plan
    row: Row
    own_error_p95_s: float | None
    estimates: Mapping[MetricKey, Estimate]
    checks: Sequence[Check]
    level: LoadLevel | None = None

    @property
    def view(self) -> SamplesView:
        """The backend as its clients see it, in a load with its turns at the level as samples."""
        return self.row.backend_view.at(self.level.number) if self.level is not None else self.row.backend_view

    @property
    def figures(self) -> LevelFigures:
        """What the turns at the level say together; nothing in a race."""
        if self.level is None:
            return LevelFigures()
        return self.row.backend_view.at_level(self.level.number)

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


_STATISTICS = {
    "mean": "Mean {metric}.",
    "median": "Median {metric}.",
    "min": "Smallest {metric}.",
    "max": "Largest {metric}.",
    "stddev": "Sample standard deviation (n - 1) of the {metric}.",
    "p95": "95th percentile of the {metric} of these samples (type 7), most often below the true one. "
    "Empty below {least} iterations.",
}


def _statistic(key: MetricKey, name: Literal["mean", "median", "min", "max", "stddev", "p95"]) -> Column[Result]:
    """A statistic of a metric: `latency_mean_s`, `tokens_per_s_median`."""
    unit = "" if METRICS[key].rate else "_s"

    def of(result: Result) -> float | None:
        if name == "p95" and result.level is not None:
            return None  # that of the requests has a column of its own
        return _read(result.summary.spread(key), name)

    doc = _STATISTICS[name].format(metric=METRICS[key].title, least=P95_FROM)
    return Column(f"{key}_{name}{unit}", doc, of)


def _read(spread: Spread | None, name: str) -> float | None:
    value: float | None = getattr(spread, name, None)
    return value


def _interval_end(of: Literal["median", "mean"], end: Literal["low", "high"]) -> Column[Result]:
    """One end of the 95% interval of the typical latency."""

    def value(result: Result) -> float | None:
        estimate = result.estimates.get("latency")
        interval = getattr(estimate, f"{of}_interval", None)
        return interval[end == "high"] if interval is not None else None

    side = "Lower" if end == "low" else "Upper"
    why = f"Empty below {MEDIAN_FROM} iterations."
    if of == "mean":
        why = f"Empty below {MEAN_FROM} iterations."
    return Column(f"latency_{of}_{end}_s", f"{side} end of the 95% interval of the {of} latency. {why}", value)


def _tail_columns(key: MetricKey) -> tuple[Column[Result], Column[Result]]:
    """The bad end of a metric and its limit: `latency_p95_type8_s`, `tokens_per_s_p5_limit`."""
    metric, unit = METRICS[key], "" if METRICS[key].rate else "_s"
    ordinal, side = ("5th", "lower") if metric.higher_is_better else ("95th", "upper")

    def read(result: Result, name: str) -> float | None:
        estimate = result.estimates.get(key)
        if estimate is None or result.level is not None:
            return None
        value: float | None = getattr(estimate.tail, name, None)
        return value

    start = f"{key}_{metric.bad_end_title}"
    doc = f"{ordinal} percentile of the {metric.title} (type 8). Empty below {TAIL_FROM} iterations."
    return (
        Column(f"{start}_type8{unit}", doc, lambda r: read(r, "value")),
        Column(f"{start}_limit{unit}", f"Its {side} 95% limit.", lambda r: read(r, "limit")),
    )


def _codes(name: str, level: Level, doc: str) -> Column[Result]:
    """The codes of the checks of one level."""
    return Column(name, doc, lambda r: " ".join(dict.fromkeys(c.code for c in r.checks if c.level == level)))


def _comparable(result: Result) -> str:
    return "" if result.row.median_ratio is None else "yes" if result.row.alike else "no"


_RESULT_COLUMNS: tuple[Column[Result], ...] = (
    Column("backend", "The backend's name.", lambda r: r.backend.name),
    Column("framework", "The framework's name.", lambda r: r.backend.framework),
    Column("language", "The language it is written in.", lambda r: r.backend.language),
    Column("model", "The model that the server served.", lambda r: r.view.model),
    Column("weights", "The weights it computed with, such as Q8_0.", lambda r: r.view.weights),
    Column(
        "iterations", "Measured iterations that succeeded: the n of every figure in the row.", lambda r: r.summary.n
    ),
    Column("errors", "Measured iterations that failed. They are in no other figure.", lambda r: r.summary.errors),
    Column(
        "disturbed",
        "Iterations during which other programs used 0.1 cores or more, on a large machine 1% of its idle cores.",
        lambda r: r.summary.disturbed,
    ),
    _statistic("latency", "mean"),
    _statistic("latency", "median"),
    _statistic("latency", "min"),
    _statistic("latency", "max"),
    _statistic("latency", "stddev"),
    _statistic("latency", "p95"),
    _statistic("ttft", "median"),
    _statistic("tokens_per_s", "median"),
    Column("output_tokens_median", "Median number of output tokens.", lambda r: r.summary.output_tokens_median),
    Column(
        "ratio_to_fastest",
        "Median latency divided by that of the fastest of the backends that most others are comparable to.",
        lambda r: r.row.median_ratio,
    ),
    Column(
        "load_s", "Time from launching the server until it answered and had loaded its model.", lambda r: r.state.load_s
    ),
    _statistic("itl", "median"),
    Column("state", "The backend's state at the end, such as done.", lambda r: r.state.state),
    Column("reason", "Why the backend failed.", lambda r: str(r.state.failure) if r.state.failure else ""),
    Column("version", "The server's version.", lambda r: r.state.version),
    Column("threads", "Threads of a server that llmtui started.", lambda r: r.state.threads),
    Column("attempt", "The attempt that this row shows; reruns make new ones.", lambda r: r.state.attempt),
    Column("run", "The run's id.", lambda r: r.plan.run),
    Column("created_utc", "When the run was created.", lambda r: r.plan.created_utc),
    Column(
        "own_error_p95_s",
        "llmtui's own error of TTFT on this machine, from `llmtui accuracy`. Empty if it has not been measured, or if "
        "workers of a cluster sent the requests.",
        lambda r: r.own_error_p95_s,
    ),
    _interval_end("median", "low"),
    _interval_end("median", "high"),
    _interval_end("mean", "low"),
    _interval_end("mean", "high"),
    Column("outliers", "Samples far from the rest. They count in every figure.", lambda r: r.summary.outliers),
    Column("first_request_s", "Latency of the first request to the cold server.", lambda r: r.summary.first_s),
    Column("warmup_median_s", "Median latency of the warm-ups.", lambda r: _read(r.summary.warmups, "median")),
    _statistic("tpot", "median"),
    _statistic("prefill_tokens_per_s", "median"),
    Column("comparable_to_fastest", '"no" if ratio_to_fastest compares unequal work.', _comparable),
    _codes("void", "void", "Codes of checks that make the plain comparison meaningless."),
    _codes("warnings", "warning", "Codes of checks that may explain a difference."),
    _codes("notes", "note", "Codes of checks that are good to know."),
    Column(
        "evidence",
        "What these checks saw, and how to fix it.",
        lambda r: " | ".join(check.sentence for check in r.checks),
    ),
)
_PLACED = frozenset(column.name for column in _RESULT_COLUMNS)

#: The ratio that the verdict and the tables show.
_VERDICT_COLUMNS: tuple[Column[Result], ...] = (
    Column(
        "verdict_ratio",
        "The verdict's ratio to the best backend, by the metric that counts (latency, unless the config names another)."
        " Empty if the work differed.",
        lambda r: r.row.standing.ratio,
    ),
    Column(
        "verdict_ratio_low",
        "Lower end of its interval. Empty for too few samples, and for backends that did not take turns.",
        lambda r: r.row.standing.low,
    ),
    Column("verdict_ratio_high", "Upper end of its interval.", lambda r: r.row.standing.high),
)


def _start_up(name: str) -> Callable[[Result], Value]:
    """A figure of the start-up over the launches of the attempt."""
    return lambda r: getattr(start_up(r.state), name, None)


_LAUNCH_COLUMNS: tuple[Column[Result], ...] = (
    Column(
        "launches",
        "How often the server was launched in this attempt. Empty if that was planned once.",
        lambda r: r.state.launch if r.state.loads_s else None,
    ),
    Column("load_median_s", "Median of load_s over these launches.", _start_up("median_s")),
    Column("load_min_s", "Smallest of them.", _start_up("least_s")),
    Column("load_max_s", "Largest of them.", _start_up("most_s")),
)

#: The results of a race, one row per backend. Metrics without a place above come after them, each with its median.
RACE_COLUMNS: tuple[Column[Result], ...] = (
    *_RESULT_COLUMNS,
    *(
        column
        for key in METRICS
        if not METRICS[key].of_turn and (column := _statistic(key, "median")).name not in _PLACED
    ),
    *_VERDICT_COLUMNS,
    *(column for key, metric in METRICS.items() if metric.estimated for column in _tail_columns(key)),
    Column("left_out", "Values that cannot be true: zero, negative or not a number.", lambda r: r.summary.left_out),
    *_LAUNCH_COLUMNS,
    Column(
        "loaded",
        "Iterations during which the server loaded its model: among `iterations`, but in no figure.",
        lambda r: r.summary.loaded,
    ),
    Column(
        "start",
        "How the server was started: was running (before llmtui), own server (the framework's program), embedded, "
        "launched (the command of a config), or imported (unknown: another tool measured it).",
        lambda r: r.backend.start_words,
    ),
)


def _sample(name: str, doc: str) -> Column[Iteration]:
    """A field or property of an iteration, for iterations that did not fail."""

    def of(iteration: Iteration) -> Any:
        return getattr(iteration, name) if iteration.ok else None

    return Column(name, doc, of)


def _error(iteration: Iteration) -> str:
    return str(iteration.error) if iteration.error else "" if iteration.ok else "no result"


def _disturbed(iteration: Iteration) -> str:
    return ("yes" if iteration.disturbed else "no") if iteration.ok and iteration.foreign_cpu is not None else ""


def _loaded(iteration: Iteration) -> str:
    return ("yes" if iteration.loaded else "no") if iteration.ok and iteration.server_load_s is not None else ""


#: The iterations of a race, one row each.
RACE_ITERATION_COLUMNS: tuple[Column[Iteration], ...] = (
    Column("run", "The run's id.", lambda i: i.run),
    Column("backend", "The backend's name.", lambda i: i.backend),
    Column("attempt", "1, and one more for each rerun.", lambda i: i.attempt),
    Column("iteration", "Number within the attempt and phase.", lambda i: i.iteration),
    Column("phase", "warmup or measured.", lambda i: i.phase),
    Column("started_utc", "When the request was started.", lambda i: i.started_utc),
    _sample("latency_s", "Latency."),
    _sample("ttft_s", "Time to first token."),
    _sample("ttfo_s", "Time to first output: to the first token that is not reasoning."),
    _sample("tpot_s", "Time per output token."),
    _sample("tokens_per_s", "Decode speed."),
    _sample("output_tokens", "Output tokens."),
    _sample("prompt_tokens", "Prompt tokens, as the server counted them."),
    _sample("token_source", "Where output_tokens comes from: usage, server, arrivals, or limit (max_tokens)."),
    Column("finish_reason", "Why the server stopped, in its own words.", lambda i: i.finish_reason),
    _sample("connect_s", "Time to connect. Not part of the latency."),
    _sample("server_prefill_s", "Prefill time by the server's own clock."),
    _sample("server_decode_s", "Decode time by the server's own clock."),
    _sample("foreign_cpu", "Cores that neither the server nor llmtui kept busy."),
    Column("error", "Why the iteration failed. The figures of its row are empty.", _error),
    _sample("itl_s", "Median gap between two arrivals that carried tokens."),
    _sample("cached_tokens", "Prompt tokens that the server took from a cache."),
    _sample("server_load_s", "Load time by the server's own clock."),
    Column("disturbed", '"yes" if foreign_cpu is 0.1 or more, and 1% of the idle cores.', _disturbed),
    Column("stamp", "Whose clock stamped the arrivals: kernel, user, or other (another tool's).", lambda i: i.stamp),
    _sample("transport_and_client_s", "Latency minus the server's own time."),
    Column("refused", "How often the server said 429 or 503 with Retry-After first.", lambda i: i.refused),
    _sample("hidden_tokens", "Tokens that the server counted and did not send, such as silent thinking."),
    Column("repeated", "How often llmtui itself spoiled the request, and measured it again.", lambda i: i.repeated),
    Column("launch", "Which launch of the server within the attempt, as planned with `launches`.", lambda i: i.launch),
    Column("seq", "Its place in the order of starts in the run. Empty for runs of 0.1.0.", lambda i: i.seq or None),
    Column(
        "loaded",
        '"yes" if the server loaded its model meanwhile (server_load_s of 0.1 or more, and 1% of ttft_s), so that the '
        "row is in no figure.",
        _loaded,
    ),
    Column("written_stamp", "Whose clock stamped the request: kernel or user.", lambda i: i.written_stamp),
)
