"""Panels of one to nine backends on the screen: all important facts in whole words, and no scroll bars."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from textual.widget import Widget

from llmtui.model import AnyEvent, Backend, BackendState, Failure, Hello, IterationDone, Plan, Sampled, State
from llmtui.ui.app import MonitorApp
from llmtui.ui.layout import PANEL_LEAST_HEIGHT
from llmtui.ui.widgets.panel import Panel
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.pilot import make, screen_text, settle

MESSAGE = "the server ended: killed by the kernel: out of memory (it used 3.1 GB)"
HINT = "press r to start it again"


def crowd(count: int) -> tuple[Plan, list[AnyEvent]]:
    """A plan of `count` backends with six iterations each; every third has failed, every third was refused twice."""
    plan = canned.plan()
    names = [f"backend-{n + 1}" for n in range(count)]
    plan = msgspec.structs.replace(plan, backends=[Backend(name=name, language="Python") for name in names])
    states, iterations, samples = [], [], []
    for n, name in enumerate(names):
        failure = Failure(kind="server", message=MESSAGE, hint=HINT) if n % 3 == 1 else None
        states.append(
            BackendState(
                name=name,
                state="failed" if failure else "running",
                planned=10,
                weights="Q8_0",
                load_s=1.0 + n,
                failure=failure,
                note="restarted 1x" if n % 3 == 0 else "",
            )
        )
        iterations += [canned.iteration(name, k + 1, refused=2 * (n % 3 == 2 and k == 0)) for k in range(6)]
        samples.append(Sampled(backend=name, rss_bytes=241_000_000, cpu_cores=0.97))
    hello = msgspec.structs.replace(canned.hello(done=1), plan=plan, backends=states, iterations=iterations)
    assert isinstance(hello, Hello)
    return plan, [hello, *samples]


SIZES = ((80, 24), (120, 40), (200, 50))


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 9])
async def test_panel_shows_the_important_facts_in_whole_words(count: int) -> None:
    plan, events = crowd(count)
    link = FakeLink(*events)
    app = make(link, plan)
    async with app.run_test(size=SIZES[0]) as pilot:
        await settle(pilot, link)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await settle(pilot)
            check_panels(app, plan)


def check_panels(app: MonitorApp, plan: Plan) -> None:
    assert "Quit" in screen_text(app).split("\n")[-1]
    assert not any(w.show_vertical_scrollbar or w.show_horizontal_scrollbar for w in app.screen.query(Widget))
    for n, panel in enumerate(app.screen.query(Panel)):
        lines = ["".join(part for part, _ in line) for line in panel.content(*panel.size)]
        text = " ".join(line.strip("┃│ ") for line in lines)
        assert plan.backends[n].name in text
        if n % 3 == 1:
            assert "failed" in text
            words = set(f"{MESSAGE} {HINT}".split())
            cut = text.partition(" failed")[2].partition(" med")[0].strip(": ").split()
            assert {"the", "server", "ended:"} <= words & set(cut)
            assert all(w in words or w in "…;6/10" or set(w) <= set("─━└┗┘┛") or w == "Python" for w in cut), text
            continue
        assert "running" in text
        assert "6/10" in text
        assert "tok/s" in text or "t/s" in text
        assert "med" in text
        if app.size.width >= 120:
            assert "±" in text or len(plan.backends) > 5
            assert "TTFT" in text
            assert ("restarted 1x" if n % 3 == 0 else "refused 2x") in text
        if panel.size.height >= PANEL_LEAST_HEIGHT:
            assert f"load {n + 1}.0 s" in text
            assert "241 MB" in text


def warming(name: str, warmups: int, state: State = "warmup") -> list[AnyEvent]:
    """A run in which `name` has done this many warm-ups, and nothing else has happened."""
    hello = canned.hello(done=0)
    states = [msgspec.structs.replace(s, state=state if s.name == name else "waiting") for s in hello.backends]
    done = [canned.iteration(name, n + 1, phase="warmup") for n in range(warmups)]
    return [msgspec.structs.replace(hello, backends=states, iterations=done)]


async def test_warm_up_shows_count_and_bar() -> None:
    plan = canned.plan()
    name = plan.backends[0].name
    link = FakeLink(*warming(name, 0))
    app = make(link, plan)
    async with app.run_test(size=SIZES[0]) as pilot:
        for warmups, size in itertools.product(range(4), SIZES):
            if warmups and size == SIZES[0]:
                link.put(IterationDone(iteration=canned.iteration(name, warmups, phase="warmup")))
            await pilot.resize_terminal(*size)
            await settle(pilot, link)
            panel = app.screen.query(Panel).first()
            text = text_of(panel.content(*panel.size))
            assert "warm-up" in text
            assert f"{warmups}/{plan.config.warmup}" in text
            if size[0] >= 120:
                assert f"warming up, {plan.config.warmup - warmups} to go" in text
                drawn = text.splitlines()[next(n for n, t in enumerate(text.splitlines()) if "warming up" in t) + 1]
                room = drawn.count("━") + drawn.count("─")
                assert drawn.count("━") == round(warmups / plan.config.warmup * room)


async def test_resumed_attempt_counts_its_own_warm_ups() -> None:
    plan = canned.plan()
    name = plan.backends[0].name
    link = FakeLink(*warming(name, 4))
    app = make(link, plan)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        panel = app.screen.query(Panel).first()
        text = text_of(panel.content(*panel.size))
        assert f"1/{plan.config.warmup}" in text
