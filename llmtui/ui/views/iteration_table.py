"""The iterations of one backend as a table, or the turns of a load, or the requests of a turn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping

from llmtui.model import Iteration, Turn
from llmtui.stats.metrics import MetricKey
from llmtui.stats.summary import Summary
from llmtui.text import sanitize
from llmtui.text.format import DASH, Kind, Scale, figure, scale_of
from llmtui.ui.layout import SPACED_COLUMNS_WIDTH
from llmtui.ui.text.spans import Line, Role, Span, fit, pad
from llmtui.ui.views.columns import Column, SortValue
from llmtui.ui.views.sorting import AS_PLANNED, Sort


def _error_text(iteration: Iteration, room: int) -> str:
    error = iteration.error
    if error is None:
        return _load_text(iteration) if iteration.loaded else ""
    refused = f"refused {iteration.refused}x, then " if iteration.refused else ""
    return f"{refused}{error.kind}: {sanitize(error.message, 200)}"


def _load_text(iteration: Iteration) -> str:
    """How long the server loaded its model meanwhile, and that a sample does not count then."""
    text = f"load {figure(iteration.server_load_s, 's')}"
    return text if iteration.phase == "warmup" else f"{text}: in no figure"


def _phase(iteration: Iteration) -> str:
    return "warm-up" if iteration.phase == "warmup" else "measured"


def _foreign(iteration: Iteration, room: int) -> str:
    cores = DASH if iteration.foreign_cpu is None else f"{iteration.foreign_cpu:.2f}"
    return cores + ("~" if iteration.disturbed else "")


_COLUMNS: tuple[Column[Iteration], ...] = (
    Column("attempt", "try", 3, 5, lambda i, _: str(i.attempt), lambda i: i.attempt, most_first=True),
    Column("iteration", "#", 6, 0, lambda i, _: str(i.iteration), lambda i: i.iteration, most_first=True),
    Column("phase", "phase", 8, 7, lambda i, _: _phase(i), lambda i: _phase(i), most_first=True, right=False),
    Column("latency", "latency", 7, 0, value=lambda i: i.latency_s, most_first=True, kind="s"),
    Column("ttft", "TTFT", 6, 1, value=lambda i: i.ttft_s, most_first=True, kind="s"),
    Column("itl", "ITL", 6, 4, value=lambda i: i.itl_s, most_first=True, kind="ms"),
    Column("rate", "tok/s", 6, 2, value=lambda i: i.tokens_per_s, kind="tokens/s"),
    Column("tokens", "tokens", 6, 3, lambda i, _: str(i.output_tokens or DASH), lambda i: i.output_tokens),
    Column(
        "counted", "token source", 12, 12, lambda i, _: i.token_source or DASH, lambda i: i.token_source, right=False
    ),
    Column("server", "server", 6, 6, value=lambda i: i.server_s, most_first=True, kind="s"),
    Column("rest", "other", 6, 9, value=lambda i: i.transport_and_client_s, most_first=True, kind="s"),
    Column("foreign", "busy cores", 10, 8, _foreign, lambda i: i.foreign_cpu, most_first=True),
    Column("refused", "429s", 4, 11, lambda i, _: str(i.refused or DASH), lambda i: i.refused or None, most_first=True),
    Column(
        "finish", "finish", 8, 10, lambda i, _: sanitize(i.finish_reason or "", 40) or DASH, lambda i: i.finish_reason,
        right=False,
    ),
)  # fmt: skip
#: In the column that says whether a request kept the objectives: it did not.
MISSED = "no"
_ERROR: Column[Iteration] = Column(
    "error", "error", 5, 0, _error_text, lambda i: _error_text(i, 0) or None, right=False
)
#: Columns that turns of a load have besides, and what is titled otherwise.
_OF_TURNS: tuple[Column[Iteration], ...] = (
    Column("output", "output", 6, 0, value=lambda i: i.output_tokens_per_s, kind="tokens/s"),
    Column("requests", "req/s", 6, 3, value=lambda i: i.requests_per_s, kind="requests/s"),
)


@dataclasses.dataclass(frozen=True)
class Scales:
    """How the figures of each column are shown, and the cells that the longest takes; columns have the key.

    `columns` are all that the table may have, besides the error's.
    """

    figures: Mapping[str, tuple[Scale, int]] = dataclasses.field(default_factory=dict)
    columns: tuple[Column[Iteration], ...] = _COLUMNS


#: Before there are figures.
NO_SCALES = Scales()
_USUAL: dict[Kind, Scale] = {
    "s": Scale("s", 3),
    "ms": Scale("ms", 1),
    "tokens/s": Scale("tok/s", 1),
    "requests/s": Scale("req/s", 2),
}
#: Columns whose metric has figures for all iterations of an attempt.
_METRICS: dict[str, MetricKey] = {"latency": "latency", "ttft": "ttft", "itl": "itl", "rate": "tokens_per_s"}
#: Parts of the latency: they have its unit.
_PARTS = ("latency", "server", "rest")
#: The columns that an iteration without a result has.
_ALWAYS = (
    "attempt",
    "iteration",
    "level",
    "phase",
    "request",
    "share",
    "sent",
    "due",
    "queue",
    "flying",
    "kept",
    "outcome",
)


@functools.cache
def columns_of(levels: tuple[str, ...]) -> tuple[Column[Iteration], ...]:
    """All columns but the error's: of a race, or of the turns of a load at these levels."""
    if not levels:
        return _COLUMNS
    number, *others = _COLUMNS[1:]
    level: Column[Iteration] = Column(
        "level", "level", max(map(len, levels)), 0, lambda i, _: levels[i.level - 1] if i.level else DASH,
        lambda i: i.level, right=True,
    )  # fmt: skip
    return (_COLUMNS[0], dataclasses.replace(number, title="round", width=5), level, *_OF_TURNS, *others)


