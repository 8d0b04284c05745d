"""The rows of a load in tables: one per backend and level, in the order of the levels, the best backend first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llmtui.model import FAILED, STATE_WORDS, Level, Turn
from llmtui.model.turn import Percentiles
from llmtui.runview import levels as of_levels
from llmtui.runview.backend import BackendView
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.stats.board import Standing
from llmtui.stats.metrics import ENERGY, METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide
from llmtui.text.format import DASH, Kind, lined_up, plural, scale_of

#: Above the rows.
HEADING = "rates: median over the turns; TTFT, TPOT, latency: of all n requests"
_RATIO = "vs best"
_KEPT = "kept"
#: What a ratio is by, where the title of the metric is long.
_SHORT: dict[MetricKey, str] = {"output_tokens_per_s": " by output"}


class LoadRow(msgspec.Struct):
    """One backend at one level and its `standing` there, by the `metric` that counts.

    `fastest`: it has the star of the verdict, which only the level that counts can give.
    """

    level: Level
    backend_view: BackendView
    figures: LevelFigures
    standing: Standing
    fastest: bool = False
    metric: MetricKey = "latency"


class FilledColumn(msgspec.Struct):
    """A column with a cell for each row. `key` is its title without the unit that `heading` has.

    On a narrow screen, the column with the highest `rank` is dropped first, 0 never.
    """

    key: str
    heading: str
    rank: int
    cells: list[str]
    text: bool

    @property
    def width(self) -> int:
        """The width in cells of the terminal."""
        return max(len(self.heading), *(cells_wide(cell) for cell in self.cells)) if self.cells else len(self.heading)


class _Column(msgspec.Struct):
    """A column: `cell` is a text or a count, `figure` a value in s or per second of this `kind`."""

    title: str
    rank: int
    cell: Callable[[LoadRow], str] = lambda _: ""
    text: bool = False
    figure: Callable[[LoadRow], float | None] | None = None
    kind: Kind = "s"


def _of(quantity: str, which: str) -> Callable[[LoadRow], float | None]:
    def value(row: LoadRow) -> float | None:
        percentiles: Percentiles | None = getattr(row.figures, quantity)
        found: float | None = getattr(percentiles, which) if percentiles is not None else None
        return found

    return value


def _energy(row: LoadRow) -> float | None:
    spread = row.backend_view.at(row.level.number).summary.spread("energy_per_token")
    return spread.median if spread is not None else None


_COLUMNS = (
    _Column("level", 0, lambda r: r.level.title, text=True),
    _Column("backend", 0, lambda r: r.backend_view.backend.name, text=True),
    _Column("framework", 14, lambda r: r.backend_view.backend.framework, text=True),
    _Column("language", 17, lambda r: r.backend_view.backend.language, text=True),
    _Column("model", 16, lambda r: r.backend_view.model, text=True),
    _Column("server", 15, lambda r: r.backend_view.backend.start_words, text=True),
    _Column("weights", 12, lambda r: r.backend_view.weights, text=True),
    _Column("turns", 8, lambda r: str(r.figures.turns)),
    _Column("n", 3, lambda r: str(r.figures.latency.n if r.figures.latency is not None else r.figures.finished)),
    _Column("failed", 2, lambda r: str(r.figures.unsuccessful) if r.figures.requests else DASH),
    _Column("output tok/s", 0, figure=lambda r: r.figures.output_tokens_per_s, kind="tokens/s"),
    _Column("requests/s", 6, figure=lambda r: r.figures.requests_per_s, kind="tokens/s"),
    _Column("goodput", 6, figure=lambda r: r.figures.goodput_per_s, kind="tokens/s"),
    _Column(_KEPT, 1, lambda r: attained_text(r.figures.attainment) if r.figures.objectives else ""),
    _Column("TTFT p50", 1, figure=_of("ttft", "p50")),
    _Column("p95", 4, figure=_of("ttft", "p95")),
    _Column("TPOT p50", 5, figure=_of("tpot", "p50"), kind="ms"),
    _Column("latency p50", 7, figure=_of("latency", "p50")),
    _Column("p95", 10, figure=_of("latency", "p95")),
    _Column("p99", 13, figure=_of("latency", "p99")),
    _Column("probe p50", 9, figure=_of("probe", "p50")),
    _Column("p95", 11, figure=_of("probe", "p95")),
    _Column("in flight", 11, figure=lambda r: r.figures.in_flight, kind="tokens/s"),
    _Column(ENERGY.column, 5, figure=_energy, kind=ENERGY.unit),
    _Column(_RATIO, 1, lambda r: r.standing.figure),
    _Column("interval", 9, lambda r: r.standing.span),
)
#: Percentiles of the metric whose median is in a column before them.
_FURTHER = ("p95", "p99")
#: Columns of rates, which have no unit in their heading but that of their title.
_NO_UNIT = frozenset({"output tok/s", "requests/s", "goodput", "in flight", ENERGY.column})


def load_rows(run_view: RunView) -> list[LoadRow]:
    """A row per level and backend, with the backends of a level from the best to the worst."""
    rows = []
    for level, verdict in zip(run_view.levels_shown, of_levels.verdicts(run_view), strict=True):
        places = {standing.name: place for place, standing in enumerate(verdict.board.standings)}
        names = sorted(run_view.backends, key=lambda name: places.get(name, len(places)))
        for name in names:
            backend_view = run_view.backends[name]
            figures = backend_view.at_level(level.number)
            if run_view.plan.load.search and not (figures.turns or figures.partial):
                continue  # its search did not come here
            fastest = name == verdict.fastest
            rows.append(LoadRow(level, backend_view, figures, verdict.board.row(name), fastest, verdict.asked))
    return rows


def load_columns(rows: Sequence[LoadRow]) -> list[FilledColumn]:
    """All columns with their cells, without those that are empty. Text in them is not sanitized yet."""
    filled = list[FilledColumn]()
    scale = scale_of([], "s")
    for column in _COLUMNS:
        rank = column.rank
        if column.figure is None:
            cells, heading = [column.cell(row) for row in rows], column.title
            cells = cells if column.text or column.title == _KEPT else lined_up(cells)
            if column.title == _RATIO and rows:
                heading += _SHORT.get(rows[0].metric, METRICS[rows[0].metric].by)
            if rank and (not any(cells) or (column.title == "framework" and cells == filled[1].cells)):
                continue
        else:
            values = [column.figure(row) for row in rows]
            if rank and not any(value is not None for value in values):
                continue
            # The percentiles of one metric stand side by side: they have one unit.
            scale = scale_of(values, column.kind, scale.unit if column.title in _FURTHER else None)
            cells = lined_up([scale.text(value) for value in values])
            heading = column.title if column.title in _NO_UNIT else f"{column.title} {scale.unit}"
        filled.append(FilledColumn(column.title, heading, rank, cells, column.text))
    return filled


def load_remarks(run_view: RunView) -> list[str]:
    """Failures of the backends, of their turns and requests: plain text, a line each."""
    remarks = []
    for name, backend_view in run_view.backends.items():
        shown, state = sanitize(name), backend_view.state
        if state.failure is not None:
            remarks.append(f"{shown}: {STATE_WORDS[state.state]}: {sanitize(str(state.failure))}")
        elif state.state in FAILED or state.state == "stopped":
            remarks.append(f"{shown}: {STATE_WORDS[state.state]}")
        for level in run_view.levels_shown:
            figures = backend_view.at_level(level.number)
            short = state.planned - figures.turns
            if figures.turns + figures.partial and short > 0:
                of = plural(state.planned, "round")
                remarks.append(f"{shown} at {level.title}: {figures.turns} of {of}; partial turns are not compared")
            first, whole = figures.ttft, figures.latency
            if first is not None and whole is not None and first.n < whole.n:
                of = f"{first.n} of {plural(whole.n, 'request')}"
                remarks.append(f"{shown} at {level.title}: TTFT is that of {of}; the other answers came in one piece")
            if figures.unsuccessful:
                remarks.append(f"{shown} at {level.title}: {_unsuccessful(figures)}{_last_error(backend_view, level)}")
    return remarks


def _unsuccessful(figures: LevelFigures) -> str:
    counts = (
        (figures.failed, "failed"),
        (figures.refused, "refused"),
        (figures.timed_out, "timed out"),
        (figures.unfinished, "unfinished"),
    )
    words = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"{words} of {plural(figures.requests, 'request')}"


def _last_error(backend_view: BackendView, level: Level) -> str:
    newest = next((turn for turn in reversed(backend_view.turns) if _failed_at(turn, level)), None)
    return f": {sanitize(str(newest.error))}" if newest is not None and newest.error is not None else ""


def _failed_at(turn: Turn, level: Level) -> bool:
    return turn.level == level.number and turn.error is not None
