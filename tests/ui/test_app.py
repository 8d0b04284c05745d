from __future__ import annotations

import asyncio

import pytest
from textual.geometry import Region

from llmtui.config.schema import UiConfig
from llmtui.link.client import EngineLink
from llmtui.model import (
    BackendChanged,
    Failure,
    Hello,
    IterationDone,
    Machine,
    Note,
    RunState,
)
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.widgets.chart import ChartView
from llmtui.ui.widgets.iterations import Iterations
from llmtui.ui.widgets.painted import Lines
from tests import build
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

SIZES = [(20, 5), (40, 12), (80, 24), (100, 45), (120, 40), (200, 50)]


# --- Sizes ---


async def test_every_size_shows_the_backends_and_a_resize_switches_between_layouts() -> None:
    link = FakeLink(canned.hello(done=6), *canned.samples())
    app = make(link)
    async with app.run_test(size=SIZES[0]) as pilot:
        await settle(pilot, link)
        for size in (*SIZES, *reversed(SIZES), (1, 1), (120, 40)):
            if size != app.size:
                await pilot.resize_terminal(*size)
                await settle(pilot)
            shown = screen_text(app)
            rows = shown.split("\n")
            assert len(rows) == size[1]
            assert "lla" in shown or size == (1, 1)
            if size[0] >= 80:
                for word in ("llmtui", "running", "mistral.rs", "not reachable", "missing", "Quit", "1.36"):
                    assert word in shown
            assert ("vs best" in shown and "baseline stats" in shown) == (size[0] >= 120)
            assert not [s for s in app.screen.query("*") if s.show_vertical_scrollbar or s.show_horizontal_scrollbar]


async def test_wide_shows_panels_both_charts_and_the_table() -> None:
    link = FakeLink(canned.hello(done=6), *canned.samples())
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        shown = screen_text(app)
        for word in (
            "baseline stats, latency in s",
            "latency per iteration in s",
            "█",
            "vs best",
            "stddev",
            "27/39",
        ):
            assert word in shown
        assert "about 00:3" in shown
        assert "64 tokens  10 iterations + 3 warm-ups  shuffled" in shown


async def test_narrow_switches_between_charts_and_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert "latency per iteration" in screen_text(app)
        assert "vs best" not in screen_text(app)
        await pilot.press("c")
        await settle(pilot)
        assert "baseline stats" in screen_text(app)
        await pilot.press("T")
        await settle(pilot)
        assert "vs best" in screen_text(app)
        assert "baseline stats" not in screen_text(app)
        await pilot.press("T")
        await settle(pilot)
        assert "baseline stats" in screen_text(app)


@pytest.mark.parametrize("extra", [0, 1, 4])
async def test_up_to_nine_backends_are_shown(extra: int) -> None:
    plan = canned.plan(extra=extra)
    link = FakeLink(canned.hello(plan, done=2))
    app = make(link, plan)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        for size in ((80, 24), (120, 40)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            shown = screen_text(app)
            assert all(backend.name in shown for backend in plan.backends)


async def test_panels_follow_the_backends_that_the_engine_reports() -> None:
    link = FakeLink(canned.hello(canned.plan(extra=1), done=1))
    app = make(link, canned.plan())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "vLLM-1" in screen_text(app)
        link.put(canned.hello(done=1))
        await settle(pilot, link)
        assert "vLLM-1" not in screen_text(app)


async def test_the_first_frame_does_not_wait_for_the_engine() -> None:
    never = asyncio.Event()

    async def link() -> EngineLink:
        await never.wait()
        raise AssertionError("unreachable")

    app = MonitorApp(canned.plan(), link, ui=UiConfig())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        shown = screen_text(app)
        assert "starting the engine" in shown
        assert all(name in shown for name in ("llama.cpp", "mistral.rs", "HuggingFace", "Llamafile", "Ollama"))


# --- What happens during a run ---


async def test_tokens_are_counted_while_they_arrive() -> None:
    link = FakeLink(canned.hello(done=6), canned.progress("llama.cpp", 12, 0.4))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "12 tokens, 0.4 s" in screen_text(app)
        link.put(IterationDone(iteration=canned.iteration("llama.cpp", 7)))
        await settle(pilot, link)
        assert "12 tokens" not in screen_text(app)
        assert "7/10" in screen_text(app)


async def test_a_rerun_keeps_the_earlier_attempt_and_shows_the_difference() -> None:
    link = FakeLink(canned.hello(done=10, running=False), *canned.rerun_events("llama.cpp", 10, speed=1.25))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "attempt 2: -" in screen_text(app)
        assert any("than attempt 1" in n.message for n in app._notifications)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, DetailsScreen)
        assert app.screen.query_one(Iterations).count == 3 + 10 + 10
        assert "than attempt 1" in screen_text(app)


