"""The requests of a turn on the screen, from a real engine that measured a truth server, and from its history."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.pilot import Pilot

from llmtui.config.schema import UiConfig
from llmtui.model import Iteration
from llmtui.store.open import open_store
from llmtui.store.requests import RequestSource
from llmtui.ui.app import MonitorApp
from llmtui.ui.past import PastLink, past_hello, past_run
from llmtui.ui.run import reach
from llmtui.ui.widgets.requests import RequestTable
from tests.engine.helpers import DEADLINE_S, engine_for, load_of, truth_backend
from tests.ui.pilot import screen_text

pytestmark = pytest.mark.slow


async def shows_the_end(app: MonitorApp, pilot: Pilot[None]) -> None:
    """Wait until the monitor shows that the run is done."""
    async with asyncio.timeout(DEADLINE_S):
        while app.view.run_view.run.phase != "done":
            await pilot.pause(0.01)


async def shown(app: MonitorApp, pilot: Pilot[None]) -> tuple[list[Iteration], Iteration]:
    """Open the requests of the newest turn. Return their figures, and the first one once its answer is there."""
    await pilot.press("enter", "enter")
    table = app.screen.query_one(RequestTable)
    async with asyncio.timeout(DEADLINE_S):
        while app.view.request_page is None or not app.view.request_page.requests.complete or table.elsewhere:
            await pilot.pause(0.01)
    await pilot.pause()
    chosen = table.chosen
    assert chosen is not None
    return list(app.view.request_page.requests), chosen


def stored(run: str) -> list[Iteration]:
    """The requests of the newest turn in the history."""
    store, _ = open_store()
    with store:
        return [request for batch in store.requests(store.load(run).turns[-1]) for request in batch]


async def test_requests_of_an_engine_and_of_its_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))
    plan = load_of(truth_backend("a"), concurrency=[4], requests=700, iterations=1, warmup=0)
    async with engine_for(plan) as run:
        await run.until_done()

        _, link = await reach(run.engine.socket)
        app = MonitorApp(plan, link, ui=UiConfig())
        async with app.run_test(size=(100, 30)) as pilot:
            await shows_the_end(app, pilot)
            figures, first = await shown(app, pilot)
            assert "Little" in screen_text(app) or "in flight" in screen_text(app)
            await app.session.engine.close()  # type: ignore[union-attr]
    requests = stored(plan.run)
    assert len(requests) >= 700, "more than a chunk"
    assert first == requests[0] and first.text and first.arrivals_ns
    for one, other in zip(figures, requests, strict=True):
        assert (one.request, one.share, one.latency_s, one.ttft_s) == (
            other.request, other.share, other.latency_s, other.ttft_s,
        )  # fmt: skip

    source = RequestSource("")
    store, _ = open_store()
    with store:
        past = store.load(plan.run)

    async def past_link() -> PastLink:
        return PastLink(past_hello(past))

    app = MonitorApp(past.plan, past_link, ui=UiConfig(), past=past_run(past))
    app.session.history = source.answer
    async with app.run_test(size=(100, 30)) as pilot:
        await shows_the_end(app, pilot)
        again, same = await shown(app, pilot)
        assert (again, same) == (figures, first)
    source.close()
