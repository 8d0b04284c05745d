"""Every chart is read back from its cells and its labels, and must say what the data say, to half a cell of its own."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics

import pytest

from llmtui.stats.summary import percentile
from llmtui.ui.charts.chart_data import ChartData, Kind
from llmtui.ui.charts.draw import draw
from tests.ui.chart_sets import KINDS, SETS, SIZES, chart_at, latencies, view_of, view_with
from tests.ui.decoded import ORDER, SHAPES, Decoded
from tests.ui.lines import text_of

#: The error of a rounded label of a logarithmic axis, in rows.
_LABEL = 0.06
_SETS = pytest.mark.parametrize("name", SETS)
#: What the medians of an earlier run are, of those of this one.
_FACTORS = (0.6, 0.97, 1.0, 1.03, 1.7)


@functools.cache
def decoded(name: str, kind: Kind, size: tuple[int, int]) -> tuple[ChartData, Decoded, str]:
    """A set's chart at the size it has in such a terminal, read back, and its text."""
    chart, width, height = chart_at(view_of(name), kind, size)
    lines = draw(chart, width, height)
    return chart, Decoded(lines, chart.log, across=kind in ("box", "ecdf")), text_of(lines)


def values_of(chart: ChartData, name: str, series: int) -> list[float]:
    """The samples of a backend in the order of the iterations, in the unit of the axis."""
    return [chart.shown(value) for value in latencies(name)[series] if value is not None]


@_SETS
@pytest.mark.parametrize("kind", KINDS)
def test_every_axis_has_three_labels_and_its_top_row_has_one(name: str, kind: Kind) -> None:
    for size in SIZES:
        _, shown, text = decoded(name, kind, size)
        if kind != "box":
            assert len(shown.labels) >= min(3, shown.base - shown.top + (kind == "bars")), text
            assert shown.upwards.ticks[-1][0] == -shown.top, text
        if kind in ("box", "ecdf"):
            assert len(shown.across.ticks) >= 3, text
        if kind == "scatter":
            iterations = max(len(row) for row in latencies(name))
            assert len(shown.across.ticks) >= min(3, iterations), text


@_SETS
@pytest.mark.parametrize("shift", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(_FACTORS)))])
def test_medians_of_an_earlier_run_say_their_values_to_an_eighth_of_a_row(name: str, shift: int) -> None:
    for at, size in enumerate(SIZES, [*SETS].index(name) + shift):
        # Each set and each size has every factor.
        factor = _FACTORS[at % len(_FACTORS)]
        chart, width, height = chart_at(view_of(name), "bars", size)
        # The last one is not comparable.
        series = tuple(
            dataclasses.replace(s, earlier=s.spread.median * factor) if s.spread and s is not chart.series[-1] else s
            for s in chart.series
        )
        chart = dataclasses.replace(chart, series=series, against="before")
        lines = draw(chart, width, height)
        shown, text = Decoded(lines, chart.log), text_of(lines)
        ghosts = shown.ghosts()
        if not ghosts:
            assert "before" not in text and (width - shown.edge) / len(series) < 4, "only without room"
            continue
        assert "⠂⠂ median in before" in text, "a legend entry names the run"
        assert ghosts.keys() == {s.index for s in series if s.earlier is not None}
        cell = 1 / 4 + 2 * _LABEL * chart.log
        for s in series:
            if s.earlier is not None:
                truth = shown.upwards.place(chart.shown(s.earlier))
                assert abs(ghosts[s.index] - truth) <= cell / 2 + 1e-6, text
        # The bars stand beside them as without.
        assert shown.bars().keys() == {s.index for s in series}


@_SETS
def test_bars_say_their_values_to_half_an_eighth_of_a_row(name: str) -> None:
    for size in SIZES:
        chart, shown, text = decoded(name, "bars", size)
        axis, drawn = shown.upwards, shown.bars()
        # Points have quarters of a row. On the line of the axis itself there is no block but its upper half.
        cell = (1 / 4 + 2 * _LABEL) if chart.log else 1 / 8
        assert len(drawn) == len(chart.series)
        for series in chart.series:
            assert series.spread is not None
            for statistic in ORDER:
                truth = axis.place(chart.shown(getattr(series.spread, statistic)))
                error = abs(drawn[series.index][statistic] - truth)
                assert error <= cell / 2 + 1e-6 or (not chart.log and truth + shown.base < 0.5 and error < 0.25), text
        for a, b in itertools.combinations(chart.series, 2):
            assert a.spread and b.spread
            gap = axis.place(chart.shown(a.spread.median)) - axis.place(chart.shown(b.spread.median))
            seen = drawn[a.index]["median"] - drawn[b.index]["median"]
            assert abs(gap - seen) <= cell + 1e-6, "an invented gap, or an invented tie"


