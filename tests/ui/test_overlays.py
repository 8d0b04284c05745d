"""Overlay screens are built once and look new each time; keys are painted without delay."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import get_args

import pytest
from rich.style import Style
from textual import constants
from textual._compositor import Compositor
from textual.events import Key
from textual.message import Message
from textual.pilot import Pilot

from llmtui.model import BackendChanged, IterationDone, LogTail
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens import run as run_screen
from llmtui.ui.screens.detail_parts import ServerLog
from llmtui.ui.screens.prebuilt import OverlayName
from llmtui.ui.terminal import Terminal
from llmtui.ui.text.spans import SERIES, Line
from llmtui.ui.throttle import Throttle
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.iterations import Iterations
from llmtui.ui.widgets.painted import LOOKS, joined
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

OPENED_BY = ["enter", "L", "v", "question_mark"]


def still(link: FakeLink, **options: str) -> MonitorApp:
    """A monitor with a stopped clock."""
    app = make(link, None, **options)
    app.view.now = lambda: 1000.0
    app.view.run_changed()
    return app


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def cells(app: MonitorApp) -> list[list[tuple[str, Style | None]]]:
    """The screen with its colours."""
    return [[(s.text, s.style) for s in strip.simplify()] for strip in app.screen._compositor.render_strips()]


async def opened(key: str, size: tuple[int, int], **options: str) -> list[list[tuple[str, Style | None]]]:
    """The screen of a new monitor after this key."""
    link = FakeLink(canned.hello(done=6))
    app = still(link, **options)
    async with app.run_test(size=size, notifications=False) as pilot:
        await settle(pilot, link)
        await press(pilot, key)
        return cells(app)


# --- Built once ---


@pytest.mark.slow
@pytest.mark.parametrize("key", OPENED_BY)
async def test_a_reopened_screen_is_reused_and_looks_new(key: str) -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        await app.overlays.build_ahead(pause_s=0.0)
        await settle(pilot)
        await press(pilot, key)
        first, screen = cells(app), app.screen
        assert first == await opened(key, (80, 24))
        await press(pilot, "down", "tab", "pagedown", "end", "escape")
        assert app.screen is app.main
        await press(pilot, key)
        assert app.screen is screen
        assert cells(app) == first


async def test_reopened_details_show_another_backend() -> None:
    link = FakeLink(canned.hello(done=6), LogTail(backend="mistral.rs", lines=["loaded"]))
    app = still(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await press(pilot, "enter", "up", "up", "l")
        assert app.screen.query_one(ServerLog).display
        await press(pilot, "escape", "2")
        link.put(IterationDone(iteration=canned.iteration("mistral.rs", 7)))
        await settle(pilot, link)
        await press(pilot, "enter")
        table = app.screen.query_one(Iterations)
        assert table.has_focus
        assert table.follows
        assert table.count == 10
        assert not app.screen.query_one(ServerLog).display
        assert "2 + mistral.rs" in screen_text(app)
        assert "llama.cpp" not in screen_text(app).split("\n", 1)[1]


async def test_hidden_screens_fit_a_resized_terminal_and_take_a_new_theme() -> None:
    sizes, link = [(120, 40), (40, 12)], FakeLink(canned.hello(done=6))
    app = still(link, theme="dark")
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        for key in OPENED_BY:
            await press(pilot, key, "escape")
        await press(pilot, "t")
        seen = []
        for size in sizes:
            await pilot.resize_terminal(*size)
            await settle(pilot)
            seen.append({key: await shown_after(pilot, key) for key in OPENED_BY})
    for size, looks in zip(sizes, seen, strict=True):
        link = FakeLink(canned.hello(done=6))
        new = still(link, theme="light")
        async with new.run_test(size=size, notifications=False) as pilot:
            await settle(pilot, link)
            for key in OPENED_BY:
                assert looks[key] == await shown_after(pilot, key), key


async def shown_after(pilot: Pilot[None], key: str) -> list[list[tuple[str, Style | None]]]:
    """The screen that this key opens. It is closed again."""
    await press(pilot, key)
    assert isinstance(pilot.app, MonitorApp)
    seen = cells(pilot.app)
    await press(pilot, "escape")
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("key", OPENED_BY)
async def test_overlays_are_ascii_on_request(key: str) -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link, marker="ascii")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await press(pilot, key)
        assert screen_text(app).isascii()
        await press(pilot, "escape", key)
        assert screen_text(app).isascii()


@pytest.mark.slow
async def test_reopening_screens_leaks_nothing() -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await app.overlays.build_ahead(pause_s=0.0)
        for key in OPENED_BY:
            await press(pilot, key, "escape")
        nodes, timers = len(app._registry), sum(len(node._timers) for node in app._registry)
        for key in OPENED_BY * 5:
            await press(pilot, key, "escape")
        assert len(app._registry) == nodes
        assert sum(len(node._timers) for node in app._registry) == timers
        assert app.screen_stack == [app.main]
        assert not any(screen._result_callbacks for screen in map(app.overlays.__getitem__, get_args(OverlayName)))


async def test_hidden_screens_send_no_commands() -> None:
    plan = canned.plan()
    link = FakeLink(canned.hello(plan, done=6))
    app = still(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await app.overlays.build_ahead(pause_s=0.0)
        await press(pilot, "enter", "l", "escape")
        asked = list(link.sent)
        for number in (7, 8, 9):
            link.put(IterationDone(iteration=canned.iteration("llama.cpp", number)))
            await settle(pilot, link)
        assert link.sent == asked


async def test_charts_behind_the_help_are_drawn_when_it_closes() -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await press(pilot, "question_mark")
        draws = [chart.draws for chart in app.main.query(ChartView)]
        link.put(IterationDone(iteration=canned.iteration("llama.cpp", 7)))
        await settle(pilot, link)
        assert [chart.draws for chart in app.main.query(ChartView)] == draws
        await press(pilot, "escape")
        await settle(pilot)
        assert [chart.draws for chart in app.main.query(ChartView)] == [n + 1 for n in draws]
        assert "7/10" in screen_text(app)


# --- Keys ---


@pytest.mark.parametrize("opened_by", ["enter", "L"])
async def test_the_main_screen_shows_what_changed_below_a_page(opened_by: str) -> None:
    """Only what is out of date is drawn when the page is taken off: nothing else may be."""
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(120, 40), notifications=False) as pilot:
        await settle(pilot, link)
        await press(pilot, opened_by, "down", "t", "h", "h", "question_mark")
        link.put(IterationDone(iteration=canned.iteration("mistral.rs", 7)))
        await settle(pilot, link)
        await press(pilot, "escape", "escape")
        assert not app.view.covered and "7/10" in screen_text(app)
        shown = cells(app)
        app.main.show_all()
        await settle(pilot)
        assert cells(app) == shown


async def test_hold_is_drawn_without_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_screen, "Throttle", Throttle)
    monkeypatch.setattr(run_screen, "NUMBERS_S", 3600.0)
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        link.put(BackendChanged(backend=canned.state("llama.cpp", state="done")))
        await settle(pilot, link)
        await press(pilot, "h")
        assert "Go on" in screen_text(app)
        await press(pilot, "h")
        assert "Go on" not in screen_text(app)


async def test_selecting_a_backend_paints_part_of_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    link = FakeLink(canned.hello(done=6))
    app = still(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        whole: list[object] = []
        real = Compositor.render_full_update

        def counted(compositor: Compositor, simplify: bool = False) -> object:
            whole.append(compositor)
            return real(compositor, simplify)

        monkeypatch.setattr(Compositor, "render_full_update", counted)
        await press(pilot, "2", "tab", "x", "m", "h", "c")
        assert whole == []
        assert app.view.selected == "HuggingFace"
        assert "┏ 3 ╌ HuggingFace" in screen_text(app)


# --- How lines are painted ---


def test_every_role_has_a_style() -> None:
    assert set(SERIES) <= set(LOOKS)
    assert "" not in LOOKS


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ((), []),
        ((("a", "dim"), ("", "bad"), ("b", "dim")), [("ab", "dim")]),
        ((("a", "dim"), ("  ", ""), ("b", "bad")), [("a  ", "dim"), ("b", "bad")]),
        (((" ", ""), ("a", "bad"), (" ", "good"), (" ", "")), [(" a  ", "bad")]),
        ((("  ", ""),), [("  ", "")]),
    ],
)
def test_blanks_take_the_style_of_their_neighbour(line: Line, spans: list[tuple[str, str]]) -> None:
    assert joined(line) == spans


# --- The terminal ---


class Typed:
    """A driver that reads a pipe, and the messages it posted."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.posted: queue.Queue[Message] = queue.Queue()
        self.driver = object.__new__(Terminal)
        self.driver.fileno = self.read_end
        self.driver.exit_event = threading.Event()
        self.driver.process_message = self.posted.put  # type: ignore[method-assign,assignment]
        self.thread = threading.Thread(target=self.driver.run_input_thread)
        self.thread.start()

    def key(self) -> str:
        """The next key."""
        message = self.posted.get(timeout=30.0)
        assert isinstance(message, Key)
        return message.key


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.1)
    monkeypatch.delenv("ESCDELAY", raising=False)
    driver = Typed()
    try:
        yield driver
    finally:
        driver.driver.exit_event.set()
        driver.thread.join(30.0)
        for end in (driver.read_end, driver.write_end):
            os.close(end)
        assert not driver.thread.is_alive()


def test_a_lone_escape_is_a_key_and_a_longer_one_a_sequence(typed: Typed) -> None:
    os.write(typed.write_end, b"\x1b")
    assert typed.key() == "escape"
    os.write(typed.write_end, b"\x1b[Aq")
    assert [typed.key(), typed.key()] == ["up", "q"]
    os.write(typed.write_end, b"\xff\xc3\xa4\x1b")
    assert [typed.key() for _ in range(3)][-1] == "escape"
    assert constants.ESCAPE_DELAY < 0.1


def test_escdelay_overrides_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.2)
    monkeypatch.setenv("ESCDELAY", "200")
    driver = Typed()
    os.write(driver.write_end, b"\x1b")
    assert driver.key() == "escape"
    assert constants.ESCAPE_DELAY == 0.2
    # At the end of input the thread neither spins nor hangs.
    os.close(driver.write_end)
    driver.driver.exit_event.set()
    driver.thread.join(30.0)
    assert not driver.thread.is_alive()
    os.close(driver.read_end)
