"""Header, verdict and summary table as lines: what the whole run looks like. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.format import milliseconds, plural
from llmtui.model import RESTING
from llmtui.runview.run import BackendView, RunView
from llmtui.stats.metrics import CHARTED, METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.ui.actions.registry import Phase
from llmtui.ui.text.format import DASH, HIDDEN_SIGN, clock, number, shape, unit, value_text
from llmtui.ui.text.spans import SERIES, Line, Role, Span, bar, clip, fit, pad, spread_out, width_of
from llmtui.ui.views.attempts import Standing, ratios, standing
from llmtui.ui.views.sorting import AS_PLANNED, Sort, descending

_PHASES: dict[Phase, tuple[str, Role]] = {
    "connecting": ("starting the engine", "accent"),
    "starting": ("starting", "accent"),
    "running": ("running", "good"),
    "paused": ("paused", "warn"),
    "done": ("done", "good"),
    "stopping": ("stopping", "warn"),
    "gone": ("engine gone", "bad"),
}
_PHASE_SIGNS: dict[Phase, str] = {
    "connecting": "…",
    "starting": "…",
    "running": "►",
    "paused": "□",
    "done": "✓",
    "stopping": "□",
    "gone": "✗",
}


def models(run_view: RunView) -> str:
    """The model under test, or how many different ones there are."""
    backend_views = list(run_view.backends.values())
    # What a backend that is not there would have served says nothing of this run.
    there = [
        backend_view
        for backend_view in backend_views
        if backend_view.state.state not in ("unreachable", "missing", "failed")
    ] or backend_views
    names = {sanitize(backend_view.model, 60) for backend_view in there if backend_view.model}
    if len(names) == 1:
        return names.pop()
    return f"{len(names)} models" if names else ""


def out_of_action(run_view: RunView) -> int:
    """How many backends have failed or are not there."""
    return sum(
        backend_view.state.state in ("failed", "unreachable", "missing") for backend_view in run_view.backends.values()
    )


def header(
    run_view: RunView,
    phase: Phase,
    elapsed_s: float,
    eta_s: float | None,
    width: int,
    rows: int,
    own_error_s: float | None = None,
    failed: int = 0,
    behind: int | None = None,
) -> list[Line]:
    """The first one or two lines: what is run, how far it is, how long it still takes, and how true its times are.

    `failed` is how many backends' failures the screen may not show elsewhere; `behind`: the screen is held, and so many
    iterations have come since.
    """
    word, role = _PHASES[phase]
    sign = _PHASE_SIGNS[phase]
    if failed and width < 40:
        short: list[Span] = [(sign if elapsed_s >= 1 else f"{sign} {word}", role)]
        if behind is not None:
            short.append((f" {behind} behind", "warn"))
        elif elapsed_s >= 1:
            short.append((f" {clock(elapsed_s)}", "strong"))
        return [spread_out([(f" {failed} failed", "bad")], short, width)]
    right: list[Span] = [(f"{sign} {word}", role)]
    if elapsed_s >= 1 or phase == "done":
        right.append((f" {clock(elapsed_s)}", "strong"))
    if behind is not None:
        right.append((f", held, {behind} behind" if width >= 40 else f", {behind} behind", "warn"))
    elif eta_s is not None and phase == "running":
        # Both clocks change in the same instant, so that a second costs one redraw and not two.
        about = "about " if width >= 48 else ""
        right.append((f", {about}{clock(int(eta_s + elapsed_s) - int(elapsed_s))} left", "dim"))
    right.append((" ", ""))
    config = run_view.plan.config
    iterations = max([config.iterations, *(backend_view.state.planned for backend_view in run_view.backends.values())])
    left: list[Span] = [(" llmtui", "title")]
    if failed:
        left.append((f"  {failed} failed", "bad"))
    # From the most telling to the least: what does not fit is left out whole.
    facts = [
        f"{config.max_tokens} tokens",
        f"{plural(iterations, 'iteration')} + {plural(config.warmup, 'warm-up')}",
        config.order,
    ]
    if (model := models(run_view)) and width >= 90:
        facts.insert(0, model)
    if width < 110:
        facts[-2] = f"{iterations}+{config.warmup}"
    room = width - width_of(right) - 1
    for fact in facts:
        if width_of(left) + len(fact) + 2 <= room:
            left.append((f"  {fact}", ""))
    lines = [spread_out(left, right, width)]
    if rows > 1:
        run = run_view.run
        count = f" {run.finished}/{run.total}" if run.total else ""
        if own_error_s is not None and width >= 60:
            count += f"  error here: p95 {milliseconds(own_error_s)} ms"
        done = run.finished / run.total if run.total else 0.0
        lines.append(((" ", ""), *bar(done, width - 2 - len(count)), (count + " ", "dim")))
    return lines


def unlike(run_view: RunView, metric: MetricKey) -> set[str]:
    """Who did not do the same work as the best by `metric`, and the best itself where nobody did."""
    to_best = ratios(run_view, metric)
    if sum(ratio is not None for ratio in to_best.values()) < 2:
        return set()
    return run_view.verdict(metric).unlike(to_best)


def verdict(run_view: RunView, metric: MetricKey) -> Line:
    """Who is ahead and by how much, in one line: by what counts per token where the metric is not comparable."""
    if not unlike(run_view, metric):
        return _ahead(run_view, metric)
    instead = run_view.verdict(metric).leading.metric
    if instead is None or instead not in CHARTED:
        return ((f"not comparable by {METRICS[metric].title}", "warn"),)
    return ((f"by {METRICS[instead].title}: ", "warn"), *_ahead(run_view, instead))


def _ahead(run_view: RunView, metric: MetricKey) -> Line:
    known = sorted((ratio, name) for name, ratio in ratios(run_view, metric).items() if ratio is not None)
    if not known:
        return ()
    names = list(run_view.backends)

    def mark(name: str) -> Span:
        index = names.index(name)
        return (f"{shape(index)} ", SERIES[index % len(SERIES)])

    best = known[0][1]
    spread = standing(run_view.backends[best]).summary.spread(metric)
    figure = f"{value_text(metric, spread.median, 8)} {unit(metric)}" if spread else ""
    spans: list[Span] = [mark(best), (sanitize(best, 40), "best"), (f" {figure}", "strong")]
    for ratio, name in known[1:]:
        spans += [("   ", ""), mark(name), (sanitize(name, 40), ""), (f" {number(ratio, 2)}x", "strong")]
    return tuple(spans)


def doubts(run_view: RunView, metric: MetricKey) -> list[str]:
    """What keeps the figures from being like for like, each in a few words, the gravest first: as the checks say."""
    out: list[str] = []
    backend_views = [backend_view for backend_view in run_view.backends.values() if backend_view.summary.n]
    errors = sum(backend_view.summary.errors for backend_view in run_view.backends.values())
    if errors:
        out.append(plural(errors, "error"))
    found = {check.code: check.level for check in run_view.verdict(metric).checks}
    if "model" in found:
        out.append("models differ")
    if "weights" in found:
        weights = {sanitize(backend_view.weights, 20) for backend_view in backend_views if backend_view.weights}
        out.append(f"weights differ: {', '.join(sorted(weights))}")
    disturbed = sum(backend_view.summary.disturbed for backend_view in backend_views)
    if disturbed:
        out.append(f"{disturbed} of {sum(backend_view.summary.n for backend_view in backend_views)} disturbed")
    if found.get("output-tokens") == "void":
        out.append("output lengths differ")
    return out


def verdict_line(run_view: RunView, metric: MetricKey, width: int, said: tuple[str, Role] | None) -> Line:
    """The line under the table: `said` (a banner) where there is one, else the verdict and what to doubt."""
    if said is not None:
        return fit([(" ", ""), said], width)
    left = verdict(run_view, metric)
    if not left:
        if all(backend_view.state.state in RESTING for backend_view in run_view.backends.values()):
            words = "no backend has answered: the panels say what is missing and what to do"
            if any(backend_view.state.state == "stopped" for backend_view in run_view.backends.values()):
                words = "stopped before there was a result: rerun measures a backend anew, rerun all does all of them"
            return fit([(" ", ""), (words, "warn")], width)
        return fit([(" no result yet: the first measured iterations follow the warm-ups", "dim")], width)
    noted = doubts(run_view, metric)

    def too_long() -> bool:
        return len("; ".join(noted)) + width_of(left) + 3 > width

    if too_long():
        noted = [note.partition(":")[0] for note in noted]
    while noted and too_long():
        noted.pop()
    right: Span = ("; ".join(noted), "warn")
    return spread_out([(" ", ""), *left], [right, (" ", "")], width)


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the summary table. `rank` orders which are left out first where there is no room (0 never)."""

    title: str
    width: int
    rank: int
    right: bool = True

    @property
    def by(self) -> str:
        """Its name in a `Sort`."""
        return "ratio" if self.title.startswith("x ") else self.title


