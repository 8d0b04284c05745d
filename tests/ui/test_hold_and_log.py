"""The held screen, the log, the terminal's title and notifications."""

from __future__ import annotations

import datetime

import pytest

from llmtui.model import AnyEvent, BackendChanged, Failure, IterationDone, Note, Rerun, RunChanged, RunState
from llmtui.runview.run import RunView
from llmtui.ui import escapes
from llmtui.ui import session as session_module
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.log import LogLines, LogScreen
from llmtui.ui.views.log import MOST_ENTRIES, RunLog
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

NOON = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


def more(name: str, count: int, first: int = 7) -> list[IterationDone]:
    return [IterationDone(iteration=canned.iteration(name, first + n)) for n in range(count)]


# --- A held screen ---


async def test_a_held_screen_counts_iterations_and_catches_up() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("h")
        await settle(pilot)
        before = screen_text(app).split("\n")
        assert "held, 0 behind" in before[0]
        assert "h Go on" in before[-1]
        link.put(*more("llama.cpp", 3), canned.progress("mistral.rs", 5, 0.1))
        link.put(RunChanged(run=RunState(phase="running", finished=30, total=39)))
        await settle(pilot, link)
        held = screen_text(app).split("\n")
        assert "held, 3 behind" in held[0]
        assert "30/39" in held[1]
        assert held[2:] == before[2:]
        # Commands act on what the held screen shows.
        await pilot.resize_terminal(80, 24)
        await pilot.press("2", "m", "enter", "escape", "m", "m", "m")
        await pilot.resize_terminal(120, 40)
        await pilot.press("1")
        await settle(pilot)
        assert screen_text(app).split("\n")[2:] == before[2:]
        await pilot.press("h")
        await settle(pilot)
        assert "held" not in screen_text(app)
        assert "9/10" in screen_text(app)
        assert "5 tokens" in screen_text(app)
        assert app.run_view.backends["llama.cpp"].summary.n == 9


@pytest.mark.parametrize("way", ["escape", "vanish", "hello", "many", "rerun"])
async def test_a_held_screen_is_released_without_loss(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "HELD_AT_MOST", 4)
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("h")
        link.put(*more("llama.cpp", 3))
        await settle(pilot, link)
        assert app.run_view.backends["llama.cpp"].summary.n == 6
        match way:
            case "escape":
                await pilot.press("escape")
            case "vanish":
                link.vanish()
            case "hello":
                link.put(canned.hello(done=9))
            case "many":
                link.put(*more("mistral.rs", 1))
            case "rerun":
                await pilot.press("5", "r")
        await settle(pilot, link)
        assert app.view.behind is None
        assert app.run_view.backends["llama.cpp"].summary.n == 9
        if way == "rerun":
            assert link.sent == [Rerun(backend="Ollama")]


# --- The log ---


def test_the_log_records_states_failures_and_phases_once() -> None:
    log, run_view = RunLog(lambda: NOON), RunView(canned.plan())
    error = Failure(kind="server", message="it died\x1b[2J", hint="see its log")
    events: list[AnyEvent] = [
        canned.hello(done=6),
        BackendChanged(backend=canned.state("llama.cpp", state="done")),
        BackendChanged(backend=canned.state("llama.cpp", state="done", load_s=2.0)),
        BackendChanged(backend=canned.state("mistral.rs", state="failed", failure=error)),
        IterationDone(iteration=canned.iteration("HuggingFace", 7, error=error)),
        *more("HuggingFace", 1, first=8),
        RunChanged(run=RunState(phase="paused", finished=28, total=39)),
        RunChanged(run=RunState(phase="paused", finished=28, total=39)),
    ]
    for event in events:
        log.record(event, run_view)
        run_view.apply(event)
    assert [(e.at, e.text) for e in log.entries] == [
        ("12:00:00", "llama.cpp done"),
        ("12:00:00", "mistral.rs failed: it died (see its log)"),
        ("12:00:00", "HuggingFace: iteration 7 failed: it died (see its log)"),
        ("12:00:00", "the run is paused, 28 of 39 iterations"),
    ]


def test_the_log_is_bounded() -> None:
    log = RunLog(lambda: NOON)
    for number in range(MOST_ENTRIES + 5):
        log.note(f"word {number}")
    assert len(log.entries) == MOST_ENTRIES
    assert log.entries[0].text == "word 5"
    assert log.count == MOST_ENTRIES + 5


