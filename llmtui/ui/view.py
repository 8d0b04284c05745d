"""What the monitor shows, apart from widgets: the board, what the user chose, and what follows from both. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Literal

from llmtui.engine.board import Board, Lane
from llmtui.model import RESTING, Plan, State
from llmtui.plain import plain
from llmtui.stats.summary import Metric, metric_value
from llmtui.ui.attempts import standing
from llmtui.ui.board_view import window
from llmtui.ui.charts import Chart, Kind, Series, chart_of
from llmtui.ui.commands import Phase, Situation
from llmtui.ui.layout import Layout, layout_for
from llmtui.ui.lines import Role
from llmtui.ui.options import UiOptions
from llmtui.ui.panel_view import Look


@dataclasses.dataclass
class View:
    """State of the monitor's screen. `now` is a monotonic clock in seconds."""

    plan: Plan
    options: UiOptions
    now: Callable[[], float] = time.monotonic
    metric: Metric = "latency"
    hidden: set[str] = dataclasses.field(default_factory=set)
    selected: str = ""
    chart: Kind = "scatter"
    table_shown: bool = False
    link: Literal["connecting", "up", "gone"] = "connecting"
    banner: tuple[str, Role] | None = None
    details: bool = False
    #: The first backend in sight where not all lines fit.
    first: int = 0

    def __post_init__(self) -> None:
        self.board = Board(self.plan)
        self.layout: Layout = layout_for(80, 24, len(self.board.lanes))
        self._run_seen = self.now()
        self._states: dict[str, tuple[State, float]] = {}
        self.structure_changed()

    @property
    def names(self) -> list[str]:
        """The backends in the plan's order."""
        return list(self.board.lanes)

    @property
    def lane(self) -> Lane | None:
        """The backend that keys act on."""
        return self.board.lanes.get(self.selected)

    @property
    def ascii_only(self) -> bool:
        """Whether the screen keeps to ASCII."""
        return self.options.marker == "ascii"

    def structure_changed(self) -> None:
        """The backends may be others than before: keep what the user chose where it still exists."""
        names = self.names
        self.hidden &= set(names)
        if self.selected not in names:
            self.selected = names[0] if names else ""
        for name, lane in self.board.lanes.items():
            self.state_changed(name, lane.state.state)
        self.run_changed()

    def state_changed(self, name: str, state: State) -> None:
        """Remember since when a backend has been in its state."""
        known = self._states.get(name)
        if known is None or known[0] != state:
            self._states[name] = (state, self.now())

    def run_changed(self) -> None:
        """The engine told its clock: the screen's clock goes on from there."""
        self._run_seen = self.now()

    @property
    def phase(self) -> Phase:
        """What the run as a whole is doing, or the link to it."""
        if self.link == "up":
            return self.board.run.phase
        # A run that was done stays done when its engine leaves.
        return "done" if self.link == "gone" and self.board.run.phase == "done" else self.link

    @property
    def ticking(self) -> bool:
        """Whether the clock on the screen goes on by itself."""
        return self.link == "up" and self.board.run.phase in ("starting", "running")

    @property
    def waiting(self) -> list[str]:
        """The backends whose wait is counted in seconds on their panel."""
        return [n for n, lane in self.board.lanes.items() if lane.state.state in ("preparing", "loading")]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.board.run.elapsed_s + (self.now() - self._run_seen if self.ticking else 0.0)

    @property
    def eta_s(self) -> float | None:
        """Seconds that the run will still take, None where nobody can know."""
        eta = self.board.run.eta_s
        return max(0.0, eta - (self.now() - self._run_seen)) if eta is not None and self.ticking else eta

    @property
    def in_sight(self) -> tuple[int, int]:
        """Which `[start, end)` of the backends have a place on the screen, the selected one among them."""
        names = self.names
        if not self.layout.scrolls:
            return 0, len(names)
        at = names.index(self.selected) if self.selected in names else 0
        start, end = window(len(names), self.layout.lines, at, self.first)
        self.first = start
        return start, end

    def look(self, index: int, focused: bool) -> Look:
        """How the backend at `index` is shown now."""
        name = self.names[index]
        return Look(
            index=index,
            metric=self.metric,
            marker=self.options.marker,
            focused=focused,
            hidden=name in self.hidden,
            waited_s=self.now() - self._states[name][1] if name in self._states else 0.0,
            lost=self.link == "gone",
        )

    def chart_data(self, kind: Kind) -> Chart:
        """What a chart of this kind shows now: the backends that are not hidden."""
        series = [
            self._series(index, lane, kind)
            for index, (name, lane) in enumerate(self.board.lanes.items())
            if name not in self.hidden
        ]
        planned = max((lane.state.planned for lane in self.board.lanes.values()), default=0)
        return chart_of(kind, self.metric, series, planned, ascii_only=self.ascii_only)

    def _series(self, index: int, lane: Lane, kind: Kind) -> Series:
        kept = standing(lane)
        return Series(
            index,
            plain(lane.backend.name, 40) + (f" #{kept.attempt}" if kept.earlier else ""),
            tuple(metric_value(i, self.metric) for i in kept.measured(lane)) if kind == "scatter" else (),
            kept.summary.spread(self.metric),
        )

    def situation(self) -> Situation:
        """What decides which commands apply now."""
        lanes = self.board.lanes.values()
        return Situation(
            phase=self.phase if self.link == "up" else self.link,
            backends=len(self.board.lanes),
            resting=sum(1 for lane in lanes if lane.state.state in RESTING),
            results=any(lane.iterations for lane in lanes),
            selected=self.lane.state.state if self.lane else None,
            hidden=self.selected in self.hidden,
            both_charts=self.layout.charts != 1,
            table_on_key=not self.layout.table and self.layout.table_rows >= 2,
            table_shown=self.table_shown,
            details=self.details,
        )
