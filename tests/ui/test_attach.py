"""A monitor that attaches to a run: nothing old is shown as if it were now, and the log is that of the whole run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from textual.pilot import Pilot

from llmtui.config.schema import UiConfig
from llmtui.link.process import EngineProcess
from llmtui.link.server import LinkServer
from llmtui.link.since import HELLO_ITERATIONS
from llmtui.model import (
    Earlier,
    Failure,
    Hello,
    IterationDone,
    Logged,
    Machine,
    Note,
    Pause,
    RunChanged,
    RunState,
    Shutdown,
)
from llmtui.ui.app import MonitorApp
from llmtui.ui.run import reach
from tests import build
from tests.engine.helpers import Followed, assert_gone, plan_of, process_tree, truth_backend
from tests.leftovers import command_line
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import screen_text, settle

SIZES = [(60, 15), (80, 24), (120, 40), (200, 50)]
#: What the screen says of a run that has no results, or only some.
OLD = ["waiting", "no result yet", "warm-up", "running", "median", " 1.00", "iteration"]
RUN = RunState(phase="running", finished=2084, total=3609, elapsed_s=1800.0)


def attached_to(link: FakeLink, marker: str = "braille") -> MonitorApp:
    """A monitor that attaches to a run."""
    return MonitorApp(canned.plan(), link, ui=UiConfig(marker=marker), attached=True)  # type: ignore[arg-type]


def parts() -> tuple[Hello, Earlier, Earlier]:
    """The first message of a run with six iterations of each backend, and what follows."""
    whole = canned.hello(done=6)
    first = Hello(
        plan=whole.plan,
        machine=whole.machine,
        run=RUN,
        backends=whole.backends,
        iterations=whole.iterations[:9],
        earlier=len(whole.iterations) - 9,
    )
    return first, Earlier(iterations=whole.iterations[9:]), Earlier(iterations=[], last=True)


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_old_is_shown_until_the_monitor_has_caught_up(size: tuple[int, int]) -> None:
    link = FakeLink()
    app = attached_to(link)
    hello, earlier, last = parts()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert_catching_up(screen_text(app))
        link.put(hello)
        await settle(pilot, link)
        assert_catching_up(screen_text(app))
        assert "2084/3609" in screen_text(app) or size[1] < 24
        link.put(earlier)
        await settle(pilot, link)
        assert_catching_up(screen_text(app))
        link.put(last)
        await settle(pilot, link)
        shown = screen_text(app)
    assert "catching up" not in shown
    assert "6/10" in shown


def assert_catching_up(shown: str) -> None:
    """Assert that the screen says so, and shows no state of a backend and no figure."""
    assert "catching up" in shown.split("\n")[0]
    body = "\n".join(shown.split("\n")[2:-1]).replace("catching up with the run: 27 of 27 iterations", "")
    body = body.replace("catching up with the run: 9 of 27 iterations", "")
    assert not [word for word in OLD if word in body]


async def test_keys_while_the_monitor_catches_up() -> None:
    link = FakeLink()
    app = attached_to(link)
    async with app.run_test(size=(120, 40)) as pilot:
        hello, earlier, last = parts()
        link.put(hello)
        await settle(pilot, link)
        await pilot.press("c", "m", "2", "enter", "escape", "v", "escape", "h")
        link.put(earlier, last)
        await settle(pilot, link)
        assert "catching up" not in screen_text(app)
        assert app.run_view.backends["llama.cpp"].summary.n == 6


async def test_a_run_without_a_past_is_shown_at_once_and_a_lost_engine_ends_the_wait() -> None:
    link = FakeLink(canned.hello(done=6))
    app = attached_to(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert "catching up" not in screen_text(app)
    link = FakeLink(parts()[0])
    app = attached_to(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        link.vanish()
        await settle(pilot)
        assert "catching up" not in screen_text(app)
        assert "the engine has exited" in screen_text(app)


async def test_the_log_of_a_late_monitor_is_in_the_order_of_time() -> None:
    hello, _, last = parts()
    error = Failure(kind="timeout", message="no token within 30 s")
    failed = canned.iteration("llama.cpp", 3, error=error)
    states = [canned.state("llama.cpp", state=word) for word in ("loading", "done")]
    logged = [
        Logged(at_utc="2026-11-22T09:00:00.000Z", event=build.changed("llama.cpp", state="loading")),
        Logged(at_utc="2026-11-22T09:00:01.000Z", event=RunChanged(run=RunState(phase="running", total=39))),
        Logged(at_utc="2036-11-22T09:00:00.000Z", event=Note(text="the server ended", level="warning", backend="a")),
    ]
    link = FakeLink(
        Hello(
            plan=hello.plan,
            machine=Machine(),
            run=RUN,
            backends=[states[1], *hello.backends[1:]],
            notes=[Note(text="the server ended", level="warning", backend="a")],
            earlier=1,
            log=logged,
        ),
        IterationDone(iteration=canned.iteration("mistral.rs", 6, error=error)),
        Earlier(iterations=[failed]),
        last,
    )
    app = attached_to(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("L")
        await settle(pilot)
        shown = screen_text(app)
    assert [entry.text for entry in app.log_book.entries] == [
        "llama.cpp loading",
        "the run is in progress",
        "llama.cpp: iteration 3 failed: no token within 30 s",
        "mistral.rs: iteration 6 failed: no token within 30 s",
        "a: the server ended",
    ]
    assert "5 entries" in shown
    assert "iteration 3 failed: no token within 30 s" in shown


# --- With a real engine, and over a slow line ---


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await pilot.pause(0.05)


@pytest.mark.slow
async def test_the_failure_of_an_iteration_is_in_the_log_of_a_monitor_that_attaches_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    plan = plan_of(truth_backend("a"), iterations=500, restarts=1)
    engine = EngineProcess.start(plan)
    tree: list[psutil.Process] = []
    try:
        run = Followed(plan, engine, await engine.connect())
        await run.until(lambda view: view.backends["a"].summary.n >= 2)
        tree = process_tree(engine.pid)
        next(p for p in tree if "llmtui.accuracy.truth_server" in command_line(p)).kill()
        await run.until(lambda view: view.backends["a"].summary.n >= HELLO_ITERATIONS + 10)
        await run.client.send(Pause())
        await run.until(lambda view: view.run.phase == "paused" and view.backends["a"].progress is None)
        plan, link = await reach(engine.socket)
        app = MonitorApp(plan, link, ui=UiConfig(), attached=True)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: not app.view.catching_up)
            log = [entry.text for entry in app.log_book.entries]
        assert any("failed: " in text and "iteration" in text for text in log)
        assert any("restarted (1 of 1)" in text for text in log)
        assert "a loading" in log
        assert log[-1].startswith("the run is paused")
        await run.client.send_last(Shutdown())
        assert await engine.wait()
        assert_gone(tree)
    finally:
        engine.kill()


@contextlib.asynccontextmanager
async def slow_line(to: Path, at: Path, bytes_per_s: int) -> AsyncIterator[None]:
    """A proxy whose client receives this many bytes in a second."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(to))
        try:
            while data := await far_reader.read(bytes_per_s // 20):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0.05)
        finally:
            far_writer.close()
            writer.close()

    server = await asyncio.start_unix_server(forward, str(at))
    try:
        yield
    finally:
        server.close()


@pytest.mark.slow
async def test_on_a_slow_line_old_results_are_not_shown_as_new(tmp_path: Path) -> None:
    plan = build.plan("a", "b", iterations=60, warmup=0)
    past = [build.iteration(name, n, 1.0 + n / 100) for n in range(1, 41) for name in ("a", "b")]
    states = [build.state(name, state="running", planned=60) for name in ("a", "b")]
    run = RunState(phase="running", finished=80, total=120, elapsed_s=200.0)
    link = LinkServer(
        tmp_path / "s",
        lambda: Hello(plan=plan, machine=Machine(), run=run, backends=states, iterations=past),
        lambda command: None,
        lambda watched: None,
    )
    await link.open()
    seen: set[str] = set()
    try:
        async with slow_line(tmp_path / "s", tmp_path / "slow", 4000):
            _, open_link = await reach(tmp_path / "slow")
            app = MonitorApp(plan, open_link, ui=UiConfig(), attached=True)
            # It goes on while the past is on its way.
            link.emit(IterationDone(iteration=build.iteration("a", 41)))
            link.emit(RunChanged(run=RunState(phase="running", finished=81, total=120)))
            async with app.run_test(size=(120, 40)) as pilot:
                while app.view.catching_up:
                    shown = screen_text(app)
                    assert_no_figures(shown)
                    seen.add(shown)
                    await pilot.pause(0.05)
                await settle(pilot)
                shown = screen_text(app)
    finally:
        await link.close()
    assert len(seen) > 1
    assert "catching up" not in shown
    assert "81/120" in shown
    assert "41/60" in shown
    assert "40/60" in shown


def assert_no_figures(shown: str) -> None:
    lines = [line for line in shown.split("\n")[2:-1] if "catching up with the run" not in line]
    assert not [word for word in OLD if word in "\n".join(lines)]
    assert "catching up" in shown
