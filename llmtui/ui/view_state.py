"""What the monitor shows, apart from widgets: the run, what the user chose, and what follows from both."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from llmtui.config.schema import UiConfig
from llmtui.model import BackendState, Level, Plan, State
from llmtui.runview.backend import BackendView
from llmtui.runview.figures import SamplesView
from llmtui.runview.launches import launches_of
from llmtui.runview.run import RunView
from llmtui.runview.samples import RECENT
from llmtui.stats.metrics import CHARTED, CHARTED_OF_LOAD, CHARTED_OF_OBJECTIVES, MetricKey
from llmtui.stats.summary import Spread
from llmtui.ui import levels
from llmtui.ui.charts.axes import LOG_FROM, LOG_UNTIL, one_stands_apart
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.kinds import cycle_of, first_kinds, right_kind
from llmtui.ui.layout import Layout, layout_for
from llmtui.ui.listing import Listing
from llmtui.ui.request_page import RequestPage
from llmtui.ui.situation import Page, Phase, Situation
from llmtui.ui.situation_now import situation_of
from llmtui.ui.text.spans import Role
from llmtui.ui.views.attempts import shown_attempt
from llmtui.ui.views.backend_state import PanelOptions
from llmtui.ui.views.scroll import window
from llmtui.ui.views.sorting import Sort
from llmtui.ui.views.time_left import TimeLeft, time_left
from llmtui.ui.zoom import Zoom

if TYPE_CHECKING:
    from llmtui.ui.past import PastRun
    from llmtui.ui.views.rerun_choice import RerunChoice

#: The heights of the small plots, as a share of the median above and below it.
REACHES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclasses.dataclass
class ViewState:
    """The state of the monitor's screen. `now` is a monotonic clock in seconds."""

    plan: Plan
    options: UiConfig
    now: Callable[[], float] = time.monotonic
    metric: MetricKey = "latency"
    hidden: set[str] = dataclasses.field(default_factory=set)
    selected: str = ""
    #: The kind of the chart if there is room for one only, and of the left one of two.
    chart_kind: Kind = "scatter"
    statistics_kind: Kind = "bars"
    #: Whether the user chose a logarithmic scale, None if it follows from the values.
    forced_log: bool | None = None
    zoom: Zoom = dataclasses.field(default_factory=Zoom)
    listing: Listing = dataclasses.field(default_factory=Listing)
    #: The number of the level that the user chose, 0 for the one that counts, or the one that a search is at.
    level_shown: int = 0
    table_shown: bool = False
    link: Literal["connecting", "up", "down", "gone"] = "connecting"
    #: Whether part of what happened before the monitor connected is still to come.
    catching_up: bool = False
    #: The run of the history that is shown, None for one that an engine carries out.
    past: PastRun | None = None
    banner: tuple[str, Role] | None = None
    details: bool = False
    #: The requests of a turn, over the details; None if they are not shown.
    request_page: RequestPage | None = None
    #: Which page covers the main screen, "" for none.
    page: Page | Literal[""] = ""
    #: What the rerun key asks, None if it asks nothing.
    choice: RerunChoice | None = None
    sort: Sort = dataclasses.field(default_factory=Sort)
    #: How many iterations have arrived since the screen was put on hold, None if it is live.
    behind: int | None = None
    #: The first backend in sight if not all lines fit.
    first: int = 0

    def __post_init__(self) -> None:
        self.run_view = RunView(self.plan, keep=None if self.past is not None else RECENT)
        self.metric = self.plan.config.metric
        self.chart_kind, self.statistics_kind = first_kinds(self.plan)
        self.layout: Layout = layout_for(80, 24, len(self.run_view.backends))
        self._run_seen = self.now()
        self._apart: set[MetricKey] = set()
        self._since: dict[str, tuple[State, str, float]] = {}
        self.structure_changed()

    @property
    def names(self) -> list[str]:
        """The backends in the plan's order."""
        return list(self.run_view.backends)

    @property
    def level(self) -> Level | None:
        """The level that is shown: the one that the user chose, else the one that counts. None for a race.

        Without a choice, a search is followed.
        """
        plan = self.run_view.plan
        following = levels.followed(self.run_view) if plan.load.search and not self.level_shown else None
        return following or next((each for each in plan.levels if each.number == self.level_shown), plan.head_level)

    @property
    def level_number(self) -> int:
        """The number of the shown level, 0 for a race and for the level that counts: what `RunView.verdict` takes."""
        level, head = self.level, self.run_view.plan.head_level
        return 0 if level is None or level == head else level.number

    @property
    def samples(self) -> dict[str, SamplesView]:
        """The backends with their samples at the shown level."""
        return self.run_view.at(self.level_number)

    @property
    def covered(self) -> bool:
        """Whether another screen covers the main one."""
        return self.details or self.page != ""

    @property
    def backend_view(self) -> BackendView | None:
        """The backend that keys act on."""
        return self.run_view.backends.get(self.selected)

    @property
    def ascii_only(self) -> bool:
        """Whether the screen uses ASCII only."""
        return self.options.marker == "ascii"

    def structure_changed(self) -> None:
        """Adjust to a new set of backends: keep what the user chose if it still exists."""
        names = self.names
        self.hidden &= set(names)
        self.choice = None
        if self.selected not in names:
            self.selected = names[0] if names else ""
        for backend_view in self.run_view.backends.values():
            self.state_changed(backend_view.state)
        self.run_changed()

    def state_changed(self, state: BackendState) -> None:
        """Remember since when a backend has been in its state, and busy with the same thing."""
        previous = self._since.get(state.name)
        if previous is None or previous[:2] != (state.state, state.doing):
            self._since[state.name] = (state.state, state.doing, self.now())

    def run_changed(self) -> None:
        """Restart the screen's clock from the time that the engine has just reported."""
        self._run_seen = self.now()

    @property
    def phase(self) -> Phase:
        """What the run as a whole is doing, or the link to it if that is not up."""
        if self.past is not None:
            return self.past.state
        if self.link == "up":
            return self.run_view.run.phase
        # A finished run stays done when its engine exits.
        return "done" if self.link == "gone" and self.run_view.run.phase == "done" else self.link

    @property
    def ticking(self) -> bool:
        """Whether the clock on the screen ticks between events."""
        return self.link == "up" and self.run_view.run.phase in ("starting", "running")

    @property
    def waiting(self) -> list[str]:
        """The backends whose panel shows the seconds of a wait."""
        return [n for n, of in self.run_view.backends.items() if of.state.state in ("preparing", "loading")]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.run_view.run.elapsed_s + (self.now() - self._run_seen if self.ticking else 0.0)

    @property
    def time_left(self) -> TimeLeft | None:
        """The time until the end of the run, None if unknown."""
        return time_left(self.run_view.run, self.now() - self._run_seen if self.ticking else 0.0)

    @property
    def in_sight(self) -> tuple[int, int]:
        """Which backends `[start, end)` are on the screen, always with the selected one."""
        names = self.names
        if not self.layout.scrolls:
            return 0, len(names)
        at = names.index(self.selected) if self.selected in names else 0
        start, end = window(len(names), self.layout.lines, at, self.first)
        self.first = start
        return start, end

    def panel_options(self, index: int, focused: bool) -> PanelOptions:
        """Return how the backend at `index` is shown now."""
        name = self.names[index]
        config, backend_view = self.run_view.plan.config, self.run_view.backends[name]
        return PanelOptions(
            backends=len(self.names),
            index=index,
            metric=self.metric,
            marker=self.options.marker,
            focused=focused,
            hidden=name in self.hidden,
            waited_s=self.now() - self._since[name][2] if name in self._since else 0.0,
            warmups=config.warmup,
            launches=launches_of(config, backend_view.backend, backend_view.state),
            lost=self.link == "gone",
            paused=self.phase == "paused",
            catching_up=self.catching_up,
            reach=self.reach,
            level=self.level,
            levels=tuple(self.run_view.plan.levels),
            found=levels.found(self.run_view, name),
        )

    @property
    def reach(self) -> float | None:
        """How far the small plots of the panels reach from their medians, as a share. One for all: noise compares.

        It holds all values, and is rounded up so that it seldom changes.
        """
        return _reach([shown_attempt(view).summary.spread(self.metric) for view in self.samples.values()])

    @property
    def metrics(self) -> tuple[MetricKey, ...]:
        """The metrics that the charts of this run can show, in the order of the key."""
        plan = self.run_view.plan
        return (CHARTED_OF_OBJECTIVES if plan.slo.limits else CHARTED_OF_LOAD) if plan.levels else CHARTED

    def next_metric(self) -> None:
        """Show the next metric, round and round."""
        shown = self.metrics
        self.metric = shown[(shown.index(self.metric) + 1) % len(shown)]

    def kind_at(self, side: Literal["statistics", "scatter"]) -> Kind:
        """What a chart shows: its own kind, or the one that the user chose if there is room for one only."""
        own = right_kind(self.run_view.plan) if side == "scatter" else self.statistics_kind
        return own if self.layout.charts == 2 else self.chart_kind

    def next_chart(self) -> None:
        """Show the next kind of chart."""
        cycle = cycle_of(self.run_view.plan, self.layout.charts)
        kind = cycle[(cycle.index(self.kind_at("statistics")) + 1) % len(cycle)]
        right = right_kind(self.run_view.plan)
        if self.layout.charts != 2 or self.chart_kind != right:
            self.chart_kind = kind
        if kind != right:
            self.statistics_kind = kind

    def toggle_scale(self) -> None:
        """Switch between logarithmic and linear charts; back to automatic if that gives the same scale."""
        wanted = not self.logarithmic
        self.forced_log = None
        if self.logarithmic != wanted:
            self.forced_log = wanted

    @property
    def logarithmic(self) -> bool:
        """Whether the charts are logarithmic: as the user chose, else if one backend is far from all others."""
        if self.forced_log is not None:
            return self.forced_log
        samples = self.samples
        drawn = [samples[view.backend.name] for _, view in self.drawn]
        spreads = [shown_attempt(backend_view).summary.spread(self.metric) for backend_view in drawn]
        ratio = LOG_UNTIL if self.metric in self._apart else LOG_FROM
        if one_stands_apart([s.median for s in spreads if s], ratio):
            self._apart.add(self.metric)
        else:
            self._apart.discard(self.metric)
        return self.metric in self._apart

    @property
    def drawn(self) -> list[tuple[int, BackendView]]:
        """The backends that are not hidden, each with its number from 0."""
        every = enumerate(self.run_view.backends.items())
        return [(n, backend_view) for n, (name, backend_view) in every if name not in self.hidden]

    def situation(self) -> Situation:
        """Return what decides which commands apply now."""
        return situation_of(self)


def _reach(spreads: Sequence[Spread | None]) -> float | None:
    shares = [max(s.max - s.median, s.median - s.min) / s.median for s in spreads if s and s.median > 0]
    return next((reach for reach in REACHES if reach >= max(shares)), None) if shares else None