def _columns(metric: MetricKey) -> list[Column]:
    return [
        Column("backend", 12, 0, right=False),
        Column("framework", 12, 9, right=False),
        Column("language", 8, 5, right=False),
        Column("model", 24, 8, right=False),
        Column("weights", 7, 3, right=False),
        Column("n", 3, 0),
        Column("err", 3, 2),
        Column("dist", 4, 6),
        Column("mean", 6, 2),
        Column("median", 6, 0),
        Column("min", 6, 4),
        Column("max", 6, 4),
        Column("stddev", 6, 5),
        Column("p95", 6, 3),
        *(Column(m.column, 6, 1) for m in METRICS.values() if m.column),
        Column("tokens", 6, 6),
        Column("x fastest" if not METRICS[metric].higher_is_better else "x best", 9, 0),
    ]


def _name(backend_view: BackendView, kept: Standing, width: int, hidden: bool) -> str:
    """The backend's name; with the attempt of its figures where that is not the first, and whether it is hidden."""
    name = sanitize(backend_view.backend.name, 60)
    attempt = f" #{kept.attempt}" if backend_view.state.attempt > 1 else ""
    if hidden:
        return f"{name} hidden" if cell_len(name) + 7 <= width else f"({clip(name, width - 2)})"
    return name + attempt if cell_len(name) + len(attempt) <= width else name


