"""The order of the summary table: by which column, and which way round. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from llmtui.runview.run import BackendView, RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.ui.views.attempts import standing

#: Columns that show the median of another metric, by title.
_METRICS = {metric.column: metric for metric in METRICS.values() if metric.column}
#: What the sort key goes round, where the table has room for the column; "" is the plan's order.
RING = ("", "median", "min", "max", "p95", *_METRICS, "err", "backend")
_TEXTS = frozenset({"backend", "framework", "language", "model", "weights"})
_SPREAD = frozenset({"mean", "median", "min", "max", "stddev", "p95"})
_MOST_FIRST = frozenset(
    {"n", "err", "dist", "tokens", *(title for title, metric in _METRICS.items() if metric.higher_is_better)}
)


@dataclasses.dataclass(frozen=True)
class Sort:
    """A column of the table by its title ("" is the plan's order), and whether it runs the other way round."""

    column: str = ""
    reverse: bool = False


AS_PLANNED = Sort()


def descending(sort: Sort, metric: MetricKey) -> bool:
    """Whether the largest stands on top: what is best comes first (of errors: most) unless it is reversed."""
    best_is_most = sort.column in _MOST_FIRST or (
        METRICS[metric].higher_is_better and sort.column in (_SPREAD - {"stddev"}) | {"ratio"}
    )
    return best_is_most != sort.reverse


def _value(backend_view: BackendView, column: str, metric: MetricKey) -> float | str | None:
    """What a backend is sorted by; None where it is not known."""
    summary = standing(backend_view).summary
    if column in _TEXTS:
        texts = {
            "backend": backend_view.backend.name,
            "framework": backend_view.backend.framework,
            "language": backend_view.backend.language,
            "model": backend_view.model,
            "weights": backend_view.weights,
        }
        return sanitize(texts[column], 80).casefold() or None
    match column:
        case "err":
            return summary.errors if summary.n or summary.errors else None
        case "n" | "dist":
            return (summary.n if column == "n" else summary.disturbed) if summary.n else None
        case "tokens":
            return summary.output_tokens_median
    if column in _METRICS:
        typical = summary.spread(_METRICS[column].key)
        return typical.median if typical else None
    found: float | None = getattr(summary.spread(metric), "median" if column == "ratio" else column, None)
    return found


def ordered(run_view: RunView, metric: MetricKey, sort: Sort) -> list[str]:
    """The backends in the order of the table. What has no value stands last, in the plan's order."""
    names = list(run_view.backends)
    if not sort.column:
        return names
    values = {name: _value(backend_view, sort.column, metric) for name, backend_view in run_view.backends.items()}
    known = [name for name in names if values[name] is not None]

    def key(name: str) -> tuple[float, str]:
        value = values[name]
        return (0.0, value) if isinstance(value, str) else (value or 0.0, "")

    known.sort(key=key, reverse=descending(sort, metric))
    return known + [name for name in names if values[name] is None]


def following(sort: Sort, columns: Collection[str]) -> Sort:
    """What the sort key changes to, among the table's `columns`."""
    ring = [column for column in RING if not column or column in columns]
    at = ring.index(sort.column) if sort.column in ring else 0
    return Sort(ring[(at + 1) % len(ring)])


def clicked(sort: Sort, column: str) -> Sort:
    """What a click on a column's heading changes to: its order, the other way round, then the plan's order."""
    if sort.column != column:
        return Sort(column)
    return Sort() if sort.reverse else Sort(column, reverse=True)
