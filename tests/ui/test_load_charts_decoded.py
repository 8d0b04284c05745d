"""Every chart of a load is read back from its cells and labels, and must say what the turns say, to half a cell."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re

import pytest

from llmtui.config.schema import UiConfig
from llmtui.stats.intervals import median_interval
from llmtui.stats.summary import percentile
from llmtui.text.format import percent_text
from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.charts.heat import SHADES
from llmtui.ui.charts.load_chart_data import HeatChart, LevelsChart, ParetoChart, TurnChart
from llmtui.ui.charts.turn_course import end_of
from llmtui.ui.text.spans import to_ascii
from tests.ui.decoded import SHAPES, Decoded
from tests.ui.lines import text_of
from tests.ui.load_sets import SETS, LoadSet, first_tokens, rate, size_at, ticks, view_of, view_with

SIZES = ((80, 24), (120, 40), (200, 50), (60, 19))
#: The error of a rounded label of a logarithmic axis, in rows.
_LABEL = 0.06
_SETS = pytest.mark.parametrize("name", SETS)


@functools.cache
def levels_chart(name: str, kind: Kind, size: tuple[int, int]) -> tuple[LevelsChart, Decoded, str]:
    view = view_of(name)
    chart = chart_of(view, kind)
    assert isinstance(chart, LevelsChart)
    lines = draw(chart, *size_at(view, size))
    return chart, Decoded(lines, chart.log), text_of(lines)


@functools.cache
def expected(of: LoadSet, kind: Kind, backend: int, streams: int) -> tuple[float, float | None, float | None]:
    """What a mark says, and the ends of its stroke: median with interval, or p50 and p95."""
    numbers = range(1, of.turns + 1)
    if kind == "load":
        values = sorted(rate(of, backend, streams, number) for number in numbers)
        low, high = median_interval(values) or (None, None)
        return percentile(values, 0.5), low, high
    firsts = sorted(value for number in numbers for value in first_tokens(of, backend, streams, number))
    # The percentiles of a level are within half a percent (llmtui.stats.buckets).
    return percentile(firsts, 0.5), None, percentile(firsts, 0.95) if len(firsts) >= 59 else None


@_SETS
@pytest.mark.parametrize("kind", ["load", "ttft"])
def test_marks_and_strokes_say_the_values_of_the_turns(name: str, kind: Kind) -> None:
    of = SETS[name]
    levels = [streams for streams in of.levels if streams not in of.missing]
    for size in SIZES:
        chart, shown, text = levels_chart(name, kind, size)
        axis, seen = shown.upwards, 0
        off = _LABEL * chart.log + (0.1 if kind == "ttft" else 0.0) + 1e-6
        room = "no room" not in text
        for series, bands in shown.bands().items():
            for column, low, middle, high in bands:
                # The level whose label is nearest; without room for all labels it may be one without.
                near = [streams for streams in levels if _matches(of, kind, chart, shown, series, streams, middle, off)]
                label = shown.across.ticks[
                    min(range(len(shown.across.ticks)), key=lambda n: abs(shown.across.ticks[n][0] - column))
                ][1]
                if len(shown.across.ticks) == len(of.levels):
                    assert label in near, text
                    near = [int(label)]
                assert near, text
                seen += 1
                if not room:
                    assert low == high == middle, text
                    continue
                fits = []
                for streams in near:
                    value, least, most = expected(of, kind, series, streams)
                    ends = [axis.place(chart.in_unit(value if end is None else end)) for end in (least, most)]
                    halves = [0.75 if end == middle else 0.25 for end in (low, high)]
                    fits.append(
                        all(abs(a - b) <= half + off for a, b, half in zip((low, high), ends, halves, strict=True))
                    )
                assert any(fits), (series, label, low, high, text)
        hidden = re.search(r"(\d+) (points? behind|hidden)", text)
        assert seen + (int(hidden[1]) if hidden else 0) == len(of.speeds) * len(levels), text


def _matches(
    of: LoadSet, kind: Kind, chart: LevelsChart, shown: Decoded, series: int, streams: int, height: float, off: float
) -> bool:
    value = expected(of, kind, series, streams)[0]
    return abs(shown.upwards.place(chart.in_unit(value)) - height) <= 0.5 + off


def test_figures_beside_the_marks_are_the_values() -> None:
    chart, shown, text = levels_chart("two levels of four", "load", (200, 50))
    for one in chart.series:
        for point in one.points:
            figure = chart.figure(point.value).partition(" ")[0]
            assert f"{SHAPES[one.index]}{figure}" in text
    assert shown.across.ticks[-1][1] == 16, "levels that have no turns yet have their places"


def test_the_objective_is_a_line_at_its_value_or_named_outside() -> None:
    for size in SIZES:
        chart, shown, text = levels_chart("an objective", "ttft", size)
        dots = [cell for cell in shown.cells() if cell.role == "warn"]
        heights = {cell.height + "⠉⠒⠤⣀".index(cell.glyph) * -0.25 + 0.375 for cell in dots}
        assert len(heights) == 1
        assert abs(heights.pop() - shown.upwards.place(chart.in_unit(0.3))) <= 0.125 + _LABEL * chart.log + 1e-6, text
        assert "objective 0.300 s" in text or "objective 300 ms" in text
    far = view_with(LoadSet((80.0, 60.0), objective_s=30.0))
    lines = draw(chart_of(far, "ttft"), 100, 16)
    text = text_of(lines)
    assert "objective 30.0 s, outside the axis" in text
    assert not any(cell.role == "warn" for cell in Decoded(lines).cells())


@_SETS
def test_pareto_points_are_where_their_values_are(name: str) -> None:
    of, view = SETS[name], view_of(name)
    for size in SIZES:
        chart = chart_of(view, "pareto")
        assert isinstance(chart, ParetoChart)
        lines = draw(chart, *size_at(view, size))
        shown, text = Decoded(lines, chart.log), text_of(lines)
        x_axis = Decoded(lines, chart.log, across=True).across
        marks = [cell for cell in shown.cells() if cell.glyph in SHAPES and cell.series is not None]
        behind = re.search(r"(\d+) behind others", text)
        points = [(one.index, point) for one in chart.series for point in one.points]
        assert len(points) == len(of.speeds) * (len(of.levels) - len(of.missing))
        assert len(marks) + (int(behind[1]) if behind else 0) == len(points), text
        for cell in marks:
            mine = [point for index, point in points if SHAPES[index] == cell.glyph]
            # On a logarithmic axis labels are at whole columns, and beyond the last one a reader has to guess.
            wide = 1.5 if chart.log else 0.5
            assert any(
                abs(x_axis.place(point.x) - cell.column) <= wide + 1e-6
                and abs(shown.upwards.place(point.y) - cell.height) <= 0.5 + _LABEL * chart.log + 1e-6
                for point in mine
            ), (cell, text)


def test_labels_of_the_pareto_view_are_beside_their_points() -> None:
    view = view_of("three")
    chart = chart_of(view, "pareto")
    text = text_of(draw(chart, 99, 24)).split("\n")
    labelled = re.findall(r"●(\d+)|(\d+)●", "\n".join(text[:-4]))
    found = {one or two for one, two in labelled}
    assert {"1", "16"} <= found, "\n".join(text)


@pytest.mark.parametrize("size", [(59, 14), (79, 8), (79, 20), (150, 30)])
def test_the_course_of_a_turn_says_what_its_ticks_said(size: tuple[int, int]) -> None:
    view = view_with(LoadSet((80.0, 60.0), turns=2))
    for tick in ticks():
        view.run_view.apply(tick)
    chart = chart_of(view, "turn")
    assert isinstance(chart, TurnChart)
    assert chart.title == "this turn: a-server, 8 streams, round 9" and len(chart.columns) == 12
    lines = draw(chart, *size)
    text = text_of(lines)
    rows = text.split("\n")
    edge = next(row.index("└") for row in rows if "└" in row)
    wide = _width_of_a_second(rows, edge)
    truth: dict[str, list[float]] = {
        "tokens/s": [100 if n == 0 else 200 for n in range(12)],
        "in flight": [column.in_flight or 0.0 for column in chart.columns],
        "finished": [float(column.finished) for column in chart.columns],
    }
    starts = [n for n, row in enumerate(rows) if row.split("┤")[0].strip().startswith(tuple(truth))]
    for start, end in itertools.pairwise([*starts, len(rows)]):
        title, top = re.match(r"(tokens/s|in flight|finished) +([\d.]+)┤", rows[start]).groups()  # type: ignore[union-attr]
        strip = list(
            itertools.takewhile(lambda row: row[:edge].strip() in ("", "0") and "└" not in row, rows[start + 1 : end])
        )
        strip = [rows[start], *strip]
        for second, value in enumerate(truth[title]):
            column = edge + 1 + second * wide
            cells = [row[column : column + 1] or " " for row in strip]
            eighths = sum(" ▁▂▃▄▅▆▇█".index(cell) for cell in cells)
            drawn = eighths / 8 / len(strip) * float(top)
            assert abs(drawn - value) <= float(top) / len(strip) / 16 + 1e-6, (title, second, text)
    wrong = {row.split("│")[0].strip(): row for row in rows if row.split("│")[0].strip() in ("refused", "failed")}
    for title, count in (("refused", "2"), ("failed", "1")):
        if title in wrong:
            assert wrong[title].index(count, edge) == edge + 1 + 6 * wide, text
    assert "2 refused, 1 failed" in rows[-1]


def _width_of_a_second(rows: list[str], edge: int) -> int:
    """The columns of a second: from the label 0 to another label, in seconds."""
    labels = rows[next(n for n, row in enumerate(rows) if "└" in row) + 1]
    (zero, first), (number, second) = [(m[0], m.start()) for m in re.finditer(r"\d+", labels)][:2]
    assert zero == "0" and first == edge + 1
    return (second - first) // int(number)


@_SETS
def test_the_heat_map_has_figures_and_shades_of_its_values(name: str) -> None:
    of = SETS[name]
    view = view_with(dataclasses.replace(of, objective_s=1.0))
    chart = chart_of(view, "heat")
    assert isinstance(chart, HeatChart) and chart.metric is None
    for size in SIZES:
        width, height = size_at(view, size)
        text = text_of(draw(chart, width, height))
        rows = text.split("\n")
        for row in chart.rows:
            line = next((line for line in rows if row.name in line), None)
            if line is None:
                assert "more: no room" in text
                continue
            if "no room for figures" in text or "columns" in rows[-1]:
                continue
            figures = re.findall(r"([░▒▓█]*) ?(\d[\d.]*%)", line)
            values = [value for value in row.values if value is not None]
            assert [figure for _, figure in figures] == [percent_text(value) for value in values], text
            for (shade, _), value in zip(figures, values, strict=True):
                assert not shade or abs(SHADES.index(shade[-1]) / 4 - value) <= 1 / 8 + 1e-6, text
        assert line is None or line.count("·") == len(of.missing)


def test_signs_of_all_charts_have_a_place_in_ascii() -> None:
    view = view_with(SETS["three, noisy"])
    view.options = UiConfig(marker="ascii")
    for tick in ticks():
        view.run_view.apply(tick)
    kinds: tuple[Kind, ...] = ("load", "ttft", "pareto", "turn", "heat")
    for kind in kinds:
        text = text_of([to_ascii(line) for line in draw(chart_of(view, kind), 78, 16)])
        assert text.isascii()
        # A question mark is the turn under way.
        assert text.count("?") == 2 * (kind == "load"), text


def test_every_axis_of_a_strip_ends_above_its_values() -> None:
    for value in (0.0, 0.3, 1.0, 7.9, 8.0, 99.0, 1234.5):
        assert end_of(value) > value
        assert value == 0 or end_of(value) <= 1.35 * value
