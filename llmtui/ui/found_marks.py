"""What a search has found, as marks for the chart against the load."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import Level
from llmtui.runview.search import Found, found_of, search_text
from llmtui.ui.charts.found_strip import FoundMark, place_of
from llmtui.ui.view_state import ViewState


def found_marks(view: ViewState, levels: Sequence[Level]) -> tuple[FoundMark, ...]:
    """Return what a search has found of each backend that is drawn, on an axis of these levels; () for other runs."""
    run_view = view.run_view
    if not run_view.plan.load.search or not levels:
        return ()
    counts = [level.streams for level in levels]
    named = [(index, of.backend.name) for index, of in view.drawn if of.turns]
    texts = {name: search_text(run_view, name) for _, name in named}
    return tuple(_mark(index, texts[name], found_of(run_view, name), counts) for index, name in named if texts[name])


def _mark(index: int, text: str, found: Found, counts: Sequence[int]) -> FoundMark:
    knee, most = found.knee, found.most
    if knee is not None:
        low = place_of(knee.low, counts)
        if not knee.reached:
            return FoundMark(index, text, None, low, None, beyond=True)
        return FoundMark(index, text, place_of(knee.streams, counts), low, place_of(knee.high, counts))
    if most is None:
        return FoundMark(index, text)
    at = place_of(most.kept, counts) if most.kept else None
    if most.undecided is None:
        return FoundMark(index, text, at)
    first, last = most.undecided
    low = at if at is not None else place_of(first, counts)
    return FoundMark(index, text, at, low, place_of(last, counts), beyond=last > counts[-1])
