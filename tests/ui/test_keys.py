from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import (
    Pause,
    Rerun,
    Resume,
    RunChanged,
    RunState,
    Shutdown,
    Stop,
)
from llmtui.ui.actions.registry import BY_ID, COMMANDS
from llmtui.ui.app import MonitorApp
from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.screens.help import HelpScreen
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.panel import Panel
from llmtui.ui.widgets.table import SummaryTable
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

# --- Keys ---


async def test_keys_act_on_the_selected_backend() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("2", "s")
        await pilot.press("5", "r")
        await pilot.press("space")
        await settle(pilot)
        assert link.sent == [Stop(backend="mistral.rs"), Rerun(backend="Ollama"), Pause()]
        link.put(RunChanged(run=RunState(phase="paused", finished=27, total=39)))
        await settle(pilot, link)
        assert "paused" in screen_text(app)
        assert "Resume" in screen_text(app)
        await pilot.press("space")
        await settle(pilot)
        assert link.sent[-1] == Resume()


async def test_a_key_that_does_not_apply_says_why_and_sends_nothing() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("1", "r", "R", "5", "s")
        await settle(pilot)
        assert link.sent == []
        said = [n.message for n in app._notifications]
        assert "llama.cpp is still running: stop it first" in said
        assert "the run is still in progress" in said


async def test_a_repeated_toast_is_shown_once() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        for _ in range(3):
            await pilot.press("R")
        await settle(pilot)
        assert [n.message for n in app._notifications] == ["the run is still in progress"]


async def test_the_chart_key_replaces_the_table_by_the_charts() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        chart = app.view.chart_kind
        await pilot.press("T")
        await settle(pilot)
        assert "vs best" in screen_text(app)
        await pilot.press("c")
        await settle(pilot)
        assert "vs best" not in screen_text(app) and "per iteration" in screen_text(app)
        assert app.view.chart_kind == chart


async def test_rerun_all_when_all_are_done() -> None:
    link = FakeLink(canned.hello(done=10, running=False))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("R")
        await settle(pilot)
        assert link.sent == [Rerun()]


async def test_the_focus_moves_by_tab_arrows_and_click() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert app.view.selected == "llama.cpp"
        await pilot.press("tab")
        await settle(pilot)
        assert app.view.selected == "mistral.rs"
        await pilot.press("right")
        await settle(pilot)
        assert app.view.selected == "HuggingFace"
        await pilot.press("left", "left", "left")
        await settle(pilot)
        assert app.view.selected == "Ollama"
        await pilot.click("#panels", offset=(30, 5))
        await settle(pilot)
        assert app.view.selected == "mistral.rs"
        assert "┏ 2 + mistral.rs" in screen_text(app)


async def test_hiding_a_backend_rescales_the_charts() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        before = app.query_one("#scatter", ChartView).chart
        await pilot.press("3", "x")
        await settle(pilot)
        after = app.query_one("#scatter", ChartView).chart
        assert isinstance(before, ChartData) and isinstance(after, ChartData)
        assert [s.name for s in before.series][:3] == ["llama.cpp", "mistral.rs", "HuggingFace"]
        assert "HuggingFace" not in [s.name for s in after.series]
        axis = [row[60:68] for row in screen_text(app).split("\n")[16:30]]
        assert not any("3" in label for label in axis)
        assert "Show" in screen_text(app)
        await pilot.press("x")
        await settle(pilot)
        assert app.query_one("#scatter", ChartView).chart == before


async def test_the_metric_key_changes_charts_panels_and_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        for title in ("TTFT in s", "ITL in ms", "tokens/s", "latency in s"):
            await pilot.press("m")
            await settle(pilot)
            assert f"baseline stats, {title}" in screen_text(app)


async def test_other_keys_can_be_configured() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, keys={"stop": "k"})
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("s")
        await settle(pilot)
        assert link.sent == []
        await pilot.press("k")
        await settle(pilot)
        assert link.sent == [Stop(backend="llama.cpp")]
        assert " k Stop" in screen_text(app)


async def test_a_click_on_the_footer_runs_the_command() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        x = screen_text(app).split("\n")[-1].index("Pause")
        await pilot.click("#footer", offset=(x, 0))
        await settle(pilot)
        assert link.sent == [Pause()]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 5), (80, 24), (120, 70)])
async def test_help_lists_every_command(size: tuple[int, int]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        await pilot.press("question_mark")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        if size[1] >= 40:
            assert all(command.help in screen_text(app) for command in COMMANDS if not command.load)
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(app.screen, HelpScreen)


async def test_the_theme_key_cycles() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, theme="dark")
    async with app.run_test(size=(80, 24)) as pilot:
        seen = []
        for _ in range(4):
            seen.append(app.theme)
            await pilot.press("t")
            await settle(pilot)
        assert seen == ["llmtui-dark", "llmtui-light", "llmtui-ansi", "llmtui-dark"]


