"""The typical values of the backends, each with its interval: a table of the page of the verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import Summary
from llmtui.text.format import figures, scale_of, with_limits
from llmtui.ui.text.format import name_text
from llmtui.ui.text.spans import Line, pad, width_of

if TYPE_CHECKING:
    from llmtui.runview.run import RunView
    from llmtui.stats.intervals import Estimate, Interval

#: The most cells of a name.
NAMES_AT_MOST = 27


@dataclasses.dataclass(frozen=True)
class Typical:
    """Estimates of a backend's typical values by the metric of the verdict."""

    name: str
    estimate: Estimate
    summary: Summary


def typical_rows(run_view: RunView, metric: MetricKey, level: int = 0) -> list[Typical]:
    """Return the estimates for every backend with samples, of a load at a level, by default the one that counts."""
    views = run_view.at(level)
    return [Typical(name, of, views[name].summary) for name, of in run_view.estimates(metric, level).items()]


def typical_table(typical: Sequence[Typical], metric: MetricKey, width: int) -> list[Line]:
    """Draw a row for each backend; columns without room are dropped from the right."""

    kind = METRICS[metric].unit
    median_unit, medians = figures([t.estimate.median for t in typical], kind)
    _, means = figures([t.estimate.mean for t in typical], kind, median_unit)

    def spans(of: Sequence[Interval | None]) -> list[str]:
        _, ends = figures([end for interval in of for end in interval or (None, None)], kind, median_unit)
        pairs = zip(of, ends[::2], ends[1::2], strict=True)
        return [f"{low} to {high}" if interval is not None else "too few" for interval, low, high in pairs]

    of_means = spans([t.estimate.mean_interval for t in typical])
    columns = [
        ["", *(name_text(t.name) for t in typical)],
        [f"median {median_unit}", *medians],
        ["95%", *spans([t.estimate.median_interval for t in typical])],
        [f"mean {median_unit}", *means],
        ["95%", *(t.estimate.mean_withheld or span for t, span in zip(typical, of_means, strict=True))],
    ]
    tails = [t.estimate.tail for t in typical]
    if any(tails):
        bad_ends = [tail.value if tail else None for tail in tails]
        scale = scale_of(bad_ends, kind, median_unit)
        to = "down to" if METRICS[metric].higher_is_better else "up to"
        limited = with_limits(scale, bad_ends, [tail.limit if tail else None for tail in tails])
        columns.append([f"{METRICS[metric].bad_end_title} ({to}) {median_unit}", *limited])
    if metric == "latency":
        warm = [t.summary.warmups.median if t.summary.warmups else None for t in typical]
        first_unit, firsts = figures([t.summary.first_s for t in typical], "s")
        warm_unit, warmups = figures(warm, "s")
        columns += [
            [f"first {first_unit}", *firsts],
            ["outliers", *(str(t.summary.outliers) for t in typical)],
            [f"warm-ups {warm_unit}", *warmups],
        ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    widths = [max(width_of([(row[n], "")]) for row in rows) for n in range(len(rows[0]))]
    widths[0] = min(widths[0], NAMES_AT_MOST)
    while sum(widths) + 2 * (len(widths) - 1) > width and len(widths) > 2:
        widths.pop()
    lines: list[Line] = []
    for number, row in enumerate(rows):
        cells = [pad(cell, size, right=n > 0) for n, (cell, size) in enumerate(zip(row, widths, strict=False))]
        lines.append(((" " + "  ".join(cells), "" if number else "dim"),))
    return lines
