"""The charts: axes, kinds, legend, and the keys and clicks that change them."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from rich.cells import cell_len

from llmtui.config.schema import UiConfig
from llmtui.model import IterationDone
from llmtui.stats.summary import thinned
from llmtui.ui.chart_source import chart_data
from llmtui.ui.charts.axes import log_scale_for, one_stands_apart, scale_for
from llmtui.ui.charts.bars import bar_body
from llmtui.ui.charts.chart_data import ChartData, Series
from llmtui.ui.charts.draw import draw
from llmtui.ui.charts.legend import legend
from llmtui.ui.layout import layout_for
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import TINTS, Line, overlay, series_role, to_ascii, width_of
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.chart import ChartView
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.pilot import make, screen_text, settle

# --- Charts ---


@pytest.mark.parametrize("high", [1e-4, 0.0123, 0.95, 3.63, 9.99, 82.0, 4_000_000.0])
@pytest.mark.parametrize("rows", [4, 7, 10, 12, 20, 40])
def test_every_tick_of_a_scale_falls_on_a_cell(high: float, rows: int) -> None:
    scale = scale_for(high * 0.1, high, rows, zero=True)
    assert scale.low == 0.0
    assert rows - 1 <= scale.cells <= rows and scale.ticks[-1] == pytest.approx(scale.high)
    assert scale.high + scale.per_cell * 0.6 >= high
    assert scale.high <= high * 1.7
    assert len(scale.ticks) >= 3
    for tick in scale.ticks:
        assert abs(scale.value(scale.cell(tick)) - tick) < 1e-9 * max(1.0, high)
    assert len(set(scale.labels)) == len(scale.labels)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("value", [0.9388565, 0.000123, 42.0, 123456.7])
def test_one_value_is_in_the_middle_of_a_scale_with_short_labels(value: float, across: bool) -> None:
    scale = scale_for(value, value, 60 if across else 14, across=across)
    assert scale.cells / 4 < scale.at(value) < scale.cells * 3 / 4
    assert scale.per_cell > value / 10_000
    assert len(scale.ticks) >= 2 and len(set(scale.labels)) == len(scale.labels)


def test_scale_of_close_values_does_not_start_at_zero() -> None:
    scale = scale_for(0.86, 0.99, 12)
    assert 0.7 < scale.low <= 0.86
    assert scale.high >= 0.985


def chart(kind: str, count: int = 10) -> ChartData:
    view = ViewState(canned.plan(), UiConfig())
    view.run_view.apply(canned.hello(done=count))
    return chart_data(view, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("kind", ["bars", "box", "ecdf", "scatter"])
@pytest.mark.parametrize(("width", "height"), [(16, 6), (40, 10), (56, 15), (96, 30), (190, 40)])
def test_chart_has_exactly_its_size(kind: str, log: bool, width: int, height: int) -> None:
    lines = draw(dataclasses.replace(chart(kind), log=log), width, height)
    assert len(lines) == height
    assert all(width_of(line) == width for line in lines)
    assert not any("\x1b" in text for line in lines for text, _ in line)


def test_bars_have_their_backend_colour_and_its_tint_for_the_ends() -> None:
    lines = draw(chart("bars"), 56, 15)
    roles = {role for line in lines for text, role in line if "█" in text}
    assert {"s1", "s2", "s3", "t1", "t2", "t3"} <= roles
    assert all(word in text_of(lines) for word in ("median", "min", "mean", "max"))
    assert "llama.cpp" in text_of(lines)
    assert "Ollama" not in text_of(lines)


def test_bars_of_many_backends_are_those_of_their_medians() -> None:
    spread = next(s.spread for s in chart("bars").series if s.spread is not None)
    series = tuple(Series(n, f"{n}", spread) for n in range(9))
    text = text_of(draw(ChartData("bars", "latency", series, 10), 34, 12))
    assert "median, no room for the others" in text


def test_changed_median_reuses_the_cached_bars() -> None:
    data = chart("bars")
    draw(data, 60, 16)
    before = bar_body.cache_info()
    spreads = [s.spread for s in data.series if s.spread is not None]
    nudged = [dataclasses.replace(s, spread=msgspec.structs.replace(s.spread, median=s.spread.median * 1.0001))
              for s in data.series if s.spread is not None]  # fmt: skip
    lines = text_of(draw(dataclasses.replace(data, series=tuple(nudged)), 60, 16))
    after = bar_body.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    assert all(data.figure(spread.median * 1.0001) in lines for spread in spreads)


@pytest.mark.parametrize("start", range(0, 9))
def test_overlay_replaces_as_many_cells_as_it_has(start: int) -> None:
    line: Line = (("ab", "dim"), ("cdef", ""), ("g    ", "s1"))
    over = overlay(line, start, ("XY", "strong"))
    text = "abcdefg    "
    assert "".join(t for t, _ in over) == text[:start] + "XY" + text[start + 2 :]
    assert ("XY", "strong") in over


def test_scatter_has_one_shape_for_each_backend() -> None:
    lines = draw(chart("scatter"), 56, 15)
    body = text_of(lines[:-1])
    assert all(mark in body for mark in "●+×")
    assert "iteration" in body


@pytest.mark.parametrize(("width", "shapes"), [(60, True), (24, False)])
def test_scatter_shows_each_of_several_equal_backends(width: int, shapes: bool) -> None:
    data = chart("scatter")
    same = data.series[0].points
    lines = draw(
        dataclasses.replace(data, series=tuple(dataclasses.replace(s, points=same) for s in data.series[:2])), width, 16
    )
    plot = [span for line in lines[:-2] for span in line]
    seen = {mark: sum(text.count(mark) for text, role in plot if role == f"s{n}") for n, mark in enumerate("●+", 1)}
    assert set(seen.values()) == ({len(same)} if shapes else {0})
    dots = sum(bin(ord(c) - 0x2800).count("1") for text, _ in plot for c in text if 0x2800 < ord(c) < 0x2900)
    assert dots == (0 if shapes else 2 * len(same))
    assert ("white: several" in text_of(lines)) is not shapes


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("width", [38, 56, 96])
def test_every_bar_has_a_name(count: int, width: int) -> None:
    spread = next(s.spread for s in chart("bars").series if s.spread is not None)
    names = [f"{letter} framework" for letter in "ABCDEFGHI"[:count]]
    series = tuple(Series(n, name, spread) for n, name in enumerate(names))
    lines = draw(ChartData("bars", "latency", series, 10), width, 16)
    text = text_of(lines[-2:-1])
    # Without room for four cells of a name it is the number of its panel.
    assert [c for c in text if c.isupper() or c.isdigit()] in (
        [name[0] for name in names],
        [str(n) for n in range(1, count + 1)],
    )


@pytest.mark.parametrize("height", [8, 10, 11, 12, 20])
def test_boxes_without_room_are_counted(height: int) -> None:
    data = chart("box")
    (first, *_) = [s for s in data.series if s.box is not None]
    nine = tuple(dataclasses.replace(first, index=n, name=f"{'ABCDEFGHI'[n]} framework") for n in range(9))
    text = text_of(draw(dataclasses.replace(data, series=nine), 76, height))
    drawn = sum(f"{letter} framework" in text for letter in "ABCDEFGHI")
    assert drawn == 9 or f"+{9 - drawn} more: no room" in text


@pytest.mark.parametrize("width", [30, 36, 38, 54, 56, 76, 96])
@pytest.mark.parametrize("count", [1, 5, 9])
def test_legend_names_all_backends(count: int, width: int) -> None:
    spread = next(s.spread for s in chart("scatter").series if s.spread is not None)
    series = tuple(Series(n, f"{'ABCDEFGHI'[n]} framework", spread) for n in range(count))
    line, spots = legend(ChartData("scatter", "latency", series, 10), width)
    text = text_of([line])
    assert width_of(line) == width and [index for *_, index in spots] == list(range(count))
    for start, end, index in spots:
        entry = text[start:end]
        assert end <= width
        assert entry[0] == "●+×◆▲■◇△▽"[index] and entry[1:].strip().startswith(("ABCDEFGHI"[index], str(index + 1)))


def test_short_names_leave_room_to_long_ones_in_the_legend() -> None:
    spread = next(s.spread for s in chart("scatter").series if s.spread is not None)
    names = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota")
    series = tuple(Series(n, name, spread) for n, name in enumerate(names))
    assert "▲ epsilon  ■ zeta" in text_of([legend(ChartData("scatter", "latency", series, 10), 80)[0]])


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_labels_of_few_rows_are_short(rows: int) -> None:
    for scale in (scale_for(0.1143828, 0.2814314, rows), log_scale_for([0.1143828, 5.2814314], rows)):
        assert len(scale.labels) == rows and all(len(label) <= 5 for label in scale.labels), scale.labels


def test_names_that_are_cut_to_the_same_text_are_numbers() -> None:
    spread = next(s.spread for s in chart("scatter").series if s.spread is not None)
    series = tuple(Series(n, f"vLLM 0.11 (node {n})", spread) for n in range(9))
    line, _ = legend(ChartData("scatter", "latency", series, 10), 72)
    assert "● 1 + 2 × 3" in text_of([line])
    assert "● vL" in text_of([legend(ChartData("scatter", "latency", series[:3], 10), 90)[0]])


def test_chart_accepts_infinite_and_missing_values() -> None:
    view = ViewState(canned.plan(), UiConfig())
    view.run_view.apply(canned.hello(done=1))
    for n, value in enumerate((float("inf"), None, float("nan"), 1.0, 0.0)):
        view.run_view.apply(IterationDone(iteration=canned.iteration("llama.cpp", n + 2, latency_s=value)))
    for kind in ("bars", "box", "ecdf", "scatter"):
        shown = chart_data(view, kind)
        assert len(draw(shown, 40, 12)) == len(draw(dataclasses.replace(shown, log=True), 40, 12)) == 12
    assert [place for place, _ in chart_data(view, "scatter").series[0].points] == [0, 4], "a latency cannot be 0"


def test_box_shows_quartiles_whiskers_and_median() -> None:
    view = ViewState(canned.plan(), UiConfig(), hidden={"mistral.rs", "HuggingFace"})
    view.run_view.apply(canned.hello(done=10))
    shown = text_of(draw(chart_data(view, "box"), 60, 14))
    assert all(sign in shown for sign in "┌┐├┤└┘┃")
    assert "0.933" in shown
    assert "● llama.cpp" in shown
    assert "latency in s" in shown
    with_outlier = canned.iteration("llama.cpp", 11, latency_s=1.5)
    view.run_view.apply(IterationDone(iteration=with_outlier))
    row = next(line for line in text_of(draw(chart_data(view, "box"), 60, 14)).split("\n") if "● llama.cpp" in line)
    assert row.count("●") == 3


def test_ecdf_climbs_from_0_to_100_percent() -> None:
    lines = draw(chart("ecdf"), 60, 16)
    shown = text_of(lines)
    assert all(f"{share}%" in shown for share in (0, 20, 40, 60, 80, 100))
    for mark in "●+×":
        rows = [n for n, line in enumerate(lines[:-4]) if mark in "".join(t for t, _ in line)]
        assert rows == list(range(1, 12))
    many = thinned([n / 1000 for n in range(100_000)], 201)
    assert (len(many), many[0], many[-1], many[100]) == (201, 0.0, 99.999, 50.0)


@pytest.mark.parametrize(("low", "high"), [(0.0003, 0.004), (0.9, 12.0), (7.0, 7.1), (0.1, 90_000.0)])
@pytest.mark.parametrize(("cells", "across"), [(4, False), (12, False), (40, False), (40, True), (180, True)])
def test_log_scale_has_its_values_between_round_ticks(low: float, high: float, cells: int, across: bool) -> None:
    scale = log_scale_for([low, high], cells, across=across)
    assert scale.low <= low * (1 + 1e-6)
    assert scale.high >= high * (1 - 1e-6)
    assert (scale.cell(scale.low), scale.cell(scale.high), scale.cell(0.0)) == (0, cells - 1, 0)
    assert len(set(scale.labels)) == len(scale.labels) >= 2
    assert scale.value(scale.at(high)) == pytest.approx(high)


@pytest.mark.parametrize(
    ("medians", "apart"),
    [
        ([1.0, 9.9], False),
        ([1.0, 10.0], True),
        ([1.0, 1.2, 12.0], True),
        ([0.1, 1.0, 1.3], True),
        ([1.0, 4.0, 11.0], False),
        ([5.0], False),
    ],
)
def test_chart_is_logarithmic_if_one_backend_is_far_from_the_rest(medians: list[float], apart: bool) -> None:
    assert one_stands_apart(medians) is apart


def test_scale_is_automatic_until_the_user_chooses() -> None:
    view = ViewState(canned.plan(), UiConfig())
    view.run_view.apply(canned.hello(done=3))
    assert not chart_data(view, "bars").log
    for n in range(4, 12):
        view.run_view.apply(IterationDone(iteration=canned.iteration("HuggingFace", n, latency_s=30.0)))
    assert chart_data(view, "bars").log
    assert chart_data(view, "scatter").title == "latency per iteration in s, log scale"
    zoomed = dataclasses.replace(chart_data(view, "scatter"), window=(0, 15))
    assert zoomed.title == "latency per iteration in s, iterations 1 to 15, log scale"
    view.toggle_scale()
    assert not chart_data(view, "bars").log
    view.toggle_scale()
    assert view.forced_log is None
    view.hidden.add("HuggingFace")
    assert not chart_data(view, "bars").log


def test_hidden_backend_stays_clickable_in_the_legend() -> None:
    view = ViewState(canned.plan(), UiConfig(), hidden={"mistral.rs"})
    view.run_view.apply(canned.hello(done=3))
    line, spots = legend(chart_data(view, "scatter"), 80)
    text = text_of([line])
    assert [(text[start], index) for start, _, index in spots] == [("●", 0), ("╌", 1), ("×", 2)]
    assert all(text[start:end].strip() for start, end, _ in spots)


def test_marks_and_colours_of_many_backends_differ() -> None:
    for ascii_only in (False, True):
        marks = [shape(n, ascii_only) for n in range(32)]
        assert len(set(marks)) == 32 and all(cell_len(mark) == 1 for mark in marks)
    assert all(series_role(n) != series_role(n + 9) for n in range(30))
    assert [series_role(n, TINTS)[1:] for n in range(20)] == [series_role(n)[1:] for n in range(20)]


def test_next_chart_cycles_through_the_kinds() -> None:
    view = ViewState(canned.plan(), UiConfig())
    assert view.chart_kind == "scatter"
    for kind in ("bars", "box", "ecdf", "scatter", "bars"):
        view.next_chart()
        assert view.chart_kind == kind
    view.layout = layout_for(120, 40, 5)
    for kind in ("box", "ecdf", "bars"):
        view.next_chart()
        assert view.statistics_kind == kind


def test_empty_chart_shows_a_hint() -> None:
    assert "iterations appear here" in text_of(draw(ChartData("bars", "latency", (Series(0, "a"),), 10), 50, 10))
    assert "x shows one" in text_of(draw(ChartData("bars", "latency", (), 10), 50, 10))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("kind", ["bars", "box", "ecdf", "scatter"])
@pytest.mark.parametrize("count", [10, pytest.param(60, marks=pytest.mark.slow), 400])
def test_ascii_has_a_sign_for_every_cell(kind: str, log: bool, count: int) -> None:
    data = dataclasses.replace(chart(kind, count), log=log, ascii_only=True)
    text = text_of([to_ascii(line) for line in draw(data, 56, 15)])
    assert text.isascii() and "?" not in text


# --- Keys and clicks ---


async def test_keys_change_the_kind_and_the_scale_of_charts() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "c Chart" in screen_text(app)
        for title in ("box plot", "share of iterations (ECDF)", "baseline stats"):
            await pilot.press("c")
            await settle(pilot)
            assert f"{title}, latency in s" in screen_text(app)
            assert "latency per iteration in s" in screen_text(app)
        await pilot.press("y")
        await settle(pilot)
        assert "baseline stats, latency in s, log scale" in screen_text(app)
        assert "latency per iteration in s, log scale" in screen_text(app)
        await pilot.press("y")
        await settle(pilot)
        assert "log scale" not in screen_text(app)


async def test_keys_show_a_range_of_iterations() -> None:
    link = FakeLink(canned.hello(canned.plan(iterations=64), done=64))
    app = make(link, canned.plan(iterations=64))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("c")
        for keys, title in (
            ("[", "1 to 32"),
            ("]", "17 to 32"),
            ("]", "25 to 32"),
            ("[", "25 to 28"),
            ("[", "25 to 28"),
        ):
            await pilot.press("left_square_bracket" if keys == "[" else "right_square_bracket")
            await settle(pilot)
            assert f"latency per iteration in s, iterations {title}" in screen_text(app)
        await pilot.press("equals_sign")
        await settle(pilot)
        assert "latency per iteration in s" in screen_text(app) and "iterations 25" not in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_click_in_the_legend_hides_and_shows_a_backend(size: tuple[int, int]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        for hidden in ({"mistral.rs"}, set()):
            rows = screen_text(app).split("\n")
            y = max(n for n, row in enumerate(rows) if "llama.cpp" in row and "HuggingFace" in row and n < size[1] - 3)
            assert await pilot.click(offset=(rows[y].rindex("mistral.rs") + 2, y))
            await settle(pilot)
            assert app.view.hidden == hidden
            series = app.query_one("#scatter", ChartView).chart
            assert isinstance(series, ChartData)
            assert ("mistral.rs" in [s.name for s in series.series]) is not bool(hidden)