#: The columns of races and of turns.
_OF_ALL = columns_of(("",))


def scales_of(
    iterations: Iterable[Iteration], summary: Summary | None, columns: tuple[Column[Iteration], ...] = _COLUMNS
) -> Scales:
    """How the figures of these iterations are shown; the smallest ones of `summary` have their digits too.

    So the decimals seldom change while the table scrolls.
    """
    shown = [iteration for iteration in iterations if iteration.error is None]
    scales: dict[str, tuple[Scale, int]] = {}
    for column in columns:
        if column.kind is None:
            continue
        values = [value if isinstance(value := column.value(i), float) else None for i in shown]
        spread = summary.spread(_METRICS[column.key]) if summary is not None and column.key in _METRICS else None
        unit = scales["latency"][0].unit if column.key in _PARTS[1:] else None
        scale = scale_of([*values, spread.min if spread else None], column.kind, unit)
        scales[column.key] = scale, max((len(scale.text(value)) for value in values), default=0)
    return Scales(scales, columns)


def _scaled(column: Column[Iteration], scales: Scales) -> Column[Iteration]:
    """A column of figures with its unit, its width, and its cells."""
    if column.kind is None:
        return column
    scale, longest = scales.figures.get(column.key, (_USUAL[column.kind], 0))

    def cell(iteration: Iteration, room: int) -> str:
        value = column.value(iteration)
        return scale.text(value if isinstance(value, float) else None)

    title = column.title if column.title == scale.unit else f"{column.title} {scale.unit}"
    return dataclasses.replace(column, title=title, width=max(column.width, longest, len(title)), cell=cell)


def column_of(sort: Sort, columns: tuple[Column[Iteration], ...] = _OF_ALL) -> Column[Iteration] | None:
    """Return the column that is sorted by, None for the order of completion."""
    return next((c for c in (*columns, _ERROR) if c.key == sort.column), None)


def sort_value(iteration: Iteration, column: Column[Iteration]) -> SortValue:
    """Return what an iteration is sorted by, None without a value. A failed one only has what its row shows."""
    if iteration.error is not None and column.key not in (*_ALWAYS, _ERROR.key):
        return None
    return column.value(iteration)


def most_on_top(sort: Sort, columns: tuple[Column[Iteration], ...] = _OF_ALL) -> bool:
    """Whether the largest value is on top: the slowest is, and the lowest rate, unless the order is reversed."""
    column = column_of(sort, columns)
    return (column is not None and column.most_first) != sort.reverse