def _cells(
    kept: Standing, backend_view: BackendView, metric: MetricKey, ratio: float | None, room: int
) -> dict[str, str]:
    """The figures, each in at most `room` cells."""
    summary = kept.summary
    spread = summary.spread(metric)
    cells = {
        "framework": sanitize(backend_view.backend.framework, 40),
        "language": sanitize(backend_view.backend.language, 40),
        "model": sanitize(backend_view.model, 80),
        "weights": sanitize(backend_view.weights, 20),
        "n": str(summary.n),
        "err": str(summary.errors) if summary.n or summary.errors else DASH,
        "dist": f"{summary.disturbed}~" if summary.disturbed else ("0" if summary.n else DASH),
        "tokens": number(summary.output_tokens_median, 0),
        "ratio": number(ratio, 2),
    }
    for key, other in METRICS.items():
        if other.column:
            typical = summary.spread(key)
            cells[other.column] = value_text(key, typical.median if typical else None, room)
    for title in ("mean", "median", "min", "max", "stddev", "p95"):
        cells[title] = value_text(metric, getattr(spread, title), room) if spread else DASH
    return cells


def taken(columns: list[Column], gap: int) -> int:
    """Cells that these columns take, `gap` apart, with the two signs in front."""
    return 4 + sum(c.width for c in columns) + gap * len(columns)


def fitting(metric: MetricKey, width: int, sorted_by: str = "") -> list[Column]:
    """The columns that fit `width`, at least one cell apart. The one that is sorted by is among them."""
    columns = [dataclasses.replace(c, rank=0) if c.by == sorted_by else c for c in _columns(metric)]
    while taken(columns, 1) > width and any(c.rank for c in columns):
        worst = max(c.rank for c in columns)
        # The last column of the least wanted rank goes first.
        last = max(i for i, c in enumerate(columns) if c.rank == worst)
        columns = columns[:last] + columns[last + 1 :]
    return columns


def placed(metric: MetricKey, width: int, sorted_by: str = "") -> tuple[list[Column], list[int], str]:
    """The columns of a table of `width`, how wide each is, and the gap before each."""
    columns = fitting(metric, width, sorted_by)
    gap = "  " if taken(columns, 2) <= width else " "
    extra = width - taken(columns, len(gap))
    # Room to spare goes to the texts, which are the ones that get cut.
    grow = {c.title: 0 for c in columns}
    for title, most in (("backend", 10), ("framework", 6), ("model", extra)):
        if title in grow and extra > 0:
            grow[title] = min(extra, most)
            extra -= grow[title]
    return columns, [c.width + grow[c.title] for c in columns], gap


def column_at(x: int, metric: MetricKey, width: int, sorted_by: str = "") -> str | None:
    """The column of a table whose heading stands at cell `x`, by the name that it is sorted by; None beside them."""
    columns, widths, gap = placed(metric, width, sorted_by)
    end = 3
    for column, size in zip(columns, widths, strict=True):
        start, end = end, end + len(gap) + size
        if start <= x < end:
            return column.by
    return None