async def test_an_unknown_theme_is_reported() -> None:
    app = make(FakeLink(canned.hello(done=6)), theme="neon")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert any('no theme "neon"' in n.message for n in app._notifications)


@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
async def test_states_and_series_differ_without_colour(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    link = FakeLink(canned.hello(done=6))
    app = make(link, theme=theme)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        shown = screen_text(app)
        for sign in ("► running", "○ not reachable", "○ missing", "● llama.cpp", "+ mistral.rs", "× HuggingFace"):
            assert sign in shown


async def test_the_screen_is_ascii_on_request() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, marker="ascii")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert screen_text(app).isascii()


# --- Quitting ---


async def test_quit_asks_first_and_shuts_the_engine_down() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("q")
        await settle(pilot)
        assert link.sent == []
        assert app.is_running
        assert any("q again" in n.message for n in app._notifications)
        await pilot.press("ctrl+c")
        await settle(pilot)
    assert link.sent == [Shutdown()]
    assert link.closed


async def test_quitting_a_run_that_is_done_asks_nothing() -> None:
    link = FakeLink(canned.hello(done=10, running=False), canned.run_done())
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert "done" in screen_text(app)
        await pilot.press("q")
        await settle(pilot)
    assert link.sent == [Shutdown()]


# --- Export ---


async def test_export_writes_a_new_file_and_shows_where(tmp_path: Path) -> None:
    link = FakeLink(canned.hello(done=6))
    app = MonitorApp(canned.plan(), link, ui=UiConfig(), export_dir=tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("e", "e")
        await settle(pilot)
        files = sorted(Path(tmp_path, name) for name in os.listdir(tmp_path))
        assert len(files) == 2
        assert all(f.name.startswith("llmtui-results-") and f.suffix == ".csv" for f in files)
        rows = list(csv.DictReader(io.StringIO(files[0].read_text())))
        assert [row["backend"] for row in rows][:2] == ["llama.cpp", "mistral.rs"]
        assert any(str(tmp_path) in n.message for n in app._notifications)


async def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    await _export_into(tmp_path / "gone", "no such folder")


async def _export_into(folder: Path, words: str) -> None:
    link = FakeLink(canned.hello(done=6))
    app = MonitorApp(canned.plan(), link, ui=UiConfig(), export_dir=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("e")
        await settle(pilot)
        assert any("cannot export" in n.message and words in n.message for n in app._notifications)


# --- The mouse does what keys do ---


async def test_a_double_click_on_a_panel_opens_the_details() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.click("#panels", offset=(30, 5), times=2)
        await settle(pilot)
        assert isinstance(app.screen, DetailsScreen)
        assert app.view.selected == "mistral.rs"


async def test_a_click_on_the_help_runs_the_command() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.click("#footer", offset=(screen_text(app).split("\n")[-1].index("Help"), 0))
        await settle(pilot)
        y = next(n for n, row in enumerate(screen_text(app).split("\n")) if BY_ID["metric"].help in row)
        await pilot.click(offset=(40, y))
        await settle(pilot)
        assert not isinstance(app.screen, HelpScreen)
        assert app.view.metric == "ttft"


async def test_tab_reaches_the_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert app.query_one(Panel).has_focus
        await pilot.press("shift+tab")
        await settle(pilot)
        assert app.query_one(SummaryTable).has_focus
        assert app.view.selected == "llama.cpp"
        await pilot.press("end")
        await settle(pilot)
        assert app.view.selected == "Ollama"
        await pilot.press("shift+tab")
        await settle(pilot)
        assert not app.query_one(SummaryTable).has_focus
        assert app.view.selected == "Ollama"


@pytest.mark.parametrize("keys", [["o", "shift+tab"], ["L"], ["h"]])
async def test_unchanged_data_draws_nothing_whatever_is_shown(keys: list[str]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        app.view.now = lambda: 1000.0
        app.view.run_changed()
        await pilot.press(*keys)
        await settle(pilot)
        app.main.show_all()
        await settle(pilot)
        painted: list[str | None] = []

        def watch(widget: Lines) -> None:
            def refresh(*_: object, **__: object) -> Lines:
                painted.append(widget.id)
                return widget

            widget.refresh = refresh  # type: ignore[method-assign]

        for widget in app.screen.query(Lines):
            watch(widget)
        for _ in range(5):
            app.main.show_all()
            app.session.tick()
            await settle(pilot)
        assert painted == []