def following(sort: Sort, width: int, scales: Scales = NO_SCALES) -> Sort:
    """Return what the sort key changes to: the next column in sight, from the latency on, then none."""
    keys = [c.key for c in (*columns_for(width, sort, scales)[0], _ERROR)]
    first = keys.index("latency")
    ring = [*keys[first:], *keys[:first], ""]
    return Sort(ring[(ring.index(sort.column) + 1) % len(ring)] if sort.column else ring[0])


def columns_for(width: int, sort: Sort = AS_PLANNED, scales: Scales = NO_SCALES) -> tuple[list[Column[Iteration]], int]:
    """Return the columns that fit, without the error's, which takes the rest, and the blanks between them.

    The one that is sorted by always fits, with a cell for its arrow.
    """
    gap = 2 if width >= SPACED_COLUMNS_WIDTH else 1
    columns = [
        dataclasses.replace(c, rank=0, width=max(c.width, len(c.title) + 1)) if c.key == sort.column else c
        for c in (_scaled(column, scales) for column in scales.columns)
    ]
    while len(columns) > 1 and 1 + sum(c.width + gap for c in columns) + _ERROR.width > width:
        worst = max(columns, key=lambda c: c.rank)
        if not worst.rank:
            break
        columns.remove(worst)
    return columns, gap


def _titled(column: Column[Iteration], sort: Sort) -> str:
    """Return the title of a column, with an arrow if it is sorted by."""
    if column.key != sort.column:
        return column.title
    return ("↓" if column.most_first != sort.reverse else "↑") + column.title


def heading(width: int, sort: Sort = AS_PLANNED, scales: Scales = NO_SCALES) -> Line:
    """The table's first line."""
    columns, gap = columns_for(width, sort, scales)
    line: list[Span] = [(" ", "")]
    for column in (*columns, _ERROR):
        wide = max(column.width, len(_titled(column, sort)))
        text = pad(_titled(column, sort), wide, right=column.right)
        line.append((text + " " * gap, "title" if column.key == sort.column else "dim"))
    return fit(line, width)


def column_at(x: int, width: int, sort: Sort = AS_PLANNED, scales: Scales = NO_SCALES) -> str | None:
    """Return the key of the column whose heading is at cell `x`, None beside the headings."""
    columns, gap = columns_for(width, sort, scales)
    end = 1
    for column in columns:
        start, end = end, end + column.width + gap
        if start <= x < end:
            return column.key
    return _ERROR.key if end <= x < width else None


def iteration_line(
    iteration: Iteration, width: int, cursor: bool, sort: Sort = AS_PLANNED, scales: Scales = NO_SCALES
) -> Line:
    """One iteration as a line; the one under the cursor has a sign before it."""
    columns, gap = columns_for(width, sort, scales)
    has_phase = any(c.key == "phase" for c in columns)
    uncounted = iteration.phase == "warmup" or iteration.share in ("settling", "tail")
    role: Role = "strong" if cursor else "dim" if uncounted else ""
    line: list[Span] = [(">" if cursor else " ", "focus")]
    for column in columns:
        if iteration.error is not None and column.key not in _ALWAYS:
            # It has no numbers: the error takes their place.
            break
        cell = column.cell(iteration, column.width)
        if column.key == "iteration" and iteration.phase == "warmup" and not has_phase:
            cell = f"w{cell}"
        text = pad(cell, column.width, right=column.right) + " " * gap
        doubted = (column.key == "foreign" and iteration.disturbed) or (column.key == "kept" and cell == MISSED)
        line.append((text, "warn" if doubted else role))
    return fit([*line, (_ERROR.cell(iteration, width), "warn" if iteration.loaded else "bad")], width)


def iteration_name(iteration: Iteration | Turn, levels: tuple[str, ...] = ()) -> str:
    """An iteration's attempt, phase and number, as in "attempt 1, warm-up 2"; of a turn its level too."""
    if isinstance(iteration, Turn):
        iteration = iteration.as_sample
    word = "warm-up" if iteration.phase == "warmup" else "iteration"
    if levels and iteration.level:
        word = "warm-up turn" if iteration.phase == "warmup" else "round"
        return f"attempt {iteration.attempt}, {word} {iteration.iteration} at {levels[iteration.level - 1]}"
    return f"attempt {iteration.attempt}, {word} {iteration.iteration}"
