"""The charts of energy per output token and of power, of those backends for which they were measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from llmtui.export.counted import counted
from llmtui.export.report.axes import axis_of, spread_out
from llmtui.export.report.load_charts import across_levels, at_levels, drawn_values, ordered_levels
from llmtui.export.report.plot import HEIGHT, Point, draw
from llmtui.export.report.race_charts import Bar, bars_drawing
from llmtui.export.report.svg import figure as titled
from llmtui.model import Level, Power
from llmtui.runview.backend import BackendView
from llmtui.runview.run import RunView
from llmtui.stats.intervals import MEDIAN_FROM, median_interval
from llmtui.stats.summary import percentile
from llmtui.text import sanitize
from llmtui.text.format import figure_parts, percent_text


class Quantity(NamedTuple):
    """A figure of `Power`, and the field with the most that the readings can hide of it, "" if there is none."""

    field: str
    error: str
    title: str
    unit: str


ENERGY = Quantity("joules_per_token", "joules_per_token_error", "Energy per output token", "J")
ABOVE_IDLE = Quantity("joules_per_token_above_idle", "joules_per_token_above_idle_error", "The same above idle", "J")
WATTS = Quantity("watts", "", "Mean power", "W")
IDLE = Quantity("idle_watts", "", "Idle power", "W")
#: How the groups of bars are called.
_GROUPS = {ENERGY: "all of it", ABOVE_IDLE: "above idle", WATTS: "while answering", IDLE: "idle, before the run"}


class Measured(NamedTuple):
    """The values of the samples of a backend, ascending, and the median of their errors, None without any."""

    values: list[float]
    error: float | None

    @property
    def median(self) -> float:
        """The median of the values."""
        return percentile(self.values, 0.5)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the median, and as much further as the readings can hide; None for too few values."""
        return median_interval(self.values, self.error or 0.0)

    @property
    def text(self) -> str:
        """The median, with what the readings can hide of one sample."""
        return number(self.median) + (f" ± {number(self.error)}" if self.error is not None else "")


def number(value: float) -> str:
    """Three digits or more, as every figure."""
    return figure_parts(value, "requests/s")[0]


def measured(powers: Iterable[Power], quantity: Quantity) -> Measured | None:
    """Return the values of these samples, None without any."""
    found = [(getattr(power, quantity.field), power) for power in powers]
    known = [(value, power) for value, power in found if value is not None]
    if not known:
        return None
    errors = sorted(e for _, power in known if quantity.error and (e := getattr(power, quantity.error)) is not None)
    return Measured(sorted(value for value, _ in known), percentile(errors, 0.5) if errors else None)


def powers_of(run_view: RunView, view: BackendView, level: Level | None) -> list[Power]:
    """What was measured during the samples that count: the iterations of a race, or the turns at a level."""
    if level is None:
        samples = list(counted(run_view, view))
    else:
        turns = (turn for turn in view.turns if turn.level == level.number and turn.phase == "measured")
        samples = [turn.as_sample for turn in turns if turn.attempt == view.state.attempt]
    return [sample.power for sample in samples if sample.ok and sample.power is not None]


def power_charts(run_view: RunView) -> list[str]:
    """Return the figures, none where no power was measured."""
    if run_view.plan.levels:
        charts = [_against_load(run_view, quantity) for quantity in (ENERGY, WATTS)]
    else:
        powers = {name: powers_of(run_view, view, None) for name, view in run_view.backends.items()}
        charts = [_bars(powers, (ENERGY, ABOVE_IDLE)), _bars(powers, (WATTS, IDLE))]
    return [chart for chart in charts if chart]


def _bars(powers: dict[str, list[Power]], quantities: tuple[Quantity, ...]) -> str:
    groups, shown = list[tuple[str, list[Bar]]](), list[Measured]()
    for quantity in quantities:
        bars = []
        for index, (name, of_backend) in enumerate(powers.items()):
            of = measured(of_backend, quantity)
            # Above idle may be negative, and a bar begins at 0.
            if of is not None and of.median > 0:
                low, high = of.interval or (None, None)
                bars.append(Bar(index, name, of.median, max(0.0, low) if low is not None else None, high, of.text))
                shown.append(of)
        if bars:
            groups.append((_GROUPS[quantity], bars))
    if not groups:
        return ""
    title = f"{quantities[0].title} in {quantities[0].unit}"
    notes = ["All bars begin at 0.", *_notes(shown, "iterations"), _of_what(powers)]
    return titled(title, bars_drawing(groups, quantities[0].unit, title), " ".join(filter(None, notes)))


def _against_load(run_view: RunView, quantity: Quantity) -> str:
    levels, shown, powers = ordered_levels(run_view), list[Measured](), dict[str, list[Power]]()

    def of(view: BackendView, level: Level) -> Point | None:
        of_level = powers_of(run_view, view, level)
        powers.setdefault(view.backend.name, []).extend(of_level)
        found = measured(of_level, quantity)
        if found is None:
            return None
        shown.append(found)
        low, high = found.interval or (None, None)
        return Point(0, found.median, low, high, tip=f"{found.text} {quantity.unit}, n = {len(found.values)}")

    series = at_levels(run_view, levels, of)
    if not series:
        return ""
    values = drawn_values(series)
    log = quantity is ENERGY and min(values) > 0 and spread_out(values)
    down = axis_of(values, HEIGHT, 8, log=log)
    across, ticks = across_levels(levels, [down.text(tick) for tick in down.ticks])
    what = f"{quantity.title} in {quantity.unit} against load"
    notes = ["Median over the turns of a level.", *_notes(shown, "turns"), _of_what(powers)]
    return draw(
        f"{what}{', log scale' if log else ''}",
        series,
        down,
        across,
        ticks,
        unit=quantity.unit,
        note=" ".join(filter(None, notes)),
    )


def _notes(shown: list[Measured], samples: str) -> list[str]:
    notes = []
    if any(of.interval is not None for of in shown):
        wider = ", widened by the error from when the meters were read" if any(of.error for of in shown) else ""
        notes.append(f"Lines are 95% intervals{wider}.")
    if any(of.interval is None for of in shown):
        notes.append(f"An interval needs {MEDIAN_FROM} {samples}.")
    shares = [of.error / of.median for of in shown if of.error is not None and of.median > 0]
    if shares:
        notes.append(f"Values may be off by up to {percent_text(max(shares))}, because of when the meters were read.")
    return notes


def _of_what(powers: dict[str, list[Power]]) -> str:
    """What the energy is of; of which backend, if that differs."""
    by_name = {name: _meters(of_backend) for name, of_backend in powers.items() if of_backend}
    if len(set(by_name.values())) == 1:
        return f"Of {next(iter(by_name.values()))}."
    parts = "; ".join(f"{sanitize(name, 60)}: {meters}" for name, meters in by_name.items())
    return f"The energy is not of the same parts, so do not compare it. {parts}." if parts else ""


def _meters(powers: list[Power]) -> str:
    names = dict.fromkeys(sanitize(meter, 80) for power in powers for meter in power.meters)
    return " + ".join(names) or "unknown meters"
