"""Leaving the monitor: the command to the engine, the printed summary, the exit code."""

from __future__ import annotations

import io
import sys

import pytest
from textual.app import App

from llmtui.config.schema import UiConfig
from llmtui.model import Backend, BackendChanged, Detach, Shutdown
from llmtui.ui.app import MonitorApp
from llmtui.ui.layout import CHART_FOOT
from llmtui.ui.run import drawable, print_farewell
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle


async def leave_with(*keys: str, done: int = 6, running: bool = True) -> tuple[MonitorApp, FakeLink]:
    link = FakeLink(canned.hello(done=done, running=running))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
    return app, link


async def test_detach_is_sent_and_the_attach_command_printed(capsys: pytest.CaptureFixture[str]) -> None:
    app, link = await leave_with("d")
    assert link.sent == [Detach()]
    assert link.closed
    assert app.session.farewell == Detach()
    assert print_farewell(app) == 0
    assert "llmtui attach r1" in capsys.readouterr().err


async def test_quitting_twice_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    app, link = await leave_with("q", "q")
    assert link.sent == [Shutdown()]
    assert print_farewell(app) == 130
    assert capsys.readouterr().err == "llmtui: stopped before the run was done: 27 of 39 iterations\n"


async def test_escape_withdraws_the_question() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot, link)
        for _ in range(2):
            await pilot.press("q")
            await settle(pilot)
            assert len(app.screen.query("Toast")) == 1
            messages = [n.message for n in app._notifications]
            assert messages == [
                "the run is still in progress: q again stops it and its servers, d detaches, esc cancels"
            ]
            await pilot.press("escape")
            await settle(pilot)
            assert app.is_running and link.sent == []
            assert len(app.screen.query("Toast")) == 0
        await pilot.press("q", "q")
        await settle(pilot)
    assert link.sent == [Shutdown()]


async def test_escape_withdraws_the_question_first_and_then_goes_back() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settle(pilot, link)
        app.report("another message", timeout=600.0, log=False)
        await pilot.press("enter", "q", "escape")
        await settle(pilot)
        assert app.view.details
        assert [n.message for n in app._notifications] == ["another message"]
        assert len(app.screen.query("Toast")) == 1
        await pilot.press("escape")
        await settle(pilot)
        assert not app.view.details


@pytest.mark.parametrize("key", ["question_mark", "E"])
async def test_escape_withdraws_the_question_in_a_dialog_too(key: str) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press(key, "ctrl+q")
        await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is app.main
        await pilot.press("q")
        await settle(pilot)
        assert app.is_running and link.sent == []


async def test_ending_by_a_signal_sends_no_command() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        app.session.end()
        await settle(pilot)
    assert link.sent == []
    assert link.closed
    assert app.session.farewell is None
    assert print_farewell(app) == 0


async def test_a_failed_backend_gives_exit_code_1() -> None:
    app, _ = await leave_with("q", done=10, running=False)
    assert print_farewell(app) == 1


async def test_without_an_engine_every_engine_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    link = FakeLink(canned.hello(done=6), BackendChanged(backend=canned.state("mistral.rs", state="loading")))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        link.put(canned.progress("llama.cpp", 12, 0.4))
        link.vanish()
        await settle(pilot, link)
        shown = screen_text(app)
        assert "✗ engine gone" in shown
        assert not any(word in shown for word in ("► running", "loading", "12 tokens"))
        assert "med. 0.928" in shown
        for key in ("r", "s", "R", "space", "d"):
            app.clear_notifications()
            await pilot.press(key)
            await settle(pilot)
            assert [n.message for n in app._notifications] == ["the engine is gone"]
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert "✗ gone" in screen_text(app)
        await pilot.press("q")
        await settle(pilot)
    assert app.session.lost_reason == "the engine has exited"
    assert print_farewell(app) == 1
    assert "llmtui: the engine has exited; the run was not done" in capsys.readouterr().err


async def test_an_engine_that_exits_after_the_run_is_not_lost() -> None:
    link = FakeLink(canned.hello(done=10, running=False))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        link.vanish()
        await settle(pilot, link)
    assert app.session.lost_reason == ""


# --- Terminals without UTF-8 ---


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(("encoding", "marker"), [("ascii", "ascii"), ("latin-1", "ascii"), ("UTF-8", "braille")])
def test_a_terminal_without_utf8_is_drawn_in_ascii(encoding: str, marker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream(encoding))
    monkeypatch.setattr(sys, "__stderr__", stream("utf-8"))
    assert drawable(UiConfig()).marker == marker


async def test_the_farewell_fits_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = await leave_with("d")
    app.run_view.backends["llama.cpp"].backend = Backend(name="日本語")
    out = stream("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    print_farewell(app)
    out.flush()
    assert b"???" in out.buffer.getvalue()  # type: ignore[attr-defined]


async def test_toasts_help_and_details_are_ascii() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, marker="ascii")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settle(pilot, link)
        app.report("±1 … 日本")
        for key in ("q", "question_mark", "escape", "enter"):
            await pilot.press(key)
            await settle(pilot)
            assert screen_text(app).isascii(), key
        assert "sd 0." in screen_text(app)


# --- Toasts ---


@pytest.mark.parametrize(("size", "table", "count"), [((80, 24), False, 1), ((80, 24), True, 1), ((120, 40), False, 3)])
async def test_toasts_cover_neither_table_ranking_and_keys_nor_axis_and_legend(
    size: tuple[int, int], table: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    # On a busy machine all three keys may take longer than the usual 6 s.
    monkeypatch.setattr(app, "notify", lambda text, **more: App.notify(app, text, **more | {"timeout": 600}))
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot, link)
        await pilot.press(*(["T"] if table else []), "r", "R", "q")
        await settle(pilot)
        toasts = list(app.screen.query("Toast"))
        assert len(toasts) == count
        charts = app.screen.query_one("#charts")
        if charts.display:
            assert max(toast.region.bottom for toast in toasts) <= charts.region.bottom - CHART_FOOT
        for name in ("#table", "#ranking", "#footer"):
            part = app.screen.query_one(name)
            if part.display:
                assert not any(toast.region.overlaps(part.region) for toast in toasts), name
