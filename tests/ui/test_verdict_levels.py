"""The verdict page of a load: the level that counts, its percentiles of slow requests, and the other levels."""

from __future__ import annotations

from llmtui.runview import levels
from llmtui.ui.views.verdict import verdict_page
from tests import loads
from tests.ui.lines import text_of

SLOW = {"a": {"buckets": {"ttft": [1000, 40]}}, "b": {"buckets": {"ttft": [1100, 40]}}}


def test_the_page_is_about_the_level_that_counts_and_names_the_others() -> None:
    view = loads.raced({"a": 1.24, "b": 1.0}, fields=SLOW)
    others = levels.sentences(view, others=True)
    text = " ".join(text_of(verdict_page(view.verdict(), 100, levels=others)).split())
    assert "at 8 streams a gives 1.2" in text and "output tokens/s counts at 8 streams, as set before" in text
    assert "p95 of TTFT: that of b is 2.72 times that of a" in text
    head, _, rest = text.partition("The other levels")
    assert "4 streams" not in head and "also at 4 streams a gives 1.2" in rest


def test_checks_of_other_levels_name_theirs() -> None:
    def failing(_: int, level: int) -> dict[str, int]:
        return {"finished": 30, "failed": 10} if level == 1 else {}

    view = loads.raced({"a": 1.24, "b": 1.0}, fields={"a": failing})
    found = levels.checks(view)
    assert any(check.text.startswith("at 4 streams: ") for check in found)
    page = verdict_page(view.verdict(level=2), 100, checks=found)
    text = " ".join(text_of(page).split())
    assert "What the data say at 8 streams" in text and "at 4 streams: " in text.partition("fair comparison?")[2]


def test_the_level_that_counts_is_first_among_the_others() -> None:
    view = loads.raced({"a": 1.24, "b": 1.0})
    first, *rest = levels.sentences(view, without=1)
    assert first.startswith("at 8 streams") and not rest
    [other] = levels.sentences(view, without=2)
    assert "at 4 streams" in other