@_SETS
def test_figure_is_on_top_of_the_bar_of_the_median(name: str) -> None:
    for size in SIZES[:-1]:
        chart, shown, text = decoded(name, "bars", size)
        drawn, figures = shown.bars(), shown.figures()
        columns = {series.index: [c.column for c in shown.cells() if c.role == series.role] for series in chart.series}
        for series in chart.series:
            assert series.spread is not None
            top = drawn[series.index]["median"]
            mine = chart.figure(series.spread.median)
            over = [
                f
                for f in figures
                if f[3] == mine and f[0] <= max(columns[series.index]) and f[1] >= min(columns[series.index])
            ]
            assert all(0 <= height - top <= 1.5 for _, _, height, _ in over), text
            assert over or len(chart.series) > 5, text


def test_bars_of_a_linear_axis_are_as_long_as_their_values() -> None:
    chart, shown, text = decoded("two, 1.0 and 1.85 s", "bars", (120, 40))
    drawn = shown.bars()
    a, b = (s.spread for s in chart.series)
    assert a and b and shown.upwards.value(-shown.base) == 0.0
    assert (drawn[1]["median"] + shown.base) / (drawn[0]["median"] + shown.base) == pytest.approx(
        b.median / a.median, rel=0.02
    )
    assert "▀" in text.split("\n")[shown.base]


def test_a_logarithmic_axis_has_points_and_no_bars() -> None:
    for name in ("one 30x slower", "one 100x slower"):
        chart, shown, text = decoded(name, "bars", (120, 40))
        assert chart.log and not any(block in "".join(shown.texts[: shown.base + 1]) for block in "▁▄█▀"), text


@_SETS
def test_scatter_shows_every_sample_where_it_is(name: str) -> None:
    rows = latencies(name)
    for size in SIZES:
        chart, shown, text = decoded(name, "scatter", size)
        if " p90" in text:
            continue
        marks, axis = shown.marks(), shown.upwards
        dots = any(mark.glyph == "dot" for mark in marks)
        assert len(marks) == sum(value is not None for row in rows for value in row), text
        half = (1 / 8 if dots else 1 / 2) + _LABEL * chart.log + 1e-6
        width = (len(shown.texts[0]) - shown.edge) / max(map(len, rows))
        for series, row in enumerate(rows):
            samples = [(n, chart.shown(value)) for n, value in enumerate(row, 1) if value is not None]
            mine = [mark for mark in marks if mark.series == series] if not dots else marks
            assert dots or len(mine) == len(samples), text
            for n, value in samples:
                near = [m for m in mine if abs(shown.across.value(m.column) - n) <= 0.5 + 1 / width]
                if any(m.beyond for m in near) and not shown.top <= -axis.place(value) <= shown.base:
                    continue
                assert any(abs(m.height - axis.place(value)) <= half for m in near), (n, value, text)


@_SETS
def test_band_is_the_10th_to_the_90th_percentile_with_the_median(name: str) -> None:
    for size in SIZES:
        chart, shown, text = decoded(name, "scatter", size)
        if " p90" not in text:
            continue
        axis, count = shown.upwards, max(len(row) for row in latencies(name))
        for series, bands in shown.bands().items():
            values = values_of(chart, name, series)
            for slot, (_, low, middle, high) in enumerate(bands):
                start, end = slot * count // len(bands), (slot + 1) * count // len(bands)
                # Of a longer run the monitor has groups of 2, 4, 8 iterations, of which an edge may cut one.
                edges = [(start + a, end + b) for a, b in itertools.product((-8, -4, 0, 4, 8), repeat=2)]
                stretches = [sorted(values[max(0, a) : b]) for a, b in edges]
                for seen, share in ((low, 0.1), (middle, 0.5), (high, 0.9)):
                    places = [axis.place(percentile(stretch, share)) for stretch in stretches if stretch]
                    # Lines have halves of a row. A row in which the mark is says no more than that.
                    half = 0.5 if share == 0.5 else 0.75 if seen == middle else 0.25
                    # The monitor has some of a stretch's values, evenly by rank.
                    assert min(abs(seen - place) for place in places) <= half + 0.05, text
        assert shown.bands().keys() == set(range(len(chart.series))), text


def test_long_run_has_a_band_and_a_word_for_it() -> None:
    for size in SIZES:
        chart, shown, text = decoded("2,000 iterations", "scatter", size)
        assert "line from p10 to p90" in text
        bands = shown.bands()
        assert all(len(bands[n]) >= 5 for n in range(3)), text
        for n in range(3):
            medians = [shown.upwards.value(middle) for _, _, middle, _ in bands[n]]
            assert statistics.median(medians) == pytest.approx(values_median(chart, n), rel=0.05)


def values_median(chart: ChartData, series: int) -> float:
    spread = chart.series[series].spread
    assert spread is not None
    return chart.shown(spread.median)


