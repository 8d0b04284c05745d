"""The verdict: one line for the main screen, and a page of pairs, checks and definitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtui.model import RESTING
from llmtui.stats.compare import Comparison, level_after, percent
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import Summary
from llmtui.stats.verdict import Verdict, not_yet, sentences_on
from llmtui.text import sanitize
from llmtui.text.format import figures
from llmtui.ui.charts.ratios import Ratio, draw_ratios
from llmtui.ui.text.format import name_text
from llmtui.ui.text.spans import Line, Role, clip, fit, pad, width_of, wrap

if TYPE_CHECKING:
    from llmtui.runview.run import RunView
    from llmtui.stats.intervals import Estimate, Interval

#: Each level has a sign besides its colour.
_LEVELS: dict[str, tuple[str, Role]] = {"void": ("✗", "bad"), "warning": ("!", "warn"), "note": ("·", "dim")}
_NAMES_AT_MOST = 27
_MOST_LINES = 12
#: All pairs of so many samples are compared while the run goes on: some 50 ms.
_COST_WHILE_RUNNING = 10_000
_DEFINITIONS = (
    ("1.31x as long", "the typical value of one backend divided by the other's; for tokens/s, of the time per token"),
    (
        "95%: a to b",
        "the confidence interval: in 95 of 100 races it contains the true ratio; before the end, and after rounds were "
        "added, it is a 99% interval or wider, so that looking early does not raise the error rate",
    ),
    (
        "rounds",
        "each backend once; backends are compared round by round, so a slowdown of the machine affects both and "
        "cancels out",
    ),
    (
        "would reveal",
        "the smallest difference that this many samples show in 4 of 5 races, without outliers",
    ),
    ("*, ·", "in the table: shown to be fastest; the best so far, not shown to be fastest"),
    ("differs", "in the table: not comparable with the best one, as the work differed"),
    ("no clear difference", "the interval contains 1, or a difference may be chance among this many backends"),
    (
        "median, mean",
        "each with its 95% interval; with few samples and rare long ones, the interval of the mean is too narrow",
    ),
    ("first", "the very first request, cold if the server had just been started; warm-ups are in no other figure"),
    (
        "outliers",
        "outside the middle half by more than three times its width, and by more than 10%; they are not dropped",
    ),
    ("iterations, n", "measured iterations without errors; warm-ups and failures do not count, outliers do"),
    ("void", "the plain comparison means nothing: the verdict uses a metric per token"),
    ("warning", "may explain the difference; a note is good to know"),
)


def verdict_lines(verdict: Verdict, width: int, height: int, key: str = "") -> list[Line]:
    """Draw the verdict in at most `height` lines, with intervals if there is room; dim during the run.

    If even that is too long, `key` (which opens all of it) is named where it is cut.
    """
    room = width - 2
    texts = [wrap(text, room, 99) for text in (verdict.line, verdict.brief)]
    lines = next((each for each in texts if len(each) <= height), texts[-1])
    if len(lines) > height:
        more = f" … {key}: all" if key else " …"
        lines = [*lines[: height - 1], clip(lines[height - 1], room - len(more)).removesuffix("…").rstrip(" ,") + more]
    unlike = verdict.leading.instead_of is not None
    role: Role = "dim" if not verdict.done else "warn" if unlike else "strong"
    return [fit([(" ", ""), (text, role)], width) for text in lines]


def awaited_line(run_view: RunView, width: int) -> Line:
    """Draw, before the first sample, how many rounds a verdict needs, or that the planned ones cannot decide."""
    planned = run_view.plan.config.iterations
    states = [backend_view.state.state for backend_view in run_view.backends.values()]
    racing = sum(state not in RESTING for state in states)
    text = not_yet(planned, racing, level_after(planned, 0, early=True))
    return fit([(" ", ""), (clip(text, width - 2), "dim")], width)


@dataclasses.dataclass(frozen=True)
class Typical:
    """Estimates of a backend's typical values by the metric of the verdict."""

    name: str
    estimate: Estimate
    summary: Summary


def typical_rows(run_view: RunView, metric: MetricKey) -> list[Typical]:
    """Return the estimates for every backend with samples."""
    estimates = run_view.estimates(metric).items()
    return [Typical(name, estimate, run_view.backends[name].summary) for name, estimate in estimates]


