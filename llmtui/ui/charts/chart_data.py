"""What a chart shows, as plain values: two equal charts look the same."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

from llmtui.stats.course import Stretches
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import Box, Spread
from llmtui.text.format import Scale, Unit, scale_of, unit_of
from llmtui.ui.charts.axes import AnyScale, log_scale_for, scale_for
from llmtui.ui.text.spans import TINTS, Role, series_role

#: The last five are of a load: see load_chart_data.
Kind = Literal["bars", "box", "ecdf", "scatter", "load", "ttft", "pareto", "turn", "heat"]
#: The kinds of the chart of statistics, in the order of its key; the other chart is the scatter.
STATISTIC_KINDS: tuple[Kind, ...] = ("bars", "box", "ecdf")
KIND_TITLES: dict[Kind, str] = {"bars": "baseline stats", "box": "box plot", "ecdf": "share of iterations (ECDF)"}


@dataclasses.dataclass(frozen=True)
class Series:
    """One backend in a chart: its index in the plan, its name (plain text), and what the kind needs, in s or tokens/s.

    `points` are (index of the iteration from 0 on, value) among `count` iterations. If these are too many to have all,
    `stretches` are (index of the first, some of the values, evenly by rank) of each stretch, else empty. `ordered` are
    ascending values.
    """

    index: int
    name: str
    spread: Spread | None = None
    points: tuple[tuple[int, float], ...] = ()
    stretches: Stretches = ()
    count: int = 0
    ordered: tuple[float, ...] = ()
    box: Box | None = None
    #: The median of the same backend in an earlier run, if it is comparable.
    earlier: float | None = None

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return series_role(self.index)

    @property
    def tint(self) -> Role:
        """Its colour, nearer to the background."""
        return series_role(self.index, TINTS)


@dataclasses.dataclass(frozen=True)
class ChartData:
    """Everything that a chart shows."""

    kind: Kind
    metric: MetricKey
    series: tuple[Series, ...]
    planned: int
    log: bool = False
    #: Index in the plan and name of the backends that are hidden.
    hidden: tuple[tuple[int, str], ...] = ()
    ascii_only: bool = False
    #: The iterations `[start, end)`, from 0 on, that the scatter shows; None for all.
    window: tuple[int, int] | None = None
    #: The name of the earlier run, if its medians are shown.
    against: str = ""

    #: Why there is nothing to draw, if it is not that no iteration has finished.
    reason: str = ""
    #: The title of the level that is shown, "" in a race.
    level: str = ""

    @property
    def word(self) -> str:
        """What a point of the scatter is: an iteration, or the turn of a round."""
        return "round" if self.level else "iteration"

    @functools.cached_property
    def unit(self) -> Unit:
        """The unit of the value axis: that of a column of the medians."""
        return unit_of([s.spread.median for s in self.series if s.spread is not None], METRICS[self.metric].unit)

    @property
    def title(self) -> str:
        """The chart's title, with the unit of its value axis."""
        if self.kind == "scatter":
            what = METRICS[self.metric].title
            unit = METRICS[self.metric].titled(self.unit).removeprefix(what)
            shown = f", {self.word}s {self.window[0] + 1} to {self.window[1]}" if self.window else ""
            # A title that has no room is cut at its end, where no figure may be.
            if self.level:
                return f"{what}{unit}, {self.level}, by round{shown}{', log scale' if self.log else ''}"
            return f"{what} per iteration{unit}{shown}{', log scale' if self.log else ''}"
        if self.level:
            return f"{KIND_TITLES[self.kind].replace('iterations', 'turns')}, {self.axis}, {self.level}"
        return f"{KIND_TITLES[self.kind]}, {self.axis}"

    @property
    def axis(self) -> str:
        """The title of the value axis: the metric, its unit, and whether it is logarithmic."""
        return METRICS[self.metric].titled(self.unit) + (", log scale" if self.log else "")

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return any(s.spread is not None for s in self.series)

    def shown(self, value: float) -> float:
        """A value in the unit of the value axis."""
        return value * Scale(self.unit, 0).factor

    def figure(self, value: float) -> str:
        """A value, in s or tokens/s, as a figure in the unit of the value axis."""
        return scale_of([value], METRICS[self.metric].unit, self.unit).text(value)

    def scale(self, values: Sequence[float], cells: int, *, zero: bool = False, across: bool = False) -> AnyScale:
        """Return the value axis for `values` on at most `cells` cells; from `zero` on unless it is logarithmic."""
        if self.log:
            return log_scale_for(values, cells, across=across)
        return scale_for(min(values), max(values), cells, zero=zero, across=across)
