"""How much is painted, and how often: over a slow line every byte takes time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.pilot import Pilot
from textual.widgets import Input

from llmtui.model import IterationDone
from llmtui.runview.run import RunView
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.help import HelpScreen, Sheet
from llmtui.ui.screens.run import topmost_opaque
from llmtui.ui.widgets.chart import ChartView
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def still(link: FakeLink, **options: str) -> MonitorApp:
    """A monitor with a stopped clock."""
    app = make(link, None, **options)
    app.view.now = lambda: 1000.0
    app.view.run_changed()
    return app


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of what is painted, in characters without colours."""
    sizes: list[int] = []
    real = Compositor.render_update

    def recorded(compositor: Compositor, *args: object, **kwargs: object) -> object:
        update = real(compositor, *args, **kwargs)  # type: ignore[arg-type]
        if isinstance(update, LayoutUpdate):
            sizes.append(sum(strip.cell_length for line in update.strips for strip in line))
        elif isinstance(update, ChopsUpdate):
            sizes.append(sum(end - start for _, start, end in update.spans))
        return update

    monkeypatch.setattr(Compositor, "render_update", recorded)
    yield sizes


async def test_a_new_theme_is_painted_once(painted: list[int]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link, theme="dark")
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        for _ in range(3):
            painted.clear()
            await press(pilot, "t")
            assert painted == [80 * 24]


@pytest.mark.parametrize("key", ["enter", "L", "v", "question_mark"])
async def test_a_prebuilt_screen_is_painted_once(key: str, painted: list[int]) -> None:
    """Each in an app of its own: what a screen before it has left to paint would be counted too."""
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        await app.overlays.build_ahead(pause_s=0.0)
        await settle(pilot)
        painted.clear()
        await press(pilot, key)
        assert painted[0] == 80 * 24
        # The focus may be painted a little later.
        assert sum(painted[1:]) <= 2 * 80


async def test_the_export_dialog_is_opaque_and_nothing_is_painted_behind_it(
    painted: list[int],
) -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        await press(pilot, "E")
        assert "llama.cpp" not in screen_text(app)
        assert topmost_opaque(app.screen_stack) is app.screen
        assert not any(field.cursor_blink for field in app.screen.query(Input))
        draws = [chart.draws for chart in app.main.query(ChartView)]
        painted.clear()
        for number in (7, 8, 9):
            link.put(IterationDone(iteration=canned.iteration("llama.cpp", number)))
            await settle(pilot, link)
            app.session.tick()
        assert painted == []
        assert [chart.draws for chart in app.main.query(ChartView)] == draws
        await press(pilot, "escape")
        await settle(pilot)
        assert "9/10" in screen_text(app)


# --- Rows below ---


@pytest.mark.parametrize("size", [(40, 12), (80, 24)])
async def test_the_help_counts_the_rows_below(size: tuple[int, int]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=size, notifications=False) as pilot:
        await settle(pilot, link)
        for _ in range(2):
            await press(pilot, "question_mark")
            sheet = app.screen.query_one(Sheet)
            below = sheet.virtual_size.height - (size[1] - 2)
            assert below > 0
            assert f"{below} more below, esc closes" in screen_text(app)
            await press(pilot, "down")
            assert f"{below - 1} more below" in screen_text(app)
            await press(pilot, "end")
            assert "more below" not in screen_text(app) and "esc closes" in screen_text(app)
            await press(pilot, "escape")


async def test_a_help_that_fits_counts_no_rows_below() -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(120, 70), notifications=False) as pilot:
        await settle(pilot, link)
        await press(pilot, "question_mark")
        assert "more below" not in screen_text(app)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen) and "more below" in screen_text(app)


# --- Random keys ---

_KEYS = [c.key for c in COMMANDS if c.id not in ("quit", "detach", "export")] + [
    *("1", "2", "3", "5", "tab", "shift+tab", "up", "down", "end", "home", "pagedown", "escape", "escape"),
]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
async def test_random_keys_do_not_end_the_monitor(seed: int, tmp_path: Path) -> None:
    """Keys before the engine is connected, while screens are built, between resizes and events."""
    rng = random.Random(seed)
    link = FakeLink(canned.hello(done=0))
    app = make(link)
    app.export_dir = tmp_path
    sizes = [(80, 24), (120, 40), (40, 12), (20, 5), (200, 50)]
    async with app.run_test(size=rng.choice(sizes)) as pilot:
        app.run_worker(app.overlays.build_ahead(pause_s=0.0), exit_on_error=True)
        for step in range(200 if seed else 60):
            key = rng.choice(_KEYS)
            # Mostly without waiting for its effect.
            app.simulate_key(key)
            match rng.randrange(12):
                case 0:
                    await settle(pilot, link)
                case 1 | 2:
                    await pilot.pause()
                case 3:
                    await pilot.resize_terminal(*rng.choice(sizes))
                case 4:
                    link.put(IterationDone(iteration=canned.iteration("llama.cpp", step)))
                case 5:
                    app.theme = rng.choice(["llmtui-dark", "llmtui-light", "llmtui-ansi"])
                case 6:
                    app.main.paint()
            assert app.is_running
        if seed % 2:
            await settle(pilot, link)
        app.session.end()
        await settle(pilot)
    assert link.closed


def test_one_round_is_too_few() -> None:
    run_view = RunView(canned.plan())
    run_view.apply(canned.hello(done=1))
    assert run_view.verdict().line == "no verdict yet: needs 8 rounds"
    assert all(s.endswith("no verdict: 1 round is too few") for s in run_view.verdict().sentences)