def table(
    run_view: RunView,
    metric: MetricKey,
    width: int,
    hidden: frozenset[str],
    focused: str,
    *,
    sort: Sort = AS_PLANNED,
    order: Sequence[str] = (),
    cursor: bool = False,
) -> list[Line]:
    """The summary table: a heading and one line per backend in `order` (else the plan's), the best marked by a sign.

    A star is for who is shown to be fastest, a dot for the best figure so far. Ratios between backends that did not
    do the same work are in parentheses, and none of these is the best. An arrow marks the column that it is sorted
    by; `cursor`: a sign points at the line of `focused`.
    """
    columns, widths, gap = placed(metric, width, sort.column)
    emphasis = {"mean", "median", "min", "max", "stddev", "p95", METRICS[metric].column}
    head: list[Span] = [("   ", "")]
    for column, size in zip(columns, widths, strict=True):
        strong = column.title in emphasis or column.by == sort.column
        title = pad(column.title, size, column.right)
        before = gap
        if column.by == sort.column:
            arrow = "↓" if descending(sort, metric) else "↑"
            # Right before the word, in the gap where it fills its column: no column moves.
            filled = not column.right or len(column.title) == size
            before = gap[:-1] + arrow if filled else gap
            title = title if filled else pad(arrow + column.title, size, right=True)
        head.append((before + title, "title" if strong else "dim"))
    lines = [fit(head, width)]
    shares = ratios(run_view, metric)
    apart = unlike(run_view, metric)
    # What no data have come for needs no statistics: the first frame does not wait for them.
    winner = run_view.verdict(metric).fastest if any(share is not None for share in shares.values()) else ""
    # A small number may take the gap before it, all but one cell.
    room = 5 + len(gap)
    names = list(run_view.backends)
    for name in order or names:
        index, backend_view = names.index(name), run_view.backends[name]
        kept = standing(backend_view)
        cells = _cells(kept, backend_view, metric, shares[name], room)
        alike = name not in apart
        cells[columns[-1].title] = cells["ratio"] if alike or cells["ratio"] == DASH else f"({cells['ratio']})"
        best = shares[name] == 1.0 and alike
        spans: list[Span] = [
            (" " if not best else "*" if name == winner else "·", "best"),
            (HIDDEN_SIGN if name in hidden else shape(index), SERIES[index % len(SERIES)]),
        ]
        for column, size in zip(columns, widths, strict=True):
            text = _name(backend_view, kept, size, name in hidden) if column.title == "backend" else cells[column.title]
            role: Role = ""
            if column.title == "backend":
                role = "best" if best else ("title" if name == focused else "")
            elif text == DASH or kept.earlier:
                role = "dim"
            elif column.title == "median":
                role = "best" if best else "strong"
            elif (column.title == "err" and backend_view.summary.errors) or (
                column.title == "dist" and backend_view.summary.disturbed
            ):
                role = "warn"
            if column.right:
                spans.append((pad(text, size + len(gap), right=True), role))
            else:
                spans.append((gap + pad(text, size), role))
        lines.append(fit([(">" if cursor and name == focused else " ", "focus"), *spans], width))
    return lines


def window(count: int, rows: int, at: int, first: int = 0) -> tuple[int, int]:
    """Which `[start, end)` of `count` lines `rows` can show with line `at` in sight; `first` was the start so far."""
    rows = max(1, rows)
    start = min(max(first, at - rows + 1), at, max(0, count - rows))
    return start, min(count, start + rows)


def more(count: int, start: int, end: int) -> str:
    """How many of `count` lines lie out of sight: "+8 more below"; empty where all are shown."""
    parts = [f"+{n} more {where}" for n, where in ((start, "above"), (count - end, "below")) if n > 0]
    return ", ".join(parts)


def clipped(lines: list[Line], width: int, height: int, at: int) -> list[Line]:
    """A table in `height` rows: its heading, the lines around line `at`, and how many there are besides."""
    head, body = lines[:1], lines[1:]
    if len(lines) <= height or height < 2:
        return lines[:height]
    rows = height - 2
    if rows < 1:
        return [*head, body[at]]
    start, end = window(len(body), rows, at)
    return [*head, *body[start:end], fit([("   " + more(len(body), start, end), "dim")], width)]


def next_metric(metric: MetricKey) -> MetricKey:
    """The metric after this one, round and round."""
    return CHARTED[(CHARTED.index(metric) + 1) % len(CHARTED)]


def metric_words(metric: MetricKey) -> str:
    """A metric for a sentence."""
    return METRICS[metric].titled