@pytest.mark.parametrize(
    "size", [(30, 8), (80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in ((40, 12), (120, 40)))]
)
async def test_the_log_follows_the_newest_until_scrolled_up(size: tuple[int, int]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    app.wall = lambda: NOON
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        link.put(*(Note(text=f"word {n}", backend="llama.cpp") for n in range(60)))
        await settle(pilot, link)
        await pilot.press("L")
        await settle(pilot)
        assert isinstance(app.screen, LogScreen)
        assert screen_text(app).rstrip().split("\n")[-2].strip().endswith("59")
        link.put(Note(text="the newest"))
        await settle(pilot, link)
        assert "the newest" in screen_text(app)
        await pilot.press("up")
        await settle(pilot)
        before = screen_text(app).split("\n")[3:-1]
        assert "1 more below" in screen_text(app)
        link.put(Note(text="out of sight"))
        await settle(pilot, link)
        assert screen_text(app).split("\n")[3:-1] == before
        await pilot.resize_terminal(60, 20)
        await settle(pilot)
        await pilot.press("end")
        await settle(pilot)
        assert "out of sight" in screen_text(app)
        await pilot.press("home")
        await settle(pilot)
        assert "word 0" in screen_text(app)
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(app.screen, LogScreen)


async def test_the_log_key_opens_and_closes_it_and_messages_are_in_it() -> None:
    link = FakeLink(canned.hello(done=6), BackendChanged(backend=canned.state("llama.cpp", state="done")))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        app.report("something was said", "warning")
        await pilot.press("L")
        await settle(pilot)
        shown = screen_text(app)
        assert "something was said" in shown
        assert "llama.cpp done" in shown
        assert "Back" in shown.split("\n")[-1]
        await pilot.press("L")
        await settle(pilot)
        assert not isinstance(app.screen, LogScreen)
        assert app.view.page == ""


async def test_an_empty_log_says_so_and_a_long_one_shows_the_newest() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("L")
        await settle(pilot)
        assert "nothing has happened yet" in screen_text(app)
        for number in range(MOST_ENTRIES + 50):
            app.log_book.note(f"word {number}")
        body = app.screen.query_one(LogLines)
        body.redraw()
        await settle(pilot)
        assert f"word {MOST_ENTRIES + 49}" in screen_text(app)
        await pilot.press("home")
        await settle(pilot)
        assert "word 50" in screen_text(app)
        assert f"newest {MOST_ENTRIES} of {MOST_ENTRIES + 50}" in screen_text(app)


# --- The terminal's title and notifications ---


def record_sequences(app: MonitorApp) -> list[str]:
    written: list[str] = []
    app.announcer.write = written.append
    return written


async def test_the_title_is_written_by_the_second_and_only_on_change() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    written = record_sequences(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert written == ["\x1b[22;0t\x1b]2;llmtui 27/39 running\x07"]
        link.put(RunChanged(run=RunState(phase="running", finished=28, total=39)))
        link.put(RunChanged(run=RunState(phase="running", finished=29, total=39)))
        await settle(pilot, link)
        assert len(written) == 1
        app.session.tick()
        app.session.tick()
        assert written[1:] == ["\x1b]2;llmtui 29/39 running\x07"]
        link.vanish()
        await settle(pilot, link)
        assert written[-1] == "\x1b]2;llmtui 29/39 engine gone\x07"
    assert app.announcer.titled


async def test_no_title_is_written_if_the_config_says_so() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, title=False)
    written = record_sequences(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        app.session.tick()
    assert written == []
    assert not app.announcer.titled


@pytest.mark.parametrize(
    ("notify", "tmux", "expected"),
    [
        ("off", "", []),
        ("bell", "", ["\x07"]),
        ("desktop", "", ["\x1b]9;llmtui: the run is done, 39 of 39 iterations\x07"]),
        (
            "desktop",
            "/tmp/tmux",
            ["\x07\x1bPtmux;\x1b\x1b]9;llmtui: the run is done, 39 of 39 iterations\x07\x1b\\"],
        ),
    ],
)
async def test_the_end_of_the_run_is_announced_once(
    notify: str, tmux: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMUX", tmux)
    link = FakeLink(canned.hello(done=10))
    app = make(link, notify=notify, title=False)
    written = record_sequences(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert written == []
        link.put(canned.run_done(), canned.run_done())
        await settle(pilot, link)
        assert written == expected


async def test_a_run_that_was_done_already_is_not_announced() -> None:
    link = FakeLink(canned.hello(done=10, running=False))
    app = make(link, notify="bell", title=False)
    written = record_sequences(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert written == []


def test_titles_and_notifications_are_sanitized() -> None:
    assert escapes.set_title("a\x07b\x1b]0;c") == "\x1b]2;ab\x07"
    assert escapes.notification("a\x1b\\b", {}) == "\x1b]9;ab\x07"
