"""How the monitor takes leave: what the engine is told, what is printed, and with which exit code."""

from __future__ import annotations

import io
import sys

import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import Backend, BackendChanged, Detach, Shutdown
from llmtui.ui.app import MonitorApp
from llmtui.ui.run import drawable, print_farewell
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle


async def left(*keys: str, done: int = 6, running: bool = True) -> tuple[MonitorApp, FakeLink]:
    link = FakeLink(canned.hello(done=done, running=running))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
    return app, link


async def test_detaching_tells_the_engine_and_names_the_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    app, link = await left("d")
    assert link.sent == [Detach()]
    assert link.closed
    assert app.session.farewell == Detach()
    assert print_farewell(app) == 0
    assert "llmtui attach r1" in capsys.readouterr().err


async def test_quitting_twice_ends_the_run_early(capsys: pytest.CaptureFixture[str]) -> None:
    app, link = await left("q", "q")
    assert link.sent == [Shutdown()]
    assert print_farewell(app) == 130
    assert capsys.readouterr().err == "llmtui: stopped before the run was done: 27 of 39 iterations\n"


async def test_escape_takes_the_question_back() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot, link)
        for _ in range(2):
            await pilot.press("q")
            await settle(pilot)
            assert len(app.screen.query("Toast")) == 1
            said = [said.message for said in app._notifications]
            assert said == ["the run is still going: q again stops it and its servers, d detaches, esc cancels"]
            await pilot.press("escape")
            await settle(pilot)
            assert app.is_running and link.sent == []
            assert len(app.screen.query("Toast")) == 0
        await pilot.press("q", "q")
        await settle(pilot)
    assert link.sent == [Shutdown()]


async def test_escape_takes_back_the_question_alone_and_then_goes_back() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot, link)
        await pilot.press("R", "enter", "q", "escape")
        await settle(pilot)
        assert app.view.details
        # What was said besides stays.
        assert len(app.screen.query("Toast")) == 1
        await pilot.press("escape")
        await settle(pilot)
        assert not app.view.details


@pytest.mark.parametrize("key", ["question_mark", "E"])
async def test_escape_takes_the_question_back_in_a_dialog_too(key: str) -> None:
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


async def test_a_signal_to_end_sends_nothing() -> None:
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


async def test_a_failed_backend_is_the_exit_code_of_a_run_that_was_done() -> None:
    app, _ = await left("q", done=10, running=False)
    assert print_farewell(app) == 1


async def test_without_an_engine_nothing_runs_and_every_command_says_why(capsys: pytest.CaptureFixture[str]) -> None:
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
        assert "median 0.928" in shown
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


async def test_an_engine_that_goes_after_the_run_is_no_loss() -> None:
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


async def test_the_print_farewell_fit_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = await left("d")
    app.run_view.backends["llama.cpp"].backend = Backend(name="日本語")
    out = stream("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    print_farewell(app)
    out.flush()
    assert b"???" in out.buffer.getvalue()  # type: ignore[attr-defined]


async def test_toasts_help_and_details_keep_to_ascii() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, marker="ascii")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settle(pilot, link)
        app.report("±1 … 日本")
        for key in ("q", "question_mark", "escape", "enter"):
            await pilot.press(key)
            await settle(pilot)
            assert screen_text(app).isascii(), key
        assert "+-" in screen_text(app)


# --- Toasts ---


@pytest.mark.parametrize(("size", "table"), [((80, 24), False), ((80, 24), True), ((120, 40), False)])
async def test_toasts_leave_table_verdict_and_keys_in_sight(size: tuple[int, int], table: bool) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot, link)
        await pilot.press(*(["T"] if table else []), "r", "R", "q")
        await settle(pilot)
        toasts = list(app.screen.query("Toast"))
        assert len(toasts) == 3
        for name in ("#table", "#ranking", "#footer"):
            part = app.screen.query_one(name)
            if part.display:
                assert not any(toast.region.overlaps(part.region) for toast in toasts), name
