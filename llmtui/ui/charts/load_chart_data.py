"""What the charts of a load show, as plain values: two equal charts look the same. Values are in s or per second."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

from llmtui.runview.turn_course import Column
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text.format import Scale, Unit, percent_text, scale_of, unit_of
from llmtui.ui.charts.axes import AnyScale, log_scale_for, scale_for
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.found_strip import FoundMark
from llmtui.ui.text.spans import Role, series_role

#: The values of an axis that begin above this share of its end leave out 0.
_ZERO_BELOW = 1 / 3


@dataclasses.dataclass(frozen=True)
class LevelPoint:
    """A backend at one level: the `place` of the level on the axis from 0 on, a value of `n` turns or requests.

    `low` and `high` are the ends of what is drawn beside it, None without.
    """

    place: int
    value: float
    low: float | None
    high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class LevelSeries:
    """One backend: its index in the plan, its name (plain text), its points in the order of the levels."""

    index: int
    name: str
    points: tuple[LevelPoint, ...] = ()

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return series_role(self.index)


@dataclasses.dataclass(frozen=True)
class TurnSoFar:
    """The turn under way of the backend `index`: its level, and the value of its first `seconds`. It is not final."""

    index: int
    name: str
    place: int
    value: float
    seconds: int
    warmup: bool = False


@dataclasses.dataclass(frozen=True)
class LevelsChart:
    """A metric against the load (`load`), or the TTFT (`ttft`: its p50 with a line up to its p95)."""

    kind: Literal["load", "ttft"]
    metric: MetricKey
    #: The levels in ascending order as labels, what they count, and the place of the one that is shown elsewhere.
    levels: tuple[str, ...]
    counted: str
    shown: int | None
    series: tuple[LevelSeries, ...]
    #: Rows of what neighbouring levels have in common, each with a title for each level, the inner one first.
    groups: tuple[tuple[str, ...], ...] = ()
    log: bool = False
    log_by_default: bool = False
    #: What the objectives allow, None without one.
    objective: float | None = None
    so_far: TurnSoFar | None = None
    hidden: tuple[tuple[int, str], ...] = ()
    ascii_only: bool = False
    reason: str = ""
    #: Whether a search looks for the most streams within the objectives, so that these matter most.
    for_objectives: bool = False
    #: What a search has found of the backends.
    found: tuple[FoundMark, ...] = ()

    @functools.cached_property
    def unit(self) -> Unit:
        """The unit of the value axis."""
        values = [point.value for one in self.series for point in one.points]
        return unit_of(values or [self.so_far.value if self.so_far else None], METRICS[self.metric].unit)

    @property
    def title(self) -> str:
        """What is drawn, in which unit, against what."""
        what = METRICS[self.metric].titled(self.unit)
        if self.kind == "ttft":
            what = f"TTFT p50 and p95 in {self.unit}"
        interval = ", 95%" if self.kind == "load" else ""
        return f"{what} against {self.counted}{interval}{', log scale' if self.log else ''}"

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return self.so_far is not None or any(one.points for one in self.series)

    @functools.cached_property
    def factor(self) -> float:
        """The factor from s (or a rate) to the unit of the value axis."""
        return Scale(self.unit, 0).factor

    def in_unit(self, value: float) -> float:
        """A value in the unit of the value axis."""
        return value * self.factor

    def figure(self, value: float) -> str:
        """A value with its unit as text, in the unit of the value axis."""
        return f"{scale_of([value], METRICS[self.metric].unit, self.unit).text(value)} {self.unit}"


@dataclasses.dataclass(frozen=True)
class ParetoPoint:
    """A backend at one level: tokens/s of one stream or answer (`x`), and of all together (`y`).

    `line` is the line that it is on: only levels with the same lengths are joined.
    """

    place: int
    x: float
    y: float
    line: str = ""


@dataclasses.dataclass(frozen=True)
class ParetoSeries:
    """One backend with its points in the order of the levels."""

    index: int
    name: str
    points: tuple[ParetoPoint, ...] = ()

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return series_role(self.index)


@dataclasses.dataclass(frozen=True)
class ParetoChart:
    """What one stream gets against what all get together, a point a level."""

    levels: tuple[str, ...]
    counted: str
    #: What `x` is: "tokens/s of one stream".
    across: str
    series: tuple[ParetoSeries, ...]
    log: bool = False
    log_by_default: bool = False
    hidden: tuple[tuple[int, str], ...] = ()
    ascii_only: bool = False
    reason: str = ""
    kind: Kind = "pareto"

    @property
    def title(self) -> str:
        """What is drawn against what."""
        return f"output tokens/s against {self.across}{', log scales' if self.log else ''}"

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return any(one.points for one in self.series)


@dataclasses.dataclass(frozen=True)
class TurnChart:
    """The newest turn second by second: `columns` of `size` s, the first one at `first` * `size` s.

    `tokens` is what an arrival carries on average at this backend. `words` say which turn it is.
    """

    index: int
    name: str
    words: str
    columns: tuple[Column, ...]
    size: int = 1
    first: int = 0
    tokens: float = 1.0
    reason: str = ""
    ascii_only: bool = False
    log: bool = False
    log_by_default: bool = False
    kind: Kind = "turn"

    @property
    def title(self) -> str:
        """Whose turn it is."""
        return self.words

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return series_role(self.index)

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.columns)


@dataclasses.dataclass(frozen=True)
class HeatRow:
    """A row: whose it is (None: no backend's), its name, and its value in each column, None where there is none."""

    name: str
    values: tuple[float | None, ...]
    index: int | None = None


@dataclasses.dataclass(frozen=True)
class HeatChart:
    """A value for each row and column: a share of 1 without a `metric`, else one of that metric."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    metric: MetricKey | None = None
    #: The place of the column that is shown elsewhere.
    shown: int | None = None
    #: What the columns count.
    counted: str = ""
    #: Rows of labels above the columns, each with its name, instead of `columns`; empty for one row.
    heads: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reason: str = ""
    ascii_only: bool = False
    log: bool = False
    log_by_default: bool = False
    kind: Kind = "heat"

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return any(value is not None for row in self.rows for value in row.values)

    def texts(self) -> list[list[str]]:
        """Each value as text."""
        if self.metric is None:
            return [["" if value is None else percent_text(value) for value in row.values] for row in self.rows]
        scale = scale_of((value for row in self.rows for value in row.values), METRICS[self.metric].unit)
        return [["" if value is None else scale.text(value) for value in row.values] for row in self.rows]


LoadChart = LevelsChart | ParetoChart | TurnChart | HeatChart


def scale_of_values(values: Sequence[float], cells: int, *, log: bool, across: bool = False) -> AnyScale:
    """The axis of `values`: from 0 on, unless that would take a third of it or more."""
    if log:
        return log_scale_for(values, cells, across=across)
    low, high = min(values), max(values)
    return scale_for(low, high, cells, zero=low <= high * _ZERO_BELOW, across=across)