async def test_unchanged_data_draws_nothing() -> None:
    link = FakeLink(canned.hello(done=6), *canned.samples())
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        charts = list(app.query(ChartView))
        draws = [chart.draws for chart in charts]
        painted: list[str | None] = []

        def watch(widget: Lines) -> None:
            real = widget.refresh

            def refresh(*regions: Region, **options: bool) -> Lines:
                painted.append(widget.id)
                return real(*regions, **options)

            widget.refresh = refresh  # type: ignore[method-assign]

        for widget in app.query(Lines):
            watch(widget)
        for _ in range(5):
            link.put(*canned.samples(), BackendChanged(backend=canned.state("llama.cpp")))
            await settle(pilot, link)
            app.main.show_all()
        assert [chart.draws for chart in charts] == draws
        # Only the clock in the header may have gone on.
        assert set(painted) <= {"header"}


async def test_one_iteration_draws_each_chart_once() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        charts = list(app.query(ChartView))
        draws = [chart.draws for chart in charts]
        link.put(IterationDone(iteration=canned.iteration("mistral.rs", 7)))
        await settle(pilot, link)
        assert [chart.draws for chart in charts] == [n + 1 for n in draws]


# --- Hostile text ---

HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;pwned\x07\x9b31m\u202egnp\x00[@click=app.quit]q[/]"


async def test_text_from_a_server_is_sanitized_and_not_markup() -> None:
    state = canned.state(
        "llama.cpp",
        model=HOSTILE,
        weights=HOSTILE,
        note=HOSTILE,
        version=HOSTILE,
        state="failed",
        failure=Failure(kind="server", message=HOSTILE + " [/bold", hint="[/]" + HOSTILE),
        log_tail=[HOSTILE, "[/nothing]"],
    )
    link = FakeLink(
        canned.hello(done=6),
        IterationDone(iteration=canned.iteration("llama.cpp", 7, text=HOSTILE + "\n[/b]")),
        BackendChanged(backend=state),
        Note(text=HOSTILE, level="error", backend="llama.cpp"),
    )
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        for key in ("1", "enter"):
            await pilot.press(key)
            await settle(pilot)
            shown = screen_text(app)
            assert "[bold" in shown
            assert "pwned" not in shown
            assert not any(c in shown for c in "\x1b\x9b\x00\x07\u202e")


async def test_an_event_of_an_unknown_backend_is_ignored() -> None:
    link = FakeLink(canned.hello(done=6), canned.progress("nobody", 3, 0.1), canned.progress("llama.cpp", 5, 0.1))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "5 tokens" in screen_text(app)


# --- The engine goes ---


async def test_an_engine_that_exits_is_reported() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        link.vanish()
        await settle(pilot, link)
        shown = screen_text(app)
        assert "engine gone" in shown
        assert "the engine has exited: e exports the results, q quits" in shown
        assert "Stop" not in shown
        await pilot.press("q")
        await settle(pilot)
    assert app.run_view.backends["llama.cpp"].summary.n == 6


async def test_an_engine_that_does_not_start_is_reported() -> None:
    async def link() -> EngineLink:
        raise OSError("no room left\x1b[31m")

    app = MonitorApp(canned.plan(), link, ui=UiConfig())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "the engine did not start: no room left: q quits" in screen_text(app)


async def test_a_run_without_any_answer_is_reported() -> None:
    plan = build.plan(*canned.plan().backends[3:])
    link = FakeLink(
        Hello(
            plan=plan,
            machine=Machine(),
            run=RunState(phase="done"),
            backends=[canned.MISSING, canned.UNREACHABLE],
        )
    )
    app = make(link, plan)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "no backend has answered" in screen_text(app)