def verdict_page(verdict: Verdict, width: int, more_key: str = "", typical: Sequence[Typical] = ()) -> list[Line]:
    """Draw the whole page. `more_key` is the key that adds rounds, "" if none can be added."""
    room = max(20, width - 2)
    lines: list[Line] = []

    def add(text: str, role: Role = "", indent: int = 0) -> None:
        for number, piece in enumerate(wrap(text, room - indent, _MOST_LINES)):
            lines.append(((" " * (1 + indent + (2 if number else 0)), ""), (clip(piece, room - indent), role)))

    def title(text: str) -> None:
        if lines:
            lines.append(((" ", ""),))
        lines.append(((f" {text}", "title"),))

    title("What the data say" if verdict.done else "What the data say so far")
    raced = len(verdict.samples) > 1
    if not raced:
        add("nothing to compare yet: a pair needs two backends with results", "dim")
    for text in verdict.sentences:
        add(text)
    with_best = [pair.comparison for pair in verdict.with_best if pair.comparison is not None]
    undecided = [c for c in with_best if not c.decided]
    if undecided and more_key:
        add(f"{more_key} adds rounds until every interval of {METRICS[verdict.used].title} is within 5%", "dim")
    if shown := [c for c in with_best if c.bounded]:
        title(f"Ratio to the best, with its interval ({percent(verdict.level)})")
        lines += plot(shown, room, verdict.used)
    title("Was it a fair race?")
    if not verdict.checks:
        add("no fairness problems found" if raced else "no race yet", "good")
    for check in verdict.checks:
        sign, role = _LEVELS[check.level]
        add(f"{sign} {check.level} {check.code}: {check.text}", role)
        if check.todo:
            add(f"fix: {check.todo}", "dim", 2)
    if typical:
        title(f"Typical values: {METRICS[verdict.metric].title}")
        lines += _table(typical, verdict.metric, room)
    if verdict.board.best and len(verdict.samples) > 2:
        title("The others among themselves, corrected for all pairs")
        if verdict.done or verdict.cost <= _COST_WHILE_RUNNING:
            for text in sentences_on(verdict.among_others):
                add(text)
        else:
            add("compared when the run is done", "dim")
    title("What the numbers mean")
    add(f"shown by {METRICS[verdict.metric].title}; m shows the next metric", "dim")
    for word, meaning in _DEFINITIONS:
        add(f"{word}: {meaning}", "dim")
    return [fit(line, width) for line in lines]


def _table(typical: Sequence[Typical], metric: MetricKey, width: int) -> list[Line]:
    """Draw a row for each backend; columns without room are dropped from the right."""

    kind = METRICS[metric].unit
    median_unit, medians = figures([t.estimate.median for t in typical], kind)
    _, means = figures([t.estimate.mean for t in typical], kind, median_unit)

    def spans(of: Sequence[Interval | None]) -> list[str]:
        _, ends = figures([end for interval in of for end in interval or (None, None)], kind, median_unit)
        pairs = zip(of, ends[::2], ends[1::2], strict=True)
        return [f"{low} to {high}" if interval is not None else "too few" for interval, low, high in pairs]

    columns = [
        ["", *(name_text(t.name) for t in typical)],
        [f"median {median_unit}", *medians],
        ["95%", *spans([t.estimate.median_interval for t in typical])],
        [f"mean {median_unit}", *means],
        ["95%", *spans([t.estimate.mean_interval for t in typical])],
    ]
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
    widths[0] = min(widths[0], _NAMES_AT_MOST)
    while sum(widths) + 2 * (len(widths) - 1) > width and len(widths) > 2:
        widths.pop()
    lines: list[Line] = []
    for number, row in enumerate(rows):
        cells = [pad(cell, size, right=n > 0) for n, (cell, size) in enumerate(zip(row, widths, strict=False))]
        lines.append(((" " + "  ".join(cells), "" if number else "dim"),))
    return lines


def plot(comparisons: list[Comparison], width: int, usual: MetricKey = "latency") -> list[Line]:
    """Draw a row for each pair: `slower / faster`, and its interval on an axis of ratios with a mark at 1.

    Metrics other than the `usual` one are named.
    """

    def row(c: Comparison) -> Ratio:
        by = f" {METRICS[c.metric].title}" if c.metric != usual else ""
        name = f"{sanitize(c.slower, 40)} / {sanitize(c.faster, 40)}{by}"
        return Ratio(name, c.low, c.ratio, c.high, c.decided, c.figures[0])

    return draw_ratios([row(c) for c in comparisons], width, _NAMES_AT_MOST)