def test_an_outlier_stays_at_the_edge_with_a_word() -> None:
    for size in SIZES:
        _, shown, text = decoded("a low outlier", "scatter", size)
        beyond = [mark for mark in shown.marks() if mark.beyond]
        assert [mark.glyph for mark in beyond] == ["↓"] and "↓ 1 below: 0.200" in text
        assert shown.upwards.value(-(shown.base - 1)) > 0.8


def test_two_speeds_are_two_lines_and_not_an_outlier() -> None:
    _, shown, text = decoded("two speeds", "scatter", (120, 40))
    assert not any(mark.beyond for mark in shown.marks())
    assert {round(shown.upwards.value(m.height), 1) for m in shown.marks() if m.series == 0} == {0.5, 0.9}, text


@pytest.mark.parametrize("measured", [30, 60, 130, 700, 1500])
def test_long_run_fills_the_width_while_it_is_young(measured: int) -> None:
    rows = [[0.9 + (n % 7) / 100 for n in range(measured)] for _ in range(2)]
    view = view_with(rows, planned=2000)
    for size in SIZES:
        chart, width, height = chart_at(view, "scatter", size)
        shown = Decoded(draw(chart, width, height))
        right = max(mark.column for mark in shown.marks())
        assert right - shown.edge >= 0.65 * (width - shown.edge), text_of(draw(chart, width, height))


@pytest.mark.parametrize(
    ("window", "bands"), [((16, 24), False), ((0, 40), False), ((500, 1000), True), ((992, 1000), True)]
)
def test_range_of_iterations_is_what_its_labels_say(window: tuple[int, int], bands: bool) -> None:
    name = "2,000 iterations" if bands else "a low outlier"
    start, end = window
    for size in SIZES:
        chart, width, height = chart_at(view_of(name), "scatter", size)
        shown = Decoded(draw(dataclasses.replace(chart, window=window), width, height))
        numbers = [number for _, number in shown.across.ticks]
        assert numbers[0] == start + 1 and numbers[-1] <= end
        if bands:
            for series, stretches in shown.bands().items():
                part = sorted(values_of(chart, name, series)[start:end])
                middle = shown.upwards.place(percentile(part, 0.5))
                assert any(low - 0.5 <= middle <= high + 0.5 for _, low, _, high in stretches)
        else:
            assert len(shown.marks()) == sum(v is not None for row in latencies(name) for v in row[start:end])


@_SETS
def test_top_row_of_the_ecdf_means_all(name: str) -> None:
    for size in SIZES:
        chart, shown, text = decoded(name, "ecdf", size)
        curves, across = shown.curves(), shown.across
        places = [(cell.column, cell.height) for cell in shown.cells()]
        assert len(places) == len(set(places))
        rows = shown.base - 1 - shown.top
        for series in chart.series:
            # A chart has at most 201 steps of a longer run.
            ordered = [chart.shown(value) for value in series.ordered]
            for column, (_, highest) in curves[series.index].items():
                # A curve has its height at the right edge of a column. Labels of a logarithmic axis are rounded to
                # columns.
                slack = 1.0 if chart.log else 0.05
                edges = (across.value(column + 0.5 + at) for at in (-slack, slack))
                low, high = (sum(v <= edge for v in ordered) / len(ordered) for edge in edges)
                share = shown.upwards.value(highest) / 100
                assert share <= high + 0.5 / rows + 1e-6, text
                assert share < 1.0 or high == 1.0, text
                if not any(c == column and curve != series.index for curve in curves for c in curves[curve]):
                    # The row below the top also has what is nearly all.
                    assert share >= low - (1.0 if low > 1 - 1 / rows else 0.5) / rows - 1e-6, text


@_SETS
def test_boxes_are_where_their_values_are(name: str) -> None:
    for size in SIZES:
        chart, shown, text = decoded(name, "box", size)
        for index, columns in shown.boxes().items():
            box = chart.series[index].box
            assert box is not None
            ends = {
                "low": min((box.low, *box.below[:1])),
                "median": box.median,
                "high": max((box.high, *box.above[-1:])),
            }
            for end, value in ends.items():
                error = abs(columns[end] - shown.across.place(chart.shown(value)))
                # On a logarithmic axis labels are at whole columns, and beyond the last one a reader has to guess.
                beyond = chart.shown(value) > shown.across.ticks[-1][1]
                assert error <= (1.25 if chart.log and beyond else 1.0 if chart.log else 0.5) + 1e-6, (end, text)
        missing = len(chart.series) - len(shown.boxes())
        assert not missing or f"+{missing} more" in text


def test_shapes_in_the_scatter_are_those_of_the_legend() -> None:
    for name, size in itertools.product(SETS, SIZES):
        _, shown, _ = decoded(name, "scatter", size)
        for cell in shown.cells():
            if cell.glyph in SHAPES and cell.series is not None:
                assert cell.glyph == SHAPES[cell.series]
