"""A search on the main screen: the level that is shown follows it, and what it found stands before all else."""

from __future__ import annotations

from llmtui.model import TurnDone
from llmtui.ui.app import MonitorApp
from tests.ui import canned_search as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle


def streams(app: MonitorApp) -> int:
    """The streams of the level that is shown."""
    assert app.view.level is not None
    return app.view.level.streams


async def test_the_screen_follows_a_search_until_a_level_is_chosen_and_again_after_the_last_one() -> None:
    link = FakeLink(canned.hello({"four": (1, 2), "two": (1, 2)}), canned.tick("four", 2))
    app = make(link, canned.plan())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert streams(app) == 2 and "2 streams running and shown" in screen_text(app)
        link.put(canned.tick("four", 4))
        await settle(pilot, link)
        assert streams(app) == 4 and "no turn at 4 streams yet" in screen_text(app)
        link.put(TurnDone(turn=canned.turn("four", 1, canned.KNEE.levels[3], canned.KNEE)))
        await settle(pilot, link)
        assert "tok/s at 4 streams" in screen_text(app)
        await pilot.press("less_than_sign")
        assert streams(app) == 2
        link.put(canned.tick("two", 4))
        await settle(pilot, link)
        assert streams(app) == 2 and "4 streams running, 2 shown" in screen_text(app), "a choice stays"
        await pilot.press("less_than_sign")
        assert streams(app) == 1, "the first level can be chosen"
        link.put(canned.tick("four", 4))
        await settle(pilot, link)
        assert streams(app) == 1
        await pilot.press("less_than_sign")
        await settle(pilot)
        assert app.view.level_shown == 0 and streams(app) == 4, "the search is followed again"


async def test_at_its_end_the_result_is_shown_at_a_level_that_both_measured() -> None:
    link = FakeLink(canned.hello(), canned.tick("four", 3), *canned.done_events())
    app = make(link, canned.plan())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        # The knee of "four" is 4 and that of "two" 2: both were measured at both.
        assert streams(app) == 4
        text = " ".join(screen_text(app).split())
        assert "four knee 4 (4 to 4); two knee 2 (2 to 2); the knee of four is at more streams" in text
        await pilot.press("v")
        await settle(pilot)
        assert "What the search has found" in screen_text(app)


async def test_an_undecided_search_says_so_first() -> None:
    of = canned.OBJECTIVES
    link = FakeLink(canned.hello(load=of, few=True), *canned.done_events())
    app = make(link, canned.plan(of))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        assert "the search is undecided: four at 1 to 4; two at 1 to 2" in screen_text(app)
        assert streams(app) == 4, "the most streams that may keep the objectives"
