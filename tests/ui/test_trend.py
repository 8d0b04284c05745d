"""The trend page: a backend over the runs of the history, read when nothing is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from llmtui.model import Power, RunChanged, RunState
from llmtui.stats.run_series import series_of
from llmtui.store.rows import StoredRun
from llmtui.ui.app import MonitorApp
from llmtui.ui.charts.trend import CHANGE, SHIFT, draw_trend
from llmtui.ui.screens.trend import TrendLines
from llmtui.ui.text.spans import Line, width_of
from llmtui.ui.trends import Asked, Shown, TrendSource
from tests.cli.histories import add, add_load
from tests.store.runs import database
from tests.ui import canned_run as canned
from tests.ui import canned_trend
from tests.ui.canned_run import FakeLink
from tests.ui.past_runs import monitor, stored_run
from tests.ui.pilot import make, screen_text, settle, trend_read


def text(line: Line) -> str:
    return "".join(part for part, _ in line)


def asked(backend: str = "a", run: str = "", level: str = "", finished: int = 0) -> Asked:
    return Asked(backend, run, level, "latency", finished)


def read(file: Path, *what: Asked) -> list[Shown]:
    source = TrendSource(str(file))
    try:
        return [source(each, lambda: False) for each in what]
    finally:
        source.close()


async def press(app: MonitorApp, pilot: Pilot[None], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)
        await trend_read(app, pilot)
    return screen_text(app)


# --- What is read. ---


def test_an_empty_history_and_one_without_the_backend_say_so(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    assert read(file, asked()) == [Shown(problem="the history is empty")]
    add(file, "aaaa0001", {"b\x1b[31m": 0.5})
    assert read(file, asked()) == [Shown(problem="no run in the history can be read")]
    add(file, "aaaa0002", {"b": 0.5})
    assert read(file, asked()) == [Shown(names=("b",), problem="no run that has ended has samples of a")]


def test_one_run_and_a_run_that_the_history_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5, "b": 0.6})
    one, unknown, level = read(file, asked(run="aaaa0001"), asked(run="ffff0001"), asked(level="8 streams"))
    assert one.series is not None and [point.run for point in one.series.points] == ["aaaa0001"]
    assert one.names == ("a", "b") and unknown.series == one.series
    assert level.problem == "no run that has ended has samples of a at 8 streams"


def test_a_history_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with database(file) as connection:
        connection.execute("CREATE TABLE other (a)")
    (shown,) = read(file, asked())
    assert "is a database of another program" in shown.problem


def test_runs_are_read_again_only_if_they_may_have_changed(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5})
    source = TrendSource(str(file))
    before = source(asked(), lambda: False)
    add(file, "aaaa0002", {"a": 0.5})
    same = source(Asked("a", "", "", "ttft", 0), lambda: False)
    after = source(asked(finished=1), lambda: False)
    source.close()
    assert [len(each.series.points) for each in (before, same, after) if each.series] == [1, 1, 2]


# --- The chart. ---


@pytest.mark.parametrize("count", [1, 2, 3, 24, 50, 200])
@pytest.mark.parametrize("size", [(38, 8), (78, 11), (118, 21), (198, 24)])
def test_every_run_with_a_column_has_a_mark_at_its_height(count: int, size: tuple[int, int]) -> None:
    series = series_of(canned_trend.points(count), "llama.cpp", "latency")
    lines = draw_trend(series, "s1", *size)
    assert len(lines) == size[1] and {width_of(line) for line in lines} == {size[0]}
    rows = [text(line) for line in lines]
    marks = {x: y for y, row in enumerate(rows[:-4]) for x, sign in enumerate(row) if sign in "●○"}
    shown = min(count, len(marks))
    if count <= 24 and size[0] > 60:
        assert shown == count
    else:
        assert f"newest {shown} of {count}" in rows[-1] or shown == count
    # A higher median is never below a lower one.
    medians = [point.median for point in series.points[-shown:]]
    heights = [-y for _, y in sorted(marks.items())]
    ranked = [height for _, height in sorted(zip(medians, heights, strict=True))]
    assert ranked == sorted(ranked)
    signs = [x for x, sign in enumerate(rows[-2]) if sign in SHIFT + CHANGE]
    changed = [place for place, point in enumerate(series.points[-shown:]) if point.changes]
    columns = sorted(marks)
    assert {columns[place] for place in changed} <= set(signs) <= set(columns)


# --- On the screen. ---


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_a_past_run_has_the_key_and_its_series(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "history.db"
    for number in range(1, 13):
        add(file, f"aaaa00{number:02}", {"a": 0.5 if number < 7 else 0.6, "b": 0.4})
    app = with_history(stored_run(file), file)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert "H Trend" in screen_text(app)
        shown = await press(app, pilot, "H")
        assert "trend  a: latency in s, 12 runs" in shown and "backend 1 of 2" in shown
        assert "the level shifts at run aaaa0007" in shown and SHIFT in shown and "●" in shown
        shown = await press(app, pilot, "down")
        assert "trend  b: latency" in shown and "no level shift shown" in shown and app.view.selected == "b"
        assert "trend  b: TTFT" in await press(app, pilot, "m")
        assert "trend  a: TTFT" in await press(app, pilot, "1")
        shown = await press(app, pilot, "end")
        assert "aaaa0001" in shown and "more below" not in shown
        assert "trend  a" not in await press(app, pilot, "H")
        await pilot.press("q")
    assert app.return_code == 0


def with_history(stored: StoredRun, file: Path) -> MonitorApp:
    app = monitor(stored)
    app.trends.read = TrendSource(str(file))
    return app


async def test_the_key_of_metrics_also_has_energy_where_runs_recorded_it(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    for number in range(1, 4):
        add(file, f"aaaa00{number:02}", {"a": 0.5, "b": 0.4}, power={"a": Power(meters=["card"], joules_per_token=2.0)})
    app = with_history(stored_run(file), file)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = [await press(app, pilot, key) for key in ("H", "m", "m", "m", "m", "m")]
        # These runs have no ITL: then it is the metric that counts in them.
        titles = [screen.partition("trend  a: ")[2].partition(",")[0].partition(" in ")[0] for screen in shown]
        assert titles == ["latency", "TTFT", "latency", "tokens/s", "energy per token", "latency"]
        assert "J/token" in shown[4] and "energy of card: runs with other meters" in shown[4]
        # What has no energy keeps the metric of the charts, and they never have it.
        await press(app, pilot, "m", "m", "m", "m")
        assert "trend  b: tokens/s" in await press(app, pilot, "down")
        assert "trend  b: latency" in await press(app, pilot, "m")
        assert "energy" not in await press(app, pilot, "up", "m", "m", "m", "m", "escape")
        assert app.view.metric == "tokens_per_s" and "trend  a: tokens/s" in await press(app, pilot, "H")


async def test_one_backend_of_fifty_with_names_of_any_kind(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"[red]b[/red] $x @click=app.quit": 0.5, "b 模型": 0.6, "last": 0.7})
    add(file, "aaaa0002", {f"backend {number}": 0.5 for number in range(1, 48)})
    app = with_history(stored_run(file), file)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = await press(app, pilot, "H")
        assert "trend  backend 1: latency in s, 1 run" in shown and "backend 1 of 50: up, down" in shown
        assert "1 run: a level shift needs 10 at least" in shown and "aaaa0002" in shown
        # Round to the last of the history, then to the ones before it.
        assert "trend  last: latency" in await press(app, pilot, "up")
        shown = await press(app, pilot, "up")
        assert "backend 49 of 50" in shown and "模型: latency" in shown
        assert "[red]b[/red] $x @click=app.quit: latency" in await press(app, pilot, "k")
        assert app.view.selected == "backend 1", "no backend of this run was chosen"
        await pilot.press("escape", "q")


async def test_an_empty_history_says_so_on_the_page(tmp_path: Path) -> None:
    link = FakeLink(canned.hello(done=10), canned.run_done())
    app = make(link)
    app.trends.read = TrendSource(str(tmp_path / "none.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert "the history is empty" in await press(app, pilot, "H")
        assert "backend 2 of 5" in await press(app, pilot, "down"), "the run's own are there to choose"


async def test_nothing_is_read_while_a_run_is_measured() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    questions: list[Asked] = []

    def note(asked: Asked, stopped: Callable[[], bool]) -> Shown:
        questions.append(asked)
        return canned_trend.read()(asked, stopped)

    app.trends.read = note
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        shown = await press(app, pilot, "H")
        assert "a run is being measured, and reading the history would disturb it" in shown
        await press(app, pilot, "down", "up", "m", "m", "m", "m", "m", "m")
        assert questions == []
        link.put(RunChanged(run=RunState(phase="paused", finished=27, total=39, elapsed_s=42.0)))
        await settle(pilot, link)
        await trend_read(app, pilot)
        assert "24 runs" in screen_text(app) and len(questions) == 1
        # What was read stays while the run goes on; another backend waits.
        link.put(RunChanged(run=RunState(phase="running", finished=28, total=39, elapsed_s=43.0)))
        await settle(pilot, link)
        assert "24 runs" in screen_text(app)
        assert "a run is being measured" in await press(app, pilot, "down") and len(questions) == 1
        link.put(canned.run_done())
        await settle(pilot, link)
        await trend_read(app, pilot)
        assert [each.backend for each in questions] == ["llama.cpp", "mistral.rs"]


async def test_a_quick_hand_reads_the_last_backend_and_leaving_stops_the_reading() -> None:
    link = FakeLink(canned.hello(done=10), canned.run_done())
    app = make(link)
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    questions: list[str] = []

    def slow(asked: Asked, stopped: Callable[[], bool]) -> Shown:
        questions.append(asked.backend)
        began.set()
        while not go_on.wait(0.1):
            if stopped():
                ended.set()
                break
        return canned_trend.read()(asked, stopped)

    app.trends.read = slow
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("H")
        await settle(pilot)
        assert "reading the history..." in screen_text(app)
        assert began.wait(30)
        await pilot.press("down", "down", "up")
        go_on.set()
        await trend_read(app, pilot)
        assert questions == ["llama.cpp", "mistral.rs"] and "trend  mistral.rs: latency in s, 24 runs" in screen_text(
            app
        )
        go_on.clear()
        began.clear()
        await pilot.press("up")
        await settle(pilot)
        assert began.wait(30)
    assert ended.wait(30)


async def test_the_keys_of_levels_choose_the_level_of_a_load(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    for number in range(1, 4):
        add_load(file, number, {1: 80.0, 8: 400.0})
    app = with_history(stored_run(file), file)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "trend  a at 8 streams: output tokens/s, 3 runs" in await press(app, pilot, "H")
        shown = await press(app, pilot, "less_than_sign")
        assert "trend  a at 1 stream: output tokens/s, 3 runs" in shown and "> Level" in shown


async def test_a_monitor_without_the_history_says_where_to_look() -> None:
    link = FakeLink(canned.hello(done=10), canned.run_done())
    app = make(link, canned.plan())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert "llmtui trend BACKEND" in await press(app, pilot, "H")


async def test_pages_scroll_the_runs_and_count_what_is_below() -> None:
    link = FakeLink(canned.hello(done=10), canned.run_done())
    app = make(link)
    app.trends.read = canned_trend.read()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        first = await press(app, pilot, "H")
        assert "more below: page down" in first and "the level shifts" in first
        shown = await press(app, pilot, "pagedown")
        assert "the level shifts at run" not in shown
        assert await press(app, pilot, "home") == first
        body = app.screen.query_one(TrendLines)
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert (f"{body.below} more below" in screen_text(app)) == (body.below > 0)
