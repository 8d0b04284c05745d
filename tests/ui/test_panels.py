"""Panels of one to nine backends: what has to be on them is, whole words only, and nothing scrolls."""

from __future__ import annotations

import msgspec
import pytest
from textual.widget import Widget

from llmtui.model import AnyEvent, Backend, BackendState, Failure, Hello, Plan, Sampled, State
from llmtui.ui.widgets.panel import Panel
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

MESSAGE = "the server ended: killed by the kernel: out of memory (it used 3.1 GB)"
HINT = "press r to start it again"


def crowd(count: int) -> tuple[Plan, list[AnyEvent]]:
    """So many backends, in turn done, failed and refused, with six iterations each."""
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
                note="restarted 1 x" if n % 3 == 0 else "",
            )
        )
        iterations += [canned.iteration(name, k + 1, refused=2 * (n % 3 == 2 and k == 0)) for k in range(6)]
        samples.append(Sampled(backend=name, rss_bytes=241_000_000, cpu_cores=0.97))
    told = msgspec.structs.replace(canned.hello(done=1), plan=plan, backends=states, iterations=iterations)
    assert isinstance(told, Hello)
    return plan, [told, *samples]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 9])
async def test_a_panel_says_all_that_matters_in_whole_words(size: tuple[int, int], count: int) -> None:
    plan, events = crowd(count)
    link = FakeLink(*events)
    app = make(link, plan)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        assert "Quit" in screen_text(app).split("\n")[-1]
        assert not any(w.show_vertical_scrollbar or w.show_horizontal_scrollbar for w in app.screen.query(Widget))
        for n, panel in enumerate(app.screen.query(Panel)):
            lines = ["".join(text for text, _ in line) for line in panel.content(*panel.size)]
            told = " ".join(line.strip("┃│ ") for line in lines)
            assert plan.backends[n].name in told
            if n % 3 == 1:
                assert "failed" in told
                words = set(f"{MESSAGE} {HINT}".split())
                cut = told.partition(" failed")[2].partition(" med")[0].strip(": ").split()
                assert {"the", "server", "ended:"} <= words & set(cut)
                assert all(w in words or w in "…;6/10" or set(w) <= set("─━└┗┘┛") or w == "Python" for w in cut), told
                continue
            assert "running" in told
            assert "6/10" in told
            assert "tok/s" in told or "t/s" in told
            assert "med" in told
            if size[0] >= 120:
                assert "±" in told
                assert "TTFT" in told
                assert f"load {n + 1}.0 s" in told
                assert "241 MB" in told
                assert ("restarted 1 x" if n % 3 == 0 else "refused 2x") in told


def warming(name: str, warmups: int, state: State = "warmup") -> list[AnyEvent]:
    """A run of which `name` has done so many warm-ups, and nothing else."""
    told = canned.hello(done=0)
    states = [msgspec.structs.replace(s, state=state if s.name == name else "waiting") for s in told.backends]
    done = [canned.iteration(name, n + 1, phase="warmup") for n in range(warmups)]
    return [msgspec.structs.replace(told, backends=states, iterations=done)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
@pytest.mark.parametrize("warmups", [0, 1, 2, 3])
async def test_warming_up_counts_and_fills_a_bar(size: tuple[int, int], warmups: int) -> None:
    plan = canned.plan()
    name = plan.backends[0].name
    link = FakeLink(*warming(name, warmups))
    app = make(link, plan)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        panel = app.screen.query(Panel).first()
        told = "\n".join("".join(text for text, _ in line) for line in panel.content(*panel.size))
        assert "warm-up" in told
        assert f"{warmups}/{plan.config.warmup}" in told
        if size[0] >= 120:
            assert f"warming up, {plan.config.warmup - warmups} to go" in told
            drawn = told.splitlines()[next(n for n, t in enumerate(told.splitlines()) if "warming up" in t) + 1]
            room = drawn.count("━") + drawn.count("─")
            assert drawn.count("━") == round(warmups / plan.config.warmup * room)


async def test_an_attempt_taken_up_again_counts_its_own_warm_ups() -> None:
    plan = canned.plan()
    name = plan.backends[0].name
    link = FakeLink(*warming(name, 4))
    app = make(link, plan)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        panel = app.screen.query(Panel).first()
        told = "\n".join("".join(text for text, _ in line) for line in panel.content(*panel.size))
        assert f"1/{plan.config.warmup}" in told
